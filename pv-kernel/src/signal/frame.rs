//! What lies on a program's stack while a handler runs: Linux's `struct rt_sigframe` for x86-64.
//!
//! ```text
//! frame + 0     the handler's return address: its restorer, which calls rt_sigreturn
//!       + 8     struct ucontext
//!         + 8     flags, link
//!         + 24    the alternate stack
//!         + 48    struct sigcontext: registers, a pointer to the vector registers
//!         + 304   what is blocked after the handler
//!       + 312   siginfo_t
//! above it      the image of the vector registers, aligned to 64
//! ```
//! The program can write all of it before it returns. Nothing of it is trusted: flags and segments are made anew, the
//! vector registers' image is made such that no CPU refuses it.
use crate::context::Context;
use crate::proc::{VectorLayout, VectorState};
use crate::signal::info::INFO_SIZE;
use crate::signal::{AlternateStack, Info, SignalSet};
use abi::selector::{USER_CS, USER_SS};
use alloc::vec::Vec;
use linux_raw_sys::general as linux;

/// Bytes of the frame without the vector registers.
pub const FRAME_SIZE: usize = INFO_AT + INFO_SIZE;
/// Bytes below a stack pointer that functions may use.
const RED_ZONE: u64 = 128;

const FLAGS_AT: usize = 8;
const STACK_AT: usize = 24;
const REGISTERS_AT: usize = 48;
const SEGMENTS_AT: usize = REGISTERS_AT + 144;
const ERROR_AT: usize = REGISTERS_AT + 152;
const VECTORS_AT: usize = REGISTERS_AT + 184;
const MASK_AT: usize = 304;
const INFO_AT: usize = 312;

// Linux's asm/ucontext.h.
const UC_FP_XSTATE: u64 = 1;
const UC_SIGCONTEXT_SS: u64 = 2;
const UC_STRICT_RESTORE_SS: u64 = 4;

/// The place of Linux's `struct _fpx_sw_bytes` in the image.
const SOFTWARE_AT: usize = 464;
const MAGIC1: u32 = 0x4650_5853;
const MAGIC2: u32 = 0x4650_5845;
/// XSAVE's header: which components hold something, then what must be 0 (SDM vol. 1, 13.4.2).
const HEADER_AT: usize = 512;
const HEADER_SIZE: usize = 64;
const MXCSR_AT: usize = 24;
/// x87 and SSE.
const LEGACY_COMPONENTS: u64 = 3;

/// Flags that a handler does not begin with: TF, DF, RF.
const CLEARED_FLAGS: u64 = 1 << 8 | 1 << 10 | 1 << 16;

/// What is interrupted by a handler.
#[derive(Clone, Copy, Debug)]
pub struct Interrupted<'s> {
    /// The registers.
    pub context: &'s Context,
    /// The vector registers.
    pub vectors: &'s VectorState,
    /// How they are laid out.
    pub layout: VectorLayout,
    /// What is blocked afterwards.
    pub mask: SignalSet,
    /// The alternate stack.
    pub stack: Option<AlternateStack>,
}

/// The bytes of a frame, and where they go.
#[derive(Debug)]
pub struct Frame {
    /// Its address: the stack pointer of the handler.
    pub address: u64,
    /// The frame, padding, the vector registers.
    pub bytes: Vec<u8>,
}

/// Lays out the frame for a handler that is told `info`, returns to `restorer`, and whose stack begins at `top`; nothing if
/// there is no room below it, on the alternate stack if it is that one.
#[must_use]
pub fn build(interrupted: &Interrupted<'_>, info: &Info, restorer: u64, top: Top) -> Option<Frame> {
    let rsp = interrupted.context.rsp;
    let (top, alternate) = match top {
        Top::Interrupted => {
            let alternate = interrupted.stack.filter(|stack| stack.contains(rsp));
            (rsp.checked_sub(RED_ZONE)?, alternate)
        }
        Top::Alternate(stack) => (stack.start.checked_add(stack.size)?, Some(stack)),
    };
    let vectors = vector_bytes(interrupted.vectors, interrupted.layout);
    let vectors_at = top.checked_sub(vectors.len() as u64)? & !63;
    // As if the handler had been called: 8 off a multiple of 16.
    let address = (vectors_at.checked_sub(FRAME_SIZE as u64)? & !15).checked_sub(8)?;
    if alternate.is_some_and(|stack| !stack.contains(address)) {
        return None;
    }

    let mut bytes = alloc::vec![0; (vectors_at - address) as usize];
    put(&mut bytes, 0, restorer);
    let extended = if interrupted.layout.components == 0 {
        0
    } else {
        UC_FP_XSTATE
    };
    put(
        &mut bytes,
        FLAGS_AT,
        extended | UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS,
    );
    put_stack(&mut bytes, interrupted.stack, interrupted.context.rsp);
    put_registers(&mut bytes, interrupted.context, interrupted.mask);
    put(&mut bytes, VECTORS_AT, vectors_at);
    put(&mut bytes, MASK_AT, interrupted.mask.bits());
    if let Some(target) = bytes.get_mut(INFO_AT..FRAME_SIZE) {
        target.copy_from_slice(&info.to_bytes());
    }
    bytes.extend_from_slice(&vectors);
    Some(Frame { address, bytes })
}

/// Which stack a handler runs on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Top {
    /// The interrupted one, below its red zone.
    Interrupted,
    /// The alternate one.
    Alternate(AlternateStack),
}

/// The registers with which the handler at `handler` begins.
#[must_use]
pub fn enter(context: &Context, frame: u64, handler: u64, info: &Info) -> Context {
    Context {
        rip: handler,
        rsp: frame,
        rdi: u64::from(info.signal.number()),
        rsi: frame + INFO_AT as u64,
        rdx: frame + FLAGS_AT as u64,
        rax: 0,
        rflags: context.rflags & !CLEARED_FLAGS,
        ..*context
    }
    .sanitised()
}

/// Linux's `stack_t`: address, flags, size.
#[must_use]
pub fn stack_words(stack: Option<AlternateStack>, rsp: u64) -> [u64; 3] {
    match stack {
        None => [0, u64::from(linux::SS_DISABLE), 0],
        Some(stack) if stack.contains(rsp) => [stack.start, u64::from(linux::SS_ONSTACK), stack.size],
        Some(stack) => [stack.start, 0, stack.size],
    }
}

fn put_stack(bytes: &mut [u8], stack: Option<AlternateStack>, rsp: u64) {
    for (index, word) in stack_words(stack, rsp).into_iter().enumerate() {
        put(bytes, STACK_AT + index * 8, word);
    }
}

fn put_registers(bytes: &mut [u8], context: &Context, mask: SignalSet) {
    let registers = [
        context.r8,
        context.r9,
        context.r10,
        context.r11,
        context.r12,
        context.r13,
        context.r14,
        context.r15,
        context.rdi,
        context.rsi,
        context.rbp,
        context.rbx,
        context.rdx,
        context.rax,
        context.rcx,
        context.rsp,
        context.rip,
        context.rflags,
    ];
    for (index, register) in registers.into_iter().enumerate() {
        put(bytes, REGISTERS_AT + index * 8, register);
    }
    // cs, gs, fs, ss: 16 bits each.
    put(bytes, SEGMENTS_AT, u64::from(USER_CS) | u64::from(USER_SS) << 48);
    let exception = if context.vector < 32 { context.vector } else { 0 };
    for (index, word) in [context.error, exception, mask.bits(), context.cr2]
        .into_iter()
        .enumerate()
    {
        put(bytes, ERROR_AT + index * 8, word);
    }
}

/// The image of the vector registers with Linux's marks.
fn vector_bytes(vectors: &VectorState, layout: VectorLayout) -> Vec<u8> {
    let components = layout.components;
    let mut bytes = Vec::with_capacity(image_size(layout));
    bytes.extend_from_slice(vectors.bytes().get(..layout.size).unwrap_or(&[]));
    bytes.resize(layout.size, 0);
    if components == 0 {
        return bytes;
    }
    let size = bytes.len() as u32;
    let mut put_half = |at: usize, value: u32| {
        if let Some(target) = bytes.get_mut(at..at + 4) {
            target.copy_from_slice(&value.to_le_bytes());
        }
    };
    put_half(SOFTWARE_AT, MAGIC1);
    put_half(SOFTWARE_AT + 4, size + 4);
    put_half(SOFTWARE_AT + 8, components as u32);
    put_half(SOFTWARE_AT + 12, (components >> 32) as u32);
    put_half(SOFTWARE_AT + 16, size);
    bytes.extend_from_slice(&MAGIC2.to_le_bytes());
    bytes
}

/// What a frame says about how the program goes on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Return {
    /// The registers; segments and flags are sanitised.
    pub context: Context,
    /// What is blocked.
    pub mask: SignalSet,
    /// Where the image of the vector registers is; 0 for clean ones.
    pub vectors: u64,
}

/// Reads a frame.
#[must_use]
pub fn parse(bytes: &[u8; FRAME_SIZE]) -> Return {
    let register = |index: usize| get(bytes, REGISTERS_AT + index * 8);
    let context = Context {
        r8: register(0),
        r9: register(1),
        r10: register(2),
        r11: register(3),
        r12: register(4),
        r13: register(5),
        r14: register(6),
        r15: register(7),
        rdi: register(8),
        rsi: register(9),
        rbp: register(10),
        rbx: register(11),
        rdx: register(12),
        rax: register(13),
        rcx: register(14),
        rsp: register(15),
        rip: register(16),
        rflags: register(17),
        ..Context::default()
    };
    Return {
        context: context.sanitised(),
        mask: SignalSet::from_bits(get(bytes, MASK_AT)).without(SignalSet::ABSOLUTE),
        vectors: get(bytes, VECTORS_AT),
    }
}

/// How many bytes of an image are to be read: with Linux's mark behind it.
#[must_use]
pub const fn image_size(layout: VectorLayout) -> usize {
    if layout.components == 0 {
        layout.size
    } else {
        layout.size + 4
    }
}

/// Least bytes of a stack for a handler.
#[must_use]
pub const fn least_stack(layout: VectorLayout) -> u64 {
    // Both alignments, and what is above the frame.
    (FRAME_SIZE + image_size(layout) + 64 + 16) as u64 + RED_ZONE
}

/// The vector registers that a program's image asks for: [`image_size`] bytes, or the first of them.
#[must_use]
pub fn vectors(image: &[u8], layout: VectorLayout) -> VectorState {
    let VectorLayout {
        size,
        components,
        mxcsr_mask,
    } = layout;
    let mut state = VectorState::clean(size);
    let legacy = image.get(..HEADER_AT.min(image.len())).unwrap_or(&[]);
    state.write(0, legacy);
    let mxcsr = get_half(legacy, MXCSR_AT) & mxcsr_mask;
    state.write(MXCSR_AT, &mxcsr.to_le_bytes());
    if components == 0 {
        return state;
    }
    let marked = get_half(image, SOFTWARE_AT) == MAGIC1
        && get_half(image, SOFTWARE_AT + 16) as usize == size
        && get_half(image, size) == MAGIC2;
    let present = if marked {
        state.write(HEADER_AT, image.get(HEADER_AT..size).unwrap_or(&[]));
        get(image, HEADER_AT) & components
    } else {
        LEGACY_COMPONENTS & components
    };
    let mut header = [0; HEADER_SIZE];
    put(&mut header, 0, present);
    state.write(HEADER_AT, &header);
    state
}

fn put(bytes: &mut [u8], at: usize, word: u64) {
    if let Some(target) = bytes.get_mut(at..at + 8) {
        target.copy_from_slice(&word.to_le_bytes());
    }
}

fn get(bytes: &[u8], at: usize) -> u64 {
    let word = bytes.get(at..).and_then(<[u8]>::first_chunk);
    word.copied().map_or(0, u64::from_le_bytes)
}

fn get_half(bytes: &[u8], at: usize) -> u32 {
    let word = bytes.get(at..).and_then(<[u8]>::first_chunk);
    word.copied().map_or(0, u32::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signal::Signal;
    use proptest::prelude::*;

    const LAYOUT: VectorLayout = VectorLayout {
        size: 832,
        components: 7,
        mxcsr_mask: 0xffff,
    };
    const INFO: Info = Info::from_kernel(Signal::ALARM);

    fn context() -> Context {
        Context {
            r15: 15,
            rax: 1,
            rip: 0x40_1000,
            rsp: 0x7fff_0008,
            rflags: 0x246,
            ..Context::default()
        }
        .sanitised()
    }

    fn built(context: &Context, layout: VectorLayout, top: Top) -> Frame {
        let mut vectors = VectorState::clean(layout.size);
        vectors.write(160, &[7; 16]);
        let interrupted = Interrupted {
            context,
            vectors: &vectors,
            layout,
            mask: SignalSet::EMPTY.with(Signal::HANGUP),
            stack: None,
        };
        build(&interrupted, &INFO, 0x1234, top).unwrap()
    }

    fn words_at(frame: &Frame, at: usize) -> u64 {
        get(&frame.bytes, at)
    }

    #[test]
    fn a_frame_is_where_linux_has_it_and_leads_back() {
        let context = context();
        for layout in [
            LAYOUT,
            VectorLayout {
                size: 512,
                components: 0,
                mxcsr_mask: 0xffbf,
            },
        ] {
            let frame = built(&context, layout, Top::Interrupted);
            assert_eq!(frame.address % 16, 8);
            assert!(frame.address + frame.bytes.len() as u64 <= context.rsp - RED_ZONE);
            assert!(frame.bytes.len() as u64 <= least_stack(layout));
            assert_eq!(words_at(&frame, 0), 0x1234);
            let back = parse(frame.bytes.first_chunk().unwrap());
            assert_eq!(back.context, context);
            assert!(back.mask.has(Signal::HANGUP));
            assert_eq!(back.vectors % 64, 0);
            let image = &frame.bytes[(back.vectors - frame.address) as usize..];
            assert_eq!(image.len(), image_size(layout));
            assert_eq!(vectors(image, layout).bytes()[170], 7);
        }
    }

    #[test]
    fn a_handler_gets_its_arguments() {
        let frame = built(&context(), LAYOUT, Top::Interrupted);
        let entered = enter(&context(), frame.address, 0x40_2000, &INFO);
        assert_eq!((entered.rip, entered.rdi, entered.rax), (0x40_2000, 14, 0));
        assert_eq!(words_at(&frame, (entered.rsi - frame.address) as usize) as u8, 14);
        assert_eq!(entered.rdx, frame.address + 8);
    }

    #[test]
    fn the_alternate_stack_is_used_from_its_top() {
        let stack = AlternateStack {
            start: 0x10_0000,
            size: 0x2000,
        };
        let frame = built(&context(), LAYOUT, Top::Alternate(stack));
        assert!(frame.address > 0x10_0000 && frame.address < 0x10_2000);
        assert_eq!(stack_words(Some(stack), frame.address)[1], 1);
        assert_eq!(stack_words(Some(stack), 0x7fff_0000)[1], 0);
        assert_eq!(stack_words(None, 0)[1], 2);
    }

    #[test]
    fn no_room_is_no_frame() {
        let context = Context {
            rsp: 1000,
            ..context()
        };
        let vectors = VectorState::clean(LAYOUT.size);
        let interrupted = Interrupted {
            context: &context,
            vectors: &vectors,
            layout: LAYOUT,
            mask: SignalSet::EMPTY,
            stack: None,
        };
        assert!(build(&interrupted, &INFO, 0, Top::Interrupted).is_none());
    }

    proptest! {
        #[test]
        fn whatever_a_program_writes_no_cpu_refuses_the_vector_registers(
            noise in prop::collection::vec((0usize..840, any::<u64>()), 0..40), length in 0usize..840, mark in any::<u8>(),
        ) {
            let frame = built(&context(), LAYOUT, Top::Interrupted);
            let at = parse(frame.bytes.first_chunk().unwrap()).vectors - frame.address;
            let mut image = frame.bytes[at as usize..].to_vec();
            for (at, word) in noise {
                put(&mut image, at, word);
            }
            if mark % 2 == 0 {
                image.truncate(length);
            }
            let state = vectors(&image, LAYOUT);
            let bytes = state.bytes();
            prop_assert_eq!(get_half(bytes, MXCSR_AT) & !LAYOUT.mxcsr_mask, 0);
            prop_assert_eq!(get(bytes, HEADER_AT) & !LAYOUT.components, 0);
            prop_assert!(bytes[HEADER_AT + 8..HEADER_AT + HEADER_SIZE].iter().all(|byte| *byte == 0));
        }

        #[test]
        fn whatever_a_program_writes_it_stays_in_ring_3(bytes in prop::collection::vec(any::<u8>(), FRAME_SIZE)) {
            let back = parse(bytes.first_chunk().unwrap());
            prop_assert_eq!(back.context, back.context.sanitised());
            prop_assert!(!back.mask.has(Signal::KILL) && !back.mask.has(Signal::STOP));
        }
    }
}
