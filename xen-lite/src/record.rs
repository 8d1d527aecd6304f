//! The lines for machines on the second serial port: one per event, `xen-lite: ` and then keys and values.
//!
//! Tests, exit codes and image-builder read these and nothing else. A domain's end by force is
//! [`crate::crash::CrashRecord::machine_line`].
#![deny(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]

use crate::crash::Identity;
use abi::sched::ShutdownReason;
use core::fmt::{self, Display, Formatter, Write};

/// What the boot self-test found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SelfTest {
    /// Ring 1 is isolated.
    Ok,
    /// A null SS gives ring 1 the rights of ring 0, on this emulator.
    NullSsUnsafe,
}

/// An event.
#[derive(Clone, Copy)]
pub enum Record<'a> {
    /// The hypervisor has started.
    Start {
        /// Frames that domains may have.
        frames: u64,
        /// The boot self-test.
        self_test: SelfTest,
    },
    /// What the hypervisor keeps of its own for all domains, beyond their memory.
    Kept {
        /// How many domains there are.
        domains: u64,
        /// Frames: virtual CPUs' pages and vector states.
        frames: u64,
        /// Bytes of the heap: their records.
        heap: u64,
    },
    /// A domain has started.
    DomainStart(Identity<'a>),
    /// A domain has shut down in order.
    Shutdown {
        /// Which.
        identity: Identity<'a>,
        /// Power-off or reboot.
        reason: ShutdownReason,
        /// Its own word.
        code: u64,
    },
    /// A domain's frames have come back.
    Frames {
        /// Which.
        identity: Identity<'a>,
        /// How many came back.
        returned: u64,
        /// How many it had.
        owned: u64,
    },
    /// All counts have been recomputed.
    Audit(Result<(), &'a dyn Display>),
    /// A witness, at the end.
    Alive {
        /// Which.
        identity: Identity<'a>,
        /// Lines that it has printed.
        lines: u64,
    },
    /// All domains have ended.
    End {
        /// How many there were, restarts included.
        domains: u64,
        /// How many of them were killed.
        killed: u64,
        /// How many shut down in order.
        shutdown: u64,
    },
}

impl Display for Record<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("xen-lite: ")?;
        match self {
            Self::Start { frames, self_test } => {
                let version = env!("CARGO_PKG_VERSION");
                let version = version.strip_suffix(".0").unwrap_or(version);
                let self_test = match self_test {
                    SelfTest::Ok => "ok",
                    SelfTest::NullSsUnsafe => "null-ss-unsafe",
                };
                write!(
                    f,
                    "event=start version={version} frames={frames} self-test={self_test}"
                )
            }
            Self::Kept {
                domains,
                frames,
                heap,
            } => write!(f, "event=kept domains={domains} frames={frames} heap={heap}"),
            Self::DomainStart(identity) => write!(f, "event=domain-start {identity}"),
            Self::Shutdown {
                identity,
                reason,
                code,
            } => {
                write!(
                    f,
                    "{identity} state=shutdown reason={} code={code}",
                    reason.name()
                )
            }
            Self::Frames {
                identity: Identity {
                    domain, incarnation, ..
                },
                returned,
                owned,
            } => write!(
                f,
                "event=frames domain={domain} incarnation={incarnation} returned={returned} owned={owned}"
            ),
            Self::Audit(Ok(())) => f.write_str("event=audit result=clean"),
            Self::Audit(Err(fault)) => {
                f.write_str("event=audit result=")?;
                write!(OneValue(f), "{fault}")
            }
            Self::Alive {
                identity: Identity { domain, name, .. },
                lines,
            } => {
                let name = crate::console::text::Safe(name.as_bytes());
                write!(f, "domain={domain} name={name} state=alive lines={lines}")
            }
            Self::End {
                domains,
                killed,
                shutdown,
            } => {
                write!(
                    f,
                    "event=end domains={domains} killed={killed} shutdown={shutdown}"
                )
            }
        }
    }
}

/// Writes a text so that it is one value: spaces and their like become hyphens.
struct OneValue<'a, 'f>(&'a mut Formatter<'f>);

impl Write for OneValue<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let value = |character: char| {
            if character.is_ascii_graphic() {
                character
            } else {
                '-'
            }
        };
        text.chars()
            .try_for_each(|character| self.0.write_char(value(character)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WEB: Identity<'_> = Identity {
        domain: 1,
        name: "web",
        incarnation: 0,
    };

    #[test]
    fn every_event_has_its_line() {
        let reason = ShutdownReason::Poweroff;
        let cases = [
            (
                Record::Start {
                    frames: 9,
                    self_test: SelfTest::Ok,
                },
                "xen-lite: event=start version=0.1 frames=9 self-test=ok",
            ),
            (
                Record::Start {
                    frames: 9,
                    self_test: SelfTest::NullSsUnsafe,
                },
                "xen-lite: event=start version=0.1 frames=9 self-test=null-ss-unsafe",
            ),
            (
                Record::Kept {
                    domains: 2,
                    frames: 16,
                    heap: 65536,
                },
                "xen-lite: event=kept domains=2 frames=16 heap=65536",
            ),
            (
                Record::DomainStart(WEB),
                "xen-lite: event=domain-start domain=1 name=web incarnation=0",
            ),
            (
                Record::Shutdown {
                    identity: WEB,
                    reason,
                    code: 3,
                },
                "xen-lite: domain=1 name=web incarnation=0 state=shutdown reason=poweroff code=3",
            ),
            (
                Record::Frames {
                    identity: WEB,
                    returned: 7,
                    owned: 8,
                },
                "xen-lite: event=frames domain=1 incarnation=0 returned=7 owned=8",
            ),
            (Record::Audit(Ok(())), "xen-lite: event=audit result=clean"),
            (
                Record::Audit(Err(&"count-of-5")),
                "xen-lite: event=audit result=count-of-5",
            ),
            (
                Record::Alive {
                    identity: WEB,
                    lines: 4,
                },
                "xen-lite: domain=1 name=web state=alive lines=4",
            ),
            (
                Record::End {
                    domains: 3,
                    killed: 1,
                    shutdown: 2,
                },
                "xen-lite: event=end domains=3 killed=1 shutdown=2",
            ),
        ];
        for (record, line) in cases {
            assert_eq!(record.to_string(), line);
        }
    }

    #[test]
    fn a_fault_is_one_value_whatever_it_says() {
        let fault = "two words\nxen-lite: event=end \u{e9}";
        assert_eq!(
            Record::Audit(Err(&fault)).to_string(),
            "xen-lite: event=audit result=two-words-xen-lite:-event=end--"
        );
    }
}
