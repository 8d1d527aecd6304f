//! Values that end in the CPU's registers when a guest runs: stack pointers, segment bases, the frame returned to.
use abi::errno::Errno;
use abi::layout::{SLOT_BASE, SLOT_END, in_hypervisor_slot, is_canonical};
use abi::reason::Reason;
use abi::selector::KERNEL_CS;
use abi::trap::BounceFrame;

/// Bits of RFLAGS (SDM vol. 1, 3.4.3).
pub mod rflags {
    /// Always 1.
    pub const FIXED: u64 = 1 << 1;
    /// A #DB after the next instruction.
    pub const TRAP: u64 = 1 << 8;
    /// An iretq would be a task's.
    pub const NESTED_TASK: u64 = 1 << 14;
    /// The next instruction has no breakpoint.
    pub const RESUME: u64 = 1 << 16;
    /// Virtual-8086 mode, which long mode does not have.
    pub const VIRTUAL_8086: u64 = 1 << 17;
    /// Interrupts are on.
    pub const INTERRUPT: u64 = 1 << 9;
    /// What a guest may have as it likes: CF, PF, AF, ZF, SF, TF, DF, OF, RF, AC, ID.
    pub const GUEST: u64 = 0x0025_0dd5;
}

/// The bytes below a new kernel stack pointer that the first trap may write: the largest frame, rounded up to 16.
pub const FRAME_ROOM: u64 = (size_of::<BounceFrame>() as u64 + 15) & !15;

/// Whether the bounce must not store at `rsp`: its upper half is one of the slot's. The stub's two compares decide the same.
#[must_use]
pub const fn stack_range_forbidden(rsp: u64) -> Option<Reason> {
    const FIRST: u64 = SLOT_BASE >> 32;
    const LAST: u64 = (SLOT_END - 1) >> 32;
    let upper = rsp >> 32;
    if upper >= FIRST && upper <= LAST {
        Some(Reason::KernelStackForbidden)
    } else {
        None
    }
}

/// Checks a kernel stack pointer that a guest sets (`stack_switch`, `new_baseptr`).
///
/// # Errors
/// EINVAL: not canonical, not 16-aligned, or a frame below it would wrap below 0, or be in the slot or the canonical hole.
pub const fn check_stack_pointer(rsp: u64) -> Result<(), Errno> {
    let Some(lowest) = rsp.checked_sub(FRAME_ROOM) else {
        return Err(Errno::Invalid);
    };
    let highest = lowest + (FRAME_ROOM - 1);
    let refused = !rsp.is_multiple_of(16)
        || !is_canonical(rsp)
        || !is_canonical(lowest)
        || in_hypervisor_slot(rsp)
        || in_hypervisor_slot(lowest)
        || in_hypervisor_slot(highest);
    if refused { Err(Errno::Invalid) } else { Ok(()) }
}

/// Checks an FS or GS base that a guest sets.
///
/// # Errors
/// EINVAL: not canonical, or in the slot.
pub const fn check_segment_base(base: u64) -> Result<(), Errno> {
    if is_canonical(base) && !in_hypervisor_slot(base) {
        Ok(())
    } else {
        Err(Errno::Invalid)
    }
}

/// Checks the address of an entry point that is not a trap handler (`callback_op`).
///
/// # Errors
/// EINVAL: 0, not canonical, or in the slot.
pub const fn check_entry_point(address: u64) -> Result<(), Errno> {
    if address != 0 && is_canonical(address) && !in_hypervisor_slot(address) {
        Ok(())
    } else {
        Err(Errno::Invalid)
    }
}

/// The flags with which a guest may run: interrupts on, no I/O privilege, no virtual-8086 or virtual-interrupt bits, no
/// nested task.
#[must_use]
pub const fn guest_rflags(rflags: u64) -> u64 {
    rflags & rflags::GUEST | rflags::INTERRUPT | rflags::FIXED
}

/// What an iretq restores.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ReturnFrame {
    /// Next instruction.
    pub rip: u64,
    /// Code selector.
    pub cs: u64,
    /// Flags.
    pub rflags: u64,
    /// Stack pointer.
    pub rsp: u64,
    /// Stack selector; null with RPL 1 is good.
    pub ss: u64,
}

impl ReturnFrame {
    /// The frame as it may be returned to.
    ///
    /// The selectors are the CPU's own, saved on entry: whether their descriptors still serve shows at the iretq. A rip
    /// that is not canonical is found here, for not every CPU finds it there: a hypercall on the last canonical byte
    /// saves one.
    ///
    /// # Errors
    /// [`Reason::ReturnFrameInvalid`]: rip is not canonical, or the code selector is not of ring 1 or 3.
    pub const fn sanitised(self) -> Result<Self, Reason> {
        let rpl = self.cs & 3;
        if !is_canonical(self.rip) || (rpl != 1 && rpl != 3) {
            return Err(Reason::ReturnFrameInvalid);
        }
        Ok(Self {
            rflags: guest_rflags(self.rflags),
            ..self
        })
    }
}

/// A trap as the CPU itself delivers it from ring 3, for where it cannot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DirectTrap {
    /// What stands on the kernel's stack, from the new stack pointer on.
    pub words: [[u8; 8]; 5],
    /// Where the guest goes on.
    pub handler: ReturnFrame,
}

/// What a trap gate of vector without error code does (SDM vol. 3A, 6.14.2): the interrupted frame below `stack`, which is
/// 16-aligned; a null stack segment; flags kept but for TF, NT and RF.
#[must_use]
pub const fn direct_trap(interrupted: ReturnFrame, handler: u64, stack: u64) -> DirectTrap {
    let ReturnFrame {
        rip,
        cs,
        rflags,
        rsp,
        ss,
    } = interrupted;
    DirectTrap {
        words: [
            rip.to_le_bytes(),
            cs.to_le_bytes(),
            rflags.to_le_bytes(),
            rsp.to_le_bytes(),
            ss.to_le_bytes(),
        ],
        handler: ReturnFrame {
            rip: handler,
            cs: KERNEL_CS as u64,
            rflags: rflags & !(rflags::TRAP | rflags::NESTED_TASK | rflags::RESUME),
            rsp: stack.wrapping_sub(5 * 8),
            ss: NULL_RING_1,
        },
    }
}

/// What the CPU loads into SS when it enters ring 1.
const NULL_RING_1: u64 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    const CANONICAL_END: u64 = 0x0000_8000_0000_0000;

    #[test]
    fn the_stub_refuses_the_whole_slot_and_nothing_else() {
        for rsp in [
            SLOT_BASE,
            SLOT_BASE + 0x20_8ff8,
            SLOT_END - 1,
            0xffff_8000_ffff_ffff,
        ] {
            assert_eq!(stack_range_forbidden(rsp), Some(Reason::KernelStackForbidden));
        }
        for rsp in [0, 8, CANONICAL_END, SLOT_BASE - 1, SLOT_END, u64::MAX] {
            assert_eq!(stack_range_forbidden(rsp), None);
        }
    }

    #[test]
    fn a_stack_pointer_is_canonical_aligned_and_has_room_outside_the_slot() {
        let bad = [
            0,
            8,
            16,
            FRAME_ROOM - 16,
            0x1008,
            0x1001,
            CANONICAL_END,
            CANONICAL_END + 16,
            SLOT_BASE - 16,
            SLOT_BASE,
            SLOT_BASE + 0x20_8000,
            SLOT_END - 16,
            SLOT_END,
            SLOT_END + FRAME_ROOM - 16,
            1 << 63,
            u64::MAX,
        ];
        for rsp in bad {
            assert_eq!(check_stack_pointer(rsp), Err(Errno::Invalid), "{rsp:#x}");
        }
        for rsp in [
            FRAME_ROOM,
            0x1000,
            CANONICAL_END - 16,
            SLOT_END + FRAME_ROOM,
            u64::MAX - 15,
        ] {
            assert_eq!(check_stack_pointer(rsp), Ok(()), "{rsp:#x}");
        }
    }

    #[test]
    fn bases_and_entry_points_are_canonical_and_outside_the_slot() {
        for address in [CANONICAL_END, SLOT_BASE - 1, SLOT_BASE, SLOT_END - 1, 1 << 62] {
            assert_eq!(check_segment_base(address), Err(Errno::Invalid));
            assert_eq!(check_entry_point(address), Err(Errno::Invalid));
        }
        for address in [1, CANONICAL_END - 1, SLOT_END, u64::MAX] {
            assert_eq!(check_segment_base(address), Ok(()));
            assert_eq!(check_entry_point(address), Ok(()));
        }
        assert_eq!(check_segment_base(0), Ok(()));
        assert_eq!(check_entry_point(0), Err(Errno::Invalid));
    }

    #[test]
    fn flags_run_with_interrupts_on_and_without_privilege() {
        let iopl_nt_vm_vif_vip = 3 << 12 | 1 << 14 | 1 << 17 | 1 << 19 | 1 << 20;
        assert_eq!(guest_rflags(iopl_nt_vm_vif_vip), 0x202);
        let kept = 0xcd5 | 1 << 8 | 1 << 16 | 1 << 18 | 1 << 21;
        assert_eq!(guest_rflags(kept), kept | 0x202);
        assert_eq!(guest_rflags(u64::MAX), rflags::GUEST | 0x202);
    }

    #[test]
    fn a_frame_is_kept_but_for_its_flags() {
        let frame = ReturnFrame {
            rip: 0x1000,
            cs: 0x33,
            rflags: 0x3002,
            rsp: 0x7fff,
            ss: 0x2b,
        };
        assert_eq!(
            frame.sanitised(),
            Ok(ReturnFrame {
                rflags: 0x202,
                ..frame
            })
        );
        let null_ss = ReturnFrame {
            cs: 0x19,
            ss: 1,
            ..frame
        };
        assert!(null_ss.sanitised().is_ok());
    }

    #[test]
    fn the_byte_past_the_last_canonical_one_cannot_be_returned_to() {
        let frame = ReturnFrame {
            rip: CANONICAL_END,
            cs: 0x19,
            ..ReturnFrame::default()
        };
        assert_eq!(frame.sanitised(), Err(Reason::ReturnFrameInvalid));
        let ring_0 = ReturnFrame {
            rip: 0x1000,
            cs: 0x08,
            ..ReturnFrame::default()
        };
        assert_eq!(ring_0.sanitised(), Err(Reason::ReturnFrameInvalid));
    }

    #[test]
    fn a_direct_trap_leaves_the_frame_of_a_trap_gate() {
        let interrupted = ReturnFrame {
            rip: 0x40_0000,
            cs: 0x33,
            rflags: 0x202 | rflags::TRAP | rflags::RESUME | 1 << 18 | 1 << 10,
            rsp: 0x7fff_f123,
            ss: 0x2b,
        };
        let DirectTrap { words, handler } = direct_trap(interrupted, 0xffff_ffff_8000_1000, 0x5000);
        assert_eq!(
            words.map(u64::from_le_bytes),
            [
                interrupted.rip,
                interrupted.cs,
                interrupted.rflags,
                interrupted.rsp,
                interrupted.ss
            ]
        );
        let expected = ReturnFrame {
            rip: 0xffff_ffff_8000_1000,
            cs: 0x19,
            rflags: 0x202 | 1 << 18 | 1 << 10,
            rsp: 0x5000 - 40,
            ss: 1,
        };
        assert_eq!(handler, expected, "AC and DF are the user's, TF and RF are not");
    }
}
