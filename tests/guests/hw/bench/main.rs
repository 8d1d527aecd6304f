//! Counts instructions: under `-icount shift=0` the time-stamp counter ticks once for each.
//!
//! Each line `bench NAME N` is the least of several batches, less an empty loop's: what one round trip takes beyond the
//! loop, the instruction that enters included, with the shortest handler that goes back.
#![no_std]
#![no_main]

mod calls;
mod faults;
mod switch;

use abi::hypercall::Hypercall;
use abi::trap::vector;
use abi::version::XenVersion;
use guests::runtime::frame::Frame;
use guests::runtime::{call, code, memory, start_info, trap};
use guests::{check, check_eq, command_line, println, program};

program!(main);

const ROUNDS: u64 = 100;
const BATCHES: u64 = 20;

/// rdtsc; merged; r12 = start. Loop r13 times over BODY. rdtsc; rax = end. Then ud2.
struct Loop {
    bytes: [u8; 64],
    used: usize,
}

impl Loop {
    fn around(body: &[u8]) -> Self {
        let mut this = Self {
            bytes: [0x90; 64],
            used: 0,
        };
        // rdtsc; shl rdx, 32; or rax, rdx; mov r12, rax
        this.push(&[
            0x0f, 0x31, 0x48, 0xc1, 0xe2, 0x20, 0x48, 0x09, 0xd0, 0x49, 0x89, 0xc4,
        ]);
        let start = this.used;
        this.push(body);
        // dec r13; jnz start
        this.push(&[0x49, 0xff, 0xcd]);
        let back = start as i8 - (this.used as i8 + 2);
        this.push(&[0x75, back as u8]);
        this.push(&[0x0f, 0x31, 0x48, 0xc1, 0xe2, 0x20, 0x48, 0x09, 0xd0]);
        this.push(&code::UD2);
        this
    }

    fn push(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.bytes[self.used] = *byte;
            self.used += 1;
        }
    }

    fn bytes(&self) -> &[u8] {
        &self.bytes[..self.used]
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Ring {
    One,
    Three,
}

/// Ticks of [`ROUNDS`] rounds, the least of all batches.
fn measure(ring: Ring, body: &[u8], rax: u64) -> u64 {
    let code = Loop::around(body);
    let frame = match ring {
        Ring::One => Frame::ring1(code::kernel(code.bytes()), memory::stack(1)),
        Ring::Three => Frame::ring3(code::user(code.bytes()), memory::user_stack()),
    };
    let hole = memory::user_area(1);
    (0..BATCHES).fold(u64::MAX, |least, _| {
        let mut frame = frame;
        (frame.rbx, frame.r14) = (hole, rax);
        least.min(batch(&mut frame))
    })
}

/// Ticks of one batch.
fn batch(frame: &mut Frame) -> u64 {
    frame.r13 = ROUNDS;
    let found = trap::run(frame);
    check_eq!(found.vector, u64::from(END), "the loop ends");
    found.rax.wrapping_sub(found.r12)
}

/// #UD is measured too: the loops end with it at a place of their own.
const END: u8 = vector::UD;

fn report(name: &str, ring: Ring, body: &[u8], rax: u64, extra: u64) {
    let empty = measure(ring, &[], 0);
    let full = measure(ring, body, rax);
    let per_round = (full - empty) / ROUNDS;
    println!("bench {name} {}", per_round - extra);
}

/// The same ways for other vectors and from ring 1.
fn others() {
    let back = code::kernel(&[0x48, 0xcf]);
    trap::register(trap::direct(vector::BP, back));
    report("int3-ring-1", Ring::One, &[0xcc], 0, 0);
    trap::register(trap::direct(0x41, back));
    report("direct-int-ring-1", Ring::One, &[0xcd, 0x41], 0, 0);
    trap::install();
    trap::register(trap::bounced(
        vector::BP,
        code::kernel(&[0x48, 0x83, 0xc4, 0x08, 0x48, 0xcf]),
    ));
    report("bounced-int3-ring-3", Ring::Three, &[0xcc], 0, 0);
    report("bounced-int3-ring-1", Ring::One, &[0xcc], 0, 0);
    trap::install();
}

fn main() {
    trap::install();
    let line = command_line::text(&start_info().command_line);
    let after = command_line::value(line, "after").and_then(|after| after.parse().ok());
    let after = after.unwrap_or(0);
    match command_line::value(line, "role") {
        Some("switcher") => switch::count(after),
        Some("peer") => switch::answer(),
        _ => alone(),
    }
}

/// All that one guest can count.
fn alone() {
    // int 0x80, direct: the handler is iretq.
    trap::register(trap::direct(0x80, code::kernel(&[0x48, 0xcf])));
    report("direct-int80", Ring::Three, &[0xcd, 0x80], 0, 0);
    // #BR by int 5 stands for a direct exception: the same gate, the same handler.
    trap::register(trap::direct(vector::BP, code::kernel(&[0x48, 0xcf])));
    report("direct-exception", Ring::Three, &[0xcc], 0, 0);
    // #PF: the handler skips the three-byte load: add qword [rsp+8], 3; add rsp, 8; iretq
    let skip = [
        0x48, 0x83, 0x44, 0x24, 0x08, 0x03, 0x48, 0x83, 0xc4, 0x08, 0x48, 0xcf,
    ];
    trap::register(trap::bounced(vector::PF, code::kernel(&skip)));
    report("page-fault-ring-3", Ring::Three, &[0x48, 0x8b, 0x03], 0, 0);
    report("page-fault-ring-1", Ring::One, &[0x48, 0x8b, 0x03], 0, 0);
    trap::install();
    // syscall: the entry goes back by iretq: push ss; push rsp word; push r11; push cs; push rcx; iretq.
    // mov r15, [user_rsp] stands for the load of the user's stack pointer.
    let entry = [
        0x6a,
        abi::selector::USER_SS as u8,
        0x41,
        0xff,
        0x37,
        0x41,
        0x53,
        0x6a,
        abi::selector::USER_CS as u8,
        0x51,
        0x48,
        0xcf,
    ];
    let done = call::register_syscall(code::kernel(&entry));
    check!(done.is_ok(), "a syscall entry: {done:?}");
    // mov r15, r14 (the word's address) is the loop's own, and is taken off.
    report(
        "syscall",
        Ring::Three,
        &[0x4d, 0x89, 0xf7, 0x0f, 0x05],
        abi::layout::USER_RSP_WORD,
        1,
    );
    // xor edi, edi; mov eax, 17; int 0x82: the first two are the loop's own.
    check_eq!(
        (Hypercall::XenVersion.raw(), XenVersion::Version.raw()),
        (17, 0),
        "the null call"
    );
    report(
        "null-hypercall",
        Ring::One,
        &[0x31, 0xff, 0xb8, 17, 0, 0, 0, 0xcd, 0x82],
        0,
        2,
    );
    others();
    faults::run();
    calls::run();
    println!("bench done");
}
