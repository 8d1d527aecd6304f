//! What led from a program into the kernel.
use crate::cause::Cause;
use crate::context::{Context, EVENT_VECTOR, INT80_VECTOR, SYSCALL_VECTOR};
use crate::mm::fault::Fault;
use abi::trap::vector;

/// A trap of a program, by what it calls for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Trap {
    /// A system call, by either way.
    SystemCall,
    /// Nothing of the program's own: something has happened outside.
    Event,
    /// A page fault, to be resolved or not.
    PageFault(Fault),
    /// A #GP: the instruction tells more.
    GeneralProtection,
    /// The program cannot go on.
    Fatal(Cause),
}

/// What the trap in `context` is.
#[must_use]
pub const fn classify(context: &Context) -> Trap {
    const DE: u64 = vector::DE as u64;
    const DB: u64 = vector::DB as u64;
    const BP: u64 = vector::BP as u64;
    const OF: u64 = vector::OF as u64;
    const BR: u64 = vector::BR as u64;
    const UD: u64 = vector::UD as u64;
    const NM: u64 = vector::NM as u64;
    const TS: u64 = vector::TS as u64;
    const NP: u64 = vector::NP as u64;
    const SS: u64 = vector::SS as u64;
    const GP: u64 = vector::GP as u64;
    const PF: u64 = vector::PF as u64;
    const MF: u64 = vector::MF as u64;
    const AC: u64 = vector::AC as u64;
    const XM: u64 = vector::XM as u64;
    Trap::Fatal(match context.vector {
        INT80_VECTOR | SYSCALL_VECTOR => return Trap::SystemCall,
        EVENT_VECTOR => return Trap::Event,
        PF => return Trap::PageFault(Fault::new(context.cr2, context.error)),
        GP => return Trap::GeneralProtection,
        DE => Cause::DivideError,
        DB => Cause::Debug,
        BP => Cause::Breakpoint,
        OF => Cause::Overflow,
        BR => Cause::BoundRange,
        UD => Cause::InvalidOpcode,
        NM => Cause::NoCoprocessor,
        TS | NP => Cause::Segment,
        SS => Cause::Stack,
        MF => Cause::FloatingPoint,
        AC => Cause::Alignment,
        XM => Cause::SimdFloatingPoint,
        other => Cause::Unexpected(other),
    })
}

/// The name of the privileged instruction that `code` begins with, if it is one (SDM vol. 3A, 5.9).
#[must_use]
pub fn privileged_instruction(code: &[u8]) -> Option<&'static str> {
    let mut code = code
        .iter()
        .copied()
        .skip_while(|byte| matches!(byte, 0x40..=0x4f | 0x66 | 0xf2 | 0xf3));
    Some(match code.next()? {
        0xf4 => "hlt",
        0xfa => "cli",
        0xfb => "sti",
        0x6c | 0x6d => "ins",
        0x6e | 0x6f => "outs",
        0xe4 | 0xe5 | 0xec | 0xed => "in",
        0xe6 | 0xe7 | 0xee | 0xef => "out",
        0x0f => match (code.next()?, code.next()) {
            (0x06, _) => "clts",
            (0x07, _) => "sysret",
            (0x08, _) => "invd",
            (0x09, _) => "wbinvd",
            (0x20 | 0x22, _) => "mov cr",
            (0x21 | 0x23, _) => "mov dr",
            (0x30, _) => "wrmsr",
            (0x32, _) => "rdmsr",
            (0x33, _) => "rdpmc",
            (0x01, Some(0xd1)) => "xsetbv",
            (0x01, Some(0xf8)) => "swapgs",
            (0x00, Some(modrm)) if modrm >> 3 & 7 == 2 => "lldt",
            (0x00, Some(modrm)) if modrm >> 3 & 7 == 3 => "ltr",
            (0x01, Some(modrm)) if modrm >> 3 & 7 == 2 => "lgdt",
            (0x01, Some(modrm)) if modrm >> 3 & 7 == 3 => "lidt",
            (0x01, Some(modrm)) if modrm >> 3 & 7 == 6 => "lmsw",
            (0x01, Some(modrm)) if modrm >> 3 & 7 == 7 => "invlpg",
            _ => return None,
        },
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mm::area::Access;

    fn trap(vector: u64) -> Trap {
        classify(&Context {
            vector,
            error: 6,
            cr2: 0x1234,
            ..Context::default()
        })
    }

    #[test]
    fn every_vector_that_is_registered_has_a_meaning() {
        for vector in (0..32u8).filter(|vector| abi::trap::is_guest_exception(*vector)) {
            assert!(
                !matches!(trap(vector.into()), Trap::Fatal(Cause::Unexpected(_))),
                "{vector}"
            );
        }
        assert_eq!(trap(INT80_VECTOR), Trap::SystemCall);
        assert_eq!(trap(SYSCALL_VECTOR), Trap::SystemCall);
        assert_eq!(trap(EVENT_VECTOR), Trap::Event);
        assert_eq!(
            trap(14),
            Trap::PageFault(Fault {
                address: 0x1234,
                access: Access::Write
            })
        );
        assert_eq!(trap(99), Trap::Fatal(Cause::Unexpected(99)));
    }

    #[test]
    fn privileged_instructions_have_names() {
        assert_eq!(privileged_instruction(&[0xf4]), Some("hlt"));
        assert_eq!(privileged_instruction(&[0x44, 0x0f, 0x20, 0xc0]), Some("mov cr"));
        assert_eq!(privileged_instruction(&[0x0f, 0x01, 0x10]), Some("lgdt"));
        assert_eq!(privileged_instruction(&[0x0f, 0x01, 0xf8]), Some("swapgs"));
        assert_eq!(privileged_instruction(&[0x8b, 0x00]), None);
        assert_eq!(privileged_instruction(&[]), None);
        assert_eq!(privileged_instruction(&[0x0f]), None);
        assert_eq!(privileged_instruction(&[0x48; 15]), None);
    }
}
