//! cat FILE...: prints files one after another; `-` or none is standard input.
#![no_std]
#![no_main]

use userland::files::{self, File, READ};
use userland::text::Text;
use userland::{Arguments, Errno, eprintln, io, options};

userland::program!(main);

fn main(arguments: Arguments) -> i32 {
    let Some(options) = options::parse(arguments, b"u") else {
        return 1;
    };
    let names = match options.operands.as_slice() {
        [] => &[b"-".as_slice()],
        names => names,
    };
    let mut code = 0;
    for name in names {
        let copied = match *name {
            b"-" => copy(io::STDIN),
            name => File::open(name, READ)
                .map_err(Trouble::Read)
                .and_then(|file| copy(file.fd())),
        };
        match copied {
            Ok(()) => {}
            Err(Trouble::Read(error)) => {
                eprintln!("cat: {}: {error}", Text(name));
                code = 1;
            }
            Err(Trouble::Write(error)) => {
                eprintln!("cat: write error: {error}");
                return 1;
            }
        }
    }
    code
}

enum Trouble {
    Read(Errno),
    Write(Errno),
}

fn copy(from: files::Fd) -> Result<(), Trouble> {
    let mut buffer = [0; 4096];
    loop {
        match files::read(from, &mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => {
                files::write_all(io::STDOUT, buffer.get(..count).unwrap_or(&[])).map_err(Trouble::Write)?;
            }
            Err(Errno::EINTR) => {}
            Err(error) => return Err(Trouble::Read(error)),
        }
    }
}
