//! Redirections: carrying them out, and undoing them for commands that run in the shell itself.
use crate::flow::Flow;
use crate::shell::Shell;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use linux_raw_sys::general as raw;
use userland::Errno;
use userland::files::{self, Fd, File};
use userland::process::{self, Fork};
use userland::sh::Bytes;
use userland::sh::ast::{Redirect, RedirectKind, Word};
use userland::text::Text;

/// Descriptors as they were, the last changed last.
#[derive(Default, Debug)]
pub(crate) struct Saved(Vec<(Fd, Option<File>)>);

/// Descriptors from here on are the shell's own.
const OWN: Fd = 10;
/// A pipe takes as much without a reader.
const PIPE: usize = 4096;

/// What keeps a command from being run.
pub(crate) enum Trouble {
    /// A redirection failed, and a message was printed.
    Failed,
    /// An expansion did.
    Flow(Flow),
}

impl From<Flow> for Trouble {
    fn from(flow: Flow) -> Self {
        Self::Flow(flow)
    }
}

impl Shell {
    /// Carries redirections out; what there was is saved.
    pub(crate) fn redirect(&mut self, redirects: &[Redirect]) -> Result<Saved, Trouble> {
        let mut saved = Saved::default();
        for redirect in redirects {
            let fd = redirect.target();
            let copy = files::duplicate_above(fd, OWN).ok().map(File::from_fd);
            saved.0.push((fd, copy));
            if let Err(trouble) = self.redirect_one(fd, &redirect.kind) {
                self.put_back(saved);
                return Err(trouble);
            }
        }
        Ok(saved)
    }

    /// Puts back what was saved.
    pub(crate) fn put_back(&mut self, saved: Saved) {
        for (fd, copy) in saved.0.into_iter().rev() {
            // There is nothing else to do if it fails.
            let _ = match copy {
                Some(copy) => files::duplicate_to(copy.fd(), fd),
                None => files::close(fd),
            };
        }
    }

    fn redirect_one(&mut self, fd: Fd, kind: &RedirectKind) -> Result<(), Trouble> {
        match kind {
            RedirectKind::Read(word) => self.open_as(fd, word, raw::O_RDONLY),
            RedirectKind::Write(word) => self.open_as(fd, word, files::CREATE),
            RedirectKind::Append(word) => self.open_as(fd, word, files::APPEND),
            RedirectKind::ReadWrite(word) => self.open_as(fd, word, raw::O_RDWR | raw::O_CREAT),
            RedirectKind::CopyIn(word) | RedirectKind::CopyOut(word) => self.copy(fd, word),
            RedirectKind::Here(body) => {
                let text = match body.get() {
                    Some(word) => self.string(word)?,
                    None => Bytes::new(),
                };
                match here(&text).and_then(|reader| files::duplicate_to(reader.fd(), fd)) {
                    Ok(()) => Ok(()),
                    Err(error) => self.trouble(format!("here-document: {error}")),
                }
            }
        }
    }

    fn trouble(&self, message: String) -> Result<(), Trouble> {
        self.complain(message);
        Err(Trouble::Failed)
    }

    fn open_as(&mut self, fd: Fd, word: &Word, flags: u32) -> Result<(), Trouble> {
        let path = self.string(word)?;
        let opened = files::open(&path, flags, 0o666).and_then(|file| {
            if file == fd {
                return Ok(());
            }
            let file = File::from_fd(file);
            files::duplicate_to(file.fd(), fd)
        });
        match opened {
            Ok(()) => Ok(()),
            Err(error) => {
                let verb = if flags & raw::O_CREAT == 0 {
                    "open"
                } else {
                    "create"
                };
                self.trouble(format!("can't {verb} {}: {error}", Text(&path)))
            }
        }
    }

    fn copy(&mut self, fd: Fd, word: &Word) -> Result<(), Trouble> {
        let text = self.string(word)?;
        if text == b"-" {
            // It may be closed already.
            let _ = files::close(fd);
            return Ok(());
        }
        let from = userland::text::number(&text).and_then(|from| Fd::try_from(from).ok());
        let Some(from) = from.filter(|from| (0..OWN).contains(from)) else {
            return self.trouble(format!("{}: bad file descriptor", Text(&text)));
        };
        match files::duplicate_to(from, fd) {
            Ok(()) => Ok(()),
            Err(error) => self.trouble(format!("{from}: {error}")),
        }
    }
}

/// Something to read `text` from: a pipe, which a child fills if it is long.
fn here(text: &[u8]) -> Result<File, Errno> {
    let (reader, writer) = files::pipe(raw::O_CLOEXEC)?;
    if text.len() <= PIPE {
        files::write_all(writer.fd(), text)?;
        return Ok(reader);
    }
    if process::fork()? == Fork::Child {
        drop(reader);
        let written = files::write_all(writer.fd(), text);
        process::exit(i32::from(written.is_err()));
    }
    Ok(reader)
}
