//! Which frames are free, and how often each other one is in use.
//!
//! Invariants: a frame is on the free list, or on the list of those that are set aside (the hypervisor has them), exactly
//! when its use count is 0; `free` and `aside` count the lists. The table keeps its
//! own memory: nothing is stored in the frames themselves, so a free frame can be handed to anyone at once.
use crate::addr::Pfn;

/// What the table knows of one frame.
#[derive(Clone, Copy, Debug, Default)]
pub struct FrameState {
    uses: u32,
    next_free: u32,
}

const NONE: u32 = u32::MAX;

/// No free frame is left.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OutOfFrames;

/// A frame was released that is not in use, or is not the table's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NotInUse;

/// The frames from `first` on.
#[derive(Debug)]
pub struct FrameTable<'a> {
    first: u64,
    states: &'a mut [FrameState],
    head: u32,
    free: u64,
    aside_head: u32,
    aside: u64,
}

impl<'a> FrameTable<'a> {
    /// All frames from `first` on, one for each element of `states`, free.
    #[must_use]
    pub fn new(first: Pfn, states: &'a mut [FrameState]) -> Self {
        let count = u32::try_from(states.len()).unwrap_or(NONE);
        let (states, _) = states.split_at_mut(count as usize);
        for (next, state) in (1u32..).zip(states.iter_mut()) {
            *state = FrameState {
                uses: 0,
                next_free: if next < count { next } else { NONE },
            };
        }
        let head = if count > 0 { 0 } else { NONE };
        Self {
            first: first.0,
            states,
            head,
            free: u64::from(count),
            aside_head: NONE,
            aside: 0,
        }
    }

    /// How many frames are free.
    #[must_use]
    pub const fn free(&self) -> u64 {
        self.free
    }

    /// How many frames are set aside.
    #[must_use]
    pub const fn aside(&self) -> u64 {
        self.aside
    }

    /// How many frames the table has.
    #[must_use]
    pub const fn len(&self) -> u64 {
        self.states.len() as u64
    }

    /// Whether it has none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.states.is_empty()
    }

    /// Whether `frame` is one of the table's and in use.
    #[must_use]
    pub fn in_use(&self, frame: Pfn) -> bool {
        self.index(frame)
            .and_then(|index| self.states.get(index))
            .is_some_and(|state| state.uses > 0)
    }

    /// A frame, in use once. What is in it is left over from its last use.
    ///
    /// # Errors
    /// [`OutOfFrames`].
    pub fn take(&mut self) -> Result<Pfn, OutOfFrames> {
        let state = self.states.get_mut(self.head as usize).ok_or(OutOfFrames)?;
        let frame = Pfn(self.first + u64::from(self.head));
        self.head = state.next_free;
        *state = FrameState {
            uses: 1,
            next_free: NONE,
        };
        self.free -= 1;
        Ok(frame)
    }

    /// How many uses `frame` has; 0 for one that is free or not the table's.
    #[must_use]
    pub fn uses(&self, frame: Pfn) -> u32 {
        self.index(frame)
            .and_then(|index| self.states.get(index))
            .map_or(0, |state| state.uses)
    }

    /// Adds a use to `frame`.
    ///
    /// # Errors
    /// [`NotInUse`]: it is free, not the table's, or has as many uses as can be counted; nothing has changed.
    pub fn share(&mut self, frame: Pfn) -> Result<(), NotInUse> {
        let index = self.index(frame).ok_or(NotInUse)?;
        let state = self.states.get_mut(index).ok_or(NotInUse)?;
        if state.uses == 0 {
            return Err(NotInUse);
        }
        state.uses = state.uses.checked_add(1).ok_or(NotInUse)?;
        Ok(())
    }

    /// Ends one use of `frame`; the last one makes it free.
    ///
    /// # Errors
    /// [`NotInUse`]: nothing has changed.
    pub fn release(&mut self, frame: Pfn) -> Result<(), NotInUse> {
        let index = self.index(frame).ok_or(NotInUse)?;
        let state = self.states.get_mut(index).ok_or(NotInUse)?;
        state.uses = state.uses.checked_sub(1).ok_or(NotInUse)?;
        if state.uses == 0 {
            state.next_free = self.head;
            self.head = u32::try_from(index).map_err(|_| NotInUse)?;
            self.free += 1;
        }
        Ok(())
    }

    /// Sets `frame` aside, which is in use once: nobody is given it until it is brought back.
    ///
    /// # Errors
    /// [`NotInUse`]: it is free, or in use more than once; nothing has changed.
    pub fn set_aside(&mut self, frame: Pfn) -> Result<(), NotInUse> {
        let index = self.index(frame).ok_or(NotInUse)?;
        let state = self.states.get_mut(index).ok_or(NotInUse)?;
        if state.uses != 1 {
            return Err(NotInUse);
        }
        *state = FrameState {
            uses: 0,
            next_free: self.aside_head,
        };
        self.aside_head = u32::try_from(index).map_err(|_| NotInUse)?;
        self.aside += 1;
        Ok(())
    }

    /// A frame that was set aside, in use once.
    pub fn bring_back(&mut self) -> Option<Pfn> {
        let state = self.states.get_mut(self.aside_head as usize)?;
        let frame = Pfn(self.first + u64::from(self.aside_head));
        self.aside_head = state.next_free;
        *state = FrameState {
            uses: 1,
            next_free: NONE,
        };
        self.aside -= 1;
        Some(frame)
    }

    fn index(&self, frame: Pfn) -> Option<usize> {
        usize::try_from(frame.0.checked_sub(self.first)?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_frame_is_handed_out_once() {
        let mut states = [FrameState::default(); 5];
        let mut table = FrameTable::new(Pfn(100), &mut states);
        let mut taken: Vec<u64> = core::iter::from_fn(|| table.take().ok())
            .map(|frame| frame.0)
            .collect();
        assert_eq!(table.take(), Err(OutOfFrames));
        taken.sort_unstable();
        assert_eq!(taken, [100, 101, 102, 103, 104]);
    }

    #[test]
    fn a_released_frame_can_be_taken_again_and_not_released_twice() {
        let mut states = [FrameState::default(); 1];
        let mut table = FrameTable::new(Pfn(7), &mut states);
        let frame = table.take().unwrap();
        assert_eq!(table.release(frame), Ok(()));
        assert_eq!(table.release(frame), Err(NotInUse));
        assert_eq!(table.take(), Ok(frame));
        assert_eq!(table.free(), 0);
    }

    #[test]
    fn a_shared_frame_is_free_after_its_last_use() {
        let mut states = [FrameState::default(); 1];
        let mut table = FrameTable::new(Pfn(7), &mut states);
        assert_eq!(table.share(Pfn(7)), Err(NotInUse));
        let frame = table.take().unwrap();
        table.share(frame).unwrap();
        assert_eq!(table.uses(frame), 2);
        table.release(frame).unwrap();
        assert_eq!((table.uses(frame), table.free()), (1, 0));
        table.release(frame).unwrap();
        assert_eq!((table.uses(frame), table.free()), (0, 1));
    }

    #[test]
    fn what_is_set_aside_is_handed_out_to_nobody_until_it_is_back() {
        let mut states = [FrameState::default(); 2];
        let mut table = FrameTable::new(Pfn(7), &mut states);
        assert_eq!(table.set_aside(Pfn(7)), Err(NotInUse));
        let frame = table.take().unwrap();
        table.set_aside(frame).unwrap();
        assert_eq!((table.free(), table.aside(), table.uses(frame)), (1, 1, 0));
        assert_eq!(table.release(frame), Err(NotInUse));
        let other = table.take().unwrap();
        assert_eq!(table.take(), Err(OutOfFrames));
        assert_eq!(table.bring_back(), Some(frame));
        assert_eq!(table.bring_back(), None);
        table.release(frame).unwrap();
        table.release(other).unwrap();
        assert_eq!((table.free(), table.aside()), (2, 0));
    }

    #[test]
    fn frames_that_are_not_the_table_s_are_refused() {
        let mut states = [FrameState::default(); 2];
        let mut table = FrameTable::new(Pfn(7), &mut states);
        assert_eq!(table.release(Pfn(6)), Err(NotInUse));
        assert_eq!(table.release(Pfn(9)), Err(NotInUse));
        assert_eq!(table.free(), 2);
    }

    #[test]
    fn a_table_of_nothing_hands_out_nothing() {
        assert_eq!(FrameTable::new(Pfn(0), &mut []).take(), Err(OutOfFrames));
    }
}
