//! What a program was called with.
use core::ffi::{CStr, c_char};

/// The arguments, the program's name first.
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
        // SAFETY: there are so many pointers.
        let string = unsafe { self.pointers.wrapping_add(index).read() };
        // SAFETY: each leads to a string that ends in NUL and stays for good.
        let string = unsafe { CStr::from_ptr(string) };
        Some(string.to_bytes())
    }

    /// Argument `index`, if it is UTF-8.
    #[must_use]
    pub fn text(&self, index: usize) -> Option<&'static str> {
        core::str::from_utf8(self.get(index)?).ok()
    }

    /// All arguments after the program's name.
    pub fn rest(&self) -> impl Iterator<Item = &'static [u8]> + use<> {
        let all = *self;
        (1..self.count).filter_map(move |index| all.get(index))
    }
}
