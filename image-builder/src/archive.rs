//! The cpio "newc" format, in which programs and files reach a guest.
use std::collections::BTreeSet;

/// Where an archive lists the programs to run, one command a line, its arguments separated by NUL.
pub const PROGRAM_LIST: &str = "etc/programs";

/// Mode of a file that can be run.
const RUNNABLE: u32 = 0o100_755;
/// Mode of any other file.
const PLAIN: u32 = 0o100_644;
/// Mode of a directory.
const DIRECTORY: u32 = 0o040_755;

/// Mode of a symbolic link.
const SYMLINK: u32 = 0o120_777;

/// An archive under construction: directories are added as files need them.
#[derive(Debug, Default)]
pub struct Archive {
    bytes: Vec<u8>,
    directories: BTreeSet<String>,
    entries: u32,
}

impl Archive {
    /// Adds a file that can be run.
    pub fn add_program(&mut self, path: &str, content: &[u8]) {
        self.add_directories_of(path);
        self.add(path, RUNNABLE, content);
    }

    /// Adds any other file.
    pub fn add_file(&mut self, path: &str, content: &[u8]) {
        self.add_directories_of(path);
        self.add(path, PLAIN, content);
    }

    /// Adds a symbolic link.
    pub fn add_symlink(&mut self, path: &str, target: &str) {
        self.add_directories_of(path);
        self.add(path, SYMLINK, target.as_bytes());
    }

    /// Adds an empty directory.
    pub fn add_directory(&mut self, path: &str) {
        // Its own path with a slash has it as a directory above.
        self.add_directories_of(&format!("{path}/"));
    }

    /// The finished archive.
    #[must_use]
    pub fn finish(mut self) -> Vec<u8> {
        self.add("TRAILER!!!", 0, &[]);
        self.bytes
    }

    fn add_directories_of(&mut self, path: &str) {
        for (end, _) in path.match_indices('/') {
            let directory = path[..end].to_owned();
            if self.directories.insert(directory.clone()) {
                self.add(&directory, DIRECTORY, &[]);
            }
        }
    }

    /// One header of 110 bytes, the path with a NUL, the content, each padded to 4 bytes.
    fn add(&mut self, path: &str, mode: u32, content: &[u8]) {
        self.entries += 1;
        let links = if mode == DIRECTORY { 2 } else { 1 };
        let size = content.len() as u32;
        let path_size = path.len() as u32 + 1;
        // inode, mode, uid, gid, links, mtime, size, device and special-device numbers, length of the path, checksum.
        let fields = [self.entries, mode, 0, 0, links, 0, size, 0, 0, 0, 0, path_size, 0];
        self.bytes.extend(b"070701");
        for field in fields {
            self.bytes.extend(format!("{field:08x}").bytes());
        }
        self.bytes.extend(path.bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend(content);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

/// The content of [`PROGRAM_LIST`].
#[must_use]
pub fn program_list<'a>(programs: impl Iterator<Item = &'a [String]>) -> Vec<u8> {
    programs
        .flat_map(|arguments| (arguments.join("\0") + "\n").into_bytes())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads an archive by the format's description: path, mode, content of each entry.
    fn read(archive: &[u8]) -> Vec<(String, u32, Vec<u8>)> {
        let mut entries = Vec::new();
        let mut rest = archive;
        loop {
            assert_eq!(&rest[..6], b"070701");
            let field = |index: usize| {
                let text = std::str::from_utf8(&rest[6 + index * 8..14 + index * 8]).unwrap();
                u32::from_str_radix(text, 16).unwrap()
            };
            let (mode, size, path_size) = (field(1), field(6) as usize, field(11) as usize);
            let path = String::from_utf8(rest[110..110 + path_size - 1].to_vec()).unwrap();
            assert_eq!(rest[110 + path_size - 1], 0);
            let start = (110 + path_size).next_multiple_of(4);
            if path == "TRAILER!!!" {
                return entries;
            }
            entries.push((path, mode, rest[start..start + size].to_vec()));
            rest = &rest[(start + size).next_multiple_of(4)..];
        }
    }

    #[test]
    fn what_was_added_is_read_back() {
        let mut archive = Archive::default();
        archive.add_program("bin/echo", b"12345");
        archive.add_program("bin/cat", b"");
        archive.add_file("etc/deep/motd", b"hello\n");
        archive.add_symlink("bin/sh", "echo");
        archive.add_directory("var/log");
        archive.add_directory("etc");
        let bytes = archive.finish();
        assert_eq!(bytes.len() % 4, 0);
        assert_eq!(
            read(&bytes),
            [
                ("bin".to_owned(), DIRECTORY, vec![]),
                ("bin/echo".to_owned(), RUNNABLE, b"12345".to_vec()),
                ("bin/cat".to_owned(), RUNNABLE, vec![]),
                ("etc".to_owned(), DIRECTORY, vec![]),
                ("etc/deep".to_owned(), DIRECTORY, vec![]),
                ("etc/deep/motd".to_owned(), PLAIN, b"hello\n".to_vec()),
                ("bin/sh".to_owned(), SYMLINK, b"echo".to_vec()),
                ("var".to_owned(), DIRECTORY, vec![]),
                ("var/log".to_owned(), DIRECTORY, vec![]),
            ]
        );
    }

    #[test]
    fn the_same_content_gives_the_same_bytes() {
        let build = || {
            let mut archive = Archive::default();
            archive.add_file("a", b"x");
            archive.finish()
        };
        assert_eq!(build(), build());
    }

    #[test]
    fn the_program_list_has_a_line_for_each_command() {
        let programs = [
            vec!["echo".to_owned(), "hello you".to_owned()],
            vec!["cat".to_owned()],
        ];
        assert_eq!(
            program_list(programs.iter().map(Vec::as_slice)),
            b"echo\0hello you\ncat\n"
        );
    }
}
