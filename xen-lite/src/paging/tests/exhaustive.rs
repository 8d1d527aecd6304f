//! A world so small that every state of it can be visited: three frames of one domain, one entry each, every
//! call with every argument in every state, each compared with the model.
use super::model::Model;
use super::sequences::Pair;
use crate::addr::{Level, Mfn};
use crate::paging::frame_table::State;
use crate::paging::{DomainMemory, FrameInfo};
use crate::platform::PhysMem;
use crate::testing::machine::{P, W, entry};
use std::collections::{HashSet, VecDeque};

/// The one entry of each table that the world knows, and the hypervisor's.
const INDICES: [usize; 2] = [0, 256];

#[derive(Clone, PartialEq, Eq, Hash)]
struct Snapshot {
    frames: (Vec<FrameInfo>, u32, u32),
    domain: DomainMemory,
    model: Model,
}

#[derive(Clone, Copy, Debug)]
enum Call {
    Poke(u32, u64),
    Update(u32, u64),
    Pin(u32, Level),
    Unpin(u32),
    SetRoot(u32),
    DropRoot,
    TakeApart,
}

struct World {
    pair: Pair,
    own: Vec<u32>,
    calls: Vec<Call>,
}

impl World {
    fn new(frames: u32, levels: &[Level], flags: &[u64]) -> Self {
        let mut pair = Pair::new(frames + 1, 1);
        let own: Vec<u32> = (0..frames).map(|_| pair.alloc(0).unwrap()).collect();
        let words = || {
            own.iter()
                .flat_map(|&at| flags.iter().map(move |bits| entry(Mfn(at), *bits)))
                .chain([0])
        };
        let mut calls = vec![Call::DropRoot, Call::TakeApart];
        for &frame in &own {
            calls.extend(words().flat_map(|word| [Call::Poke(frame, word), Call::Update(frame, word)]));
            calls.extend(levels.iter().map(|&level| Call::Pin(frame, level)));
            calls.extend([Call::Unpin(frame), Call::SetRoot(frame)]);
        }
        Self { pair, own, calls }
    }

    fn snapshot(&self) -> Snapshot {
        Snapshot {
            frames: self.frames(),
            domain: self.pair.doms[0].clone(),
            model: self.pair.model.clone(),
        }
    }

    /// The frame table; links that are on no list are no part of the state.
    fn frames(&self) -> (Vec<FrameInfo>, u32, u32) {
        let mut all = self.pair.ft.snapshot();
        for info in all
            .0
            .iter_mut()
            .filter(|info| matches!(info.state, State::Owned | State::Pinned))
        {
            info.link = 0;
        }
        all
    }

    fn restore(&mut self, state: &Snapshot) {
        self.pair.ft.restore(&state.frames);
        self.pair.doms[0] = state.domain.clone();
        self.pair.model = state.model.clone();
        for &frame in &self.own {
            for index in INDICES {
                self.pair
                    .mem
                    .write(Mfn(frame), index, state.model.word(frame, index));
            }
        }
    }

    fn run(&mut self, call: Call) {
        let pair = &mut self.pair;
        match call {
            Call::Poke(frame, word) => {
                pair.poke(frame, 0, word);
            }
            Call::Update(table, word) => pair.update(0, table, 0, word),
            Call::Pin(frame, level) => pair.pin(0, frame, level),
            Call::Unpin(frame) => pair.unpin(0, frame),
            Call::SetRoot(frame) => pair.set_root(0, frame),
            Call::DropRoot => pair.drop_root(0),
            Call::TakeApart => pair.take_apart_one(0),
        }
    }

    /// Visits every state that can be reached; returns how many there are.
    fn explore(&mut self) -> usize {
        let start = self.snapshot();
        let mut seen = HashSet::from([start.clone()]);
        let mut next = VecDeque::from([start]);
        while let Some(state) = next.pop_front() {
            for call in self.calls.clone() {
                self.restore(&state);
                self.run(call);
                let reached = self.snapshot();
                if !seen.contains(&reached) {
                    self.pair.compare(&INDICES);
                    seen.insert(reached.clone());
                    next.push_back(reached);
                }
            }
        }
        seen.len()
    }
}

#[test]
fn every_state_of_two_frames_and_all_levels_agrees_with_the_model() {
    assert_eq!(World::new(2, &Level::ALL, &[P, P | W]).explore(), 509);
}

#[test]
fn every_state_of_three_frames_and_two_levels_agrees_with_the_model() {
    assert_eq!(World::new(3, &[Level::L1, Level::L2], &[P | W]).explore(), 1458);
}

/// `cargo test --release -p xen-lite --lib -- --ignored every_state`
#[test]
#[ignore = "seconds when optimised, a minute when not"]
fn every_state_of_three_frames_and_all_levels_agrees_with_the_model() {
    assert_eq!(World::new(3, &Level::ALL, &[P, P | W]).explore(), 29345);
}
