//! hog N: takes N MiB, writes every byte and checks every one.
#![no_std]
#![no_main]

use userland::{Arguments, eprintln, println, process};

userland::program!(main);

const MIB: usize = 1 << 20;
const WORD: usize = size_of::<u64>();

fn main(arguments: Arguments) -> i32 {
    let count = arguments.text(1).and_then(|text| text.parse().ok());
    let Some(bytes) = count.and_then(|count: usize| count.checked_mul(MIB)) else {
        eprintln!("usage: hog N (MiB)");
        return 2;
    };
    let memory = match process::map_anonymous(bytes) {
        Ok(memory) => memory.cast::<u64>(),
        Err(error) => {
            eprintln!("hog: mmap: {error}");
            return 1;
        }
    };
    let words = bytes / WORD;
    for index in 0..words {
        let word = memory.wrapping_add(index);
        // SAFETY: the word is in the mapping.
        if unsafe { word.read_volatile() } != 0 {
            eprintln!("hog: byte {} was not zero at first", index * WORD);
            return 1;
        }
        // SAFETY: likewise.
        unsafe { word.write_volatile(pattern(index)) };
    }
    for index in 0..words {
        let word = memory.wrapping_add(index);
        // SAFETY: the word is in the mapping.
        if unsafe { word.read_volatile() } != pattern(index) {
            eprintln!("hog: byte {} has changed", index * WORD);
            return 1;
        }
    }
    // SAFETY: the mapping is not used after this.
    let unmapped = unsafe { process::unmap(memory.cast(), bytes) };
    if unmapped.is_err() {
        eprintln!("hog: munmap failed");
        return 1;
    }
    println!("hog: {} MiB touched, every byte is right", bytes / MIB);
    0
}

/// Eight bytes that differ from word to word and are never zero.
fn pattern(index: usize) -> u64 {
    (index as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 0x0101_0101_0101_0101
}
