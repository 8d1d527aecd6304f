//! Paths: from a path to the file it names, or to the place where one would be.
use crate::errno::Errno;
use crate::fs::node::Node;
use crate::fs::{Caller, NAME_MAX, PATH_MAX, Vfs};
use alloc::vec::Vec;

/// Most symbolic links on one path, as on Linux.
const MAX_SYMLINKS: usize = 40;
/// Most bytes of a path whose links have been followed: where one leads and what comes after it, each as long as may be.
const MAX_FOLLOWED: usize = 2 * PATH_MAX;

/// Whether a symbolic link at the path's end is followed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Follow {
    /// It is.
    Yes,
    /// It is only if a slash comes after it.
    BeforeSlash,
    /// It is only if no slash comes after it: no file can be made there.
    UnlessSlash,
    /// It is not: the path says where a name is made or taken away.
    Never,
}

/// What a path ends in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Last {
    Name(Vec<u8>),
    Dot,
    DotDot,
    Root,
}

/// Where a path leads.
#[derive(Debug)]
pub(super) struct Place {
    /// The directory that the last part is looked up in.
    pub(super) directory: Node,
    pub(super) last: Last,
    /// What is there; the error of looking for it is the last that counts.
    pub(super) node: Result<Option<Node>, Errno>,
    /// Whether a slash follows the last part.
    pub(super) slash: bool,
}

impl<'a> Vfs<'a> {
    /// The file that `path` names, from `start` on.
    ///
    /// # Errors
    /// `ENOENT`, `ENOTDIR`, `ELOOP`, `ENAMETOOLONG`.
    pub fn find(&self, start: Node, path: &[u8], follow: Follow, caller: &Caller<'_>) -> Result<Node, Errno> {
        let place = self.walk(start, path, follow, caller)?;
        let node = place.node?.ok_or(Errno::NO_ENTRY)?;
        if place.slash && !self.is_directory(node) {
            return Err(Errno::NOT_DIRECTORY);
        }
        Ok(node)
    }

    /// Follows `path` to its last part.
    pub(super) fn walk(
        &self,
        start: Node,
        path: &[u8],
        follow: Follow,
        caller: &Caller<'_>,
    ) -> Result<Place, Errno> {
        if path.is_empty() {
            return Err(Errno::NO_ENTRY);
        }
        if path.len() >= PATH_MAX {
            return Err(Errno::NAME_TOO_LONG);
        }
        let mut rest = path.to_vec();
        let mut directory = start;
        for _ in 0..=MAX_SYMLINKS {
            let (link, after) = match self.walk_plain(directory, &rest, follow, caller)? {
                Walked::There(place) => return Ok(place),
                Walked::Link { link, above, after } => {
                    directory = above;
                    (link, after.to_vec())
                }
            };
            rest = self.target(link, caller)?.into_vec();
            rest.extend(after);
            if rest.len() >= MAX_FOLLOWED {
                return Err(Errno::NAME_TOO_LONG);
            }
        }
        Err(Errno::LOOP)
    }

    /// Follows a path until its end or the first symbolic link that is to be followed.
    fn walk_plain<'p>(
        &self,
        start: Node,
        path: &'p [u8],
        follow: Follow,
        caller: &Caller<'_>,
    ) -> Result<Walked<'p>, Errno> {
        let mut directory = if path.starts_with(b"/") {
            Self::root()
        } else {
            start
        };
        let mut rest = without_slashes(path);
        if rest.is_empty() {
            return Ok(Walked::There(Place {
                directory,
                last: Last::Root,
                node: Ok(Some(directory)),
                slash: false,
            }));
        }
        loop {
            let end = rest.iter().position(|byte| *byte == b'/').unwrap_or(rest.len());
            let (part, after) = rest.split_at(end);
            let next = without_slashes(after);
            if !self.is_directory(directory) {
                return Err(Errno::NOT_DIRECTORY);
            }
            let node = self.step(directory, part, caller);
            let is_last = next.is_empty();
            let is_followed = match follow {
                _ if !is_last => true,
                Follow::Yes => true,
                Follow::BeforeSlash => !after.is_empty(),
                Follow::UnlessSlash => after.is_empty(),
                Follow::Never => false,
            };
            if let Ok(Some(link)) = node
                && is_followed
                && self.is_symlink(link)
            {
                return Ok(Walked::Link {
                    link,
                    above: directory,
                    after,
                });
            }
            if is_last {
                let last = match part {
                    b"." => Last::Dot,
                    b".." => Last::DotDot,
                    name => Last::Name(name.to_vec()),
                };
                return Ok(Walked::There(Place {
                    directory,
                    last,
                    node,
                    slash: !after.is_empty(),
                }));
            }
            directory = node?.ok_or(Errno::NO_ENTRY)?;
            rest = next;
        }
    }

    /// What `part` leads to from `directory`.
    fn step(&self, directory: Node, part: &[u8], caller: &Caller<'_>) -> Result<Option<Node>, Errno> {
        match part {
            b"." => Ok(Some(directory)),
            b".." => self.above(directory).map(Some),
            name if name.len() > NAME_MAX => Err(Errno::NAME_TOO_LONG),
            name => match directory {
                Node::Tree(number) => Ok(self
                    .directory(number)?
                    .find(name)
                    .map(|inode| self.uncovered(inode))),
                Node::Proc(node) => Ok(node.child(name, caller.facts).map(Node::Proc)),
            },
        }
    }

    /// The directory above `directory`; the root is above itself.
    pub(super) fn above(&self, directory: Node) -> Result<Node, Errno> {
        match directory {
            Node::Tree(number) => Ok(Node::Tree(self.directory(number)?.parent)),
            Node::Proc(node) => Ok(node.above().map_or(Self::root(), Node::Proc)),
        }
    }

    /// The file of the tree, or what hides it.
    pub(super) fn uncovered(&self, inode: u32) -> Node {
        if self.proc_place == Some(inode) {
            Node::Proc(crate::fs::proc::ProcNode::Root)
        } else {
            Node::Tree(inode)
        }
    }

    /// The path of a directory from the root on.
    ///
    /// # Errors
    /// `ENOENT`: it has lost its name; `ENAMETOOLONG`: it lies so deep that no path can say where.
    pub fn path_of(&self, directory: Node) -> Result<Vec<u8>, Errno> {
        // Written from its end.
        let mut path = [0; PATH_MAX];
        let mut start = path.len();
        let mut node = directory;
        while node != Self::root() {
            let (name, above) = match node {
                Node::Proc(node) => (node.name(), self.above(Node::Proc(node))?),
                Node::Tree(number) => {
                    let parent = self.directory(number)?.parent;
                    let name = self.directory(parent)?.name_of(number).ok_or(Errno::NO_ENTRY)?;
                    (name.to_vec(), Node::Tree(parent))
                }
            };
            let end = start;
            // A NUL has to fit as well.
            start = end.checked_sub(name.len() + 1).ok_or(Errno::NAME_TOO_LONG)?;
            if start == 0 {
                return Err(Errno::NAME_TOO_LONG);
            }
            if let Some([slash, place @ ..]) = path.get_mut(start..end) {
                *slash = b'/';
                place.copy_from_slice(&name);
            }
            node = above;
        }
        match path.get(start..) {
            None | Some([]) => Ok(b"/".to_vec()),
            Some(path) => Ok(path.to_vec()),
        }
    }
}

enum Walked<'p> {
    There(Place),
    Link {
        link: Node,
        above: Node,
        after: &'p [u8],
    },
}

fn without_slashes(path: &[u8]) -> &[u8] {
    let start = path.iter().position(|byte| *byte != b'/').unwrap_or(path.len());
    path.get(start..).unwrap_or(&[])
}
