//! mv FILE... TO: gives files other names.
#![no_std]
#![no_main]

use userland::text::Text;
use userland::{Arguments, eprintln, files, options};

userland::program!(main);

fn main(arguments: Arguments) -> i32 {
    let Some(options) = options::parse(arguments, b"f") else {
        return 1;
    };
    let (sources, to) = match options.operands.as_slice() {
        [] => {
            eprintln!("mv: missing file operand");
            return 1;
        }
        [only] => {
            eprintln!("mv: missing destination file operand after '{}'", Text(only));
            return 1;
        }
        [sources @ .., to] => (sources, *to),
    };
    let into = files::is_directory(to);
    if sources.len() > 1 && !into {
        eprintln!("mv: target '{}' is not a directory", Text(to));
        return 1;
    }
    let mut code = 0;
    for source in sources {
        let target = if into {
            files::join(to, files::base_name(source))
        } else {
            to.to_vec()
        };
        if let Err(error) = files::rename(source, &target) {
            eprintln!(
                "mv: cannot move '{}' to '{}': {error}",
                Text(source),
                Text(&target)
            );
            code = 1;
        }
    }
    code
}
