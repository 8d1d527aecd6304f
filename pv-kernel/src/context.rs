//! The registers of a program while the kernel runs.
use abi::selector::{USER_CS, USER_SS};

/// Vector of a system call by `int 0x80`.
pub const INT80_VECTOR: u64 = 0x80;
/// The number that stands in [`Context::vector`] for the `syscall` instruction.
pub const SYSCALL_VECTOR: u64 = 0x100;

/// The number that stands there when an event came while the program ran.
pub const EVENT_VECTOR: u64 = 0x101;

/// Flags that a program may have set: CF PF AF ZF SF TF DF OF NT AC ID.
const USER_FLAGS: u64 = 0x0024_4dd5;
/// IF and the bit that is always 1.
const FIXED_FLAGS: u64 = 0x202;

/// A program's registers, in the order in which the entry stubs push them, lowest address first. The last five are
/// what the CPU itself, or the hypervisor's bounce, leaves.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[allow(missing_docs, reason = "registers have the names that the CPU gives them")]
pub struct Context {
    /// Address of the page fault, where the vector is #PF.
    pub cr2: u64,
    pub r15: u64,
    pub r14: u64,
    pub r13: u64,
    pub r12: u64,
    pub r11: u64,
    pub r10: u64,
    pub r9: u64,
    pub r8: u64,
    pub rdi: u64,
    pub rsi: u64,
    pub rbp: u64,
    pub rbx: u64,
    pub rdx: u64,
    pub rcx: u64,
    pub rax: u64,
    /// What led into the kernel: an exception's vector, [`INT80_VECTOR`] [`SYSCALL_VECTOR`] or [`EVENT_VECTOR`].
    pub vector: u64,
    /// The CPU's error code, 0 where there is none.
    pub error: u64,
    pub rip: u64,
    pub cs: u64,
    pub rflags: u64,
    pub rsp: u64,
    pub ss: u64,
}
// The stubs push fifteen registers above CR2 and expect these offsets.
const _: () = assert!(size_of::<Context>() == 184);
const _: () = assert!(core::mem::offset_of!(Context, r15) == 8);
const _: () = assert!(core::mem::offset_of!(Context, rax) == 120);
const _: () = assert!(core::mem::offset_of!(Context, vector) == 128);
const _: () = assert!(core::mem::offset_of!(Context, rip) == 144);
const _: () = assert!(core::mem::offset_of!(Context, cs) == 152);

impl Context {
    /// A program's first registers: all 0 but these.
    #[must_use]
    pub fn new(entry: u64, stack: u64) -> Self {
        Self {
            rip: entry,
            rsp: stack,
            ..Self::default()
        }
        .sanitised()
    }

    /// The context with the segments and flags that ring 3 always has.
    #[must_use]
    pub fn sanitised(self) -> Self {
        Self {
            cs: u64::from(USER_CS),
            ss: u64::from(USER_SS),
            rflags: (self.rflags & USER_FLAGS) | FIXED_FLAGS,
            ..self
        }
    }

    /// Whether the CPU can return to it.
    #[must_use]
    pub const fn can_resume(&self) -> bool {
        abi::layout::is_canonical(self.rip)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_has_no_say_in_segments_and_system_flags() {
        let wild = Context {
            cs: 8,
            ss: 0,
            rflags: u64::MAX,
            ..Context::default()
        }
        .sanitised();
        assert_eq!((wild.cs, wild.ss), (0x33, 0x2b));
        assert_eq!(wild.rflags & 0x3000, 0, "no I/O privilege");
        assert_eq!(
            wild.rflags & 0x1a_0000,
            0,
            "no virtual interrupts, no virtual-8086 mode"
        );
        assert_eq!(wild.rflags & 0x202, 0x202);
    }

    #[test]
    fn a_program_cannot_be_resumed_at_the_canonical_edge() {
        assert!(!Context::new(0x8000_0000_0000, 0).can_resume());
        assert!(Context::new(0x7fff_ffff_fffe, 0).can_resume());
    }
}
