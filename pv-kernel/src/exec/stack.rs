//! What is on a program's stack when it begins, as Linux lays it out (System V ABI for x86-64, 3.4.1):
//!
//! ```text
//! sp      argument count
//!         address of each argument, 0
//!         address of each environment string, 0
//!         auxiliary vector: pairs of a key and a value, the last one 0
//!         16 random bytes, the strings, the platform's name, the program's path
//! top     8 bytes of 0
//! ```
use crate::addr::USER_END;
use crate::errno::Errno;
use crate::exec::elf::{Image, PROGRAM_HEADER};
use abi::layout::PAGE_SIZE;
use alloc::vec::Vec;
use linux_raw_sys::auxvec;

/// Most bytes of such a stack.
pub const MAX_SIZE: usize = 64 * 1024;
/// What `AT_PLATFORM` leads to.
const PLATFORM: &[u8] = b"x86_64";
/// Clock ticks of a second, as `times` counts them.
pub const CLOCK_TICKS: u64 = 100;

/// What a program is told of itself and of its machine.
#[derive(Clone, Copy, Debug)]
pub struct Start<'s> {
    /// Its arguments, the program's name first.
    pub arguments: &'s [&'s [u8]],
    /// Its environment.
    pub environment: &'s [&'s [u8]],
    /// The path that it was started by.
    pub path: &'s [u8],
    /// Bytes that are hard to guess.
    pub random: [u8; 16],
    /// Features of the CPU: `AT_HWCAP` and `AT_HWCAP2`.
    pub features: [u64; 2],
    /// Least bytes of a stack for signals: `AT_MINSIGSTKSZ`.
    pub signal_stack: u64,
}

/// The bytes that end at the stack's top.
#[derive(Debug)]
pub struct StackImage {
    /// Where they begin: the stack pointer, a multiple of 16.
    pub pointer: u64,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// Lays out the stack of `image`, whose highest address is below `top`.
///
/// # Errors
/// `E2BIG`.
pub fn build(image: &Image, start: &Start<'_>, top: u64) -> Result<StackImage, Errno> {
    let Start {
        arguments,
        environment,
        ..
    } = start;
    let strings = || {
        arguments
            .iter()
            .chain(*environment)
            .chain([&PLATFORM, &start.path])
    };
    let string_bytes: usize = strings().map(|string| string.len() + 1).sum();
    let words = 1 + arguments.len() + 1 + environment.len() + 1 + 2 * AUXILIARY;
    let size = (words * 8 + start.random.len() + string_bytes + 8).next_multiple_of(16);
    if size > MAX_SIZE {
        return Err(Errno::TOO_BIG);
    }
    let pointer = top - size as u64;
    let random_at = pointer + words as u64 * 8;
    let mut string_at = random_at + start.random.len() as u64;

    let mut bytes = Vec::with_capacity(size);
    let mut push = |word: u64| bytes.extend_from_slice(&word.to_le_bytes());
    push(arguments.len() as u64);
    for list in [arguments, environment] {
        for string in *list {
            push(string_at);
            string_at += string.len() as u64 + 1;
        }
        push(0);
    }
    let path_at = string_at + PLATFORM.len() as u64 + 1;
    for (key, value) in auxiliary_vector(image, start, random_at, string_at, path_at) {
        push(u64::from(key));
        push(value);
    }
    bytes.extend_from_slice(&start.random);
    for string in strings() {
        bytes.extend_from_slice(string);
        bytes.push(0);
    }
    bytes.resize(size, 0);
    Ok(StackImage { pointer, bytes })
}

/// Pairs of the auxiliary vector.
const AUXILIARY: usize = 20;

fn auxiliary_vector(
    image: &Image,
    start: &Start<'_>,
    random: u64,
    platform: u64,
    path: u64,
) -> [(u32, u64); AUXILIARY] {
    let [features, more_features] = start.features;
    [
        (auxvec::AT_HWCAP, features),
        (auxvec::AT_PAGESZ, PAGE_SIZE),
        (auxvec::AT_CLKTCK, CLOCK_TICKS),
        (auxvec::AT_PHDR, image.program_headers),
        (auxvec::AT_PHENT, u64::from(PROGRAM_HEADER)),
        (auxvec::AT_PHNUM, u64::from(image.program_header_count)),
        (auxvec::AT_BASE, 0),
        (auxvec::AT_FLAGS, 0),
        (auxvec::AT_ENTRY, image.entry),
        (auxvec::AT_UID, 0),
        (auxvec::AT_EUID, 0),
        (auxvec::AT_GID, 0),
        (auxvec::AT_EGID, 0),
        (auxvec::AT_SECURE, 0),
        (auxvec::AT_RANDOM, random),
        (auxvec::AT_HWCAP2, more_features),
        (auxvec::AT_EXECFN, path),
        (auxvec::AT_PLATFORM, platform),
        (auxvec::AT_MINSIGSTKSZ, start.signal_stack),
        (auxvec::AT_NULL, 0),
    ]
}

const _: () = assert!(crate::mm::layout::STACK_TOP < USER_END);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exec::elf;

    const TOP: u64 = 0x7fff_0000;

    fn start<'s>(arguments: &'s [&'s [u8]], environment: &'s [&'s [u8]]) -> Start<'s> {
        Start {
            arguments,
            environment,
            path: b"/bin/x",
            random: [7; 16],
            features: [1, 2],
            signal_stack: 2048,
        }
    }

    fn words(stack: &StackImage, count: usize) -> Vec<u64> {
        let words = stack
            .bytes
            .chunks_exact(8)
            .map(|word| u64::from_le_bytes(word.try_into().unwrap()));
        words.take(count).collect()
    }

    fn string_at(stack: &StackImage, address: u64) -> &[u8] {
        let bytes = &stack.bytes[(address - stack.pointer) as usize..];
        bytes.split(|byte| *byte == 0).next().unwrap()
    }

    #[test]
    fn arguments_and_environment_are_found_by_their_pointers() {
        let image = elf::tests::whole(&elf::tests::small()).unwrap();
        let stack = build(&image, &start(&[b"echo", b"", b"hello"], &[b"HOME=/"]), TOP).unwrap();
        assert_eq!(stack.pointer % 16, 0);
        assert_eq!(stack.pointer + stack.bytes.len() as u64, TOP);
        let words = words(&stack, 7);
        assert_eq!((words[0], words[4], words[6]), (3, 0, 0));
        assert_eq!(string_at(&stack, words[1]), b"echo");
        assert_eq!(string_at(&stack, words[2]), b"");
        assert_eq!(string_at(&stack, words[3]), b"hello");
        assert_eq!(string_at(&stack, words[5]), b"HOME=/");
    }

    #[test]
    fn the_auxiliary_vector_ends_and_leads_to_random_bytes() {
        let image = elf::tests::whole(&elf::tests::small()).unwrap();
        let stack = build(&image, &start(&[b"x"], &[]), TOP).unwrap();
        let all = words(&stack, stack.bytes.len() / 8);
        let pairs: Vec<(u64, u64)> = all[4..].chunks(2).map(|pair| (pair[0], pair[1])).collect();
        let random = pairs.iter().find(|pair| pair.0 == 25).unwrap().1;
        assert_eq!(stack.bytes[(random - stack.pointer) as usize..][..16], [7; 16]);
        assert!(pairs.contains(&(9, image.entry)));
        for (key, text) in [(31, &b"/bin/x"[..]), (15, b"x86_64")] {
            let (_, address) = pairs.iter().find(|pair| pair.0 == key).unwrap();
            assert_eq!(string_at(&stack, *address), text);
        }
        assert!(pairs.contains(&(0, 0)));
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let image = elf::tests::whole(&elf::tests::small()).unwrap();
        let long = vec![b'x'; MAX_SIZE];
        assert_eq!(
            build(&image, &start(&[&long], &[]), TOP).unwrap_err(),
            Errno::TOO_BIG
        );
    }
}
