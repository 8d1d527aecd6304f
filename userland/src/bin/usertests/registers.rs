//! Vector registers: each process' own, and kept.
use crate::check::{Check, Works, child, ends_well, expect, same, tests};
use core::arch::asm;
use linux_raw_sys::general as linux;
use userland::process;
use userland::signal;

tests! {
    vectors_survive_calls
    vectors_are_copied_by_fork
    vectors_survive_other_processes
    vectors_survive_handlers
    flags_survive_calls
}

/// xmm0 to xmm15.
type Vectors = [[u64; 2]; 16];

fn pattern(seed: u64) -> Vectors {
    core::array::from_fn(|index| {
        [
            seed.wrapping_mul(index as u64 + 1),
            !seed.wrapping_add(index as u64),
        ]
    })
}

/// Loads the registers, makes a call `times` times, and says what is in them then, and the last result.
macro_rules! around {
    ($instruction:literal, $vectors:expr, $number:expr, $first:expr, $second:expr, $times:expr) => {{
        let result: i64;
        // SAFETY: the call has no pointers; the compiler knows of all registers that change.
        unsafe {
            asm!(
                "movups xmm0, [r12 + 0]", "movups xmm1, [r12 + 16]", "movups xmm2, [r12 + 32]", "movups xmm3, [r12 + 48]",
                "movups xmm4, [r12 + 64]", "movups xmm5, [r12 + 80]", "movups xmm6, [r12 + 96]", "movups xmm7, [r12 + 112]",
                "movups xmm8, [r12 + 128]", "movups xmm9, [r12 + 144]", "movups xmm10, [r12 + 160]", "movups xmm11, [r12 + 176]",
                "movups xmm12, [r12 + 192]", "movups xmm13, [r12 + 208]", "movups xmm14, [r12 + 224]", "movups xmm15, [r12 + 240]",
                "2: mov rax, r14",
                "mov rdi, r15",
                $instruction,
                "dec r13",
                "jnz 2b",
                "movups [r12 + 0], xmm0", "movups [r12 + 16], xmm1", "movups [r12 + 32], xmm2", "movups [r12 + 48], xmm3",
                "movups [r12 + 64], xmm4", "movups [r12 + 80], xmm5", "movups [r12 + 96], xmm6", "movups [r12 + 112], xmm7",
                "movups [r12 + 128], xmm8", "movups [r12 + 144], xmm9", "movups [r12 + 160], xmm10", "movups [r12 + 176], xmm11",
                "movups [r12 + 192], xmm12", "movups [r12 + 208], xmm13", "movups [r12 + 224], xmm14", "movups [r12 + 240], xmm15",
                in("r12") $vectors,
                inout("r13") $times => _,
                in("r14") $number,
                in("r15") $first,
                in("rsi") $second,
                out("rax") result,
                clobber_abi("C"),
            );
        }
        result
    }};
}

fn around(vectors: &mut Vectors, number: u32, arguments: [u64; 2], times: u64) -> i64 {
    let vectors = &raw mut *vectors;
    let (number, [first, second]) = (u64::from(number), arguments);
    #[cfg(any(feature = "linux", not(target_os = "none")))]
    return around!("syscall", vectors, number, first, second, times);
    #[cfg(not(any(feature = "linux", not(target_os = "none"))))]
    return around!("int 0x80", vectors, number, first, second, times);
}

fn vectors_survive_calls() -> Check {
    let mut vectors = pattern(3);
    around(&mut vectors, linux::__NR_getppid, [0, 0], 100);
    expect(vectors == pattern(3), "a register has changed")
}

fn vectors_are_copied_by_fork() -> Check {
    let mut vectors = pattern(5);
    let pid = around(&mut vectors, linux::__NR_fork, [0, 0], 1);
    let is_right = vectors == pattern(5);
    if pid == 0 {
        process::exit(i32::from(!is_right));
    }
    expect(is_right, "the parent's")?;
    expect(pid > 0, "fork")?;
    ends_well(pid as i32)
}

/// Several processes fill them differently and give way to each other.
fn vectors_survive_other_processes() -> Check {
    let mut pids = alloc::vec::Vec::new();
    for seed in 1..=4 {
        pids.push(child(|| {
            let good = (0..20).all(|round| {
                let mut vectors = pattern(seed * 1000 + round);
                around(&mut vectors, linux::__NR_sched_yield, [0, 0], 20);
                vectors == pattern(seed * 1000 + round)
            });
            i32::from(!good)
        })?);
    }
    pids.into_iter().try_for_each(ends_well)
}

extern "C" fn spoils_vectors(_: i32) {
    let mut vectors = pattern(77);
    around(&mut vectors, linux::__NR_getppid, [0, 0], 1);
}

fn vectors_survive_handlers() -> Check {
    // SAFETY: the handler changes registers alone.
    unsafe {
        signal::set_handler(
            signal::SIGUSR1,
            spoils_vectors as *const () as usize,
            0,
            signal::Set::EMPTY,
        )
    }
    .works("sigaction")?;
    let mut vectors = pattern(9);
    let to = [process::id() as u64, u64::from(signal::SIGUSR1)];
    same(around(&mut vectors, linux::__NR_kill, to, 10), 0, "kill")?;
    expect(vectors == pattern(9), "a register has changed")
}

/// The direction flag, and others that a program may set, are as they were.
fn flags_survive_calls() -> Check {
    const FLAGS: u64 = 0x4_0000 | 0x400 | 0x8d5;
    let flags: u64;
    macro_rules! flags_after {
        ($instruction:literal) => {
            // SAFETY: the call is getppid; the flags are put back before anything else runs.
            unsafe {
                asm!(
                    "pushfq", "push {set}", "popfq", "mov eax, {number}", $instruction, "pushfq", "pop {set}", "popfq",
                    set = inout(reg) FLAGS => flags,
                    number = const linux::__NR_getppid,
                    out("rax") _, out("rcx") _, out("r11") _,
                )
            }
        };
    }
    #[cfg(any(feature = "linux", not(target_os = "none")))]
    flags_after!("syscall");
    #[cfg(not(any(feature = "linux", not(target_os = "none"))))]
    flags_after!("int 0x80");
    same(flags & FLAGS & !0x4_0000, FLAGS & !0x4_0000, "flags")
}
