//! Whether, and when, a domain that has ended starts again.
use abi::boot_image::RestartPolicy;

/// How a domain ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ended {
    /// By its own wish, for good.
    PowerOff,
    /// By its own wish, to start again.
    Reboot,
    /// It was killed, or its kernel gave up.
    Killed,
    /// A person ended it.
    Destroyed,
}

/// What happens next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Restart {
    /// It has ended.
    Stay,
    /// It is built anew, not before so many nanoseconds have passed.
    After {
        /// The back-off; 0 after an orderly end.
        delay_ns: u64,
    },
}

/// The back-off after a first kill; it doubles with each restart.
const FIRST_DELAY_NS: u64 = 1_000_000;
/// How often it doubles.
const MOST_DOUBLINGS: u32 = 5;

/// Decides by the manifest's policy; `max` is how often a domain may be restarted, `count` how often it has been.
#[must_use]
pub const fn restart(policy: RestartPolicy, max: u32, count: u32, ended: Ended) -> Restart {
    let wanted = match (policy, ended) {
        (RestartPolicy::Never, _) | (_, Ended::Destroyed) => false,
        (RestartPolicy::OnCrash, Ended::PowerOff) => false,
        (RestartPolicy::OnCrash, Ended::Reboot | Ended::Killed) | (RestartPolicy::Always, _) => true,
    };
    if !wanted || count >= max {
        return Restart::Stay;
    }
    let doublings = if count < MOST_DOUBLINGS {
        count
    } else {
        MOST_DOUBLINGS
    };
    let delay_ns = match ended {
        Ended::Killed => FIRST_DELAY_NS << doublings,
        Ended::PowerOff | Ended::Reboot | Ended::Destroyed => 0,
    };
    Restart::After { delay_ns }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT_ONCE: Restart = Restart::After { delay_ns: 0 };
    const AFTER_1_MS: Restart = Restart::After { delay_ns: 1_000_000 };

    #[test]
    fn the_policy_decides_by_the_way_it_ended() {
        use Ended::{Destroyed, Killed, PowerOff, Reboot};
        use RestartPolicy::{Always, Never, OnCrash};
        let table = [
            (Never, [Restart::Stay; 4]),
            (OnCrash, [Restart::Stay, AT_ONCE, AFTER_1_MS, Restart::Stay]),
            (Always, [AT_ONCE, AT_ONCE, AFTER_1_MS, Restart::Stay]),
        ];
        for (policy, expected) in table {
            assert_eq!(
                [PowerOff, Reboot, Killed, Destroyed].map(|ended| restart(policy, 9, 0, ended)),
                expected
            );
        }
    }

    #[test]
    fn the_count_has_a_cap() {
        for ended in [Ended::PowerOff, Ended::Reboot, Ended::Killed] {
            assert_ne!(restart(RestartPolicy::Always, 3, 2, ended), Restart::Stay);
            assert_eq!(restart(RestartPolicy::Always, 3, 3, ended), Restart::Stay);
            assert_eq!(restart(RestartPolicy::Always, 0, 0, ended), Restart::Stay);
        }
    }

    #[test]
    fn who_is_killed_again_and_again_waits_longer_up_to_a_limit() {
        let delay = |count| restart(RestartPolicy::OnCrash, u32::MAX, count, Ended::Killed);
        assert_eq!(delay(1), Restart::After { delay_ns: 2_000_000 });
        assert_eq!(delay(5), Restart::After { delay_ns: 32_000_000 });
        assert_eq!(delay(u32::MAX - 1), Restart::After { delay_ns: 32_000_000 });
    }
}
