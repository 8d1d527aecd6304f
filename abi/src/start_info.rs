//! What a guest finds when it starts.
//!
//! rip is the ELF's entry, rsp the top of a 16 KiB stack (16-aligned) that is also the stack for traps from
//! ring 3 until `stack_switch`, rsi the address of [`StartInfo`], in the physmap; every other register is 0, the flags
//! 0x202, CS and SS the flat ring-1 ones, the data segments null. No trap has a handler.
//!
//! Frames by pfn: the kernel's segments from 0 on, then the module, the frame list, [`StartInfo`] itself,
//! the stack, the page tables; all from [`StartInfo::first_free_pfn`] on are free and zero.

/// "xen-lite" in memory order.
pub const MAGIC: u64 = u64::from_le_bytes(*b"xen-lite");

/// Size of the initial stack, in bytes.
pub const STACK_SIZE: u64 = 16 * 1024;

/// The page that rsi points to. Addresses are virtual, in the physmap, unless they say otherwise.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct StartInfo {
    /// [`MAGIC`].
    pub magic: u64,
    /// Interface version, as `xen_version` returns it.
    pub version: u64,
    /// Bits of [`crate::start_info::flags`].
    pub flags: u64,
    /// Number of the domain.
    pub domain_id: u32,
    /// How often this domain has been restarted.
    pub restart_count: u32,
    /// Frames that the domain owns: pfns 0 to `nr_pages - 1`.
    pub nr_pages: u64,
    /// The frame list: `nr_pages` u64, entry `pfn` is the machine frame number.
    pub mfn_list: u64,
    /// The module of the manifest, 0 if there is none.
    pub module: u64,
    /// Its size in bytes.
    pub module_size: u64,
    /// Bottom of the initial stack; it ends [`STACK_SIZE`] above.
    pub stack: u64,
    /// First page-table frame, as a pfn: the root. All tables follow it.
    pub page_tables_pfn: u64,
    /// How many frames of page tables there are.
    pub nr_page_tables: u64,
    /// Machine frame of the root.
    pub root_mfn: u64,
    /// All frames from this pfn on are unused.
    pub first_free_pfn: u64,
    /// Name of the domain, NUL-padded.
    pub name: [u8; 32],
    /// Command line, NUL-terminated.
    pub command_line: [u8; 1024],
}
const _: () = assert!(size_of::<StartInfo>() <= 4096);

/// Bits of [`StartInfo::flags`].
pub mod flags {
    /// The user's keys went to this domain when it was built.
    pub const CONSOLE: u64 = 1 << 0;
    /// The boot self-test found that this CPU (QEMU's TCG) gives ring 0 to ring-1 code that loads a null SS:
    /// do not load one.
    pub const NULL_SS_UNSAFE: u64 = 1 << 1;
    /// Supervisor-mode execution prevention is on.
    pub const SMEP: u64 = 1 << 2;
    /// RDFSBASE and its like work.
    pub const FSGSBASE: u64 = 1 << 3;
    /// XSAVE is on; XCR0 says which states.
    pub const XSAVE: u64 = 1 << 4;
    /// User-mode instruction prevention is on: SGDT, SIDT, STR, SMSW fault.
    pub const UMIP: u64 = 1 << 5;
}
