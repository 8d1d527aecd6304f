//! rm [-rf] FILE...: removes files; with -r directories and all that is in them; with -f without complaint if there is
//! nothing.
#![no_std]
#![no_main]

use userland::text::Text;
use userland::walk::{self, Order};
use userland::{Arguments, Errno, eprintln, files, options};

userland::program!(main);

fn main(arguments: Arguments) -> i32 {
    let Some(options) = options::parse(arguments, b"rRf") else {
        return 1;
    };
    let (recursive, force) = (options.has(b'r') || options.has(b'R'), options.has(b'f'));
    if options.operands.is_empty() && !force {
        eprintln!("rm: missing operand");
        return 1;
    }
    let mut code = 0;
    for path in &options.operands {
        if matches!(files::base_name(path), b"." | b".." | b"/") {
            eprintln!("rm: refusing to remove '{}'", Text(path));
            code = 1;
        } else if recursive {
            code |= remove_tree(path, force);
        } else {
            let removed = match walk::is_real_directory(path) {
                true => Err(Errno::EISDIR),
                false => files::unlink(path),
            };
            code |= judge(path, removed, force);
        }
    }
    code
}

fn judge(path: &[u8], removed: files::Result<()>, force: bool) -> i32 {
    match removed {
        Ok(()) => 0,
        Err(Errno::ENOENT) if force => 0,
        Err(error) => {
            eprintln!("rm: cannot remove '{}': {error}", Text(path));
            1
        }
    }
}

fn remove_tree(path: &[u8], force: bool) -> i32 {
    let mut code = 0;
    let mut unread = 0;
    walk::tree(
        path,
        Order::After,
        &mut |path| code |= judge(path, walk::remove(path), force),
        &mut |path, error| {
            eprintln!("rm: cannot read '{}': {error}", Text(path));
            unread = 1;
        },
    );
    code | unread
}
