//! Signal handlers: what they find, what they may change, how they come back.
use crate::check::{Check, Works, checked_child, child, ends, ends_well, expect, same, tests};
use crate::raw;
use core::arch::asm;
use core::sync::atomic::{AtomicUsize, Ordering};
use linux_raw_sys::general as linux;
use userland::process::{self, Status};
use userland::signal::{self, Set};
use userland::{Errno, files};

tests! {
    a_handler_finds_what_came
    a_handler_blocks_its_own_signal
    a_handler_comes_once_when_told_so
    a_handler_on_its_own_stack
    a_stack_of_its_own_that_is_used_up
    a_fault_is_told_with_its_address
    a_fault_that_is_ignored_ends_the_process
    calls_end_with_eintr
    calls_are_made_again
    registers_survive_a_handler
    sigreturn_with_hostile_frames
    handlers_in_handlers
    a_handler_that_is_no_address
}

static COUNT: AtomicUsize = AtomicUsize::new(0);
static NUMBER: AtomicUsize = AtomicUsize::new(0);
static ADDRESS: AtomicUsize = AtomicUsize::new(0);
static STACK: AtomicUsize = AtomicUsize::new(0);
static CHANGE: AtomicUsize = AtomicUsize::new(0);

/// Words of the frame's `ucontext`, from its beginning: flags, link, stack (3), then the registers.
const RSP: usize = 5 + 15;
const RIP: usize = 5 + 16;
const FLAGS: usize = 5 + 17;
const SEGMENTS: usize = 5 + 18;
const FLOATING_POINT: usize = 5 + 23;

extern "C" fn counter(_: i32) {
    COUNT.fetch_add(1, Ordering::Relaxed);
}

/// Counts how often `number` comes.
pub(crate) fn count(number: u32) -> Check {
    set(number, counter as *const () as usize, 0)
}

/// How often it came.
pub(crate) fn counted() -> usize {
    COUNT.load(Ordering::Relaxed)
}

fn set(number: u32, handler: usize, flags: u32) -> Check {
    // SAFETY: these handlers change atomic words alone, or what the test is about.
    unsafe { signal::set_handler(number, handler, flags, Set::EMPTY) }
        .map(|_| ())
        .works("sigaction")
}

/// Word `index` of what the handler got as `siginfo`.
fn info_word(info: *const u64, index: usize) -> usize {
    // SAFETY: the kernel gave the handler a structure of 128 bytes.
    unsafe { info.wrapping_add(index).read_volatile() as usize }
}

extern "C" fn witness(number: i32, info: *const u64, _: *mut u64) {
    COUNT.fetch_add(1, Ordering::Relaxed);
    NUMBER.store(number as usize, Ordering::Relaxed);
    // The number and the code; then the sender's number, or the address.
    ADDRESS.store(info_word(info, 2), Ordering::Relaxed);
    let here = 0u8;
    STACK.store(raw::address(&here), Ordering::Relaxed);
}

fn a_handler_finds_what_came() -> Check {
    set(signal::SIGUSR1, witness as *const () as usize, linux::SA_SIGINFO)?;
    process::kill(process::id(), signal::SIGUSR1).works("kill")?;
    same(COUNT.load(Ordering::Relaxed), 1, "how often")?;
    same(NUMBER.load(Ordering::Relaxed), signal::SIGUSR1 as usize, "which")?;
    same(
        ADDRESS.load(Ordering::Relaxed) as u32,
        process::id() as u32,
        "from whom",
    )
}

extern "C" fn sends_itself_again(number: i32) {
    if COUNT.fetch_add(1, Ordering::Relaxed) == 0 {
        let _ = process::kill(process::id(), number as u32);
        // Had it come at once, it would have been counted here.
        NUMBER.store(COUNT.load(Ordering::Relaxed), Ordering::Relaxed);
    }
}

fn a_handler_blocks_its_own_signal() -> Check {
    set(signal::SIGUSR1, sends_itself_again as *const () as usize, 0)?;
    process::kill(process::id(), signal::SIGUSR1).works("kill")?;
    same(
        (COUNT.load(Ordering::Relaxed), NUMBER.load(Ordering::Relaxed)),
        (2, 1),
        "afterwards",
    )?;
    let pid = checked_child(|| {
        COUNT.store(0, Ordering::Relaxed);
        set(
            signal::SIGUSR1,
            sends_itself_again as *const () as usize,
            linux::SA_NODEFER,
        )?;
        process::kill(process::id(), signal::SIGUSR1).works("kill")?;
        same(
            (COUNT.load(Ordering::Relaxed), NUMBER.load(Ordering::Relaxed)),
            (2, 2),
            "at once",
        )
    })?;
    ends_well(pid)
}

fn a_handler_comes_once_when_told_so() -> Check {
    let pid = checked_child(|| {
        set(
            signal::SIGUSR1,
            counter as *const () as usize,
            linux::SA_RESETHAND,
        )?;
        process::kill(process::id(), signal::SIGUSR1).works("kill")?;
        same(COUNT.load(Ordering::Relaxed), 1, "the first")?;
        process::kill(process::id(), signal::SIGUSR1).works("kill")
    })?;
    ends(pid, Status::Killed(signal::SIGUSR1))
}

/// Bytes of a signal stack.
const SIZE: usize = 1 << 15;

fn use_own_stack() -> Result<usize, alloc::string::String> {
    let stack = process::map_anonymous(SIZE).works("mmap")? as usize;
    let description = [stack, 0, SIZE];
    raw::call(linux::__NR_sigaltstack, [raw::address(&description), 0]).works("sigaltstack")?;
    Ok(stack)
}

extern "C" fn ends_on_own_stack(_: i32) {
    let here = 0u8;
    let on_it = STACK.load(Ordering::Relaxed)..STACK.load(Ordering::Relaxed) + SIZE;
    process::exit(if on_it.contains(&raw::address(&here)) {
        11
    } else {
        12
    })
}

fn a_handler_on_its_own_stack() -> Check {
    let stack = use_own_stack()?;
    set(
        signal::SIGUSR1,
        witness as *const () as usize,
        linux::SA_SIGINFO | linux::SA_ONSTACK,
    )?;
    process::kill(process::id(), signal::SIGUSR1).works("kill")?;
    expect(
        (stack..stack + SIZE).contains(&STACK.load(Ordering::Relaxed)),
        "with SA_ONSTACK",
    )?;
    set(signal::SIGUSR1, witness as *const () as usize, linux::SA_SIGINFO)?;
    process::kill(process::id(), signal::SIGUSR1).works("kill")?;
    expect(
        !(stack..stack + SIZE).contains(&STACK.load(Ordering::Relaxed)),
        "without",
    )?;
    // A stack that has overflowed can be handled on another one.
    let pid = child(|| {
        STACK.store(stack, Ordering::Relaxed);
        let is_set = set(
            signal::SIGSEGV,
            ends_on_own_stack as *const () as usize,
            linux::SA_ONSTACK,
        );
        if is_set.is_ok() { overflow(0) as i32 } else { 1 }
    })?;
    ends(pid, Status::Exited(11))?;
    let small = [stack, 0, 100];
    let refused = raw::call(linux::__NR_sigaltstack, [raw::address(&small), 0]);
    same(refused, Err(Errno::ENOMEM), "a stack that is too small")
}

#[allow(unconditional_recursion, reason = "that is what it is for")]
fn overflow(depth: usize) -> usize {
    let frame = core::hint::black_box([depth; 64]);
    overflow(depth + 1) + core::hint::black_box(frame)[0]
}

extern "C" fn ends_with_address(number: i32, info: *const u64, _: *mut u64) {
    let is_right = info_word(info, 2) == ADDRESS.load(Ordering::Relaxed) && number == signal::SIGSEGV as i32;
    let code = info_word(info, 1) as u32;
    process::exit(if is_right { code as i32 } else { 99 })
}

extern "C" fn raises_again(number: i32) {
    let _ = process::kill(process::id(), number as u32);
}

/// Below it there is memory that is not the stack's: a frame there would destroy it.
fn a_stack_of_its_own_that_is_used_up() -> Check {
    let pid = checked_child(|| {
        let memory = process::map_anonymous(0x40000).works("mmap")? as usize;
        let stack = [memory + 0x3_0000, 0, 0x4000];
        raw::call(linux::__NR_sigaltstack, [raw::address(&stack), 0]).works("sigaltstack")?;
        set(
            signal::SIGUSR1,
            raises_again as *const () as usize,
            linux::SA_ONSTACK | linux::SA_NODEFER,
        )?;
        process::kill(process::id(), signal::SIGUSR1).works("kill")
    })?;
    ends(pid, Status::Killed(signal::SIGSEGV))
}

fn a_fault_is_told_with_its_address() -> Check {
    const NOT_MAPPED: i32 = 1;
    const NO_RIGHT: i32 = 2;
    let read_only = raw::page().works("mmap")?;
    raw::call(linux::__NR_mprotect, [read_only, 4096, linux::PROT_READ as usize]).works("mprotect")?;
    for (address, code) in [
        (0x1234, NOT_MAPPED),
        (raw::UNMAPPED + 5, NOT_MAPPED),
        (read_only + 9, NO_RIGHT),
    ] {
        let pid = child(|| {
            ADDRESS.store(address, Ordering::Relaxed);
            let is_set = set(
                signal::SIGSEGV,
                ends_with_address as *const () as usize,
                linux::SA_SIGINFO,
            );
            if is_set.is_err() {
                return 98;
            }
            raw::poke(address, 1);
            97
        })?;
        ends(pid, Status::Exited(code as u8))?;
    }
    Ok(())
}

fn a_fault_that_is_ignored_ends_the_process() -> Check {
    let pid = child(|| {
        if signal::set(signal::SIGSEGV, signal::Action::Ignore).is_err() {
            return 98;
        }
        raw::peek(8).into()
    })?;
    ends(pid, Status::Killed(signal::SIGSEGV))?;
    let pid = child(|| {
        let blocked = signal::change_mask(signal::Change::Set, Set::ALL);
        if blocked.is_err() { 98 } else { raw::peek(8).into() }
    })?;
    ends(pid, Status::Killed(signal::SIGSEGV))
}

/// A child that sends SIGUSR1 to this process each time that it waits, so many times, and then writes to the pipe.
fn disturb(writer: i32, rounds: usize) -> Result<process::Pid, alloc::string::String> {
    let parent = process::id();
    child(|| {
        for _ in 0..rounds {
            until_it_waits(parent);
            let _ = process::kill(parent, signal::SIGUSR1);
        }
        until_it_waits(parent);
        i32::from(files::write_all(writer, b"x").is_err())
    })
}

/// Looks until a process is in a call that waits.
fn until_it_waits(pid: process::Pid) {
    let path = alloc::format!("/proc/{pid}/stat");
    let state = || {
        files::content(path.as_bytes())
            .ok()
            .and_then(|text| userland::procfs::parse_stat(&text))
    };
    while state().is_some_and(|process| process.state != b'S') {
        process::give_way();
    }
}

fn calls_end_with_eintr() -> Check {
    let (reader, writer) = files::pipe(0).works("pipe")?;
    set(signal::SIGUSR1, counter as *const () as usize, 0)?;
    let pid = disturb(writer.fd(), 1)?;
    same(files::read(reader.fd(), &mut [0]), Err(Errno::EINTR), "read")?;
    same(files::read(reader.fd(), &mut [0]), Ok(1), "read again")?;
    ends_well(pid)?;
    let pid = disturb(writer.fd(), 1)?;
    same(
        userland::time::sleep(core::time::Duration::from_secs(30)),
        Err(Errno::EINTR),
        "nanosleep",
    )?;
    ends_well(pid)
}

fn calls_are_made_again() -> Check {
    let (reader, writer) = files::pipe(0).works("pipe")?;
    set(signal::SIGUSR1, counter as *const () as usize, linux::SA_RESTART)?;
    let pid = disturb(writer.fd(), 3)?;
    same(files::read(reader.fd(), &mut [0]), Ok(1), "read")?;
    same(COUNT.load(Ordering::Relaxed), 3, "how many came")?;
    ends_well(pid)?;
    let pid = disturb(writer.fd(), 1)?;
    ends_well(pid)?;
    // Sleeping is not begun again, whatever the flag.
    let pid = disturb(writer.fd(), 1)?;
    same(
        userland::time::sleep(core::time::Duration::from_secs(30)),
        Err(Errno::EINTR),
        "nanosleep",
    )?;
    ends_well(pid)
}

extern "C" fn spoils_registers(_: i32) {
    COUNT.fetch_add(1, Ordering::Relaxed);
    // SAFETY: the compiler is told.
    unsafe {
        asm!(
            "mov rax, -1", "mov rcx, -1", "mov rdx, -1", "mov rsi, -1", "mov rdi, -1", "mov r8, -1", "mov r9, -1",
            "mov r10, -1", "mov r11, -1", "stc",
            out("rax") _, out("rcx") _, out("rdx") _, out("rsi") _, out("rdi") _, out("r8") _, out("r9") _,
            out("r10") _, out("r11") _,
        );
    }
}

/// A signal that comes while the program computes changes none of its registers.
fn registers_survive_a_handler() -> Check {
    set(signal::SIGUSR1, spoils_registers as *const () as usize, 0)?;
    let parent = process::id();
    let pid = child(|| {
        for _ in 0..20 {
            let _ = process::kill(parent, signal::SIGUSR1);
            process::give_way();
        }
        0
    })?;
    let mut rounds = 0u64;
    while COUNT.load(Ordering::Relaxed) == 0 || process::wait(pid, linux::WNOHANG) == Ok(None) {
        rounds += 1;
        expect(registers_stay(rounds), "a register has changed")?;
    }
    Ok(())
}

fn registers_stay(seed: u64) -> bool {
    let (mut wrong, mut left): (u64, u64);
    // SAFETY: nothing but registers, which the compiler knows of, is changed.
    unsafe {
        asm!(
            "mov r8, {seed}", "lea r9, [{seed} + 1]", "lea r10, [{seed} + 2]", "lea r11, [{seed} + 3]",
            "lea r12, [{seed} + 4]", "lea r13, [{seed} + 5]", "lea r14, [{seed} + 6]", "lea r15, [{seed} + 7]",
            "mov rcx, 2000",
            "2: dec rcx",
            "jnz 2b",
            "sub r8, {seed}", "sub r9, {seed}", "sub r10, {seed}", "sub r11, {seed}",
            "sub r12, {seed}", "sub r13, {seed}", "sub r14, {seed}", "sub r15, {seed}",
            "xor r9, 1", "xor r10, 2", "xor r11, 3", "xor r12, 4", "xor r13, 5", "xor r14, 6", "xor r15, 7",
            "or r8, r9", "or r8, r10", "or r8, r11", "or r8, r12", "or r8, r13", "or r8, r14", "or r8, r15",
            seed = in(reg) seed,
            out("rcx") left, out("r8") wrong, out("r9") _, out("r10") _, out("r11") _, out("r12") _, out("r13") _,
            out("r14") _, out("r15") _,
            options(nostack),
        );
    }
    wrong == 0 && left == 0
}

/// Changes the frame that it returns by, as `CHANGE` says.
extern "C" fn changes_its_frame(_: i32, _: *const u64, context: *mut u64) {
    let put = |index: usize, value: u64| {
        // SAFETY: the frame's words are this test's to spoil.
        unsafe { context.wrapping_add(index).write_volatile(value) }
    };
    let kernel = raw::KERNEL as u64;
    match CHANGE.load(Ordering::Relaxed) {
        0 => put(RIP, kernel),
        1 => put(RIP, raw::NON_CANONICAL as u64),
        2 => put(RIP, 0),
        // Selectors: none, the kernel's, one beyond the table.
        3 => put(SEGMENTS, 0),
        4 => put(SEGMENTS, 0x0010_0000_0000_0008),
        5 => put(SEGMENTS, 0xfff8_0000_0000_fff8),
        // Every flag: only some may be set, and none of them does harm but the trap flag.
        6 => put(FLAGS, !0x100),
        7 => put(FLOATING_POINT, kernel),
        8 => put(FLOATING_POINT, raw::NON_CANONICAL as u64),
        9 => put(FLOATING_POINT, raw::UNMAPPED as u64),
        10 => put(RSP, kernel),
        11 => put(RSP, raw::NON_CANONICAL as u64),
        _ => {}
    }
}

fn flags() -> u64 {
    let flags;
    // SAFETY: the flags are read; the direction and alignment flags that may be set are put right.
    unsafe { asm!("pushfq", "pop {0}", "push 2", "popfq", out(reg) flags) };
    flags
}

/// Whatever stands in the frame, the program is ended or goes on in ring 3 with the interrupts on; nobody else notices.
fn sigreturn_with_hostile_frames() -> Check {
    for change in 0..12 {
        let pid = child(|| {
            CHANGE.store(change, Ordering::Relaxed);
            let handler = changes_its_frame as *const () as usize;
            if set(signal::SIGUSR1, handler, linux::SA_SIGINFO).is_err() {
                return 98;
            }
            let _ = process::kill(process::id(), signal::SIGUSR1);
            let flags = flags();
            // The right to use ports must not be there, interrupts must be on, and no virtual mode.
            let is_harmless = flags & 0x3000 == 0 && flags & 0x200 != 0 && flags & 0x2_0000 == 0;
            if is_harmless { 0 } else { 97 }
        })?;
        let status = process::wait_for(pid).works("wait")?;
        let is_good = matches!(
            status,
            Status::Exited(0) | Status::Killed(signal::SIGSEGV | linux::SIGBUS)
        );
        same((change, is_good), (change, true), "a hostile frame")?;
    }
    // Without any frame.
    for stack in [raw::KERNEL, raw::NON_CANONICAL, raw::UNMAPPED, 0x10] {
        let pid = child(|| {
            // SAFETY: the process ends here.
            unsafe {
                asm!(
                    "mov rsp, {stack}",
                    "mov eax, {number}",
                    "syscall",
                    "ud2",
                    stack = in(reg) stack,
                    number = const linux::__NR_rt_sigreturn,
                    options(noreturn),
                )
            }
        })?;
        let status = process::wait_for(pid).works("wait")?;
        expect(
            matches!(status, Status::Killed(signal::SIGSEGV)),
            "without a frame",
        )?;
    }
    Ok(())
}

extern "C" fn nests(_: i32) {
    if COUNT.fetch_add(1, Ordering::Relaxed) < 20 {
        let other = if COUNT.load(Ordering::Relaxed).is_multiple_of(2) {
            signal::SIGUSR1
        } else {
            signal::SIGUSR2
        };
        let _ = process::kill(process::id(), other);
    }
}

fn handlers_in_handlers() -> Check {
    for number in [signal::SIGUSR1, signal::SIGUSR2] {
        set(number, nests as *const () as usize, linux::SA_NODEFER)?;
    }
    process::kill(process::id(), signal::SIGUSR1).works("kill")?;
    same(COUNT.load(Ordering::Relaxed), 21, "how many came")
}

extern "C" fn ends_with_7(_: i32) {
    process::exit(7);
}

/// A kernel must not call it again and again for the fault that the call itself is.
fn a_handler_that_is_no_address() -> Check {
    let pid = checked_child(|| {
        // Below the alternate stack is memory too: it does not end there by itself.
        let memory = process::map_anonymous(0x20000).works("mmap")? as usize;
        let stack = [memory + 0x10000, 0, 0x4000];
        raw::call(linux::__NR_sigaltstack, [raw::address(&stack), 0]).works("sigaltstack")?;
        set(
            signal::SIGSEGV,
            raw::NON_CANONICAL,
            linux::SA_NODEFER | linux::SA_ONSTACK,
        )?;
        raw::peek(raw::UNMAPPED);
        Ok(())
    })?;
    ends(pid, Status::Killed(signal::SIGSEGV))?;
    // Another signal's fault has a handler that can be called.
    let pid = checked_child(|| {
        set(signal::SIGSEGV, ends_with_7 as *const () as usize, 0)?;
        set(signal::SIGUSR1, raw::NON_CANONICAL, 0)?;
        process::kill(process::id(), signal::SIGUSR1).works("kill")
    })?;
    ends(pid, Status::Exited(7))
}
