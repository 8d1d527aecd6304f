//! The boot self-test: does this CPU keep ring 1 in ring 1?
//!
//! QEMU's TCG gives CPL 0 to 64-bit ring-1 code that loads a null SS (selector 1 is legal there and must change nothing).
//! A few instructions in ring 1 load one, try to clear IF, and report the flags they then see. They leave by iretq to
//! the flat segments, which puts TCG's privilege level right again, and come back by the gate that an unregistered
//! `syscall` uses.
use crate::machine::Machine;
use crate::{panic, switcher};
use abi::selector::{KERNEL_CS, KERNEL_SS};
use xen_lite::addr::{Level, Mfn};
use xen_lite::platform::PhysMem;
use xen_lite::switcher::{MISSING_SYSCALL_VECTOR, Registers};

/// Where the code is mapped, in the lower half, which is nobody's yet.
const CODE: u64 = 0x40_0000;
/// RFLAGS.IF.
const INTERRUPT: u64 = 1 << 9;

core::arch::global_asm!(
    ".section .rodata.cpu_test, \"a\"",
    ".global cpu_test_start, cpu_test_end",
    "cpu_test_start:",
    "mov rbx, rsp",
    "mov eax, 1",
    "mov ss, eax",
    "pushfq",
    "and qword ptr [rsp], ~0x200",
    "popfq",
    "pushfq",
    "pop rdi",
    "push {ss}",
    "push rbx",
    "push 0x202",
    "push {cs}",
    "lea rax, [rip + 2f]",
    "push rax",
    "iretq",
    "2: int {vector}",
    "cpu_test_end:",
    ss = const KERNEL_SS,
    cs = const KERNEL_CS,
    vector = const MISSING_SYSCALL_VECTOR,
);

unsafe extern "C" {
    static cpu_test_start: u8;
    static cpu_test_end: u8;
}

/// The frames of the test's address space: root, L3, L2, L1, code, stack.
pub(crate) struct CpuTest {
    frames: [Mfn; 6],
    registers: Registers,
}

impl Machine {
    /// Whether the test runs.
    #[inline]
    pub(crate) fn testing_cpu(&self) -> bool {
        self.cpu_test.is_some()
    }

    /// Starts the test; goes on in [`Self::finish_cpu_test`].
    pub(crate) fn start_cpu_test(&mut self) -> ! {
        let frames = [(); 6].map(
            |()| match self.world.frames.alloc_hypervisor(&mut self.world.mem) {
                Some(frame) => frame,
                None => panic::cannot_start("no memory for the self-test"),
            },
        );
        let [root, l3, l2, l1, code, stack] = frames;
        let mem = &mut self.world.mem;
        mem.write(root, Level::L4.index_of(CODE), l3.address() | 3);
        mem.write(root, abi::layout::HYPERVISOR_SLOT, self.idle_set.slot_entry());
        mem.write(l3, Level::L3.index_of(CODE), l2.address() | 3);
        mem.write(l2, Level::L2.index_of(CODE), l1.address() | 3);
        mem.write(l1, Level::L1.index_of(CODE), code.address() | 1);
        mem.write(l1, Level::L1.index_of(CODE) + 1, stack.address() | 3 | 1 << 63);
        let start = &raw const cpu_test_start;
        let length = (&raw const cpu_test_end) as usize - start as usize;
        // SAFETY: the code between the two symbols is a constant of the image, shorter than a page.
        mem.write_bytes(code, 0, unsafe { core::slice::from_raw_parts(start, length) });
        self.idle_set.set_guest_root(mem, root);
        let registers = Registers {
            rip: CODE,
            cs: u64::from(KERNEL_CS),
            rflags: 0x202,
            rsp: CODE + 2 * abi::layout::PAGE_SIZE,
            ss: u64::from(KERNEL_SS),
            ..Registers::default()
        };
        let test = self.cpu_test.insert(CpuTest { frames, registers });
        let registers = &raw const test.registers;
        // SAFETY: the idle set is shown; the root maps the code and its stack for ring 1.
        unsafe { switcher::resume(registers) }
    }

    /// The end of the test: the flags that ring 1 saw are in rdi of the registers that the idle set saves to.
    pub(crate) fn finish_cpu_test(&mut self) -> ! {
        let seen = crate::idle_registers().rdi;
        if let Some(test) = self.cpu_test.take() {
            for frame in test.frames {
                self.world.frames.free_hypervisor(&mut self.world.mem, frame);
            }
        }
        self.start_guests(seen & INTERRUPT != 0)
    }
}
