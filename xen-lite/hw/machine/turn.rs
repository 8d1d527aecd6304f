//! Whose turn it is.
use super::{Machine, STEPS_PER_TURN};
use crate::entry;
use crate::ports::LOOK_NS;
use abi::event::Virq;
use core::sync::atomic::Ordering;
use xen_lite::event;
use xen_lite::hypercall::World;
use xen_lite::paging::{self, Progress};
use xen_lite::sched::account::SLOP_NS;
use xen_lite::sched::turn::{Turn, Work};

/// How often the console is looked at while everybody waits.
const IDLE_POLL_NS: u64 = 2_000_000;

impl Machine {
    /// The timer: others get their turn. But one that was due while the hypervisor worked for another domain strikes when
    /// this one has hardly begun; a decision then would be at the wrong one's expense.
    pub(crate) fn timer(&mut self) -> ! {
        self.clock.end_of_interrupt();
        let left = self.clock.left_ns();
        if left > SLOP_NS {
            // The clocks may differ by a little: the guest never runs without a timer.
            self.clock.arm(self.clock.now_ns(), left);
            self.resume_running()
        }
        self.next_turn()
    }

    /// Gives turns until one of them is a guest's run.
    pub(crate) fn next_turn(&mut self) -> ! {
        loop {
            let mut now = self.clock.now_ns();
            self.stop_running(now);
            if self.speak() {
                now = self.clock.now_ns();
            }
            if self.has_to_look(now) {
                now = self.look_around();
            }
            self.finish_if_over();
            let Some(turn) = self.scheduler.next_turn(now) else {
                self.idle(now);
                continue;
            };
            if self.sampling.is_due() {
                let _ = self.audit();
            }
            match turn.work {
                Work::Run => self.run_or_clean(turn),
                Work::Build => self.build(turn.domain),
                Work::TakeApart => self.take_back(turn.domain),
            }
        }
    }

    /// Whether keys, timers, or sleepers that may wake, want to be looked at.
    #[inline(always)]
    fn has_to_look(&self, now: u64) -> bool {
        now >= self.next_key_look
            || now >= self.world.next_timer
            || !self.world.stirred.is_empty()
            || self.scheduler.may_expire(now)
    }

    /// Takes keys, raises what events are due, and wakes whom they wake, who pays for it. Returns what time it is afterwards.
    #[inline(never)]
    fn look_around(&mut self) -> u64 {
        let mut typed = [None; 2];
        let mut before = self.clock.now_ns();
        if before >= self.next_key_look {
            self.next_key_look = before.saturating_add(LOOK_NS);
            typed = self.take_keys();
            before = self.clock.now_ns();
        }
        self.raise_events(before, typed);
        self.wake(before);
        let now = self.clock.now_ns();
        self.scheduler.charge_to_woken(now.saturating_sub(before));
        now
    }

    /// The vCPU that ran is charged for its time.
    #[inline(always)]
    pub(super) fn stop_running(&mut self, now: u64) {
        if let Some(since) = self.running_since.take() {
            let ran = now.saturating_sub(since);
            let domain = self.running();
            domain.vcpu.virtual_time_ns = domain.vcpu.virtual_time_ns.saturating_add(ran);
        }
    }

    /// Events that are the machine's: timers that are over, keys that were typed.
    fn raise_events(&mut self, now: u64, typed: [Option<usize>; 2]) {
        let World {
            mem,
            next_timer,
            stirred,
            ..
        } = &mut self.world;
        if now >= *next_timer {
            *next_timer = u64::MAX;
            for (index, domain) in self.domains.iter_mut().enumerate() {
                match domain.vcpu.timer_ns {
                    Some(timer) if timer <= now => {
                        domain.vcpu.timer_ns = None;
                        event::raise_virq(mem, domain, Virq::Timer);
                        stirred.put(index, true);
                    }
                    Some(timer) => *next_timer = timer.min(*next_timer),
                    None => {}
                }
            }
        }
        for index in typed.into_iter().flatten() {
            if let Some(domain) = self.domains.get(index) {
                event::raise_virq(mem, domain, Virq::Console);
                stirred.put(index, true);
            }
        }
    }

    /// Ends waits: a condition holds, or the time is over.
    fn wake(&mut self, now: u64) {
        let stirred = core::mem::take(&mut self.world.stirred);
        let mem = &self.world.mem;
        for index in stirred {
            if let Some(domain) = self.domains.get_mut(index)
                && self.scheduler.wake(index, domain.conditions(mem))
            {
                domain.wake(mem);
            }
        }
        self.scheduler.expire(now, |index| {
            if let Some(domain) = self.domains.get_mut(index) {
                domain.wake(mem);
            }
        });
    }

    /// A slice for a live domain; first, in its own time, what its last hypercall left to be taken apart.
    #[inline(always)]
    fn run_or_clean(&mut self, turn: Turn) {
        let Some(domain) = self.domains.get_mut(turn.domain) else {
            return;
        };
        if domain.memory.has_leaving_tables() {
            return self.clean(turn.domain);
        }
        self.run(turn)
    }

    /// Takes apart what a domain's hypercalls have left.
    #[inline(never)]
    fn clean(&mut self, index: usize) {
        let Some(domain) = self.domains.get_mut(index) else {
            return;
        };
        for _ in 0..STEPS_PER_TURN {
            let World { mem, frames, .. } = &mut self.world;
            if paging::take_apart_one(frames, mem, &mut domain.memory) == Progress::Done {
                break;
            }
        }
    }

    /// Waits for an interrupt, or for the console to be looked at again.
    #[inline(never)]
    fn idle(&mut self, now: u64) {
        let timers = self.domains.iter().filter_map(|domain| domain.vcpu.timer_ns);
        let next = timers.chain(self.scheduler.next_deadline()).min();
        let look = if self.has_to_send() { LOOK_NS } else { IDLE_POLL_NS };
        let delay = next
            .map_or(look, |next| next.saturating_sub(now))
            .clamp(1_000, look);
        self.unload();
        entry::IDLE_INTERRUPT.store(0, Ordering::Relaxed);
        self.clock.arm(now, delay);
        // SAFETY: the timer's stub only stores the vector; the next instruction turns interrupts off again.
        unsafe { core::arch::asm!("sti", "hlt", "cli") };
        if entry::IDLE_INTERRUPT.load(Ordering::Relaxed) != 0 {
            self.clock.end_of_interrupt();
        }
    }
}
