//! ls [-aAdlR1] FILE...: lists directories, sorted; in columns at a terminal.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write;
use linux_raw_sys::general as raw;
use userland::dates::Date;
use userland::files::{self, Stat, join};
use userland::io::{self, Output};
use userland::options::Options;
use userland::text::Text;
use userland::time::{self, Clock};
use userland::{Arguments, columns, directory, eprintln, options, terminal, walk};

userland::program!(main);

/// Deeper trees are not listed: each level needs some of the stack.
const DEPTH: usize = 500;
/// Seconds in half a year: older files are shown with their year.
const HALF_YEAR: i64 = 15_778_476;

/// A file to be shown.
struct Shown {
    name: Vec<u8>,
    path: Vec<u8>,
}

struct Lister {
    options: Options,
    output: Output,
    code: i32,
    /// Something was printed: directories need an empty line before them.
    is_begun: bool,
}

fn main(arguments: Arguments) -> i32 {
    let Some(options) = options::parse(arguments, b"aAdlR1C") else {
        return 2;
    };
    let names = match options.operands.as_slice() {
        [] => Vec::from([b".".as_slice()]),
        names => names.to_vec(),
    };
    let several = names.len() > 1 || options.has(b'R');
    let (output, code, is_begun) = (Output::standard(), 0, false);
    let mut lister = Lister {
        options,
        output,
        code,
        is_begun,
    };
    let (mut plain, mut directories) = (Vec::new(), Vec::new());
    for name in names {
        match files::lstat(name) {
            Ok(_) if files::is_directory(name) && !lister.options.has(b'd') => {
                directories.push(name.to_vec())
            }
            Ok(_) => plain.push(Shown {
                name: name.to_vec(),
                path: name.to_vec(),
            }),
            Err(error) => {
                eprintln!("ls: cannot access '{}': {error}", Text(name));
                lister.code = 2;
            }
        }
    }
    plain.sort_by(|one, other| one.name.cmp(&other.name));
    directories.sort();
    if !plain.is_empty() {
        lister.show(&plain);
        lister.is_begun = true;
    }
    let header = if several { Header::Path } else { Header::None };
    for path in directories {
        lister.directory(&path, header, 0);
    }
    let Lister { output, code, .. } = lister;
    output.finish("ls", code)
}

/// What stands above a directory's names.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Header {
    None,
    Path,
}

impl Lister {
    fn directory(&mut self, path: &[u8], header: Header, depth: usize) {
        let mut names = match directory::names(path) {
            Ok(names) => names,
            Err(error) => {
                eprintln!("ls: cannot open directory '{}': {error}", Text(path));
                self.code = 2;
                return;
            }
        };
        if !self.options.has(b'a') && !self.options.has(b'A') {
            names.retain(|name| !name.starts_with(b"."));
        }
        if self.options.has(b'a') {
            names.splice(0..0, [b".".to_vec(), b"..".to_vec()]);
        }
        if header == Header::Path {
            let gap = if self.is_begun { "\n" } else { "" };
            self.print(format_args!("{gap}{}:\n", Text(path)));
        }
        self.is_begun = true;
        let shown: Vec<Shown> = names
            .into_iter()
            .map(|name| Shown {
                path: join(path, &name),
                name,
            })
            .collect();
        if self.options.has(b'l') {
            let blocks = shown
                .iter()
                .filter_map(|file| files::lstat(&file.path).ok())
                .map(|stat| stat.st_blocks);
            let total = blocks.sum::<i64>() / 2;
            self.print(format_args!("total {total}\n"));
        }
        self.show(&shown);
        if self.options.has(b'R') && depth < DEPTH {
            let is_inner = |file: &&Shown| !matches!(file.name.as_slice(), b"." | b"..");
            for file in shown
                .iter()
                .filter(is_inner)
                .filter(|file| walk::is_real_directory(&file.path))
            {
                self.directory(&file.path, Header::Path, depth + 1);
            }
        }
    }

    fn print(&mut self, text: core::fmt::Arguments<'_>) {
        // The output takes everything.
        let _ = self.output.write_fmt(text);
    }

    fn show(&mut self, shown: &[Shown]) {
        if self.options.has(b'l') {
            self.show_long(shown);
            return;
        }
        let at_terminal = terminal::is_terminal(io::STDOUT) || self.options.has(b'C');
        if at_terminal && !self.options.has(b'1') {
            let names: Vec<&[u8]> = shown.iter().map(|file| file.name.as_slice()).collect();
            let width = terminal::columns(io::STDOUT).unwrap_or(80);
            self.output.bytes(&columns::arrange(&names, width));
        } else {
            shown.iter().for_each(|file| self.output.line(&file.name));
        }
    }

    fn show_long(&mut self, shown: &[Shown]) {
        let now = time::now(Clock::Real).map_or(0, |now| now.as_secs() as i64);
        let mut rows = Vec::new();
        for file in shown {
            match files::lstat(&file.path) {
                Ok(stat) => rows.push((row(&stat, now), file, stat)),
                Err(error) => {
                    eprintln!("ls: cannot access '{}': {error}", Text(&file.path));
                    self.code = 1;
                }
            }
        }
        let width = |column: usize| {
            rows.iter()
                .map(|(row, _, _)| row[column].len())
                .max()
                .unwrap_or(0)
        };
        let widths = [width(0), width(1), width(2), width(3), width(4)];
        for (row, file, stat) in &rows {
            let [mode, links, user, group, size, date] = row;
            let [_, links_width, user_width, group_width, size_width] = widths;
            self.print(format_args!(
                "{mode} {links:>links_width$} {user:user_width$} {group:group_width$} {size:>size_width$} {date} "
            ));
            self.output.bytes(&file.name);
            if files::is_kind(stat.st_mode, raw::S_IFLNK)
                && let Ok(says) = files::read_link(&file.path)
            {
                self.output.bytes(b" -> ");
                self.output.bytes(&says);
            }
            self.output.bytes(b"\n");
        }
    }
}

/// The columns of the long form but the name.
fn row(stat: &Stat, now: i64) -> [String; 6] {
    let modified = stat.st_mtime as i64;
    let date = Date::from_seconds(modified);
    let is_recent = (now - HALF_YEAR..=now).contains(&modified);
    let size = match stat.st_mode & raw::S_IFMT {
        raw::S_IFCHR | raw::S_IFBLK => {
            format!(
                "{}, {}",
                stat.st_rdev >> 8 & 0xfff,
                stat.st_rdev & 0xff | stat.st_rdev >> 12 & 0xf_ff00
            )
        }
        _ => format!("{}", stat.st_size),
    };
    [
        mode_letters(stat.st_mode),
        format!("{}", stat.st_nlink),
        owner(stat.st_uid),
        owner(stat.st_gid),
        size,
        date.format(if is_recent { "%b %e %H:%M" } else { "%b %e  %Y" }, modified),
    ]
}

fn owner(number: u32) -> String {
    if number == 0 {
        "root".into()
    } else {
        format!("{number}")
    }
}

fn mode_letters(mode: u32) -> String {
    let kind = match mode & raw::S_IFMT {
        raw::S_IFDIR => 'd',
        raw::S_IFLNK => 'l',
        raw::S_IFCHR => 'c',
        raw::S_IFBLK => 'b',
        raw::S_IFIFO => 'p',
        raw::S_IFSOCK => 's',
        _ => '-',
    };
    let mut letters = String::from(kind);
    // Each: the shift of its three bits, the bit that changes the last letter, that letter.
    for (shift, special, letter) in [
        (6, raw::S_ISUID, 's'),
        (3, raw::S_ISGID, 's'),
        (0, raw::S_ISVTX, 't'),
    ] {
        let bits = mode >> shift;
        letters.push(if bits & 4 != 0 { 'r' } else { '-' });
        letters.push(if bits & 2 != 0 { 'w' } else { '-' });
        letters.push(match (bits & 1 != 0, mode & special != 0) {
            (true, true) => letter,
            (false, true) => letter.to_ascii_uppercase(),
            (true, false) => 'x',
            (false, false) => '-',
        });
    }
    letters
}
