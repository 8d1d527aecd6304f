//! Chains of frame pointers for whoever tells of a kernel's end.
use abi::hypercall::Hypercall;
use abi::layout::{PAGE_SIZE, SWITCHER_RW};
use abi::sched::{SchedOp, ShutdownReason};
use guests::catalogue::BAD_CHAINS;
use guests::runtime::memory::{self, KERNEL_DATA, poke};

use super::Run;

pub(crate) const CASES: &[(&str, Run)] = &[("frame-pointers-that-lead-astray", astray)];

/// What a kernel says that gives up.
const CODE: u64 = 7;
const FRAME: u64 = 16;

fn astray(run: u32) {
    // Above every stack pointer of this kernel's, as frames have to be.
    let page = memory::kernel_pages(1, KERNEL_DATA);
    let (first, second, last) = (page, page + FRAME, page + PAGE_SIZE - FRAME);
    match run {
        0 => frame(first, first),
        1 => {
            frame(first, second);
            frame(second, first);
        }
        2 => frame(first, SWITCHER_RW),
        3 => frame(first, page + PAGE_SIZE),
        4 => frame(first, 1 << 47),
        5 => frame(first, u64::MAX - 7),
        6 => (first..last)
            .step_by(FRAME as usize)
            .for_each(|at| frame(at, at + FRAME)),
        _ => {
            frame(first, second);
            poke(second + 8, first);
        }
    }
    const { assert!(BAD_CHAINS == 8, "each run has its chain") };
    give_up(first)
}

/// A frame that is called from here.
fn frame(at: u64, next: u64) {
    poke(at, next);
    poke(at + 8, astray as *const () as u64 + 8);
}

/// `sched_op` shutdown, with this frame pointer.
fn give_up(frame_pointer: u64) -> ! {
    // SAFETY: the hypercall does not come back; if it did, the #UD would say so.
    unsafe {
        core::arch::asm!(
            "mov rbp, rcx",
            "int 0x82",
            "ud2",
            in("rcx") frame_pointer,
            in("rax") Hypercall::SchedOp.raw(),
            in("rdi") SchedOp::Shutdown.raw(),
            in("rsi") ShutdownReason::Crash.raw(),
            in("rdx") CODE,
            options(noreturn),
        )
    }
}
