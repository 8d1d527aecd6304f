//! Room for a page when no frame is left: who has to end for it.
//!
//! The processes of a group are one in this. A bomb of many small ones weighs what all of them hold, and so a shell, whose
//! jobs have groups of their own, outlives what it has started. In the heaviest group the largest process goes. Each end
//! gives frames back, its tables at least; so whoever tries again after it gets room in the end, or goes.
use crate::cause::Cause;
use crate::kernel::{Kernel, Machine};
use crate::proc::{End, Pid, Process};

/// A process that could go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Holder {
    pid: Pid,
    group: Pid,
    frames: u64,
}

/// Who goes: where several hold the same, whoever needs a page, and those of its group before others.
fn who_goes(holders: impl Iterator<Item = Holder> + Clone, needy: Pid, group: Pid) -> Option<Pid> {
    let weight = |group| {
        let members = holders.clone().filter(|holder| holder.group == group);
        members.map(|member| member.frames).sum::<u64>()
    };
    let heaviest = holders.clone().max_by_key(|holder| {
        (
            weight(holder.group),
            holder.group == group,
            holder.frames,
            holder.pid == needy,
        )
    });
    heaviest.map(|holder| holder.pid)
}

impl<M: Machine> Kernel<'_, M> {
    /// Ends another process so that `needy`, which is worked on, can try again to get a page. Whether one has ended: if not,
    /// it is `needy` that has to go. The first process goes when it is the only one.
    pub(crate) fn make_room(&mut self, needy: &Process<'_>) -> bool {
        let group = self
            .processes
            .entry(needy.pid)
            .map_or(needy.pid, |entry| entry.group);
        let itself = Holder {
            pid: needy.pid,
            group,
            frames: needy.memory.frames(),
        };
        let others = self.processes.entries().iter().filter_map(|entry| {
            let process = entry.process()?;
            Some(Holder {
                pid: entry.pid,
                group: entry.group,
                frames: process.memory.frames(),
            })
        });
        let all = others.chain([itself]).filter(|holder| !self.is_init(holder.pid));
        let Some(process) = who_goes(all, needy.pid, group).and_then(|pid| self.processes.take(pid)) else {
            return false;
        };
        let rip = process.context.rip;
        let cause = Cause::OutOfMemory;
        self.exit(process, End::Killed { cause, rip });
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn goes(holders: &[(u32, u32, u64)], needy: u32) -> u32 {
        let holders = holders.iter().map(|(pid, group, frames)| Holder {
            pid: Pid(*pid),
            group: Pid(*group),
            frames: *frames,
        });
        let group = holders.clone().find(|holder| holder.pid == Pid(needy));
        let group = group.map_or(Pid(needy), |holder| holder.group);
        who_goes(holders, Pid(needy), group).map_or(0, |pid| pid.0)
    }

    #[test]
    fn a_hog_goes_whoever_comes_next() {
        let holders = [(2, 2, 90), (3, 3, 4000), (4, 4, 10)];
        assert_eq!([2, 3, 4].map(|needy| goes(&holders, needy)), [3, 3, 3]);
    }

    #[test]
    fn many_small_ones_of_a_group_go_before_a_larger_one_alone() {
        let mut holders = vec![(2, 2, 90)];
        holders.extend((3..10).map(|pid| (pid, 3, 20)));
        assert!(goes(&holders, 2) > 2);
        assert_eq!(goes(&holders, 7), 7);
    }

    #[test]
    fn among_equals_whoever_needs_a_page_goes() {
        let alike: Vec<_> = (2..9).map(|pid| (pid, pid, 30)).collect();
        for needy in 2..9 {
            assert_eq!(goes(&alike, needy), needy);
        }
        assert_eq!(goes(&[(2, 2, 30), (3, 2, 31)], 2), 3);
    }

    #[test]
    fn with_nobody_to_end_nobody_is() {
        assert_eq!(goes(&[], 1), 0);
    }
}
