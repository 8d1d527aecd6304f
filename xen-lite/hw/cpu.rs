//! The CPU's state as whole constants: nothing is inherited from firmware.
//!
//! After reset LDTR is live (a guest that maps address 0 would own a call gate), CSTAR leads to 0, and firmware may leave
//! anything in the rest; so each register is written, not edited.
use crate::switcher;
use core::arch::asm;
use core::sync::atomic::{AtomicBool, Ordering};
use raw_cpuid::CpuId;
use x86_64::registers::control::{Cr0, Cr0Flags, Cr3, Cr4, Cr4Flags, Efer, EferFlags};
use x86_64::registers::model_specific::Msr;
use xen_lite::switcher::IDT_ENTRIES;

const PAT: u32 = 0x277;
const DEBUGCTL: u32 = 0x1d9;
const SYSENTER_CS: u32 = 0x174;
const SYSENTER_ESP: u32 = 0x175;
const SYSENTER_EIP: u32 = 0x176;
const STAR: u32 = 0xc000_0081;
const LSTAR: u32 = 0xc000_0082;
const CSTAR: u32 = 0xc000_0083;
const FMASK: u32 = 0xc000_0084;
const FS_BASE: u32 = 0xc000_0100;
const GS_BASE: u32 = 0xc000_0101;
const KERNEL_GS_BASE: u32 = 0xc000_0102;
const TSC_AUX: u32 = 0xc000_0103;

/// The PAT after reset.
const PAT_RESET: u64 = 0x0007_0406_0007_0406;
/// All flags but the reserved bit: IF, TF, DF, NT and AC among them. Without NT in it a user could make the
/// syscall entry's iretq fault.
const FMASK_VALUE: u64 = 0x0025_7fd5;
/// x87, SSE, AVX and the three AVX-512 states: what a guest may keep in XCR0.
const XCR0_WANTED: u64 = 0b1110_0111;

/// What this CPU has of what xen-lite uses.
#[derive(Clone, Copy)]
pub(crate) struct Features {
    pub(crate) smep: bool,
    pub(crate) umip: bool,
    pub(crate) fsgsbase: bool,
    pub(crate) rdtscp: bool,
    /// XCR0's value, where XSAVE is there.
    pub(crate) xcr0: Option<u64>,
}

impl Features {
    /// Asks CPUID.
    pub(crate) fn read() -> Self {
        let cpuid = CpuId::new();
        let basic = cpuid.get_feature_info();
        let extended = cpuid.get_extended_feature_info();
        let xsave = basic.as_ref().is_some_and(raw_cpuid::FeatureInfo::has_xsave);
        let supported = core::arch::x86_64::__cpuid_count(0xd, 0);
        let supported = u64::from(supported.edx) << 32 | u64::from(supported.eax);
        Self {
            smep: extended
                .as_ref()
                .is_some_and(raw_cpuid::ExtendedFeatures::has_smep),
            umip: extended
                .as_ref()
                .is_some_and(raw_cpuid::ExtendedFeatures::has_umip),
            fsgsbase: extended
                .as_ref()
                .is_some_and(raw_cpuid::ExtendedFeatures::has_fsgsbase),
            rdtscp: cpuid
                .get_extended_processor_and_feature_identifiers()
                .is_some_and(|features| features.has_rdtscp()),
            xcr0: xsave.then(|| xcr0(supported)),
        }
    }
}

/// The part of what is wanted that the CPU has; AVX-512 is whole or absent, and needs AVX.
fn xcr0(supported: u64) -> u64 {
    let mut value = supported & XCR0_WANTED | 1;
    if value & 0b1110_0000 != 0b1110_0000 || value & 0b100 == 0 {
        value &= 0b111;
    }
    value
}

/// Writes every control register and MSR that a guest's code depends on.
///
/// # Safety
/// Once, at boot, in ring 0 under a root that maps the running code.
pub(crate) unsafe fn set_registers(features: &Features) {
    let mut cr4 = Cr4Flags::PHYSICAL_ADDRESS_EXTENSION
        | Cr4Flags::OSFXSR
        | Cr4Flags::OSXMMEXCPT_ENABLE
        | Cr4Flags::MACHINE_CHECK_EXCEPTION;
    cr4.set(Cr4Flags::SUPERVISOR_MODE_EXECUTION_PROTECTION, features.smep);
    cr4.set(Cr4Flags::USER_MODE_INSTRUCTION_PREVENTION, features.umip);
    cr4.set(Cr4Flags::FSGSBASE, features.fsgsbase);
    cr4.set(Cr4Flags::OSXSAVE, features.xcr0.is_some());
    let cr0 = Cr0Flags::PAGING
        | Cr0Flags::WRITE_PROTECT
        | Cr0Flags::ALIGNMENT_MASK
        | Cr0Flags::NUMERIC_ERROR
        | Cr0Flags::EXTENSION_TYPE
        | Cr0Flags::MONITOR_COPROCESSOR
        | Cr0Flags::PROTECTED_MODE_ENABLE;
    let efer = EferFlags::SYSTEM_CALL_EXTENSIONS
        | EferFlags::LONG_MODE_ENABLE
        | EferFlags::LONG_MODE_ACTIVE
        | EferFlags::NO_EXECUTE_ENABLE;
    // SAFETY: paging, long mode and NX stay on; the rest is protection that the image obeys.
    unsafe { Cr0::write_raw(cr0.bits()) };
    // SAFETY: as above; every bit was seen in CPUID or is part of long mode.
    unsafe { Cr4::write_raw(cr4.bits()) };
    BY_INSTRUCTION.store(features.fsgsbase, Ordering::Relaxed);
    // SAFETY: as above.
    unsafe { Efer::write_raw(efer.bits()) };
    let syscall = switcher::text_address(switcher::Label::Syscall);
    for (msr, value) in [
        (PAT, PAT_RESET),
        (DEBUGCTL, 0),
        (SYSENTER_CS, 0),
        (SYSENTER_ESP, 0),
        (SYSENTER_EIP, 0),
        (STAR, u64::from(abi::selector::HYPERVISOR_CS) << 32),
        (LSTAR, syscall),
        (CSTAR, syscall), // compatibility mode cannot be reached; if it could, it would land in the same stub
        (FMASK, FMASK_VALUE),
        (FS_BASE, 0),
        (GS_BASE, 0),
        (KERNEL_GS_BASE, 0),
    ] {
        write_msr(msr, value);
    }
    if features.rdtscp {
        write_msr(TSC_AUX, 0);
    }
    if let Some(xcr0) = features.xcr0 {
        // SAFETY: OSXSAVE is on and CPUID lists every bit of the value.
        unsafe { asm!("xsetbv", in("ecx") 0, in("eax") xcr0 as u32, in("edx") (xcr0 >> 32) as u32) };
    }
    // SAFETY: only breakpoints are turned off.
    unsafe { asm!("mov dr7, {}", in(reg) 0x400_u64) };
}

/// Loads GDTR, IDTR, TR from the vCPU's set (the same addresses for every vCPU), no LDT, null data segments.
///
/// `ltr` marks the TSS busy in the GDT, which is read-only where the guest sees it: the first GDTR is `writable_gdt`, the same
/// page in the direct map.
///
/// # Safety
/// A complete vCPU set is mapped in slot 256; its TSS descriptor is marked available.
pub(crate) unsafe fn load_tables(writable_gdt: u64) {
    let pointer = |address: u64, limit: u16| -> [u8; 10] {
        let mut bytes = [0; 10];
        bytes[..2].copy_from_slice(&limit.to_le_bytes());
        bytes[2..].copy_from_slice(&address.to_le_bytes());
        bytes
    };
    let gdt_limit = (abi::selector::GDT_ENTRIES * 8 - 1) as u16;
    let gdt = pointer(switcher::gdt_address(), gdt_limit);
    let writable_gdt = pointer(writable_gdt, gdt_limit);
    let idt = pointer(switcher::idt_address(), (IDT_ENTRIES * 16 - 1) as u16);
    // SAFETY: the tables are there (the caller's duty); CS and SS keep selectors whose descriptors are the same.
    unsafe {
        asm!(
            "lgdt [{writable_gdt}]", "ltr {tss:x}",
            "lgdt [{gdt}]", "lidt [{idt}]", "lldt {zero:x}",
            "mov ds, {zero:e}", "mov es, {zero:e}", "mov fs, {zero:e}", "mov gs, {zero:e}",
            writable_gdt = in(reg) &raw const writable_gdt, gdt = in(reg) &raw const gdt, idt = in(reg) &raw const idt,
            zero = in(reg) 0_u64, tss = in(reg) u64::from(abi::selector::TSS),
        );
    }
}

/// The root table's physical address.
pub(crate) fn root() -> u64 {
    Cr3::read_raw().0.start_address().as_u64()
}

/// The stack pointer, in its caller.
#[inline(always)]
pub(crate) fn stack_pointer() -> u64 {
    let rsp;
    // SAFETY: a register is read.
    unsafe { asm!("mov {}, rsp", out(reg) rsp, options(nomem, nostack, preserves_flags)) };
    rsp
}

/// Writes an MSR.
fn write_msr(number: u32, value: u64) {
    // SAFETY: callers in this file pass MSRs of long mode with values that the SDM allows.
    unsafe { Msr::new(number).write(value) };
}

/// Segment bases are read and written by instructions of their own (FSGSBASE), not as MSRs.
static BY_INSTRUCTION: AtomicBool = AtomicBool::new(false);

/// The segment bases of a guest, which has no selectors for them.
#[derive(Clone, Copy, Default)]
pub(crate) struct SegmentBases {
    pub(crate) fs: u64,
    pub(crate) gs: u64,
}

impl SegmentBases {
    /// What the CPU has now: a guest may have set them by itself (wrfsbase).
    #[inline(always)]
    pub(crate) fn read() -> Self {
        if BY_INSTRUCTION.load(Ordering::Relaxed) {
            let (fs, gs);
            // SAFETY: CR4 allows these instructions, which have no effect.
            unsafe { asm!("rdfsbase {}", "rdgsbase {}", out(reg) fs, out(reg) gs, options(nomem, nostack)) };
            return Self { fs, gs };
        }
        // SAFETY: reading these MSRs has no effect.
        let fs = unsafe { Msr::new(FS_BASE).read() };
        // SAFETY: as above.
        let gs = unsafe { Msr::new(GS_BASE).read() };
        Self { fs, gs }
    }

    /// Loads null data selectors, then the bases. TCG lets a guest set a non-canonical base, at which the loading of it would
    /// fault: such a base becomes 0.
    #[inline(always)]
    pub(crate) fn load(self) {
        // SAFETY: 64-bit code needs none of these segments.
        unsafe {
            asm!("mov ds, {0:e}", "mov es, {0:e}", "mov fs, {0:e}", "mov gs, {0:e}", in(reg) 0);
        }
        let canonical = |base: u64| if abi::layout::is_canonical(base) { base } else { 0 };
        let (fs, gs) = (canonical(self.fs), canonical(self.gs));
        if BY_INSTRUCTION.load(Ordering::Relaxed) {
            // SAFETY: CR4 allows these instructions; the bases are canonical, and no code of ours uses them.
            unsafe { asm!("wrfsbase {}", "wrgsbase {}", in(reg) fs, in(reg) gs, options(nomem, nostack)) };
        } else {
            write_msr(FS_BASE, fs);
            write_msr(GS_BASE, gs);
        }
    }
}
