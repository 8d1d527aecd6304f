//! A typed line: the line editor at the terminal.
use crate::builtins;
use crate::input::piped_line;
use crate::shell::{Shell, Terminal};
use alloc::vec::Vec;
use userland::sh::Bytes;
use userland::sh::edit::{Completion, Editor, Event, complete};
use userland::text::Text;
use userland::{directory, files, io, process, terminal};

/// What has come of a line.
pub(crate) enum Typed {
    /// It is complete, with its newline.
    Line(Bytes),
    /// There are no more.
    End,
    /// Ctrl-C.
    Interrupted,
}

/// Columns of a terminal that does not say.
const COLUMNS: usize = 80;

impl Shell {
    /// Reads a line behind the prompt in the variable `prompt`.
    pub(crate) fn typed_line(&mut self, prompt: &[u8]) -> Typed {
        let prompt = self.prompt(&self.value(prompt));
        let Some(terminal) = self.terminal else {
            io::print(io::STDERR, format_args!("{}", Text(&prompt)));
            return piped_line(io::STDIN).map_or(Typed::End, Typed::Line);
        };
        let Ok(modes) = terminal::modes(terminal.fd) else {
            return Typed::End;
        };
        let modes = if terminal.hides {
            terminal::with_echo(modes)
        } else {
            modes
        };
        // If setting them fails the terminal is gone, and reading says so.
        let _ = terminal::set_modes(terminal.fd, &terminal::raw_modes(&modes));
        let typed = self.edit(terminal.fd, &prompt);
        // What was typed ahead is shown behind the prompt that it belongs to, not in the midst of a command's output.
        let hides = process::can_read(terminal.fd);
        let for_commands = if hides {
            terminal::without_echo(modes)
        } else {
            modes
        };
        let _ = terminal::set_modes(terminal.fd, &for_commands);
        // A program may have changed the modes on purpose: they are the usual ones from now on.
        self.terminal = Some(Terminal {
            modes,
            hides,
            ..terminal
        });
        typed
    }

    fn edit(&mut self, fd: files::Fd, prompt: &[u8]) -> Typed {
        let columns = terminal::columns(fd).unwrap_or(COLUMNS);
        let mut editor = Editor::new(prompt, columns);
        let mut byte = [0];
        let mut completes_again = false;
        loop {
            if files::write_all(fd, &editor.take_output()).is_err() {
                return Typed::End;
            }
            match files::read(fd, &mut byte) {
                Ok(1) => {}
                Err(userland::Errno::EINTR) => continue,
                _ => return Typed::End,
            }
            let event = editor.feed(byte[0], &self.history);
            let is_completion = event == Event::Complete;
            match event {
                Event::Edited => {}
                // A tab in the middle of pasted or piped text is text.
                Event::Complete if process::can_read(fd) => editor.insert(b"\t"),
                Event::Complete => self.complete(&mut editor, completes_again, columns),
                Event::Line(_) | Event::Interrupted | Event::End => {
                    if files::write_all(fd, &editor.take_output()).is_err() {
                        return Typed::End;
                    }
                    return match event {
                        Event::Line(mut line) => {
                            line.push(b'\n');
                            Typed::Line(line)
                        }
                        Event::Interrupted => Typed::Interrupted,
                        _ => Typed::End,
                    };
                }
            }
            completes_again = is_completion;
        }
    }

    /// Completes the word before the cursor; the second time it shows what there is.
    fn complete(&self, editor: &mut Editor, again: bool, columns: usize) {
        let before = editor.before_cursor();
        let start = before
            .iter()
            .rposition(|byte| b" \t;|&<>(`=".contains(byte))
            .map_or(0, |place| place + 1);
        let (context, word) = before.split_at(start);
        let is_command = matches!(
            context.trim_ascii_end().last(),
            None | Some(b';' | b'|' | b'&' | b'(' | b'`')
        );
        let candidates = match is_command && !word.contains(&b'/') {
            true => self.commands(),
            false => self.paths(word),
        };
        let word = word.to_vec();
        match complete(&word, &candidates) {
            Completion::None => {}
            Completion::Insert(more) => editor.insert(&more),
            Completion::Several if again => {
                let fitting = candidates.iter().filter(|candidate| candidate.starts_with(&word));
                let names: Vec<&[u8]> = fitting.map(|path| shown_name(path)).collect();
                let list = userland::columns::arrange(&names, columns);
                editor.show_after(&[b"\n".as_slice(), &list].concat());
            }
            Completion::Several => {}
        }
    }

    fn commands(&self) -> Vec<Bytes> {
        let mut names: Vec<Bytes> = self.functions.keys().cloned().collect();
        names.extend(builtins::names().map(<[u8]>::to_vec));
        let path = self.value(b"PATH");
        for directory in path.split(|byte| *byte == b':') {
            names.extend(directory::names(directory).unwrap_or_default());
        }
        names.sort();
        names.dedup();
        names
    }

    fn paths(&self, word: &[u8]) -> Vec<Bytes> {
        let end = word
            .iter()
            .rposition(|byte| *byte == b'/')
            .map_or(0, |slash| slash + 1);
        let (directory, name) = word.split_at(end);
        let names = directory::names(if directory.is_empty() { b"." } else { directory }).unwrap_or_default();
        let shown = names
            .into_iter()
            .filter(|found| name.starts_with(b".") || !found.starts_with(b"."));
        let full = shown.map(|found| {
            let mut path = [directory, &found].concat();
            if files::is_directory(&path) {
                path.push(b'/');
            }
            path
        });
        full.collect()
    }

    /// The prompt that a text stands for: `\w` the directory, `\$` `#` for root, `\u` the user, `\h` the host.
    fn prompt(&self, text: &[u8]) -> Bytes {
        let mut prompt = Bytes::new();
        let mut bytes = text.iter().copied();
        while let Some(byte) = bytes.next() {
            match (byte, byte == b'\\') {
                (_, true) => match bytes.next() {
                    Some(b'w') => prompt.extend(self.shown_directory()),
                    Some(b'W') => prompt.extend_from_slice(files::base_name(&self.shown_directory())),
                    Some(b'$') => prompt.push(if process::user() == 0 { b'#' } else { b'$' }),
                    Some(b'u') => prompt.extend(self.value(b"USER")),
                    Some(b'h') => prompt.extend(host_name()),
                    Some(other) => prompt.push(other),
                    None => prompt.push(b'\\'),
                },
                (byte, false) => prompt.push(byte),
            }
        }
        prompt
    }

    /// The directory, with `~` for the home directory.
    fn shown_directory(&self) -> Bytes {
        let directory = files::current_directory().unwrap_or_else(|_| b"?".to_vec());
        let home = self.value(b"HOME");
        if home.len() > 1
            && let Some(rest) = directory.strip_prefix(home.as_slice())
            && (rest.is_empty() || rest.starts_with(b"/"))
        {
            return [b"~", rest].concat();
        }
        directory
    }
}

/// The last part of a path, with the slash of a directory.
fn shown_name(path: &[u8]) -> &[u8] {
    let body = path.strip_suffix(b"/").unwrap_or(path);
    let start = body
        .iter()
        .rposition(|byte| *byte == b'/')
        .map_or(0, |slash| slash + 1);
    path.get(start..).unwrap_or(path)
}

fn host_name() -> Bytes {
    let names = process::system_names();
    let letters = names
        .iter()
        .flat_map(|names| names.nodename)
        .map(|letter| letter as u8);
    letters.take_while(|letter| *letter != 0).collect()
}
