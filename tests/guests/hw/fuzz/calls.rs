//! Hypercalls: each with arguments that it might take, or with any.
use abi::event::PORTS;
use abi::hypercall::Hypercall;
use abi::layout::PAGE_SHIFT;
use abi::memory::MemoryOp;
use abi::mmu::{MAX_BATCH, MmuUpdate, MmuextCommand, MmuextOp};
use abi::multicall::{MAX_ENTRIES, MulticallEntry};
use abi::sched::SchedOp;
use abi::trap::{MAX_ENTRIES as MAX_TRAPS, TrapInfo};
use core::mem::offset_of;
use guests::fuzz::Finding;
use guests::runtime::memory::{self, A, D};
use guests::runtime::{call, time};

use super::world::World;
use super::{floor, found, is_result};

/// A call.
#[derive(Clone, Copy)]
pub(crate) struct Call {
    pub(crate) number: u64,
    pub(crate) arguments: [u64; 5],
}

core::arch::global_asm!(
    // fuzz_call(rdi: *mut Made): 0 where all that a hypercall keeps is kept, and all that it clears is 0.
    ".global fuzz_call",
    "fuzz_call:",
    "push rbx",
    "push rbp",
    "push r12",
    "push r13",
    "push r14",
    "push r15",
    "push rdi",
    "mov rbx, rdi",
    "lea rbp, [rdi + 1]",
    "lea r12, [rdi + 2]",
    "lea r13, [rdi + 3]",
    "lea r14, [rdi + 4]",
    "lea r15, [rdi + 5]",
    "mov rax, [rbx]",
    "mov rsi, [rbx + 16]",
    "mov rdx, [rbx + 24]",
    "mov r10, [rbx + 32]",
    "mov r8, [rbx + 40]",
    "mov rdi, [rbx + 8]",
    "mov rcx, -1",
    "mov r9, -1",
    "mov r11, -1",
    "int 0x82",
    "or rcx, rdi",
    "or rcx, rsi",
    "or rcx, r8",
    "or rcx, r9",
    "or rcx, r10",
    "or rcx, r11",
    "pop rdi",
    "mov [rdi + 48], rax",
    "mov [rdi + 56], rdx",
    "sub rbx, rdi",
    "or rcx, rbx",
    "lea rax, [rdi + 1]",
    "sub rax, rbp",
    "or rcx, rax",
    "lea rax, [rdi + 2]",
    "sub rax, r12",
    "or rcx, rax",
    "lea rax, [rdi + 3]",
    "sub rax, r13",
    "or rcx, rax",
    "lea rax, [rdi + 4]",
    "sub rax, r14",
    "or rcx, rax",
    "lea rax, [rdi + 5]",
    "sub rax, r15",
    "or rax, rcx",
    "pop r15",
    "pop r14",
    "pop r13",
    "pop r12",
    "pop rbp",
    "pop rbx",
    "ret",
);

#[repr(C)]
struct Made {
    number: u64,
    arguments: [u64; 5],
    value: u64,
    detail: u64,
}

unsafe extern "C" {
    fn fuzz_call(made: *mut Made) -> u64;
}

impl Call {
    /// Makes it, and looks at the registers afterwards.
    pub(crate) fn make(self) -> call::Returned {
        let Self { number, arguments } = self;
        let mut made = Made {
            number,
            arguments,
            value: 0,
            detail: 0,
        };
        // SAFETY: keeps what the ABI of functions wants kept; what the call does to this guest is a step's subject.
        let changed = unsafe { fuzz_call(&raw mut made) };
        if changed != 0 {
            found(
                Finding::LostRegister,
                format_args!("{changed:#x} after call {number} {arguments:x?}"),
            );
        }
        if !is_result(made.value) {
            found(
                Finding::WrongResult,
                format_args!("{:#x} from call {number} {arguments:x?}", made.value),
            );
        }
        call::Returned {
            value: made.value,
            detail: made.detail,
        }
    }
}

/// Where one call of a list has its arguments.
const ROOM: u64 = 256;

impl World {
    /// A call with its arguments in memory at `at`, where there are [`ROOM`] bytes; or at the end of what is mapped.
    fn call_at(&mut self, at: u64) -> Call {
        let number = match self.lot.below(24) {
            0 => self.lot.word(),
            1 => self.lot.below(40),
            _ => self.lot.of(Hypercall::ALL).raw(),
        };
        let mut arguments = [0; 5].map(|_: u64| self.word());
        let Some(known) = Hypercall::from_raw(number) else {
            return Call { number, arguments };
        };
        if self.lot.one_in(10) {
            self.defuse(known, &mut arguments);
            return Call { number, arguments };
        }
        match known {
            Hypercall::SetTrapTable => {
                let count = self.count(at, size_of::<TrapInfo>() as u64, MAX_TRAPS, &mut arguments);
                for n in 0..count {
                    let entry = self.trap_entry();
                    memory::poke(at + n * 16, entry[0]);
                    memory::poke(at + n * 16 + 8, entry[1]);
                }
            }
            Hypercall::MmuUpdate => {
                let count = self.count(at, size_of::<MmuUpdate>() as u64, MAX_BATCH, &mut arguments);
                for n in 0..count {
                    memory::poke(at + n * 16, self.entry_address());
                    let value = if self.lot.one_in(2) {
                        self.entry()
                    } else {
                        let level = 1 + self.lot.below(4);
                        self.entry_for(level)
                    };
                    memory::poke(at + n * 16 + 8, value);
                }
            }
            Hypercall::MmuextOp => {
                let count = self.count(at, size_of::<MmuextOp>() as u64, MAX_BATCH, &mut arguments);
                for n in 0..count {
                    let operation = self.extended();
                    for (word, value) in operation.into_iter().enumerate() {
                        memory::poke(at + n * 24 + word as u64 * 8, value);
                    }
                }
            }
            Hypercall::MemoryOp => {
                let count = self.lot.below(4);
                for n in 0..count {
                    memory::poke(at + n * 8, self.frame());
                }
                let command = self.lot.of(&[0, 1, 1, 1, 3, 4, 2, 5]);
                arguments = [command, at, count, 0, 0];
                self.defuse(known, &mut arguments);
            }
            Hypercall::UpdateVaMapping => {
                arguments = [self.address() & !0xfff, self.entry(), self.lot.below(4), 0, 0];
                self.defuse(known, &mut arguments);
            }
            Hypercall::UpdateDescriptor => {
                arguments[0] = (14 + self.lot.below(20)) << 3;
                arguments[1] = self.descriptor();
            }
            Hypercall::EventChannelOp => arguments = self.channel(),
            _ => self.defuse(known, &mut arguments),
        }
        Call { number, arguments }
    }

    /// How many elements are written at `at`; what the call is told about them may differ.
    fn count(&mut self, at: u64, size: u64, most: u64, arguments: &mut [u64; 5]) -> u64 {
        let count = 1 + self.lot.below(4);
        arguments[..2].copy_from_slice(&match self.lot.below(12) {
            // It ends with the mapping, or beyond.
            0 => [self.buffer_end - size * self.lot.below(3), count],
            1 => [self.address(), self.lot.below(3)],
            2 => [at, self.lot.of(&[0, most, most + 1, u64::MAX, u64::MAX / size])],
            _ => [at, count],
        });
        count
    }

    /// Takes from a call what ends the life, or lets nothing more be heard of it.
    fn defuse(&mut self, call: Hypercall, arguments: &mut [u64; 5]) {
        match call {
            Hypercall::SchedOp => {
                let deadly = self.deadly && self.lot.one_in(2);
                match SchedOp::from_raw(arguments[0]) {
                    Some(SchedOp::Shutdown) if deadly => arguments[2] = 0,
                    Some(SchedOp::Yield) | None => {}
                    _ => {
                        // The watch's timer ends a wait for events.
                        floor::arm();
                        *arguments = [
                            SchedOp::Block.raw(),
                            1 + self.lot.below(50_000),
                            self.lot.below(9),
                            0,
                            0,
                        ];
                    }
                }
            }
            Hypercall::ConsoleIo => arguments[1] &= self.lot.of(&[3, 15, 63, 0xfff_0000]),
            Hypercall::SetTimerOp if !self.lot.one_in(20) => {
                arguments[0] = time::now_ns().0 + self.lot.below(200_000);
            }
            Hypercall::MemoryOp if arguments[0] == MemoryOp::IncreaseReservation.raw() => {
                // Frames whose numbers nobody keeps are lost to this life.
                arguments[2] = arguments[2].min(1);
            }
            Hypercall::StackSwitch if !self.deadly => {
                arguments[0] =
                    self.good_stack() & self.lot.of(&[!15, !15, !15, !0]) | self.lot.of(&[0, 0, 8]);
            }
            Hypercall::CallbackOp => {
                if !self.deadly {
                    arguments[2] = self.handler();
                }
                arguments[3..].copy_from_slice(&self.region());
                arguments[0] = self.lot.of(&[0, 0, 0, 1, 2]);
                arguments[1] = self.lot.of(&[0, 2, 2, 1]);
            }
            Hypercall::UpdateVaMapping if !self.deadly => {
                let own = self.pages.contains(&(arguments[0] & !0xfff));
                if !own && self.lot.one_in(2) {
                    arguments[0] = self.lot.of(&self.pages);
                }
            }
            _ => {}
        }
    }

    /// An operation of `mmuext_op` that does not take the floor away.
    fn extended(&mut self) -> [u64; 3] {
        let command = match self.lot.below(20) {
            0..5 => MmuextCommand::PinL1,
            5..8 => MmuextCommand::PinL2,
            8..10 => MmuextCommand::PinL3,
            10..12 => MmuextCommand::PinL4,
            12..16 => MmuextCommand::Unpin,
            16 if self.deadly => MmuextCommand::NewBaseptr,
            17 => MmuextCommand::TlbFlushLocal,
            18 => MmuextCommand::InvlpgLocal,
            _ => return [self.lot.word() | 1 << 40, self.word(), self.word()],
        };
        let second = if self.lot.one_in(12) { self.address() } else { 0 };
        [u64::from(command.raw()), self.frame(), second]
    }

    /// Arguments of `event_channel_op`.
    pub(crate) fn channel(&mut self) -> [u64; 5] {
        let command = self.lot.of(&[0, 0, 1, 3, 4, 4, 4, 5, 6, 6, 9, 9, 2, 7]);
        let port = if self.lot.one_in(8) {
            self.lot.of(&[
                0,
                PORTS as u64 - 1,
                PORTS as u64,
                u64::MAX,
                1 << 16 | 1,
                1 << 32 | 1,
            ])
        } else {
            1 + self.lot.below(12)
        };
        match command {
            0 => [command, self.domain(), port, 0, 0],
            6 => [command, self.domain(), 0, 0, 0],
            1 => [command, self.lot.below(4), 0, 0, 0],
            _ => [command, port, 0, 0, 0],
        }
    }

    /// An entry of a trap table.
    pub(crate) fn trap_entry(&mut self) -> [u64; 2] {
        let vector = match self.lot.below(4) {
            0 => self.lot.below(256),
            1 => self.lot.of(&[0x40, 0x41, 0x80, 3, 4]),
            _ => self.lot.below(20),
        };
        let flags = if self.lot.one_in(6) {
            self.lot.below(256)
        } else {
            self.lot.below(4) | self.lot.of(&[0, 4, 8, 8])
        };
        let cs = match self.lot.below(12) {
            0 if self.deadly => self.selector() | 1,
            // Refused, whatever the table holds: the privilege.
            0 | 1 => self.selector() & !3 | self.lot.of(&[0, 2, 3]),
            _ => 0x19,
        };
        let pad = if self.lot.one_in(30) { 1 << 40 } else { 0 };
        let address = match self.lot.below(8) {
            0 => 0,
            1 if self.deadly => self.address(),
            1 => self.lot.of(&[
                1 << 47,
                abi::layout::SWITCHER_TEXT,
                abi::layout::SLOT_END - 1,
                1 << 63,
            ]),
            _ => self.handler(),
        };
        [vector | flags << 8 | cs << 16 | pad, address]
    }
}

/// One call; where it is about an entry of a page table, the entry is looked at before and after.
pub(crate) fn one(world: &mut World) {
    if world.lot.one_in(4) {
        return entry(world);
    }
    let at = world.buffer + 8 * world.lot.below(16);
    world.call_at(at).make();
}

/// An entry is what an accepted update made it, but for the bits that the CPU sets, and a refused one has not changed it.
fn entry(world: &mut World) {
    let (table, index) = (world.node(), world.lot.below(512));
    let level = 1 + world.lot.below(4);
    let value = if world.lot.one_in(3) {
        world.entry()
    } else {
        world.entry_for(level)
    };
    let at = world.window_of(table).wrapping_add(index * 8);
    // It may show another frame by now.
    if !memory::entry(at, 1).is_some_and(|leaf| leaf.is_present() && leaf.mfn() == table) {
        return;
    }
    let before = memory::peek(at);
    let call = Call {
        number: Hypercall::MmuUpdate.raw(),
        arguments: [world.buffer, 1, 0, 0, 0],
    };
    memory::poke(world.buffer, (table << PAGE_SHIFT).wrapping_add(index * 8));
    memory::poke(world.buffer + 8, value);
    let done = call.make();
    let after = memory::peek(at);
    let expected = if done.ok().is_ok() { value } else { before };
    if (after ^ expected) & !(A | D) != 0 {
        found(
            Finding::WrongEntry,
            format_args!(
                "entry {index} of {table:#x}: {before:#x}, {value:#x} gave {done:x?} and {after:#x}"
            ),
        );
    }
}

/// A list of calls; a list may be longer than allowed, or lie where it is not to be read or written.
pub(crate) fn list(world: &mut World) {
    let size = size_of::<MulticallEntry>() as u64;
    let arguments = offset_of!(MulticallEntry, arguments) as u64;
    let count = 1 + world.lot.below(6);
    let list = world.buffer;
    for n in 0..count {
        let room = world.buffer_end - (n + 2) * ROOM;
        let call = world.call_at(room);
        let at = list + n * size;
        memory::poke(at, call.number);
        for (word, argument) in call.arguments.into_iter().enumerate() {
            memory::poke(at + arguments + word as u64 * 8, argument);
        }
    }
    let [list, count] = match world.lot.below(12) {
        0 => [world.buffer_end - size * world.lot.below(3), 4],
        1 => [world.address(), 2],
        2 => [list, world.lot.of(&[0, MAX_ENTRIES, MAX_ENTRIES + 1, u64::MAX])],
        _ => [list, count],
    };
    Call {
        number: Hypercall::Multicall.raw(),
        arguments: [list, count, 0, 0, 0],
    }
    .make();
}
