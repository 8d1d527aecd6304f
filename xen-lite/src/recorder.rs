//! The flight recorder: what a vCPU entered the hypervisor for lately.
//!
//! In the hypervisor's own memory. Bounces and direct traps leave no trace here: ring 0 does not stop for them.

/// Entries that are kept.
const LENGTH: usize = 16;

/// One entry into the hypervisor.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    /// A hypercall with this number.
    Hypercall(u64),
    /// Anything else, by vector.
    Trap(u8),
}

/// The last entries, oldest first.
#[derive(Clone, Debug)]
pub struct Recorder {
    events: [u64; LENGTH],
    next: u32,
}

/// A word is the number doubled (its top bit is lost), or the vector doubled and one: cheap to make.
const TRAP: u64 = 1;
const NOTHING: u64 = u64::MAX;

impl Recorder {
    /// An empty one.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            events: [NOTHING; LENGTH],
            next: 0,
        }
    }

    /// Adds an event, over the oldest.
    #[inline]
    pub fn add(&mut self, event: Event) {
        let word = match event {
            Event::Hypercall(number) => number << 1,
            Event::Trap(vector) => u64::from(vector) << 1 | TRAP,
        };
        let next = self.next as usize % LENGTH;
        if let Some(slot) = self.events.get_mut(next) {
            *slot = word;
        }
        self.next = next as u32 + 1;
    }

    /// The events, oldest first.
    pub fn events(&self) -> impl Iterator<Item = Event> + '_ {
        (0..LENGTH).filter_map(|age| {
            let word = *self.events.get((self.next as usize).wrapping_add(age) % LENGTH)?;
            match word {
                NOTHING => None,
                word if word & TRAP != 0 => Some(Event::Trap((word >> 1) as u8)),
                word => Some(Event::Hypercall(word >> 1)),
            }
        })
    }
}

impl Default for Recorder {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_sixteen_events_are_kept_in_order() {
        let mut recorder = Recorder::new();
        assert_eq!(recorder.events().count(), 0);
        for number in 0..20 {
            recorder.add(Event::Hypercall(number));
        }
        recorder.add(Event::Trap(14));
        let events: Vec<_> = recorder.events().collect();
        assert_eq!(events.len(), 16);
        assert_eq!(events[0], Event::Hypercall(5));
        assert_eq!(events[15], Event::Trap(14));
    }
}
