//! touch [-c] FILE...: sets the times of files to now; makes those that are not there, unless -c says not to.
#![no_std]
#![no_main]

use linux_raw_sys::general::{O_CREAT, O_WRONLY};
use userland::files::File;
use userland::text::Text;
use userland::{Arguments, Errno, eprintln, files, options};

userland::program!(main);

fn main(arguments: Arguments) -> i32 {
    let Some(options) = options::parse(arguments, b"c") else {
        return 1;
    };
    if options.operands.is_empty() {
        eprintln!("touch: missing file operand");
        return 1;
    }
    let mut code = 0;
    for path in &options.operands {
        let touched = match files::touch(path) {
            Err(Errno::ENOENT) if options.has(b'c') => Ok(()),
            Err(Errno::ENOENT) => File::open(path, O_WRONLY | O_CREAT).map(drop),
            result => result,
        };
        if let Err(error) = touched {
            eprintln!("touch: cannot touch '{}': {error}", Text(path));
            code = 1;
        }
    }
    code
}
