//! All registers of a moment: what a trap found, or what is to be loaded.
use abi::selector::{KERNEL_CS, KERNEL_SS, USER_CS, USER_SS};

/// Interrupts on, nothing else.
pub const FLAGS: u64 = 0x202;
/// The single-step flag.
pub const TF: u64 = 1 << 8;
/// The interrupt flag.
pub const IF: u64 = 1 << 9;
/// The nested-task flag.
pub const NT: u64 = 1 << 14;
/// The alignment-check flag.
pub const AC: u64 = 1 << 18;

/// Registers as the trap entry saves them, lowest address first.
#[repr(C)]
#[derive(Clone, Copy, Default, Debug)]
#[allow(missing_docs, reason = "the registers' names are the documentation")]
pub struct Frame {
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
    /// Which handler was entered.
    pub vector: u64,
    /// The error slot.
    pub error: u64,
    pub rip: u64,
    pub cs: u64,
    pub rflags: u64,
    pub rsp: u64,
    pub ss: u64,
    /// [`abi::layout::GuestWords::cr2`], as the entry read it.
    pub cr2: u64,
    /// [`abi::layout::GuestWords::user_rsp`], as the entry read it.
    pub user_rsp: u64,
    /// Where the CPU's (or the bounce's) frame was.
    pub at: u64,
}

/// Offset of the error slot, where a bounced frame begins.
pub const BOUNCED_AT: usize = core::mem::offset_of!(Frame, error);
/// Offset of rip, where the CPU's own frame without an error code begins.
pub const CPU_AT: usize = core::mem::offset_of!(Frame, rip);
const _: () = assert!(BOUNCED_AT == 16 * 8 && CPU_AT == 17 * 8);

impl Frame {
    /// Code of the guest kernel.
    #[must_use]
    pub fn ring1(rip: u64, rsp: u64) -> Self {
        Self {
            rip,
            cs: u64::from(KERNEL_CS),
            rflags: FLAGS,
            rsp,
            ss: u64::from(KERNEL_SS),
            ..Self::default()
        }
    }

    /// Code of a user program.
    #[must_use]
    pub fn ring3(rip: u64, rsp: u64) -> Self {
        Self {
            rip,
            cs: u64::from(USER_CS),
            rflags: FLAGS,
            rsp,
            ss: u64::from(USER_SS),
            ..Self::default()
        }
    }

    /// The general registers but rsp, rax first.
    #[must_use]
    pub fn general(&self) -> [u64; 15] {
        [
            self.rax, self.rcx, self.rdx, self.rbx, self.rbp, self.rsi, self.rdi, self.r8, self.r9, self.r10,
            self.r11, self.r12, self.r13, self.r14, self.r15,
        ]
    }

    /// The same registers with a pattern in each general one.
    #[must_use]
    pub fn with_pattern(self, seed: u64) -> Self {
        let word = |n: u64| seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(n as u32 * 4) ^ n;
        Self {
            rax: word(0),
            rcx: word(1),
            rdx: word(2),
            rbx: word(3),
            rbp: word(4),
            rsi: word(5),
            rdi: word(6),
            r8: word(7),
            r9: word(8),
            r10: word(9),
            r11: word(10),
            r12: word(11),
            r13: word(12),
            r14: word(13),
            r15: word(14),
            ..self
        }
    }

    /// The ring that was interrupted.
    #[must_use]
    pub fn ring(&self) -> u64 {
        self.cs & 3
    }
}
