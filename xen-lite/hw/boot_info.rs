//! What the boot loader says: RAM and modules, from multiboot2 (GRUB) or PVH (`qemu -kernel`).
//!
//! Read once, before the boot loader's memory is used for anything else, into arrays of our own.

/// Most ranges of RAM that are kept.
pub(crate) const MAX_RANGES: usize = 64;
/// Most boot modules: the records and our own names, and three for each domain.
pub(crate) const MAX_MODULES: usize = 2 + 3 * abi::boot_image::MAX_DOMAINS;
/// What multiboot2 loaders pass in eax.
const MULTIBOOT2: u32 = multiboot2::MAGIC;
/// "xEn3" with the top bit set, the first word of PVH's start information.
const PVH_MAGIC: u32 = 0x336e_c578;
/// "xl-pack\0": several modules in the one that PVH can pass.
const PACK_MAGIC: u64 = u64::from_le_bytes(*b"xl-pack\0");

/// A range of physical addresses, `end` exclusive.
#[derive(Clone, Copy, Default)]
pub(crate) struct Range {
    pub(crate) start: u64,
    pub(crate) end: u64,
}

/// All that is kept of the boot loader's words.
pub(crate) struct BootInfo {
    ranges: [Range; MAX_RANGES],
    range_count: usize,
    modules: [Range; MAX_MODULES],
    module_count: usize,
}

#[repr(C)]
#[derive(Clone, Copy)]
struct PvhStart {
    magic: u32,
    version: u32,
    flags: u32,
    module_count: u32,
    modules: u64,
    command_line: u64,
    rsdp: u64,
    memory_map: u64,
    memory_map_entries: u32,
    reserved: u32,
}

#[repr(C)]
#[derive(Clone, Copy)]
struct PvhModule {
    address: u64,
    size: u64,
    command_line: u64,
    reserved: u64,
}

#[repr(C)]
#[derive(Clone, Copy)]
struct PvhRange {
    address: u64,
    size: u64,
    kind: u32,
    reserved: u32,
}

impl BootInfo {
    /// RAM as the boot loader's map has it.
    pub(crate) fn ram(&self) -> &[Range] {
        &self.ranges[..self.range_count]
    }

    /// The boot modules, in order.
    pub(crate) fn modules(&self) -> &[Range] {
        &self.modules[..self.module_count]
    }

    fn add_ram(&mut self, start: u64, size: u64) {
        if let Some(slot) = self.ranges.get_mut(self.range_count) {
            *slot = Range {
                start,
                end: start.saturating_add(size),
            };
            self.range_count += 1;
        }
    }

    fn add_module(&mut self, start: u64, end: u64) {
        if let Some(slot) = self.modules.get_mut(self.module_count) {
            *slot = Range { start, end };
            self.module_count += 1;
        }
    }

    /// Reads the loader's information.
    ///
    /// # Safety
    /// `address` is what the loader passed, `magic` what it passed in eax (0 from the PVH entry), and the
    /// first 4 GiB are mapped one to one.
    pub(crate) unsafe fn read(address: u64, magic: u32) -> Result<Self, &'static str> {
        let mut info = Self {
            ranges: [Range::default(); MAX_RANGES],
            range_count: 0,
            modules: [Range::default(); MAX_MODULES],
            module_count: 0,
        };
        if magic == MULTIBOOT2 {
            // SAFETY: the caller's duty.
            unsafe { info.read_multiboot2(address)? };
        } else {
            // SAFETY: the caller's duty.
            unsafe { info.read_pvh(address)? };
        }
        Ok(info)
    }

    /// # Safety
    /// As for [`Self::read`].
    unsafe fn read_multiboot2(&mut self, address: u64) -> Result<(), &'static str> {
        // SAFETY: the loader put its information there.
        let boot = unsafe { multiboot2::BootInformation::load(address as *const _) }
            .map_err(|_| "multiboot2 information is malformed")?;
        let map = boot
            .memory_map_tag()
            .ok_or("the boot loader gave no memory map")?;
        for area in map.memory_areas() {
            if area.typ() == multiboot2::MemoryAreaType::Available {
                self.add_ram(area.start_address(), area.size());
            }
        }
        for module in boot.module_tags() {
            self.add_module(u64::from(module.start_address()), u64::from(module.end_address()));
        }
        Ok(())
    }

    /// # Safety
    /// As for [`Self::read`].
    unsafe fn read_pvh(&mut self, address: u64) -> Result<(), &'static str> {
        // SAFETY: the caller's duty; alignment is not assumed.
        let start = unsafe { (address as *const PvhStart).read_unaligned() };
        if start.magic != PVH_MAGIC {
            return Err("neither multiboot2 nor PVH");
        }
        for index in 0..u64::from(start.memory_map_entries) {
            // SAFETY: the loader says that so many entries follow.
            let range = unsafe { ((start.memory_map + 24 * index) as *const PvhRange).read_unaligned() };
            if range.kind == 1 {
                self.add_ram(range.address, range.size);
            }
        }
        for index in 0..u64::from(start.module_count) {
            // SAFETY: the loader says that so many modules follow.
            let module = unsafe { ((start.modules + 32 * index) as *const PvhModule).read_unaligned() };
            // SAFETY: as above.
            unsafe { self.add_pack(module.address, module.size) };
        }
        Ok(())
    }

    /// A module, or the modules in it: `magic, count, (offset, size) * count`, all u64.
    ///
    /// # Safety
    /// `size` bytes of RAM at `address`.
    unsafe fn add_pack(&mut self, address: u64, size: u64) {
        let word = |index: u64| -> u64 {
            if size < 8 * (index + 1) {
                return 0;
            }
            // SAFETY: inside the module, as just compared.
            unsafe { ((address + 8 * index) as *const u64).read_unaligned() }
        };
        if word(0) != PACK_MAGIC {
            self.add_module(address, address + size);
            return;
        }
        for index in 0..word(1).min(MAX_MODULES as u64) {
            let (offset, length) = (word(2 + 2 * index), word(3 + 2 * index));
            if offset.checked_add(length).is_some_and(|end| end <= size) {
                self.add_module(address + offset, address + offset + length);
            }
        }
    }
}
