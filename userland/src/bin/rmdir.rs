//! rmdir DIRECTORY...: removes empty directories.
#![no_std]
#![no_main]

use userland::text::Text;
use userland::{Arguments, eprintln, files, options};

userland::program!(main);

fn main(arguments: Arguments) -> i32 {
    let Some(options) = options::parse(arguments, b"") else {
        return 1;
    };
    if options.operands.is_empty() {
        eprintln!("rmdir: missing operand");
        return 1;
    }
    let mut code = 0;
    for path in &options.operands {
        if let Err(error) = files::remove_directory(path) {
            eprintln!("rmdir: failed to remove '{}': {error}", Text(path));
            code = 1;
        }
    }
    code
}
