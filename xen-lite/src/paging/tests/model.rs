//! What direct paging means, said a second time and without a single count.
//!
//! The model knows who owns what, what every frame holds, which frames are live tables, which are pinned and
//! which are roots. Everything else (who uses a frame, as what) it looks up in the tables each time.
use crate::addr::Level;
use crate::paging::PageType;
use std::collections::{BTreeMap, BTreeSet};

type Frame = u32;
type Domain = u16;

fn names(word: u64, frame: Frame) -> bool {
    word >> 12 & 0xff_ffff_ffff == u64::from(frame)
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(super) struct Model {
    pub(super) owner: BTreeMap<Frame, Domain>,
    /// Words that are not 0.
    words: BTreeMap<(Frame, usize), u64>,
    tables: BTreeMap<Frame, Level>,
    pub(super) pinned: BTreeSet<Frame>,
    pub(super) roots: BTreeMap<Domain, Frame>,
    pub(super) slots: BTreeMap<Domain, u64>,
}

impl Model {
    pub(super) fn word(&self, frame: Frame, index: usize) -> u64 {
        self.words.get(&(frame, index)).copied().unwrap_or(0)
    }

    pub(super) fn set_word(&mut self, frame: Frame, index: usize, value: u64) {
        if value == 0 {
            self.words.remove(&(frame, index));
        } else {
            self.words.insert((frame, index), value);
        }
    }

    /// What uses `frame`: for each use, the type that it gives.
    pub(super) fn uses(&self, frame: Frame) -> Vec<PageType> {
        let mut uses = Vec::new();
        for (&(table, index), &word) in &self.words {
            let Some(&level) = self.tables.get(&table) else {
                continue;
            };
            let slot = level == Level::L4 && index == 256;
            if !slot && word & 1 == 1 && names(word, frame) {
                uses.push(match level {
                    Level::L1 if word & 2 == 2 => PageType::Writable,
                    Level::L1 => PageType::None,
                    Level::L2 => PageType::L1,
                    Level::L3 => PageType::L2,
                    Level::L4 => PageType::L3,
                });
            }
        }
        uses.extend(
            self.pinned
                .get(&frame)
                .map(|_| PageType::table(self.tables[&frame])),
        );
        uses.extend(
            self.roots
                .values()
                .filter(|&&root| root == frame)
                .map(|_| PageType::L4),
        );
        uses
    }

    pub(super) fn type_of(&self, frame: Frame) -> PageType {
        match self.tables.get(&frame) {
            Some(&level) => PageType::table(level),
            None if self.uses(frame).contains(&PageType::Writable) => PageType::Writable,
            None => PageType::None,
        }
    }

    pub(super) fn is_leaving(&self, frame: Frame) -> bool {
        self.tables.contains_key(&frame) && self.uses(frame).iter().all(|&kind| kind == PageType::None)
    }

    fn owns(&self, domain: Domain, frame: Frame) -> bool {
        self.owner.get(&frame) == Some(&domain)
    }

    fn may_stand(&self, domain: Domain, level: Level, word: u64) -> bool {
        if word & 1 == 0 {
            return true;
        }
        let frame = word >> 12 & 0xff_ffff_ffff;
        let forbidden = [3, 4, 7, 8, 59, 60, 61, 62]
            .iter()
            .any(|bit| word >> bit & 1 == 1);
        let Ok(frame) = Frame::try_from(frame) else {
            return false;
        };
        if forbidden || !self.owns(domain, frame) {
            return false;
        }
        match level.below() {
            None => word & 2 == 0 || !self.tables.contains_key(&frame),
            Some(below) => self.tables.get(&frame) == Some(&below) && !self.is_leaving(frame),
        }
    }

    pub(super) fn give(&mut self, domain: Domain, frame: Frame) {
        assert_eq!(self.owner.insert(frame, domain), None);
        self.words.retain(|&(at, _), _| at != frame);
    }

    pub(super) fn release(&mut self, domain: Domain, frame: Frame) -> bool {
        let allowed =
            self.owns(domain, frame) && !self.tables.contains_key(&frame) && self.uses(frame).is_empty();
        if allowed {
            self.owner.remove(&frame);
            self.words.retain(|&(at, _), _| at != frame);
        }
        allowed
    }

    pub(super) fn pin(&mut self, domain: Domain, frame: Frame, level: Level) -> bool {
        if !self.owns(domain, frame) {
            return false;
        }
        if let Some(&is) = self.tables.get(&frame) {
            let allowed = is == level && !self.pinned.contains(&frame) && !self.is_leaving(frame);
            return allowed && self.pinned.insert(frame);
        }
        if self.type_of(frame) == PageType::Writable || level == Level::L4 && self.word(frame, 256) != 0 {
            return false;
        }
        // By itself the new table keeps no child from leaving.
        let leaving = self.leaving(domain);
        self.tables.insert(frame, level);
        let mut entries = self.words.range((frame, 0)..=(frame, 511));
        let names_leaving =
            |word: u64| word & 1 == 1 && level != Level::L1 && leaving.iter().any(|&at| names(word, at));
        if entries.any(|(_, &word)| names_leaving(word) || !self.may_stand(domain, level, word)) {
            self.tables.remove(&frame);
            return false;
        }
        if level == Level::L4 {
            self.set_word(frame, 256, self.slots[&domain]);
        }
        self.pinned.insert(frame)
    }

    pub(super) fn unpin(&mut self, domain: Domain, frame: Frame) -> bool {
        self.owns(domain, frame) && self.pinned.remove(&frame)
    }

    pub(super) fn set_root(&mut self, domain: Domain, frame: Frame) -> bool {
        let allowed = self.owns(domain, frame)
            && self.tables.get(&frame) == Some(&Level::L4)
            && !self.is_leaving(frame);
        if allowed {
            self.roots.insert(domain, frame);
        }
        allowed
    }

    pub(super) fn update(&mut self, domain: Domain, frame: Frame, index: usize, word: u64) -> bool {
        let Some(&level) = self.tables.get(&frame) else {
            return false;
        };
        let allowed = self.owns(domain, frame)
            && !self.is_leaving(frame)
            && index < 512
            && !(level == Level::L4 && index == 256)
            && self.may_stand(domain, level, word);
        if allowed {
            self.set_word(frame, index, word);
        }
        allowed
    }

    /// Leaving tables of a domain.
    pub(super) fn leaving(&self, domain: Domain) -> Vec<Frame> {
        self.tables
            .keys()
            .copied()
            .filter(|&at| self.owns(domain, at) && self.is_leaving(at))
            .collect()
    }

    pub(super) fn taken_apart(&mut self, frame: Frame) {
        if self.tables.remove(&frame) == Some(Level::L4) {
            self.set_word(frame, 256, 0);
        }
    }

    pub(super) fn torn_down(&mut self, domain: Domain) {
        let gone: Vec<Frame> = self
            .owner
            .iter()
            .filter(|&(_, &of)| of == domain)
            .map(|(&at, _)| at)
            .collect();
        for frame in gone {
            self.owner.remove(&frame);
            self.tables.remove(&frame);
            self.pinned.remove(&frame);
            self.words.retain(|&(at, _), _| at != frame);
        }
        self.roots.remove(&domain);
    }

    pub(super) fn live_tables(&self) -> Vec<Frame> {
        self.tables.keys().copied().collect()
    }
}
