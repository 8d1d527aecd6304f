//! What a process learns of its children.
use crate::proc::table::{News, ProcessTable, State};
use crate::proc::{Pid, Status};

/// Which children are meant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Selector {
    /// All.
    Any,
    /// One.
    One(Pid),
    /// Those in a process group.
    Group(Pid),
}

impl Selector {
    /// What wait4's first argument says, made by a process in `own_group`; nothing where it can mean no process.
    #[must_use]
    pub fn from_wait(pid: i32, own_group: Pid) -> Option<Self> {
        match pid {
            -1 => Some(Self::Any),
            0 => Some(Self::Group(own_group)),
            1.. => Some(Self::One(Pid(pid.unsigned_abs()))),
            i32::MIN => None,
            _ => Some(Self::Group(Pid(pid.unsigned_abs()))),
        }
    }
}

/// What is asked for besides.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Wanted {
    /// Children that have ended.
    pub ended: bool,
    /// Children that were stopped.
    pub stopped: bool,
    /// Children that go on.
    pub continued: bool,
}

/// What there is to learn.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Found {
    /// There is no such child.
    NoChild,
    /// There are some, and nothing has happened to them.
    Nothing,
    /// This one has ended.
    Ended(Pid, Status),
    /// This one has news.
    News(Pid, News),
}

impl ProcessTable<'_> {
    /// Looks for news of the children of `parent`.
    #[must_use]
    pub fn news_of_children(&self, parent: Pid, selector: Selector, wanted: Wanted) -> Found {
        let mut found = Found::NoChild;
        for entry in self.entries() {
            let selected = match selector {
                Selector::Any => true,
                Selector::One(pid) => entry.pid == pid,
                Selector::Group(group) => entry.group == group,
            };
            if entry.parent != parent || !selected {
                continue;
            }
            match (entry.state(), entry.news) {
                (State::Zombie(status), _) if wanted.ended => return Found::Ended(entry.pid, status),
                (_, Some(news @ News::Stopped(_))) if wanted.stopped => {
                    return Found::News(entry.pid, news);
                }
                (_, Some(news @ News::Continued)) if wanted.continued => {
                    return Found::News(entry.pid, news);
                }
                _ => found = Found::Nothing,
            }
        }
        found
    }

    /// The parent has been told.
    pub fn told(&mut self, child: Pid) {
        if let Some(entry) = self.entry_mut(child) {
            entry.news = None;
        }
    }

    /// The parent has taken note of the end of `child`: it is forgotten, its time is the parent's children's.
    pub fn reap(&mut self, child: Pid) {
        if let Some(entry) = self.entry(child) {
            let (parent, cpu_ns) = (entry.parent, entry.cpu_ns.saturating_add(entry.children_cpu_ns));
            if let Some(parent) = self.entry_mut(parent) {
                parent.children_cpu_ns = parent.children_cpu_ns.saturating_add(cpu_ns);
            }
        }
        self.remove(child);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wait_s_argument_selects_as_on_linux() {
        let own = Pid(9);
        assert_eq!(Selector::from_wait(-1, own), Some(Selector::Any));
        assert_eq!(Selector::from_wait(0, own), Some(Selector::Group(own)));
        assert_eq!(Selector::from_wait(7, own), Some(Selector::One(Pid(7))));
        assert_eq!(Selector::from_wait(-7, own), Some(Selector::Group(Pid(7))));
        assert_eq!(Selector::from_wait(i32::MIN, own), None);
    }
}
