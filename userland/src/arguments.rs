//! What a program was called with.
use alloc::vec::Vec;
use core::ffi::{CStr, c_char};

/// The arguments, the program's name first, and the environment.
#[derive(Clone, Copy, Debug)]
pub struct Arguments {
    count: usize,
    pointers: *const *const c_char,
}

impl Arguments {
    /// # Safety
    /// `stack` is the stack pointer that the program began with.
    #[must_use]
    pub unsafe fn from_stack(stack: *const usize) -> Self {
        // SAFETY: the caller's duty.
        let count = unsafe { stack.read() };
        Self {
            count,
            pointers: stack.wrapping_add(1).cast(),
        }
    }

    /// Argument `index`; 0 is the program's name.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<&'static [u8]> {
        if index >= self.count {
            return None;
        }
        self.string(index)
    }

    /// Argument `index`, if it is UTF-8.
    #[must_use]
    pub fn text(&self, index: usize) -> Option<&'static str> {
        core::str::from_utf8(self.get(index)?).ok()
    }

    /// The program's name without its path.
    #[must_use]
    pub fn name(&self) -> &'static [u8] {
        let name = self.get(0).unwrap_or(b"");
        name.rsplit(|byte| *byte == b'/').next().unwrap_or(name)
    }

    /// All arguments after the program's name.
    pub fn rest(&self) -> impl Iterator<Item = &'static [u8]> + use<> {
        let all = *self;
        (1..self.count).filter_map(move |index| all.get(index))
    }

    /// All arguments after the program's name, as a list.
    #[must_use]
    pub fn list(&self) -> Vec<&'static [u8]> {
        self.rest().collect()
    }

    /// The environment: `NAME=value`, as it was when the program began.
    pub fn environment(&self) -> impl Iterator<Item = &'static [u8]> + use<> {
        let all = *self;
        (self.count + 1..).map_while(move |index| all.string(index))
    }

    /// The string that pointer `index` leads to, if it is not NULL.
    fn string(&self, index: usize) -> Option<&'static [u8]> {
        // SAFETY: pointers are read up to the argument count, or one after the other up to the NULL that ends the
        // environment.
        let string = unsafe { self.pointers.wrapping_add(index).read() };
        if string.is_null() {
            return None;
        }
        // SAFETY: each leads to a string that ends in NUL and stays for good.
        let string = unsafe { CStr::from_ptr(string) };
        Some(string.to_bytes())
    }
}
