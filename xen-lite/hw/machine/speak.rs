//! Who is heard: what domains have written, and what is said about their ends, as far as the ports take it.
//!
//! All take turns ([`xen_lite::console::turns`]). A turn is some text, or one record; it ends when enough waits for the port. A
//! domain that has ended is heard to its last word; then its end is told; then it is taken apart. What does not find room
//! waits, and with it that domain alone: it has nothing to do meanwhile, and is charged for what is then done for it.
use super::Machine;
use crate::terminal::{SHARE, Terminal};
use crate::{crash, ports};
use abi::boot_image::MAX_DOMAINS;
use xen_lite::crash::death::Obituary;
use xen_lite::domain::{End, Stage};
use xen_lite::paging::Teardown;
use xen_lite::record::Record;
use xen_lite::sched::turn::State;

impl Machine {
    /// Sends what the ports take, and fills them up, if anybody waits for that. Returns whether somebody did.
    #[inline(always)]
    pub(super) fn speak(&mut self) -> bool {
        let is_asked = self.scheduler.holds_somebody() || self.world.has_text || self.has_to_send();
        if is_asked {
            self.send_and_fill();
            let mut domains = self.domains.iter_mut().enumerate();
            self.world.has_text = domains.any(|(index, domain)| self.terminal.has_due_text(domain, index));
        }
        is_asked
    }

    #[inline(never)]
    fn send_and_fill(&mut self) {
        let mut since = self.clock.now_ns();
        self.send(&mut since);
        let end = self.terminal.port().accepted().wrapping_add(SHARE);
        // They have nothing to say that finds room.
        let mut done = [false; MAX_DOMAINS];
        while self.may_be_heard(end) {
            let Some(index) = self.next_to_be_heard(&done) else {
                return;
            };
            let before = self.accepted();
            while self.may_be_heard(end) && self.terminal.pass_on(&mut self.domains, index) {
                // It may wait for room.
                self.world.stirred.put(index, true);
                self.charge(Some(index), &mut since);
                self.send(&mut since);
            }
            self.tell_end(index);
            self.release(index);
            self.charge(Some(index), &mut since);
            self.send(&mut since);
            let bytes = self.accepted().wrapping_sub(before);
            self.turns.heard(index, bytes);
            if let Some(done) = done.get_mut(index) {
                *done = bytes == 0;
            }
        }
    }

    /// Whether this look has something left of its share, and the port for people takes more.
    fn may_be_heard(&mut self, end: u64) -> bool {
        let port = self.terminal.port();
        port.takes_text() && port.accepted() < end
    }

    /// The next of those that want to be heard and are not done.
    fn next_to_be_heard(&mut self, done: &[bool; MAX_DOMAINS]) -> Option<usize> {
        let Self {
            domains,
            scheduler,
            terminal,
            turns,
            ..
        } = self;
        let waiting = domains.iter_mut().enumerate().filter_map(|(index, domain)| {
            let wants = scheduler.state(index) == State::Held || terminal.has_due_text(domain, index);
            wants.then_some(index)
        });
        turns.next(waiting, |index| done.get(index) == Some(&false))
    }

    /// Bytes that both ports have taken.
    fn accepted(&mut self) -> u64 {
        self.terminal.port().accepted().wrapping_add(ports::accepted())
    }

    /// Whether something of the ports' waits, so that they want to be looked at soon.
    #[inline]
    pub(super) fn has_to_send(&mut self) -> bool {
        self.terminal.port().waiting() > 0 || !ports::is_empty()
    }

    /// Sends what the ports take, at the expense of those who have written it.
    fn send(&mut self, since: &mut u64) {
        let Self {
            terminal,
            scheduler,
            clock,
            ..
        } = self;
        ports::pump(terminal.port(), |payer| {
            let now = clock.now_ns();
            if let Some(index) = payer {
                scheduler.charge_to(index, now.saturating_sub(*since));
            }
            *since = now;
        });
    }

    fn charge(&mut self, payer: Option<usize>, since: &mut u64) {
        let now = self.clock.now_ns();
        if let Some(index) = payer {
            self.scheduler.charge_to(index, now.saturating_sub(*since));
        }
        *since = now;
    }

    /// Lets a domain wait until the port for machines has room for what is next said of it; whether it has to.
    pub(super) fn hold(&mut self, index: usize) -> bool {
        let holds = !ports::has_room();
        if holds {
            self.scheduler.set(index, State::Held);
        }
        holds
    }

    /// Lets one that was held go on, when there is room.
    fn release(&mut self, index: usize) {
        if self.scheduler.state(index) != State::Held || !ports::has_room() {
            return;
        }
        match self.domains.get(index).map(|domain| &domain.stage) {
            Some(Stage::Building(_)) => self.scheduler.set(index, State::Building),
            Some(Stage::Dying(..)) => self.scheduler.set(index, State::Dying),
            _ => {}
        }
    }

    /// Tells how a domain has ended, once its last words are out and the ports have room; its memory is taken back from then on.
    fn tell_end(&mut self, index: usize) {
        let Some(domain) = self.domains.get(index) else {
            return;
        };
        let Stage::Ending(end, obituary) = domain.stage else {
            return;
        };
        if Terminal::has_text(domain) || !self.terminal.port().takes_text() || !ports::has_room() {
            return;
        }
        let identity = domain.identity();
        self.terminal.port().bill(Some(index));
        match (end, obituary) {
            (_, Obituary::Killed(death)) => crash::record(self, index, &death),
            (_, Obituary::NotBuilt(why)) => crash::build_failed(self, index, &why),
            (End::Shutdown(reason, code), Obituary::Shutdown) => ports::record_of(
                identity.domain,
                &Record::Shutdown {
                    identity,
                    reason,
                    code,
                },
            ),
            (End::Killed(_), Obituary::Shutdown) => {}
        }
        self.terminal.port().bill(None);
        if let Some(domain) = self.domains.get_mut(index) {
            let teardown = Teardown::begin(&mut self.world.frames, &mut domain.memory);
            domain.stage = Stage::Dying(teardown, end);
            self.scheduler.set(index, State::Dying);
        }
    }
}
