//! cp [-r] FILE... TO: copies files; with -r directories and all that is in them, links as links.
#![no_std]
#![no_main]

use linux_raw_sys::general as raw;
use userland::files::{self, File};
use userland::text::Text;
use userland::{Arguments, Errno, directory, eprintln, options, walk};

userland::program!(main);

/// Deeper trees are not copied: each level needs some of the stack.
const DEPTH: usize = 500;

fn main(arguments: Arguments) -> i32 {
    let Some(options) = options::parse(arguments, b"rRafp") else {
        return 1;
    };
    let recursive = options.has(b'r') || options.has(b'R') || options.has(b'a');
    let (sources, to) = match options.operands.as_slice() {
        [] => {
            eprintln!("cp: missing file operand");
            return 1;
        }
        [only] => {
            eprintln!("cp: missing destination file operand after '{}'", Text(only));
            return 1;
        }
        [sources @ .., to] => (sources, *to),
    };
    let into = files::is_directory(to);
    if sources.len() > 1 && !into {
        eprintln!("cp: target '{}' is not a directory", Text(to));
        return 1;
    }
    let mut code = 0;
    for source in sources {
        let target = if into {
            files::join(to, files::base_name(source))
        } else {
            to.to_vec()
        };
        code |= match () {
            () if !recursive && files::is_directory(source) => {
                eprintln!("cp: -r not specified; omitting directory '{}'", Text(source));
                1
            }
            () if walk::is_real_directory(source) && walk::is_within(&target, source) => {
                eprintln!(
                    "cp: cannot copy a directory, '{}', into itself, '{}'",
                    Text(source),
                    Text(&target)
                );
                1
            }
            () if recursive => copy_tree(source, &target, 0),
            () => judge(source, &target, copy_file(source, &target)),
        };
    }
    code
}

fn judge(source: &[u8], target: &[u8], copied: files::Result<()>) -> i32 {
    match copied {
        Ok(()) => 0,
        Err(error) => {
            eprintln!(
                "cp: cannot copy '{}' to '{}': {error}",
                Text(source),
                Text(target)
            );
            1
        }
    }
}

fn copy_file(source: &[u8], target: &[u8]) -> files::Result<()> {
    let from = File::open(source, files::READ)?;
    let stat = files::fstat(from.fd())?;
    if let Ok(there) = files::stat(target)
        && (there.st_dev, there.st_ino) == (stat.st_dev, stat.st_ino)
    {
        eprintln!("cp: '{}' and '{}' are the same file", Text(source), Text(target));
        return Err(Errno::EINVAL);
    }
    let to = File::from_fd(files::open(
        target,
        files::CREATE | raw::O_CLOEXEC,
        stat.st_mode & 0o777,
    )?);
    let mut buffer = [0; 4096];
    loop {
        match files::read(from.fd(), &mut buffer)? {
            0 => return Ok(()),
            count => files::write_all(to.fd(), buffer.get(..count).unwrap_or(&[]))?,
        }
    }
}

fn copy_tree(source: &[u8], target: &[u8], depth: usize) -> i32 {
    let stat = match files::lstat(source) {
        Ok(stat) => stat,
        Err(error) => return judge(source, target, Err(error)),
    };
    match stat.st_mode & raw::S_IFMT {
        raw::S_IFLNK => {
            let linked = files::read_link(source).and_then(|says| files::symlink(&says, target));
            judge(source, target, linked)
        }
        raw::S_IFDIR if depth == DEPTH => judge(source, target, Err(Errno::ENAMETOOLONG)),
        raw::S_IFDIR => {
            let mut code = 0;
            match files::make_directory(target, stat.st_mode & 0o777 | 0o700) {
                Err(Errno::EEXIST) if files::is_directory(target) => {}
                made => code |= judge(source, target, made),
            }
            match directory::names(source) {
                Ok(names) => {
                    for name in names {
                        code |= copy_tree(
                            &files::join(source, &name),
                            &files::join(target, &name),
                            depth + 1,
                        );
                    }
                }
                Err(error) => code |= judge(source, target, Err(error)),
            }
            code
        }
        _ => judge(source, target, copy_file(source, target)),
    }
}
