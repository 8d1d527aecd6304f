//! What a process learns of its children.
use crate::proc::table::{ProcessTable, State};
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

/// What there is to learn.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Found {
    /// There is no such child.
    NoChild,
    /// There are some, and nothing has happened to them.
    Nothing,
    /// This one has ended.
    Ended(Pid, Status),
}

impl ProcessTable<'_> {
    /// Looks for news of the children of `parent`.
    #[must_use]
    pub fn news_of_children(&self, parent: Pid, selector: Selector) -> Found {
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
            match entry.state() {
                State::Zombie(status) => return Found::Ended(entry.pid, status),
                _ => found = Found::Nothing,
            }
        }
        found
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
