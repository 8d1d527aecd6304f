//! Traps: the handlers, what a case may do with a trap, and how it survives one.
//!
//! Every handler saves all registers and asks, in this order: the case's hook, then the innermost [`attempt`]. A
//! trap that neither wants ends the guest.
#![allow(
    clippy::result_large_err,
    reason = "a guest has no heap to put a trap's registers in"
)]
use abi::layout::{CR2_WORD, USER_RSP_WORD};
use abi::selector::{KERNEL_CS, KERNEL_SS, USER_CS, USER_SS};
use abi::trap::{BounceFrame, TrapInfo, flags, is_guest_exception};
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use super::frame::{FLAGS, Frame};
use super::{UNEXPECTED_TRAP, call, end, memory};

const VECTORS: usize = 256;
/// What [`Frame::vector`] says when the `syscall` instruction entered.
pub const SYSCALL_VECTOR: u64 = 0xf0;

core::arch::global_asm!(
    // One handler for each exception, for bounced delivery: the error slot is always there.
    ".balign 16",
    ".global guest_bounced_handlers",
    "guest_bounced_handlers:",
    ".irp v, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31",
    ".balign 16",
    "push \\v",
    "jmp guest_trap_common",
    ".endr",
    // Below: vector, error, rip, cs, rflags, rsp, ss. A direct trap leaves DF as the user had it.
    ".global guest_trap_common",
    "guest_trap_common:",
    "push rax",
    "push rcx",
    "push rdx",
    "push rbx",
    "push rbp",
    "push rsi",
    "push rdi",
    "push r8",
    "push r9",
    "push r10",
    "push r11",
    "push r12",
    "push r13",
    "push r14",
    "push r15",
    "cld",
    "mov rdi, rsp",
    "mov rbp, rsp",
    "and rsp, -16",
    "call {on_trap}",
    "mov rsp, rbp",
    "restore_and_return:",
    "pop r15",
    "pop r14",
    "pop r13",
    "pop r12",
    "pop r11",
    "pop r10",
    "pop r9",
    "pop r8",
    "pop rdi",
    "pop rsi",
    "pop rbp",
    "pop rbx",
    "pop rdx",
    "pop rcx",
    "pop rax",
    "add rsp, 16",
    ".global guest_frame_iretq",
    "guest_frame_iretq:",
    "iretq",
    // The syscall entry: makes a frame like a trap's, with a vector that no trap has.
    ".global guest_syscall_entry",
    "guest_syscall_entry:",
    "push {user_ss}",
    "push rax",
    "movabs rax, qword ptr [{user_rsp_word}]",
    "xchg rax, [rsp]",
    "push r11",
    "push {user_cs}",
    "push rcx",
    "push 0",
    "push {syscall_vector}",
    "jmp guest_trap_common",
    // load_frame(rdi: *const Frame): copies the frame to the stack first, so that a refused iretq finds room below it.
    ".global guest_load_frame",
    "guest_load_frame:",
    ".irp n, 21,20,19,18,17,16,15,14,13,12,11,10,9,8,7,6,5,4,3,2,1,0",
    "push qword ptr [rdi + 8 * \\n]",
    ".endr",
    "jmp restore_and_return",
    // attempt_enter(rdi: function, rsi: its argument) -> 0 when it returned, 1 when a trap ended it.
    ".global guest_attempt_enter",
    "guest_attempt_enter:",
    "push rbx",
    "push rbp",
    "push r12",
    "push r13",
    "push r14",
    "push r15",
    "push qword ptr [rip + {recovery}]",
    "mov [rip + {recovery}], rsp",
    "mov rax, rdi",
    "mov rdi, rsi",
    "call rax",
    "xor eax, eax",
    "jmp 2f",
    ".global guest_attempt_resume",
    "guest_attempt_resume:",
    "mov eax, 1",
    "2:",
    "pop qword ptr [rip + {recovery}]",
    "pop r15",
    "pop r14",
    "pop r13",
    "pop r12",
    "pop rbp",
    "pop rbx",
    "ret",
    on_trap = sym on_trap,
    recovery = sym RECOVERY,
    user_ss = const USER_SS,
    user_cs = const USER_CS,
    user_rsp_word = const USER_RSP_WORD,
    syscall_vector = const SYSCALL_VECTOR,
);

unsafe extern "C" {
    static guest_bounced_handlers: u8;
    static guest_frame_iretq: u8;
    static guest_attempt_resume: u8;
    static guest_trap_common: u8;
    static guest_syscall_entry: u8;
    fn guest_attempt_enter(function: extern "C" fn(u64), argument: u64) -> u64;
    fn guest_load_frame(frame: *const Frame) -> !;
}

/// Stack pointer of the innermost `attempt_enter`; 0: none.
static RECOVERY: AtomicU64 = AtomicU64::new(0);
static HOOK: AtomicUsize = AtomicUsize::new(0);
static READS: AtomicU64 = AtomicU64::new(0);
static COUNTS: [AtomicU64; VECTORS] = [const { AtomicU64::new(0) }; VECTORS];

struct Last(core::cell::UnsafeCell<Frame>);
// SAFETY: a guest has one vCPU; the trap entry writes it, the code that it resumes reads it.
unsafe impl Sync for Last {}
static LAST: Last = Last(core::cell::UnsafeCell::new(Frame {
    r15: 0,
    r14: 0,
    r13: 0,
    r12: 0,
    r11: 0,
    r10: 0,
    r9: 0,
    r8: 0,
    rdi: 0,
    rsi: 0,
    rbp: 0,
    rbx: 0,
    rdx: 0,
    rcx: 0,
    rax: 0,
    vector: 0,
    error: 0,
    rip: 0,
    cs: 0,
    rflags: 0,
    rsp: 0,
    ss: 0,
    cr2: 0,
    user_rsp: 0,
    at: 0,
}));

/// What a hook did with a trap.
pub enum Hooked {
    /// It changed the frame as it wants; go back to it.
    Resume,
    /// Not its business: the innermost [`attempt`] gets the trap.
    Pass,
}

/// A case's own look at every trap.
pub type Hook = fn(&mut Frame) -> Hooked;

/// Sets, or takes away, the hook.
pub fn hook(hook: Option<Hook>) {
    HOOK.store(hook.map_or(0, |hook| hook as usize), Ordering::Relaxed);
}

/// Whether a trap would end an [`attempt`], and not the guest.
#[must_use]
pub fn is_attempted() -> bool {
    RECOVERY.load(Ordering::Relaxed) != 0
}

/// How many traps of this vector came so far.
#[must_use]
pub fn count(vector: u8) -> u64 {
    COUNTS[usize::from(vector)].load(Ordering::Relaxed)
}

/// How many handlers have read their words so far: until then an upcall has to keep them.
#[must_use]
pub fn reads() -> u64 {
    READS.load(Ordering::SeqCst)
}

fn run_hook(frame: &mut Frame) -> Hooked {
    let hook = HOOK.load(Ordering::Relaxed);
    if hook == 0 {
        return Hooked::Pass;
    }
    // SAFETY: only `hook` stores here, and it stores a `Hook`.
    let hook = unsafe { core::mem::transmute::<usize, Hook>(hook) };
    hook(frame)
}

extern "C" fn on_trap(saved: *mut Frame) {
    let mut frame = Frame::default();
    let words = core::mem::offset_of!(Frame, cr2) / 8;
    // SAFETY: the entry saved this many words there.
    unsafe { core::ptr::copy_nonoverlapping(saved.cast::<u64>(), (&raw mut frame).cast(), words) };
    frame.cr2 = memory::peek(CR2_WORD);
    frame.user_rsp = memory::peek(USER_RSP_WORD);
    READS.fetch_add(1, Ordering::SeqCst);
    frame.at = saved as u64;
    if let Some(count) = COUNTS.get(frame.vector as usize) {
        count.fetch_add(1, Ordering::Relaxed);
    }
    match run_hook(&mut frame) {
        Hooked::Resume => {}
        Hooked::Pass => recover(&mut frame),
    }
    // SAFETY: as above, back.
    unsafe { core::ptr::copy_nonoverlapping((&raw const frame).cast::<u64>(), saved.cast(), words) };
}

fn recover(frame: &mut Frame) {
    let recovery = RECOVERY.load(Ordering::Relaxed);
    if recovery == 0 {
        crate::println!("unexpected trap: {frame:x?}");
        end(UNEXPECTED_TRAP);
    }
    // SAFETY: nothing else runs now; see `Last`.
    unsafe { LAST.0.get().write(*frame) };
    frame.rip = (&raw const guest_attempt_resume) as u64;
    frame.cs = u64::from(KERNEL_CS);
    frame.rflags = FLAGS;
    frame.rsp = recovery;
    frame.ss = u64::from(KERNEL_SS);
}

/// Runs `f`; a trap inside it, in whatever ring, ends it and is returned. Attempts nest.
///
/// # Errors
/// The registers that the trap found.
pub fn attempt<F: FnOnce()>(f: F) -> Result<(), Frame> {
    extern "C" fn invoke<F: FnOnce()>(argument: u64) {
        // SAFETY: `argument` is the address of `f`'s slot below, which outlives this call.
        let slot = unsafe { &mut *(argument as *mut Option<F>) };
        if let Some(f) = slot.take() {
            f();
        }
    }
    let mut slot = Some(f);
    // SAFETY: the assembly keeps what the ABI of functions wants kept, on both ways out.
    let trapped = unsafe { guest_attempt_enter(invoke::<F>, (&raw mut slot) as u64) };
    if trapped == 0 {
        return Ok(());
    }
    // SAFETY: `recover` wrote it before it resumed us.
    Err(unsafe { LAST.0.get().read() })
}

/// Loads all registers of `frame` by this guest's own iretq and returns what the next trap found.
#[must_use]
pub fn run(frame: &Frame) -> Frame {
    let address = &raw const *frame;
    let end = attempt(|| {
        // SAFETY: leaves by iretq; the trap that comes back resumes `attempt`.
        unsafe { guest_load_frame(address) }
    });
    match end {
        Ok(()) => Frame::default(),
        Err(found) => found,
    }
}

/// Address of the iretq that [`run`] uses: where the CPU refuses a bad frame.
#[must_use]
pub fn iretq_address() -> u64 {
    (&raw const guest_frame_iretq) as u64
}

/// The runtime's own syscall entry.
#[must_use]
pub fn syscall_entry_address() -> u64 {
    (&raw const guest_syscall_entry) as u64
}

/// Where every handler continues; a handler made by [`super::code::handler`] jumps there.
#[must_use]
pub fn common_address() -> u64 {
    (&raw const guest_trap_common) as u64
}

/// The runtime's own handler of an exception, for bounced delivery.
#[must_use]
pub fn bounced_handler(vector: u8) -> u64 {
    (&raw const guest_bounced_handlers) as u64 + u64::from(vector) * 16
}

/// An entry for bounced delivery on the flat segment.
#[must_use]
pub fn bounced(vector: u8, address: u64) -> TrapInfo {
    TrapInfo {
        vector,
        flags: 0,
        cs: KERNEL_CS,
        pad: 0,
        address,
    }
}

/// An entry for direct delivery; ring 3 may raise it by `int n`.
#[must_use]
pub fn direct(vector: u8, address: u64) -> TrapInfo {
    TrapInfo {
        vector,
        flags: flags::DIRECT | flags::DPL_MASK,
        cs: KERNEL_CS,
        pad: 0,
        address,
    }
}

/// Registers the runtime's handlers for every exception, all bounced, and a stack for traps from ring 3.
///
/// The frame of a trap begins at [`Frame::at`] + [`super::frame::BOUNCED_AT`].
pub fn install() {
    let mut table = [TrapInfo::default(); 32];
    let mut used = 0;
    for vector in (0..32).filter(|vector| is_guest_exception(*vector)) {
        table[used] = bounced(vector, bounced_handler(vector));
        used += 1;
    }
    let returned = call::set_trap_table(&table[..used]);
    crate::check!(
        returned.ok().is_ok(),
        "the runtime's own trap table is taken: {returned:x?}"
    );
    let switched = call::stack_switch(trap_stack());
    crate::check!(
        switched.is_ok(),
        "the runtime's own trap stack is taken: {switched:?}"
    );
}

/// Registers one entry and fails the case where it is refused.
pub fn register(entry: TrapInfo) {
    let returned = call::set_trap_table(&[entry]);
    crate::check!(returned.ok().is_ok(), "{entry:x?} is taken: {returned:x?}");
}

const STACK_BYTES: usize = 16 * 1024;
#[repr(C, align(4096))]
struct TrapStack(core::cell::UnsafeCell<[u8; STACK_BYTES]>);
// SAFETY: only the CPU, the bounce and the handlers use it, as a stack.
unsafe impl Sync for TrapStack {}
static TRAP_STACK: TrapStack = TrapStack(core::cell::UnsafeCell::new([0; STACK_BYTES]));

/// Top of the stack for traps from ring 3.
#[must_use]
pub fn trap_stack() -> u64 {
    TRAP_STACK.0.get() as u64 + STACK_BYTES as u64
}

/// Where a bounced trap from ring 1 leaves its frame, by the ABI: below the red zone, 16-aligned.
#[must_use]
pub fn bounced_from_ring1_at(rsp: u64) -> u64 {
    (rsp.wrapping_sub(128) & !15).wrapping_sub(size_of::<BounceFrame>() as u64)
}
