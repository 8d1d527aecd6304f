//! Building a domain, in bounded steps.
//!
//! 1. Plan: the kernel's ELF file is checked, the start of day laid out.
//! 2. Frames: each pfn gets a machine frame, those of the frame list first; the list is written as they come.
//! 3. Contents: the kernel's segments, the module, start_info, the page tables' entries.
//! 4. Pins: table by table from the last one to the root, which is bottom-up; then all but the root are unpinned:
//!    they stay tables because the root uses them.
//!
//! A guest's first tables are validated by the same code as its later ones, by hypercall: the builder is trusted with
//! nothing.
use super::Domain;
use super::layout::{Contents, Layout};
use super::start_info::{Identity, encode, stack_top, start_info, start_info_address};
use crate::addr::Mfn;
use crate::elf::{ElfError, KernelPlan};
use crate::hypercall::World;
use crate::paging::{self, PagingError};
use crate::platform::PhysMem;
use crate::recorder::Recorder;
use crate::switcher::{ENTRY_FLAGS, Registers};
use abi::layout::{ENTRIES, PAGE_SIZE};
use abi::reason::Reason;
use abi::selector::{KERNEL_CS, KERNEL_SS};
use core::fmt;

/// What a step has led to.
#[must_use]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Build {
    /// There is more to do.
    More,
    /// The domain can run.
    Done,
    /// It cannot be built.
    Failed(BuildError),
}

/// Why a domain cannot be built.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BuildError {
    /// Its kernel is no good.
    Kernel(ElfError),
    /// Its memory is too small for what must be in it.
    TooSmall(super::layout::OutOfMemory),
    /// The machine has not so many frames left.
    NoFrames {
        /// Frames that were wanted.
        wanted: u64,
        /// Frames that are free.
        free: u64,
    },
    /// Its tables were refused: the layout is wrong.
    Tables(PagingError),
}

impl BuildError {
    /// The reason in the machine line.
    #[must_use]
    pub const fn reason(self) -> Reason {
        match self {
            Self::Kernel(_) => Reason::KernelImageInvalid,
            Self::TooSmall(_) | Self::NoFrames { .. } | Self::Tables(_) => Reason::OutOfMemory,
        }
    }
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kernel(error) => write!(f, "its kernel: {error}"),
            Self::TooSmall(error) => write!(f, "{error}"),
            Self::NoFrames { wanted, free } => {
                write!(
                    f,
                    "it wants {wanted} frames, and {free} are free: give it less memory, or the machine more"
                )
            }
            Self::Tables(error) => write!(f, "its first page tables were refused: {error:?}"),
        }
    }
}

/// How far the building of one domain is.
#[derive(Debug)]
pub struct Builder {
    plan: Option<Plan>,
    phase: Phase,
    /// The next pfn, or table, of the phase.
    cursor: u64,
}

#[derive(Debug)]
struct Plan {
    kernel: KernelPlan,
    layout: Layout,
    list: FrameList,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    ListFrames,
    Frames,
    Contents,
    Pin,
    Unpin,
}

impl Builder {
    /// Nothing done yet.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            plan: None,
            phase: Phase::ListFrames,
            cursor: 0,
        }
    }
}

impl Default for Builder {
    fn default() -> Self {
        Self::new()
    }
}

/// pfn to frame, while the guest has not run: its frame list, found through pages of frame numbers of our own.
#[derive(Debug)]
struct FrameList {
    /// First pfn of the list.
    first: u64,
    directories: [Option<Mfn>; Self::DIRECTORIES],
}

impl FrameList {
    /// 1 GiB of domain each.
    const DIRECTORIES: usize = 64;
    const PER_PAGE: u64 = ENTRIES as u64;

    fn is_list(&self, pfn: u64, nr_pages: u64) -> bool {
        (self.first..self.first + nr_pages.div_ceil(Self::PER_PAGE)).contains(&pfn)
    }

    /// The frame of page `page` of the list.
    fn page(&self, mem: &impl PhysMem, page: u64) -> Option<Mfn> {
        let directory = (*self.directories.get((page / Self::PER_PAGE) as usize)?)?;
        Some(Mfn(mem.read(directory, (page % Self::PER_PAGE) as usize) as u32))
    }

    fn get(&self, mem: &impl PhysMem, pfn: u64) -> Option<Mfn> {
        let page = self.page(mem, pfn / Self::PER_PAGE)?;
        Some(Mfn(mem.read(page, (pfn % Self::PER_PAGE) as usize) as u32))
    }

    fn set(&self, mem: &mut impl PhysMem, pfn: u64, frame: Mfn) {
        if let Some(page) = self.page(mem, pfn / Self::PER_PAGE) {
            mem.write(page, (pfn % Self::PER_PAGE) as usize, u64::from(frame.0));
        }
    }
}

/// One step of `domain`'s builder: a frame, a page, or a table.
pub fn step(
    world: &mut World<'_, impl PhysMem>,
    domain: &mut Domain,
    builder: &mut Builder,
    modules: &[&[u8]],
    start_flags: u64,
) -> Build {
    let built = match builder.plan.as_mut() {
        None => plan(world, domain, modules).map(|plan| {
            builder.plan = Some(plan);
            Build::More
        }),
        Some(plan) => advance(
            world,
            domain,
            plan,
            &mut builder.phase,
            &mut builder.cursor,
            modules,
            start_flags,
        ),
    };
    match built {
        Ok(Build::More) => Build::More,
        Ok(end) => {
            free_directories(world, builder);
            end
        }
        Err(error) => {
            free_directories(world, builder);
            Build::Failed(error)
        }
    }
}

/// Gives up building: the domain's frames are a teardown's to take back, the rest is returned here.
pub fn abandon(world: &mut World<'_, impl PhysMem>, mut builder: Builder) {
    free_directories(world, &mut builder);
}

fn free_directories(world: &mut World<'_, impl PhysMem>, builder: &mut Builder) {
    for directory in builder
        .plan
        .iter_mut()
        .flat_map(|plan| &mut plan.list.directories)
    {
        if let Some(frame) = directory.take() {
            world.frames.free_hypervisor(&mut world.mem, frame);
        }
    }
}

fn plan(world: &World<'_, impl PhysMem>, domain: &Domain, modules: &[&[u8]]) -> Result<Plan, BuildError> {
    let file = modules
        .get(domain.config.kernel_module as usize)
        .copied()
        .unwrap_or(&[]);
    let kernel = KernelPlan::from_elf(file).map_err(BuildError::Kernel)?;
    let nr_pages = domain.config.memory_frames;
    let module = guest_module(domain, modules);
    let layout = Layout::new(&kernel, module.len() as u64, nr_pages).map_err(BuildError::TooSmall)?;
    let free = u64::from(world.frames.free_count());
    let limit = FrameList::DIRECTORIES as u64 * FrameList::PER_PAGE * FrameList::PER_PAGE;
    if nr_pages + FrameList::DIRECTORIES as u64 > free || nr_pages > limit {
        return Err(BuildError::NoFrames {
            wanted: nr_pages,
            free,
        });
    }
    let list = FrameList {
        first: layout.frame_list_pfn,
        directories: [None; FrameList::DIRECTORIES],
    };
    Ok(Plan { kernel, layout, list })
}

fn guest_module<'a>(domain: &Domain, modules: &[&'a [u8]]) -> &'a [u8] {
    let index = domain.config.guest_module;
    index
        .and_then(|index| modules.get(index as usize))
        .copied()
        .unwrap_or(&[])
}

fn advance(
    world: &mut World<'_, impl PhysMem>,
    domain: &mut Domain,
    plan: &mut Plan,
    phase: &mut Phase,
    cursor: &mut u64,
    modules: &[&[u8]],
    start_flags: u64,
) -> Result<Build, BuildError> {
    let nr_pages = plan.layout.nr_pages();
    let tables = plan.layout.table_count();
    let (next, end) = match *phase {
        Phase::ListFrames => (Phase::Frames, nr_pages.div_ceil(FrameList::PER_PAGE)),
        Phase::Frames => (Phase::Contents, nr_pages),
        Phase::Contents => (Phase::Pin, plan.layout.first_free_pfn),
        Phase::Pin => (Phase::Unpin, tables),
        Phase::Unpin => {
            if *cursor + 1 >= tables {
                return Ok(launch(world, domain, plan));
            }
            // The root is table 0 and stays pinned.
            let frame = frame_of(world, plan, plan.layout.page_tables_pfn + 1 + *cursor)?;
            let unpinned = paging::unpin(&mut world.frames, &mut domain.memory, frame);
            unpinned.map_err(BuildError::Tables)?.by_cr3_write();
            *cursor += 1;
            return Ok(Build::More);
        }
    };
    if *cursor >= end {
        (*phase, *cursor) = (next, 0);
        return Ok(Build::More);
    }
    let number = *cursor;
    *cursor += 1;
    match *phase {
        Phase::ListFrames => list_frame(world, domain, plan, number)?,
        Phase::Frames => one_frame(world, domain, plan, number)?,
        Phase::Contents => fill(world, domain, plan, number, modules, start_flags)?,
        Phase::Pin | Phase::Unpin => {
            let number = tables - 1 - number;
            if let Some(table) = plan.layout.table(number) {
                let frame = frame_of(world, plan, table.pfn)?;
                paging::pin(
                    &mut world.frames,
                    &mut world.mem,
                    &mut domain.memory,
                    frame,
                    table.level,
                )
                .map_err(BuildError::Tables)?
                .by_cr3_write();
            }
        }
    }
    Ok(Build::More)
}

fn no_frames(world: &World<'_, impl PhysMem>, wanted: u64) -> BuildError {
    BuildError::NoFrames {
        wanted,
        free: u64::from(world.frames.free_count()),
    }
}

fn frame_of(world: &World<'_, impl PhysMem>, plan: &Plan, pfn: u64) -> Result<Mfn, BuildError> {
    plan.list
        .get(&world.mem, pfn)
        .ok_or_else(|| no_frames(world, plan.layout.nr_pages()))
}

/// A frame for page `page` of the frame list.
fn list_frame(
    world: &mut World<'_, impl PhysMem>,
    domain: &mut Domain,
    plan: &mut Plan,
    page: u64,
) -> Result<(), BuildError> {
    let wanted = plan.layout.nr_pages();
    let Some(slot) = plan
        .list
        .directories
        .get_mut((page / FrameList::PER_PAGE) as usize)
    else {
        return Err(no_frames(world, wanted));
    };
    let directory = match *slot {
        Some(directory) => directory,
        None => match world.frames.alloc_hypervisor(&mut world.mem) {
            Some(directory) => *slot.insert(directory),
            None => return Err(no_frames(world, wanted)),
        },
    };
    let Some(frame) = world.frames.alloc(&mut world.mem, &mut domain.memory) else {
        return Err(no_frames(world, wanted));
    };
    world.mem.write(
        directory,
        (page % FrameList::PER_PAGE) as usize,
        u64::from(frame.0),
    );
    Ok(())
}

/// A frame for a pfn, and its entries in the frame list and in the machine-to-pfn table.
fn one_frame(
    world: &mut World<'_, impl PhysMem>,
    domain: &mut Domain,
    plan: &Plan,
    pfn: u64,
) -> Result<(), BuildError> {
    let nr_pages = plan.layout.nr_pages();
    let frame = if plan.list.is_list(pfn, nr_pages) {
        plan.list.page(&world.mem, pfn - plan.list.first)
    } else {
        world.frames.alloc(&mut world.mem, &mut domain.memory)
    };
    let frame = frame.ok_or_else(|| no_frames(world, nr_pages))?;
    plan.list.set(&mut world.mem, pfn, frame);
    world.common.set_pfn(&mut world.mem, frame, pfn);
    Ok(())
}

/// What a frame holds at start.
fn fill(
    world: &mut World<'_, impl PhysMem>,
    domain: &Domain,
    plan: &Plan,
    pfn: u64,
    modules: &[&[u8]],
    start_flags: u64,
) -> Result<(), BuildError> {
    let frame = frame_of(world, plan, pfn)?;
    match plan.layout.contents(pfn) {
        Contents::Segment { segment, page } => {
            let file = modules
                .get(domain.config.kernel_module as usize)
                .copied()
                .unwrap_or(&[]);
            if let Some(segment) = plan.kernel.segments().get(segment) {
                let (offset, bytes) = segment.bytes_of_page(file, page);
                world.mem.write_bytes(frame, offset, bytes);
            }
        }
        Contents::Module { page } => {
            let module = guest_module(domain, modules);
            let start = (page * PAGE_SIZE) as usize;
            let end = module.len().min(start + PAGE_SIZE as usize);
            world
                .mem
                .write_bytes(frame, 0, module.get(start..end).unwrap_or(&[]));
        }
        Contents::StartInfo => {
            let identity = Identity {
                domain_id: u32::from(domain.id.0),
                restart_count: domain.incarnation,
                flags: start_flags,
                root_mfn: u64::from(frame_of(world, plan, plan.layout.page_tables_pfn)?.0),
                module_size: guest_module(domain, modules).len() as u64,
                name: domain.config.name,
                command_line: domain.config.command_line,
            };
            world
                .mem
                .write_bytes(frame, 0, &encode(&start_info(&plan.layout, &identity)));
        }
        Contents::Table(number) => {
            let Some(table) = plan.layout.table(number) else {
                return Ok(());
            };
            for slot in 0..ENTRIES {
                if let Some(entry) = plan.layout.entry(table, slot) {
                    let target = frame_of(world, plan, entry.pfn)?;
                    world
                        .mem
                        .write(frame, slot, target.address() | entry.flags.bits());
                }
            }
        }
        // The list has been written, the rest is zero as it came.
        Contents::FrameList { .. } | Contents::Zero => {}
    }
    Ok(())
}

/// The vCPU as its first instruction finds it.
fn launch(world: &mut World<'_, impl PhysMem>, domain: &mut Domain, plan: &Plan) -> Build {
    let root = match frame_of(world, plan, plan.layout.page_tables_pfn) {
        Ok(root) => root,
        Err(error) => return Build::Failed(error),
    };
    match paging::set_root(&mut world.frames, &mut domain.memory, root) {
        Ok(flush) => flush.by_cr3_write(),
        Err(error) => return Build::Failed(BuildError::Tables(error)),
    }
    let stack = stack_top(&plan.layout);
    domain.recorder = Recorder::new();
    domain.vcpu.reset(&mut world.mem, &world.common);
    domain.vcpu.registers = Registers {
        rip: plan.kernel.entry(),
        cs: u64::from(KERNEL_CS),
        rflags: ENTRY_FLAGS,
        rsp: stack,
        ss: u64::from(KERNEL_SS),
        rsi: start_info_address(&plan.layout),
        ..Registers::default()
    };
    domain.vcpu.set.set_guest_root(&mut world.mem, root);
    domain.vcpu.set_kernel_stack(&mut world.mem, stack);
    Build::Done
}
