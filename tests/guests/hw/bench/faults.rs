//! Counts of demand faults: a page that is not there is touched, the kernel's handler maps it by `update_va_mapping` and
//! goes back, and the access succeeds. Each round touches another page; all get the same frame.
use super::{BATCHES, Loop, ROUNDS, Ring, batch};
use abi::layout::{CR2_WORD, PAGE_SIZE};
use abi::trap::vector;
use guests::runtime::frame::Frame;
use guests::runtime::{code, memory, trap};
use guests::{check, println};

/// mov rax, [rbx]; add rbx, 4096
const TOUCH_AND_GO_ON: [u8; 10] = [0x48, 0x8b, 0x03, 0x48, 0x81, 0xc3, 0x00, 0x10, 0x00, 0x00];

/// The handler: keeps all registers that a hypercall does not; the new entry is in r14.
fn handler() -> u64 {
    let [a, b, c, d, e, f, g, h] = CR2_WORD.to_le_bytes();
    code::kernel(&[
        0x50, 0x51, 0x52, 0x56, 0x57, // push rax, rcx, rdx, rsi, rdi
        0x41, 0x50, 0x41, 0x51, 0x41, 0x52, 0x41, 0x53, // push r8 to r11
        0x48, 0xbf, a, b, c, d, e, f, g, h, // mov rdi, CR2_WORD
        0x48, 0x8b, 0x3f, // mov rdi, [rdi]
        0x4c, 0x89, 0xf6, // mov rsi, r14
        0x31, 0xd2, // xor edx, edx: nothing to flush
        0xb8, 14, 0, 0, 0, // mov eax, update_va_mapping
        0xcd, 0x82, // int 0x82
        0x41, 0x5b, 0x41, 0x5a, 0x41, 0x59, 0x41, 0x58, // pop r11 to r8
        0x5f, 0x5e, 0x5a, 0x59, 0x58, // pop rdi, rsi, rdx, rcx, rax
        0x48, 0x83, 0xc4, 0x08, // add rsp, 8: the error code
        0x48, 0xcf, // iretq
    ])
}

/// The least count of [`ROUNDS`] faults, of several batches.
fn measure(ring: Ring) -> u64 {
    let body = Loop::around(&TOUCH_AND_GO_ON);
    let (area, flags) = match ring {
        Ring::One => (memory::kernel_area(ROUNDS), memory::KERNEL_DATA),
        Ring::Three => (memory::user_area(ROUNDS), memory::USER_DATA),
    };
    let frame = match ring {
        Ring::One => Frame::ring1(code::kernel(body.bytes()), memory::stack(1)),
        Ring::Three => Frame::ring3(code::user(body.bytes()), memory::user_stack()),
    };
    let pages = || (0..ROUNDS).map(|page| area + page * PAGE_SIZE);
    pages().for_each(memory::make_tables);
    let present = memory::mfn(memory::allocate()) << 12 | flags;
    (0..BATCHES).fold(u64::MAX, |least, _| {
        pages().for_each(|page| memory::set(page, 0));
        let mut frame = frame;
        (frame.rbx, frame.r14) = (area, present);
        let count = batch(&mut frame);
        let mapped = pages().all(|page| memory::leaf(page).value == present | 1 << 5);
        check!(mapped, "each page was mapped and read");
        least.min(count)
    })
}

pub(super) fn run() {
    trap::register(trap::bounced(vector::PF, handler()));
    for (name, ring) in [("demand-ring-3", Ring::Three), ("demand-ring-1", Ring::One)] {
        let empty = super::measure(ring, &[], 0);
        // The step to the next page is the loop's own.
        println!("bench {name} {}", (measure(ring) - empty) / ROUNDS - 1);
    }
    trap::install();
}
