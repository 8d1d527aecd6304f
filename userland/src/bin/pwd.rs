//! pwd: prints the current directory.
#![no_std]
#![no_main]

use userland::text::Text;
use userland::{Arguments, eprintln, files, println};

userland::program!(main);

fn main(_: Arguments) -> i32 {
    match files::current_directory() {
        Ok(directory) => {
            println!("{}", Text(&directory));
            0
        }
        Err(error) => {
            eprintln!("pwd: {error}");
            1
        }
    }
}
