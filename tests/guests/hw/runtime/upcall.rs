//! Events: the upcall, and the return that never needs more stack, as the interface describes them.
use abi::callback::{CallbackOp, CallbackType};
use abi::errno::Errno;
use abi::hypercall::Hypercall;
use abi::layout::{CR2_WORD, SHARED_INFO, USER_RSP_WORD};
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use super::{call, event};

core::arch::global_asm!(
    // rsp: error code, or the place in the region; rip, cs, rflags, rsp, ss.
    ".global guest_serving_upcall",
    "guest_serving_upcall:",
    "cmp qword ptr [rsp], 0",
    "cmovne rax, [rip + {saved_rax}]",
    "2:",
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
    "movabs rax, qword ptr [{cr2_word}]",
    "push rax",
    "movabs rax, qword ptr [{user_rsp_word}]",
    "push rax",
    "cld",
    "mov rdi, rsp",
    "mov rbp, rsp",
    "and rsp, -16",
    "call {on_upcall}",
    "mov rsp, rbp",
    "pop rax",
    "movabs qword ptr [{user_rsp_word}], rax",
    "pop rax",
    "movabs qword ptr [{cr2_word}], rax",
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
    "add rsp, 8",
    "mov [rip + {saved_rax}], rax",
    "movabs rax, {shared_info}",
    "mov byte ptr [rax + 1], 0",
    ".global guest_serving_upcall_region",
    "guest_serving_upcall_region:",
    "cmp byte ptr [rax], 0",
    "jne 3f",
    "mov rax, [rip + {saved_rax}]",
    "iretq",
    "3:",
    "mov byte ptr [rax + 1], 1",
    ".global guest_serving_upcall_region_end",
    "guest_serving_upcall_region_end:",
    "mov rax, [rip + {saved_rax}]",
    "push 0",
    "jmp 2b",
    // touch(address): a load of three bytes, and a place to skip to.
    ".global guest_touch",
    "guest_touch:",
    "mov rax, [rdi]",
    "ret",
    saved_rax = sym SAVED_RAX,
    on_upcall = sym on_upcall,
    cr2_word = const CR2_WORD,
    user_rsp_word = const USER_RSP_WORD,
    shared_info = const SHARED_INFO,
);

unsafe extern "C" {
    static guest_serving_upcall: u8;
    static guest_serving_upcall_region: u8;
    static guest_serving_upcall_region_end: u8;
    fn guest_touch(address: u64);
}

static SAVED_RAX: AtomicU64 = AtomicU64::new(0);
static HOOK: AtomicUsize = AtomicUsize::new(0);
static COUNT: AtomicU64 = AtomicU64::new(0);
static IN_REGION: AtomicU64 = AtomicU64::new(0);
static LOWEST: AtomicU64 = AtomicU64::new(u64::MAX);

/// What an upcall found, lowest address first.
#[repr(C)]
#[derive(Clone, Copy, Default, Debug)]
#[allow(missing_docs, reason = "the registers' names are the documentation")]
pub struct UpcallFrame {
    pub user_rsp: u64,
    pub cr2: u64,
    /// r15 to rax.
    pub general: [u64; 15],
    /// 0, or the place in the region.
    pub error: u64,
    pub rip: u64,
    pub cs: u64,
    pub rflags: u64,
    pub rsp: u64,
    pub ss: u64,
}

/// A case's own look at every upcall, after its ports are served.
pub type Hook = fn(&mut UpcallFrame);

/// Sets, or takes away, the hook.
pub fn hook(hook: Option<Hook>) {
    HOOK.store(hook.map_or(0, |hook| hook as usize), Ordering::Relaxed);
}

extern "C" fn on_upcall(frame: *mut UpcallFrame) {
    COUNT.fetch_add(1, Ordering::Relaxed);
    LOWEST.fetch_min(frame as u64, Ordering::Relaxed);
    // SAFETY: the entry saved it there, and nobody else looks.
    let frame = unsafe { &mut *frame };
    if frame.error != 0 {
        IN_REGION.fetch_add(1, Ordering::Relaxed);
    }
    event::serve();
    // Afterwards, so that an event which the hook brings about is another upcall's.
    let hook = HOOK.load(Ordering::Relaxed);
    if hook != 0 {
        // SAFETY: only `hook` stores here, and it stores a `Hook`.
        let hook = unsafe { core::mem::transmute::<usize, Hook>(hook) };
        hook(frame);
    }
}

/// Registers the runtime's upcall with its region.
pub fn install() {
    let [region, end] = region();
    register(address(), region, end);
}

/// Registers an upcall with a region; 0 and 0 for none.
pub fn register(address: u64, region: u64, end: u64) {
    let done = try_register(address, region, end);
    crate::check!(done.is_ok(), "an upcall at {address:#x} is taken: {done:?}");
}

/// The same, where it may be refused.
///
/// # Errors
/// What the hypervisor said.
pub fn try_register(address: u64, region: u64, end: u64) -> Result<u64, Errno> {
    let arguments = [
        CallbackOp::Register.raw(),
        CallbackType::Event.raw(),
        address,
        region,
        end,
    ];
    call::call(Hypercall::CallbackOp, &arguments).ok()
}

/// Takes the upcall away.
pub fn unregister() {
    let arguments = [CallbackOp::Unregister.raw(), CallbackType::Event.raw()];
    let done = call::call(Hypercall::CallbackOp, &arguments).ok();
    crate::check!(done == Ok(0), "the upcall is taken away: {done:?}");
}

/// The runtime's upcall.
#[must_use]
pub fn address() -> u64 {
    (&raw const guest_serving_upcall) as u64
}

/// Its region.
#[must_use]
pub fn region() -> [u64; 2] {
    [
        (&raw const guest_serving_upcall_region) as u64,
        (&raw const guest_serving_upcall_region_end) as u64,
    ]
}

/// Loads from an address whose fault the trap hook ends by skipping three bytes at [`touch_address`].
pub fn touch(address: u64) {
    // SAFETY: a load that changes nothing; a fault is the case's.
    unsafe { guest_touch(address) };
}

/// Where [`touch`] faults.
#[must_use]
pub fn touch_address() -> u64 {
    guest_touch as *const () as u64
}

/// Upcalls so far.
pub fn count() -> u64 {
    COUNT.load(Ordering::Relaxed)
}

/// Those that came inside the region.
pub fn count_in_region() -> u64 {
    IN_REGION.load(Ordering::Relaxed)
}

/// The lowest frame that any upcall had since the last question.
pub fn lowest_frame() -> u64 {
    LOWEST.swap(u64::MAX, Ordering::Relaxed)
}
