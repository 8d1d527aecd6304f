//! Random call sequences: after each call the real thing and the model agree, and the audit is clean.
use super::model::Model;
use crate::addr::{DomainId, Level, Mfn};
use crate::paging::{
    DomainMemory, FrameTable, Owner, PageType, Progress, Teardown, TeardownProgress, audit, drop_root, pin,
    set_root, take_apart_one, unpin, update_entry,
};
use crate::platform::PhysMem;
use crate::testing::machine::entry;
use crate::testing::{ArrayMem, frame_table};
use proptest::prelude::*;

const FRAMES: u32 = 14;
const FIRST_RAM: u32 = 2;
const INDICES: [usize; 5] = [0, 1, 255, 256, 511];

/// Both, in step.
pub(super) struct Pair {
    pub(super) ft: FrameTable<'static>,
    pub(super) mem: ArrayMem,
    pub(super) doms: [DomainMemory; 2],
    pub(super) model: Model,
}

/// The number of a domain in [`Pair`] is also its id.
const DOMAINS: [u16; 2] = [0, 1];

impl Pair {
    pub(super) fn new(frames: u32, first_ram: u32) -> Self {
        let mut ft = frame_table(frames as usize);
        let mut mem = ArrayMem::new(frames as usize);
        ft.add_ram(Mfn(first_ram), frames - first_ram);
        let mut model = Model::default();
        let doms = DOMAINS.map(|id| {
            // Frame 0 is no RAM: nobody else can name it.
            let slot = entry(Mfn(0), 0x23 | u64::from(id) << 9);
            model.slots.insert(id, slot);
            DomainMemory::new(DomainId(id), slot)
        });
        mem.zero(Mfn(0));
        Self { ft, mem, doms, model }
    }

    pub(super) fn alloc(&mut self, domain: u16) -> Option<u32> {
        let mfn = self
            .ft
            .alloc(&mut self.mem, &mut self.doms[usize::from(domain)])?;
        self.model.give(domain, mfn.0);
        Some(mfn.0)
    }

    pub(super) fn release(&mut self, domain: u16, frame: u32) {
        let dom = &mut self.doms[usize::from(domain)];
        let done = self.ft.release(&mut self.mem, dom, Mfn(frame)).is_ok();
        assert_eq!(done, self.model.release(domain, frame), "release {frame}");
    }

    /// A guest writes to its own memory, which it can if the frame is no table.
    pub(super) fn poke(&mut self, frame: u32, index: usize, word: u64) -> bool {
        let can = self.model.owner.contains_key(&frame) && self.model.type_of(frame).level().is_none();
        if can {
            self.mem.write(Mfn(frame), index, word);
            self.model.set_word(frame, index, word);
        }
        can
    }

    pub(super) fn pin(&mut self, domain: u16, frame: u32, level: Level) {
        let dom = &mut self.doms[usize::from(domain)];
        let done = pin(&mut self.ft, &mut self.mem, dom, Mfn(frame), level);
        assert_eq!(
            done.is_ok(),
            self.model.pin(domain, frame, level),
            "pin {frame} {level:?}: {done:?}"
        );
    }

    pub(super) fn unpin(&mut self, domain: u16, frame: u32) {
        let done = unpin(&mut self.ft, &mut self.doms[usize::from(domain)], Mfn(frame));
        assert_eq!(
            done.is_ok(),
            self.model.unpin(domain, frame),
            "unpin {frame}: {done:?}"
        );
    }

    pub(super) fn set_root(&mut self, domain: u16, frame: u32) {
        let done = set_root(&mut self.ft, &mut self.doms[usize::from(domain)], Mfn(frame));
        assert_eq!(
            done.is_ok(),
            self.model.set_root(domain, frame),
            "root {frame}: {done:?}"
        );
    }

    pub(super) fn drop_root(&mut self, domain: u16) {
        drop_root(&mut self.ft, &mut self.doms[usize::from(domain)]).by_cr3_write();
        self.model.roots.remove(&domain);
    }

    pub(super) fn update(&mut self, domain: u16, table: u32, index: usize, word: u64) {
        let dom = &mut self.doms[usize::from(domain)];
        let done = update_entry(&mut self.ft, &mut self.mem, dom, Mfn(table), index, word);
        let expected = self.model.update(domain, table, index, word);
        assert_eq!(
            done.is_ok(),
            expected,
            "update {table}[{index}] = {word:#x}: {done:?}"
        );
    }

    /// One step down; the real thing may choose the table.
    pub(super) fn take_apart_one(&mut self, domain: u16) {
        let waiting = self.model.leaving(domain);
        let progress = take_apart_one(&mut self.ft, &mut self.mem, &mut self.doms[usize::from(domain)]);
        let taken: Vec<u32> = waiting
            .iter()
            .copied()
            .filter(|&at| self.ft.page_type(Mfn(at)).level().is_none())
            .collect();
        assert_eq!(taken.len(), waiting.len().min(1), "one table a step");
        taken.into_iter().for_each(|at| self.model.taken_apart(at));
        assert_eq!(progress == Progress::Done, self.model.leaving(domain).is_empty());
    }

    fn tear_down(&mut self, domain: u16) {
        let dom = &mut self.doms[usize::from(domain)];
        let had = dom.owned();
        let mut teardown = Teardown::begin(&mut self.ft, dom);
        let end = (0..8 * FRAMES)
            .map(|_| teardown.step(&mut self.ft, &mut self.mem, dom))
            .find(|progress| *progress != TeardownProgress::More);
        assert_eq!(
            end,
            Some(TeardownProgress::Done {
                returned: had,
                owned: had
            })
        );
        self.model.torn_down(domain);
    }

    /// Everything that both say.
    pub(super) fn compare(&mut self, indices: &[usize]) {
        for frame in 0..self.ft.frame_count() {
            let mfn = Mfn(frame);
            let uses = self.model.uses(frame);
            let typed = uses.iter().filter(|&&kind| kind != PageType::None).count();
            assert_eq!(self.ft.page_type(mfn), self.model.type_of(frame), "type of {mfn}");
            assert_eq!(self.ft.uses(mfn) as usize, uses.len(), "uses of {mfn}");
            assert_eq!(self.ft.type_uses(mfn) as usize, typed, "type uses of {mfn}");
            assert_eq!(
                self.ft.is_pinned(mfn),
                self.model.pinned.contains(&frame),
                "pin of {mfn}"
            );
            let owner = match self.ft.owner(mfn) {
                Owner::Domain(id) => Some(id.0),
                _ => None,
            };
            assert_eq!(owner, self.model.owner.get(&frame).copied(), "owner of {mfn}");
            if owner.is_some() {
                for &index in indices {
                    assert_eq!(
                        self.mem.read(mfn, index),
                        self.model.word(frame, index),
                        "{mfn}[{index}]"
                    );
                }
            }
        }
        for dom in &self.doms {
            assert_eq!(
                dom.root().map(|root| root.0),
                self.model.roots.get(&dom.id().0).copied()
            );
        }
        if let Err(fault) = audit(&mut self.ft, &self.mem, self.doms.iter()) {
            panic!("audit: {fault}");
        }
    }
}

/// A choice among what is there, made when the call is made.
#[derive(Clone, Copy, Debug)]
struct Pick(u32);

impl Pick {
    fn any(self) -> u32 {
        self.0 % (FRAMES + 1)
    }

    /// Mostly one of `preferred`.
    fn among(self, preferred: &[u32]) -> u32 {
        match preferred.get((self.0 / 8) as usize % preferred.len().max(1)) {
            Some(&frame) if !self.0.is_multiple_of(8) => frame,
            _ => self.any(),
        }
    }
}

#[derive(Clone, Debug)]
enum Call {
    Alloc,
    Release(Pick),
    Poke(Pick, usize, Pick, u64),
    Pin(Pick, Level),
    Unpin(Pick),
    SetRoot(Pick),
    DropRoot,
    Update(Pick, usize, Pick, u64),
    /// An update that names a table of the level that fits.
    Link(Pick, usize, Pick, u64),
    TakeApart,
    TearDown,
}

fn flags() -> impl Strategy<Value = u64> {
    prop_oneof![
        4 => Just(3u64),
        4 => Just(1),
        2 => Just(7),
        1 => Just(0),
        1 => (0u32..12, 0u32..12).prop_map(|(low, high)| 1 | 1 << low | 1 << (52 + high)),
        1 => Just(2),
    ]
}

fn call() -> impl Strategy<Value = Call> {
    let pick = || any::<u32>().prop_map(Pick);
    let index = || proptest::sample::select(&INDICES[..]);
    let level = || proptest::sample::select(&Level::ALL[..]);
    prop_oneof![
        3 => Just(Call::Alloc),
        2 => pick().prop_map(Call::Release),
        4 => (pick(), index(), pick(), flags()).prop_map(|(a, b, c, d)| Call::Poke(a, b, c, d)),
        10 => (pick(), level()).prop_map(|(a, b)| Call::Pin(a, b)),
        5 => pick().prop_map(Call::Unpin),
        3 => pick().prop_map(Call::SetRoot),
        1 => Just(Call::DropRoot),
        8 => (pick(), index(), pick(), flags()).prop_map(|(a, b, c, d)| Call::Update(a, b, c, d)),
        8 => (pick(), index(), pick(), flags()).prop_map(|(a, b, c, d)| Call::Link(a, b, c, d)),
        4 => Just(Call::TakeApart),
        1 => Just(Call::TearDown),
    ]
}

fn run(pair: &mut Pair, domain: u16, call: &Call) {
    let own: Vec<u32> = pair
        .model
        .owner
        .iter()
        .filter(|&(_, &of)| of == domain)
        .map(|(&frame, _)| frame)
        .collect();
    let tables: Vec<u32> = pair
        .model
        .live_tables()
        .into_iter()
        .filter(|at| own.contains(at))
        .collect();
    let of_type = |kind: PageType| -> Vec<u32> {
        own.iter()
            .copied()
            .filter(|&frame| pair.model.type_of(frame) == kind)
            .collect()
    };
    match *call {
        Call::Alloc => {
            pair.alloc(domain);
        }
        Call::Release(frame) => pair.release(domain, frame.among(&of_type(PageType::None))),
        Call::Poke(frame, index, target, flags) => {
            let word = entry(Mfn(target.among(&own)), flags);
            pair.poke(frame.among(&of_type(PageType::None)), index, word);
        }
        Call::Pin(frame, level) => pair.pin(domain, frame.among(&own), level),
        Call::Unpin(frame) => pair.unpin(domain, frame.among(&tables)),
        Call::SetRoot(frame) => pair.set_root(domain, frame.among(&of_type(PageType::L4))),
        Call::DropRoot => pair.drop_root(domain),
        Call::Update(table, index, target, flags) => {
            let word = entry(Mfn(target.among(&own)), flags);
            pair.update(domain, table.among(&tables), index, word);
        }
        Call::Link(table, index, target, flags) => {
            let table = table.among(&tables);
            let fitting = match pair.model.type_of(table) {
                PageType::L4 => of_type(PageType::L3),
                PageType::L3 => of_type(PageType::L2),
                PageType::L2 => of_type(PageType::L1),
                _ => own.clone(),
            };
            pair.update(domain, table, index, entry(Mfn(target.among(&fitting)), flags));
        }
        Call::TakeApart => pair.take_apart_one(domain),
        Call::TearDown => pair.tear_down(domain),
    }
    pair.compare(&INDICES);
}

/// A long run: `PROPTEST_CASES=10000 cargo test --release -p xen-lite any_sequence`.
fn config() -> ProptestConfig {
    let cases = if std::env::var_os("PROPTEST_CASES").is_some() {
        ProptestConfig::default().cases
    } else {
        64
    };
    ProptestConfig {
        cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn any_sequence_of_calls_agrees_with_the_model_and_leaves_a_clean_audit(
        calls in proptest::collection::vec((proptest::sample::select(&[0u16, 0, 0, 1][..]), call()), 1..160),
    ) {
        let mut pair = Pair::new(FRAMES, FIRST_RAM);
        for _ in 0..8 {
            pair.alloc(0);
        }
        for (domain, call) in &calls {
            run(&mut pair, *domain, call);
        }
        for domain in DOMAINS {
            run(&mut pair, domain, &Call::TearDown);
        }
        prop_assert_eq!(pair.ft.free_count(), FRAMES - FIRST_RAM);
    }
}
