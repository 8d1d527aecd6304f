//! Programs: finding them, and becoming them.
use crate::flow::Outcome;
use crate::shell::Shell;
use alloc::ffi::CString;
use alloc::vec::Vec;
use linux_raw_sys::general as raw;
use userland::sh::Bytes;
use userland::text::Text;
use userland::{Errno, files, process};

/// The code for a program that is there and cannot be run.
const CANNOT_RUN: i32 = 126;
/// The code for one that is not there.
const NOT_FOUND: i32 = 127;

impl Shell {
    /// Where the program `name` is, by the search path; the second if it is there but may not be run.
    pub(crate) fn find_program(&self, name: &[u8]) -> Result<Bytes, Errno> {
        if name.contains(&b'/') {
            return Ok(name.to_vec());
        }
        let mut error = Errno::ENOENT;
        let path = self.value(b"PATH");
        for directory in path.split(|byte| *byte == b':') {
            let candidate = files::join(if directory.is_empty() { b"." } else { directory }, name);
            let is_file =
                files::stat(&candidate).is_ok_and(|stat| files::is_kind(stat.st_mode, raw::S_IFREG));
            if !is_file || name.is_empty() {
                continue;
            }
            match files::access(&candidate, raw::X_OK) {
                Ok(()) => return Ok(candidate),
                Err(found) => error = found,
            }
        }
        Err(error)
    }

    /// Becomes a program; comes back with a code, after a message, if it cannot.
    pub(crate) fn execute(&mut self, words: &[Bytes]) -> i32 {
        let name = words.first().map_or(b"".as_slice(), Vec::as_slice);
        let path = match self.find_program(name) {
            Ok(path) => path,
            Err(error) => return self.not_run(name, error),
        };
        let environment: Vec<Bytes> = self.variables.environment().collect();
        match process::execute(&path, &c_strings(words), &c_strings(&environment)) {
            Errno::ENOEXEC => self.run_script(&path, words),
            error => self.not_run(name, error),
        }
    }

    fn not_run(&self, name: &[u8], error: Errno) -> i32 {
        match error {
            Errno::ENOENT if !name.contains(&b'/') => {
                self.complain(format_args!("{}: not found", Text(name)));
                NOT_FOUND
            }
            Errno::ENOENT | Errno::ENOTDIR => {
                self.complain(format_args!("{}: not found", Text(name)));
                NOT_FOUND
            }
            error => {
                self.complain(format_args!("{}: {error}", Text(name)));
                CANNOT_RUN
            }
        }
    }

    /// Runs a file that the kernel does not know how to run: it is a script, if it is text.
    fn run_script(&mut self, path: &[u8], words: &[Bytes]) -> i32 {
        let text = match files::content(path) {
            Ok(text) => text,
            Err(error) => return self.not_run(path, error),
        };
        let beginning = text.get(..text.len().min(256)).unwrap_or(&text);
        if beginning.contains(&0) {
            return self.not_run(path, Errno::ENOEXEC);
        }
        self.name = path.to_vec();
        self.is_typed = false;
        self.positional = words.get(1..).unwrap_or(&[]).to_vec();
        self.functions.clear();
        let outcome: Outcome = self.text(&text, 1);
        let code = outcome.unwrap_or_else(|flow| flow.code());
        self.finish(code)
    }
}

/// Strings as the kernel takes them; what is behind a NUL is left out, for no variable can hold one.
fn c_strings(strings: &[Bytes]) -> Vec<CString> {
    let strings = strings.iter().map(|string| {
        let text = string.split(|byte| *byte == 0).next().unwrap_or(&[]);
        CString::new(text).unwrap_or_default()
    });
    strings.collect()
}
