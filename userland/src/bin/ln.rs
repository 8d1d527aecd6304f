//! ln [-sf] TARGET... NAME: gives a file one more name; with -s makes a link that says TARGET.
#![no_std]
#![no_main]

use userland::text::Text;
use userland::{Arguments, eprintln, files, options};

userland::program!(main);

fn main(arguments: Arguments) -> i32 {
    let Some(options) = options::parse(arguments, b"sfn") else {
        return 1;
    };
    let (targets, to) = match options.operands.as_slice() {
        [] => {
            eprintln!("ln: missing file operand");
            return 1;
        }
        [target] => (&[*target][..], b".".as_slice()),
        [targets @ .., to] => (targets, *to),
    };
    let into = files::is_directory(to);
    if targets.len() > 1 && !into {
        eprintln!("ln: target '{}' is not a directory", Text(to));
        return 1;
    }
    let mut code = 0;
    for target in targets {
        let name = if into {
            files::join(to, files::base_name(target))
        } else {
            to.to_vec()
        };
        if options.has(b'f') {
            // It may not be there.
            let _ = files::unlink(&name);
        }
        let made = if options.has(b's') {
            files::symlink(target, &name)
        } else {
            files::link(target, &name)
        };
        if let Err(error) = made {
            let kind = if options.has(b's') { "symbolic" } else { "hard" };
            eprintln!("ln: failed to create {kind} link '{}': {error}", Text(&name));
            code = 1;
        }
    }
    code
}
