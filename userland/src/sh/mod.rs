//! The shell, as far as it is pure: what a text means ([`parse`], [`ast`]), what words become ([`expand`]), variables,
//! jobs and the line editor. `src/bin/sh` carries it out.
pub mod arith;
pub mod ast;
pub mod edit;
pub mod expand;
pub mod getopts;
pub mod glob;
mod grammar;
mod heredoc;
pub mod history;
pub mod jobs;
mod keys;
pub mod parse;
pub mod quote;
pub mod read;
pub mod split;
pub mod variables;
mod word;

#[cfg(test)]
mod tests;

/// A string of the shell's: any bytes but NUL.
pub type Bytes = alloc::vec::Vec<u8>;

/// Whether `name` can be a variable's.
#[must_use]
pub fn is_name(name: &[u8]) -> bool {
    let begins = name
        .first()
        .is_some_and(|byte| byte.is_ascii_alphabetic() || *byte == b'_');
    begins && name.iter().all(|byte| is_name_byte(*byte))
}

/// Whether `byte` can stand in a variable's name, perhaps not at its beginning.
#[must_use]
pub fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}
