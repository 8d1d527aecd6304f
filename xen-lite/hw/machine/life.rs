//! Building domains, taking them back, the end of all.
use super::{Ends, Machine, STEPS_PER_TURN};
use crate::{ports, power};
use abi::start_info::flags::CONSOLE;
use xen_lite::boot_image::DomainSpec;
use xen_lite::crash::death::Obituary;
use xen_lite::domain::build::{self, Build};
use xen_lite::domain::{Domain, End, Next, Stage};
use xen_lite::event;
use xen_lite::paging::{self, AuditFault, AuditReport, TeardownProgress};
use xen_lite::platform::PhysMem;
use xen_lite::record::Record;
use xen_lite::sched::restart::{Restart, restart};
use xen_lite::sched::turn::State;

impl Machine {
    #[inline(never)]
    pub(super) fn build(&mut self, index: usize) {
        if self.hold(index) {
            return;
        }
        let flags = self.start_flags
            | if index == self.terminal.console() {
                CONSOLE
            } else {
                0
            };
        let Some(domain) = self.domains.get_mut(index) else {
            return;
        };
        // Taken out while it works on its domain.
        let Stage::Building(mut builder) = core::mem::replace(&mut domain.stage, Stage::Live) else {
            return;
        };
        for _ in 0..STEPS_PER_TURN {
            match build::step(&mut self.world, domain, &mut builder, &self.modules, flags) {
                Build::More => {}
                Build::Done => {
                    for (word, value) in self.fpu.initial_words() {
                        self.world.mem.write(domain.vcpu.vector_state, word, value);
                    }
                    self.scheduler.set(index, State::Runnable);
                    let identity = domain.identity();
                    ports::record_of(identity.domain, &Record::DomainStart(identity));
                    return;
                }
                Build::Failed(error) => {
                    self.end(index, End::Killed(error.reason()), Obituary::NotBuilt(error));
                    return;
                }
            }
        }
        domain.stage = Stage::Building(builder);
    }

    /// A domain's incarnation is over: the CPU leaves it. What is left is to be told ([`Self::speak`]), and then to be
    /// taken back.
    #[inline(never)]
    pub(crate) fn end(&mut self, index: usize, end: End, obituary: Obituary) {
        if self.loaded.index() == Some(index) {
            self.unload();
        }
        event::close_all(&mut self.domains, index);
        let Some(domain) = self.domains.get_mut(index) else {
            return;
        };
        match end {
            End::Killed(_) => self.ends.killed += 1,
            End::Shutdown(..) => self.ends.shut_down += 1,
        }
        domain.vcpu.timer_ns = None;
        self.scheduler.unpause(index);
        self.scheduler.set(index, State::Held);
        if let Stage::Building(builder) = core::mem::replace(&mut domain.stage, Stage::Live) {
            build::abandon(&mut self.world, builder);
        }
        domain.stage = Stage::Ending(end, obituary);
    }

    #[inline(never)]
    pub(super) fn take_back(&mut self, index: usize) {
        if self.hold(index) {
            return;
        }
        let Some(domain) = self.domains.get_mut(index) else {
            return;
        };
        let Stage::Dying(teardown, end) = &mut domain.stage else {
            return;
        };
        let end = *end;
        for _ in 0..STEPS_PER_TURN {
            let progress = teardown.step(&mut self.world.frames, &mut self.world.mem, &mut domain.memory);
            if let TeardownProgress::Done { returned, owned } = progress {
                self.world.mem.zero(domain.vcpu.vector_state);
                let (returned, owned) = (u64::from(returned), u64::from(owned));
                let identity = domain.identity();
                ports::record_of(
                    identity.domain,
                    &Record::Frames {
                        identity,
                        returned,
                        owned,
                    },
                );
                let DomainSpec {
                    restart: policy,
                    restart_max,
                    ..
                } = domain.config;
                let follows = match core::mem::take(&mut domain.next) {
                    Next::Policy => restart(policy, restart_max, domain.incarnation, end.kind()),
                    Next::Nothing => Restart::Stay,
                    Next::Restart => Restart::After { delay_ns: 0 },
                };
                match follows {
                    Restart::After { delay_ns } => {
                        domain.incarnation += 1;
                        domain.stage = Stage::Building(build::Builder::new());
                        let until = self.clock.now_ns().saturating_add(delay_ns);
                        self.scheduler.set(index, State::Waiting { until });
                    }
                    Restart::Stay => {
                        domain.stage = Stage::Ended(end);
                        self.may_be_over = true;
                        self.scheduler.set(index, State::Dead);
                    }
                }
                if self.image.audit_each_end() {
                    let _ = self.audit();
                }
                return;
            }
        }
    }

    /// Recomputes every count; says what it found.
    pub(crate) fn audit(&mut self) -> Result<AuditReport, AuditFault> {
        let domains = self.domains.iter().map(|domain| &domain.memory);
        let found = paging::audit(&mut self.world.frames, &self.world.mem, domains);
        match &found {
            Ok(_) => ports::record(&Record::Audit(Ok(()))),
            Err(fault) => ports::record(&Record::Audit(Err(fault))),
        }
        found
    }

    /// Ends the machine when nobody is left, or only witnesses that have shown that they live.
    #[inline(always)]
    pub(super) fn finish_if_over(&mut self) {
        if self.may_be_over {
            self.look_whether_over();
        }
    }

    #[inline(never)]
    fn look_whether_over(&mut self) {
        let until_others = self.image.until_others_ended();
        let is_waited_for = |domain: &Domain| !(domain.has_ended() || until_others && domain.config.witness);
        if self.domains.iter().any(is_waited_for) {
            // Until the next one ends.
            self.may_be_over = false;
            self.witness_mark = None;
        } else {
            self.look_at_witnesses();
        }
    }

    /// All others have ended: the end is when each witness has shown that it lives.
    #[inline(never)]
    fn look_at_witnesses(&mut self) {
        let until_others = self.image.until_others_ended();
        let waited_for = |domain: &Domain| !(until_others && domain.config.witness);
        let mark = self
            .witness_mark
            .get_or_insert_with(|| self.domains.iter().map(|domain| domain.lines).collect());
        let alive = self
            .domains
            .iter()
            .zip(mark.iter())
            .all(|(domain, lines)| domain.has_ended() || waited_for(domain) || domain.lines > *lines);
        if alive {
            self.finish();
        }
    }

    #[inline(never)]
    fn finish(&mut self) -> ! {
        for index in 0..self.domains.len() {
            self.terminal.flush_all(&mut self.domains, index);
        }
        let _ = self.audit();
        for domain in self.domains.iter().filter(|domain| !domain.has_ended()) {
            ports::record(&Record::Alive {
                identity: domain.identity(),
                lines: domain.lines,
            });
        }
        let Ends { killed, shut_down } = self.ends;
        ports::record(&Record::End {
            domains: self.domains.len() as u64,
            killed,
            shutdown: shut_down,
        });
        self.terminal.finish();
        power::off()
    }
}
