//! The balloon: frames that programs do not need go to the hypervisor, and come back when they are wanted (the paper's
//! section 3.3.3).
use crate::addr::Pfn;
use crate::kernel::{Kernel, Machine};

/// Frames of one hypercall.
const BATCH: usize = 64;
/// Frames that stay free in any case.
const KEPT: u64 = 64;

impl<M: Machine> Kernel<'_, M> {
    /// Sees to it that the hypervisor has `wanted` of the domain's frames, as far as they are free, or it has any to give;
    /// how many it has then.
    pub fn balloon(&mut self, wanted: u64) -> u64 {
        while self.frames.aside() < wanted && self.inflate(wanted - self.frames.aside()) {}
        while self.frames.aside() > wanted && self.deflate(self.frames.aside() - wanted) {}
        self.frames.aside()
    }

    /// Gives up to `count` frames away; whether there may be more to give.
    fn inflate(&mut self, count: u64) -> bool {
        let (mut batch, mut taken) = ([Pfn(0); BATCH], 0);
        for slot in batch.iter_mut().take(usize::try_from(count).unwrap_or(BATCH)) {
            if self.frames.free() <= KEPT {
                break;
            }
            let Ok(frame) = self.frames.take() else {
                break;
            };
            *slot = frame;
            taken += 1;
        }
        let batch = batch.get(..taken).unwrap_or(&[]);
        let given = self.machine.give_up(batch);
        for (index, frame) in batch.iter().enumerate() {
            let done = if index < given {
                self.frames.set_aside(*frame)
            } else {
                self.frames.release(*frame)
            };
            assert!(done.is_ok(), "{frame:?} was in use once");
        }
        given > 0 && given == taken
    }

    /// Takes up to `count` frames back; whether there may be more to take.
    fn deflate(&mut self, count: u64) -> bool {
        let (mut batch, mut taken) = ([Pfn(0); BATCH], 0);
        for slot in batch.iter_mut().take(usize::try_from(count).unwrap_or(BATCH)) {
            let Some(frame) = self.frames.bring_back() else {
                break;
            };
            *slot = frame;
            taken += 1;
        }
        let batch = batch.get(..taken).unwrap_or(&[]);
        let had = self.machine.get_back(batch);
        for (index, frame) in batch.iter().enumerate() {
            let done = if index < had {
                self.frames.release(*frame)
            } else {
                self.frames.set_aside(*frame)
            };
            assert!(done.is_ok(), "{frame:?} was in use once");
        }
        had > 0 && had == taken
    }
}
