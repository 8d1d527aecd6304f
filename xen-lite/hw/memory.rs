//! Physical memory: what is RAM, the direct map, the hypervisor's own root table.
//!
//! ```text
//! slot 256   the current vCPU's switcher set
//! slot 384   direct map: physical address + DIRECT_MAP, all RAM, writable, no execute
//! slot 511   the image at KERNEL_BASE + physical address (text read-only, the rest no-execute); the local APIC's page
//! ```
//! The lower half is empty: a guest's pointer that were used as our own would fault.
use crate::boot_info::{self, BootInfo, Range};
use crate::stacks;
use abi::layout::ENTRIES;
use x86_64::PhysAddr;
use x86_64::structures::paging::{PageTable, PageTableFlags};
use xen_lite::addr::Mfn;
use xen_lite::platform::PhysMem;

/// Where physical address 0 is mapped.
pub(crate) const DIRECT_MAP: u64 = 0xffff_c000_0000_0000;
/// Where the image is mapped: this plus its physical address.
pub(crate) const KERNEL_BASE: u64 = 0xffff_ffff_8000_0000;
/// Where the local APIC is mapped.
pub(crate) const APIC_ADDRESS: u64 = 0xffff_ffff_c000_0000;

const PAGE: u64 = abi::layout::PAGE_SIZE;
const LARGE_PAGE: u64 = 2 << 20;
/// One L2 table maps the machine-to-pfn table.
const MOST_MACHINE_TO_PFN: u64 = 512 * LARGE_PAGE;
/// Most pieces of free RAM: each range of the map, cut by each module and by the image.
const MAX_FREE: usize = boot_info::MAX_RANGES + boot_info::MAX_MODULES + 1;
/// Memory below is left to firmware and its tables.
const LOW_MEMORY: u64 = 1 << 20;
/// Page tables must be made before the direct map exists, through the boot tables' view of the first 4 GiB.
const BOOT_VIEW: u64 = 4 << 30;

unsafe extern "C" {
    static image_physical_start: u8;
    static image_physical_end: u8;
    static text_start: u8;
    static text_end: u8;
    static rodata_start: u8;
    static rodata_end: u8;
    static data_start: u8;
    static data_end: u8;
}

macro_rules! address_of {
    ($symbol:ident) => {
        // The symbol's address is all that is taken.
        (&raw const $symbol) as u64
    };
}

/// The bytes of the hypervisor's code before an address in it.
pub(crate) fn code_before<const N: usize>(address: u64) -> Option<[u8; N]> {
    let first = address.checked_sub(N as u64)?;
    if first < address_of!(text_start) || address > address_of!(text_end) {
        return None;
    }
    // SAFETY: the whole range is code, which is mapped for good and which nobody writes.
    Some(unsafe { (first as *const [u8; N]).read() })
}

/// Physical memory after boot: what the frame table is made of.
pub(crate) struct Memory {
    /// Frames below this number may be RAM.
    pub(crate) frame_limit: u32,
    /// Physical place of the frame table's array.
    pub(crate) frame_table: u64,
    /// Physical place of the machine-to-pfn table, 2 MiB-aligned.
    pub(crate) machine_to_pfn: u64,
    /// Its size in bytes, whole 2 MiB pages.
    pub(crate) machine_to_pfn_size: u64,
    /// The hypervisor's heap.
    pub(crate) heap: Range,
    /// Its root table.
    pub(crate) root: u64,
    /// Ranges of RAM that are nobody's yet.
    free: [Range; MAX_FREE],
    free_count: usize,
}

/// Hands out contiguous memory of one range, upwards.
struct Bump {
    range: Range,
}

impl Bump {
    fn take(&mut self, size: u64, align: u64) -> Result<u64, &'static str> {
        let start = self.range.start.next_multiple_of(align);
        let end = start
            .checked_add(size.next_multiple_of(PAGE))
            .ok_or("memory sizes overflow")?;
        if end > self.range.end {
            return Err("too little contiguous RAM below 4 GiB for xen-lite's own tables");
        }
        self.range.start = end;
        Ok(start)
    }

    /// A zeroed page table; its address is valid under the boot tables.
    fn table(&mut self) -> Result<&'static mut PageTable, &'static str> {
        let address = self.take(PAGE, PAGE)?;
        // SAFETY: the frame is RAM, below 4 GiB, just taken; the boot tables map it one to one.
        let table = unsafe { &mut *(address as *mut PageTable) };
        table.zero();
        Ok(table)
    }
}

impl Memory {
    /// Lays out memory, builds the hypervisor's own root table and switches to it.
    ///
    /// # Safety
    /// Once, at boot, under the boot page tables; `info` is true.
    pub(crate) unsafe fn new(
        info: &BootInfo,
        frame_info_size: u64,
        heap_size: u64,
    ) -> Result<Self, &'static str> {
        let top = info.ram().iter().map(|range| range.end).max().ok_or("no RAM")?;
        let frame_limit = u32::try_from(top / PAGE).map_err(|_| "more than 16 TiB of RAM")?;
        let mut free = [Range::default(); MAX_FREE];
        let free_count = free_ranges(info, &mut free)?;

        let largest = free[..free_count]
            .iter_mut()
            .filter(|range| range.start < BOOT_VIEW)
            .max_by_key(|range| range.end.min(BOOT_VIEW) - range.start)
            .ok_or("no RAM below 4 GiB")?;
        let mut bump = Bump {
            range: Range {
                start: largest.start,
                end: largest.end.min(BOOT_VIEW),
            },
        };
        let machine_to_pfn_size = (u64::from(frame_limit) * 8).next_multiple_of(LARGE_PAGE);
        if machine_to_pfn_size > MOST_MACHINE_TO_PFN {
            return Err("more than 512 GiB of RAM");
        }
        let machine_to_pfn = bump.take(machine_to_pfn_size, LARGE_PAGE)?;
        let frame_table = bump.take(u64::from(frame_limit) * frame_info_size, PAGE)?;
        let heap = bump.take(heap_size, PAGE)?;
        let root = build_root(info, &mut bump)?;
        // What alignment left below the first piece stays unused: at most 2 MiB.
        largest.start = bump.range.start;

        // SAFETY: the new root maps the image where it runs, with the rights it needs.
        unsafe { core::arch::asm!("mov cr3, {}", in(reg) root) };
        // SAFETY: both tables are RAM of our own, mapped by the direct map from now on.
        unsafe {
            core::ptr::write_bytes(
                (DIRECT_MAP + machine_to_pfn) as *mut u8,
                0xff,
                machine_to_pfn_size as usize,
            )
        };
        // SAFETY: as above.
        unsafe {
            core::ptr::write_bytes(
                (DIRECT_MAP + frame_table) as *mut u8,
                0,
                (u64::from(frame_limit) * frame_info_size) as usize,
            );
        }
        Ok(Self {
            frame_limit,
            frame_table,
            machine_to_pfn,
            machine_to_pfn_size,
            heap: Range {
                start: DIRECT_MAP + heap,
                end: DIRECT_MAP + heap + heap_size,
            },
            root,
            free,
            free_count,
        })
    }

    /// Whole frames of RAM that nothing uses.
    pub(crate) fn free_frames(&self) -> impl Iterator<Item = core::ops::Range<u32>> + '_ {
        self.free[..self.free_count].iter().map(|range| {
            let start = range.start.div_ceil(PAGE);
            let end = range.end / PAGE;
            start as u32..end.max(start) as u32
        })
    }
}

/// RAM less low memory, the image and the modules.
fn free_ranges(info: &BootInfo, free: &mut [Range]) -> Result<usize, &'static str> {
    let image = Range {
        start: address_of!(image_physical_start),
        end: address_of!(image_physical_end),
    };
    let mut count = 0;
    for ram in info.ram() {
        let mut start = ram.start.max(LOW_MEMORY);
        while start < ram.end {
            // The used range that ends the free piece from `start` on, or covers `start`.
            let next = info
                .modules()
                .iter()
                .chain(core::iter::once(&image))
                .map(|used| Range {
                    start: used.start & !(PAGE - 1),
                    end: used.end.next_multiple_of(PAGE),
                })
                .filter(|used| used.end > start && used.start < ram.end)
                .min_by_key(|used| used.start);
            let end = next.map_or(ram.end, |used| used.start);
            if end > start {
                *free.get_mut(count).ok_or("memory map with too many pieces")? = Range { start, end };
                count += 1;
            }
            start = next.map_or(ram.end, |used| used.end);
        }
    }
    Ok(count)
}

/// Builds the hypervisor's address space and returns its root.
fn build_root(info: &BootInfo, bump: &mut Bump) -> Result<u64, &'static str> {
    let data = PageTableFlags::PRESENT | PageTableFlags::WRITABLE | PageTableFlags::NO_EXECUTE;
    let root = bump.table()?;
    for ram in info.ram() {
        let mut address = ram.start & !(LARGE_PAGE - 1);
        while address < ram.end {
            let l3 = next_table(root, 39, DIRECT_MAP + address, bump)?;
            let l2 = next_table(l3, 30, DIRECT_MAP + address, bump)?;
            l2[index(21, address)].set_addr(PhysAddr::new(address), data | PageTableFlags::HUGE_PAGE);
            address += LARGE_PAGE;
        }
    }
    for module in info.modules() {
        // Modules may lie in memory that the map does not call RAM any more.
        let mut address = module.start & !(LARGE_PAGE - 1);
        while address < module.end {
            let l3 = next_table(root, 39, DIRECT_MAP + address, bump)?;
            let l2 = next_table(l3, 30, DIRECT_MAP + address, bump)?;
            l2[index(21, address)].set_addr(PhysAddr::new(address), data | PageTableFlags::HUGE_PAGE);
            address += LARGE_PAGE;
        }
    }
    for (start, end, flags) in [
        (
            address_of!(text_start),
            address_of!(text_end),
            PageTableFlags::PRESENT,
        ),
        (
            address_of!(rodata_start),
            address_of!(rodata_end),
            PageTableFlags::PRESENT | PageTableFlags::NO_EXECUTE,
        ),
        (address_of!(data_start), address_of!(data_end), data),
    ] {
        for address in (start..end)
            .step_by(PAGE as usize)
            .filter(|address| !stacks::is_guard(*address))
        {
            map_page(root, address, address - KERNEL_BASE, flags, bump)?;
        }
    }
    let device = data | PageTableFlags::NO_CACHE | PageTableFlags::WRITE_THROUGH;
    map_page(root, APIC_ADDRESS, crate::clock::APIC_PHYSICAL, device, bump)?;
    Ok(core::ptr::from_mut(root) as u64)
}

fn index(shift: u32, address: u64) -> usize {
    (address >> shift) as usize & 511
}

/// The table below `table` that translates `address`, made where it is missing.
fn next_table<'a>(
    table: &'a mut PageTable,
    shift: u32,
    address: u64,
    bump: &mut Bump,
) -> Result<&'a mut PageTable, &'static str> {
    let entry = &mut table[index(shift, address)];
    if entry.is_unused() {
        let below = core::ptr::from_mut(bump.table()?) as u64;
        entry.set_addr(
            PhysAddr::new(below),
            PageTableFlags::PRESENT | PageTableFlags::WRITABLE,
        );
    }
    // SAFETY: the entry names a table that `bump` gave out, mapped one to one.
    Ok(unsafe { &mut *(entry.addr().as_u64() as *mut PageTable) })
}

fn map_page(
    root: &mut PageTable,
    address: u64,
    physical: u64,
    flags: PageTableFlags,
    bump: &mut Bump,
) -> Result<(), &'static str> {
    let l3 = next_table(root, 39, address, bump)?;
    let l2 = next_table(l3, 30, address, bump)?;
    let l1 = next_table(l2, 21, address, bump)?;
    l1[index(12, address)].set_addr(PhysAddr::new(physical), flags);
    Ok(())
}

/// Memory by frame, through the direct map.
pub(crate) struct DirectMap;

impl DirectMap {
    /// Where a frame is mapped.
    pub(crate) fn address(frame: Mfn) -> u64 {
        DIRECT_MAP + frame.address()
    }

    fn word(frame: Mfn, index: usize) -> *mut u64 {
        (Self::address(frame) + 8 * (index as u64 & 511)) as *mut u64
    }
}

impl PhysMem for DirectMap {
    #[inline]
    fn read(&self, frame: Mfn, index: usize) -> u64 {
        // SAFETY: callers pass frames of RAM; the direct map covers them. Guests and the CPU's page walker may write there,
        // so the access is volatile and never a reference.
        unsafe { Self::word(frame, index).read_volatile() }
    }

    #[inline]
    fn read_array<const N: usize>(&self, frame: Mfn, first: usize) -> [u64; N] {
        let first = Self::word(frame, first.min(ENTRIES.saturating_sub(N)));
        core::array::from_fn(|n| {
            let word = first.wrapping_add(n);
            // SAFETY: as for `read`; `first` leaves room for all of them in the frame.
            unsafe { word.read_volatile() }
        })
    }

    #[inline]
    fn read_words(&self, frame: Mfn, first: usize, into: &mut [u64]) {
        let first = first.min(ENTRIES);
        let length = into.len().min(ENTRIES - first);
        let from = (Self::address(frame) as *const u64).wrapping_add(first);
        // SAFETY: inside one frame of RAM; `into` is ours and elsewhere.
        unsafe { core::ptr::copy_nonoverlapping(from, into.as_mut_ptr(), length) };
    }

    #[inline]
    fn write(&mut self, frame: Mfn, index: usize, value: u64) {
        // SAFETY: as for `read`.
        unsafe { Self::word(frame, index).write_volatile(value) };
    }

    #[inline]
    fn write_array<const N: usize>(&mut self, frame: Mfn, first: usize, values: [u64; N]) {
        let first = Self::word(frame, first.min(ENTRIES.saturating_sub(N)));
        for (n, value) in values.into_iter().enumerate() {
            let word = first.wrapping_add(n);
            // SAFETY: as for `read`; `first` leaves room for all of them in the frame.
            unsafe { word.write_volatile(value) };
        }
    }

    #[inline]
    fn set_bits(&mut self, frame: Mfn, index: usize, bits: u64) {
        // SAFETY: as for `read`; the word is aligned and lives as long as RAM.
        let word = unsafe { core::sync::atomic::AtomicU64::from_ptr(Self::word(frame, index)) };
        word.fetch_or(bits, core::sync::atomic::Ordering::Relaxed);
    }

    fn read_bytes(&self, frame: Mfn, offset: usize, into: &mut [u8]) {
        let length = into.len().min(PAGE as usize - offset.min(PAGE as usize));
        let from = (Self::address(frame) + offset as u64) as *const u8;
        // SAFETY: inside one frame of RAM; `into` is ours and elsewhere.
        unsafe { core::ptr::copy_nonoverlapping(from, into.as_mut_ptr(), length) };
    }

    fn write_bytes(&mut self, frame: Mfn, offset: usize, from: &[u8]) {
        let length = from.len().min(PAGE as usize - offset.min(PAGE as usize));
        let to = (Self::address(frame) + offset as u64) as *mut u8;
        // SAFETY: as for `read_bytes`.
        unsafe { core::ptr::copy_nonoverlapping(from.as_ptr(), to, length) };
    }

    fn zero(&mut self, frame: Mfn) {
        // SAFETY: one frame of RAM.
        unsafe { core::ptr::write_bytes(Self::address(frame) as *mut u8, 0, PAGE as usize) };
    }
}
