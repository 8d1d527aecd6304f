//! What expansion asks of the shell.
use crate::flow::Flow;
use crate::shell::Shell;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use userland::process::{self, Fork};
use userland::sh::Bytes;
use userland::sh::ast::List;
use userland::sh::expand::Host;
use userland::sh::glob::Directories;
use userland::signal::Held;
use userland::{directory, files, io};

impl Directories for Shell {
    fn names_in(&self, directory: &[u8]) -> Vec<Bytes> {
        let directory = if directory.is_empty() { b"." } else { directory };
        // What cannot be read has no names to offer.
        let mut names = directory::names(directory).unwrap_or_default();
        if !names.is_empty() || files::is_directory(directory) {
            names.extend([b".".to_vec(), b"..".to_vec()]);
        }
        names
    }

    fn exists(&self, path: &[u8]) -> bool {
        files::lstat(path).is_ok()
    }
}

impl Host for Shell {
    type Flow = Flow;

    fn get(&self, name: &[u8]) -> Option<Bytes> {
        let number = |number: i64| Some(format!("{number}").into_bytes());
        match name {
            b"?" => number(self.status.into()),
            b"#" => number(self.positional.len() as i64),
            b"$" => number(self.pid.into()),
            b"!" => self.last_background.and_then(|pid| number(pid.into())),
            b"-" => Some(self.option_letters()),
            b"0" => Some(self.name.clone()),
            b"LINENO" => number(self.line as i64),
            [b'1'..=b'9', ..] => {
                let index = userland::text::number(name).and_then(|index| usize::try_from(index - 1).ok())?;
                self.positional.get(index).cloned()
            }
            _ => self.variables.get(name).cloned(),
        }
    }

    fn set(&mut self, name: &[u8], value: Bytes) -> Result<(), String> {
        self.variables.set(name, value)
    }

    fn positional(&self) -> Vec<Bytes> {
        self.positional.clone()
    }

    fn output_of(&mut self, commands: &List) -> Result<Bytes, Flow> {
        let failed = |shell: &Self, error| {
            shell.complain(error);
            Flow::Abort(2)
        };
        let (reader, writer) = files::pipe(0).map_err(|error| failed(self, error))?;
        // See `spawn`.
        let held = Held::all().map_err(|error| failed(self, error))?;
        match process::fork().map_err(|error| failed(self, error))? {
            Fork::Child => {
                drop(reader);
                self.enter_subshell();
                drop(held);
                if writer.fd() != io::STDOUT {
                    // Without it there is no output, and the reader sees that.
                    let _ = files::duplicate_to(writer.fd(), io::STDOUT);
                    drop(writer);
                }
                self.run_and_exit(|shell| shell.list(commands))
            }
            Fork::Parent(pid) => {
                drop((writer, held));
                let mut output = files::read_to_end(reader.fd()).map_err(|error| failed(self, error))?;
                let status = process::wait_for(pid).map_err(|error| failed(self, error))?;
                self.status = status.code();
                self.substituted = Some(self.status);
                while output.last() == Some(&b'\n') {
                    output.pop();
                }
                output.retain(|byte| *byte != 0);
                Ok(output)
            }
        }
    }

    fn home_of(&self, user: &[u8]) -> Option<Bytes> {
        let users = files::content(b"/etc/passwd").ok()?;
        let mut lines = users
            .split(|byte| *byte == b'\n')
            .map(|line| line.split(|byte| *byte == b':'));
        let mut fields = lines.find(|fields| fields.clone().next() == Some(user))?;
        fields.nth(5).map(<[u8]>::to_vec)
    }

    fn refuses_unset(&self) -> bool {
        self.options.refuses_unset
    }

    fn expands_names(&self) -> bool {
        !self.options.no_names
    }
}
