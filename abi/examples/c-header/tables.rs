//! What the header holds, section by section: every number and structure of the crate that guests use.
use abi::callback::{CallbackOp, CallbackType};
use abi::console::ConsoleIo;
use abi::errno::Errno;
use abi::event::{EventChannelOp, PortStatus, SharedInfo, Virq};
use abi::hypercall::{Hypercall, SegmentBase};
use abi::layout::GuestWords;
use abi::memory::MemoryOp;
use abi::mmu::{MmuUpdate, MmuextCommand, MmuextOp, PteFlags};
use abi::multicall::MulticallEntry;
use abi::reason::Reason;
use abi::sched::{SchedOp, ShutdownReason};
use abi::start_info::{StartInfo, flags as start_flags};
use abi::time::TimeInfo;
use abi::trap::{BounceFrame, TrapInfo, TrapRefusal, flags as trap_flags, vector};
use abi::version::XenVersion;
use abi::{
    console, event, hypercall, layout, memory, mmu, multicall, sched, selector, start_info, trap, version,
};
use std::mem::offset_of;

/// What stands under one title.
pub(crate) struct Section {
    pub(crate) title: &'static str,
    /// The module of the crate, by which links call it.
    pub(crate) module: &'static str,
    pub(crate) source: &'static str,
    pub(crate) items: Vec<Item>,
}

/// Something that has a name.
pub(crate) enum Item {
    Number {
        rust: String,
        c: String,
        value: Value,
        /// The line in the source, and one before it.
        declaration: String,
        scope: String,
    },
    Structure {
        rust: &'static str,
        c: &'static str,
        size: usize,
        fields: Vec<Field>,
    },
}

impl Item {
    /// Items of one scope belong together.
    pub(crate) fn scope(&self) -> &str {
        match self {
            Self::Number { scope, .. } => scope,
            Self::Structure { c, .. } => c,
        }
    }
}

/// A number as the header writes it.
#[derive(Clone, Copy)]
pub(crate) enum Value {
    Decimal(u64),
    Hex(u64),
}

pub(crate) struct Field {
    pub(crate) name: &'static str,
    /// In C.
    pub(crate) declaration: String,
    pub(crate) offset: usize,
    pub(crate) size: usize,
}

/// A type that C has too.
trait Plain {
    fn declare(name: &str) -> String;
}

macro_rules! plain {
    ($($rust:ty = $c:literal),+) => {
        $(impl Plain for $rust {
            fn declare(name: &str) -> String { format!("{} {name}", $c) }
        })+
    };
}
plain!(
    u8 = "uint8_t",
    u16 = "uint16_t",
    u32 = "uint32_t",
    u64 = "uint64_t"
);

impl<T: Plain, const N: usize> Plain for [T; N] {
    fn declare(name: &str) -> String {
        T::declare(&format!("{name}[{N}]"))
    }
}

fn field<T, F: Plain>(name: &'static str, offset: usize, _: fn(&T) -> &F) -> Field {
    Field {
        name,
        declaration: F::declare(name),
        offset,
        size: size_of::<F>(),
    }
}

macro_rules! structure {
    ($rust:ident as $c:literal { $($name:ident),+ $(,)? }) => {
        Item::Structure {
            rust: stringify!($rust),
            c: $c,
            size: size_of::<$rust>(),
            fields: vec![$(field(stringify!($name), offset_of!($rust, $name), |it: &$rust| &it.$name)),+],
        }
    };
}

/// Constants of a module; `scope` is the line behind which the source declares them.
macro_rules! numbers {
    ($kind:ident, $items:ident, $module:ident in $scope:literal: $($name:ident as $c:literal),+ $(,)?) => {
        $($items.push(Item::Number {
            rust: stringify!($name).to_owned(),
            c: concat!("XL_", $c).to_owned(),
            value: Value::$kind(wide($module::$name)),
            declaration: concat!("pub const ", stringify!($name), ":").to_owned(),
            scope: $scope.to_owned(),
        });)+
    };
    ($kind:ident, $items:ident, $module:ident: $($rest:tt)+) => {
        numbers!($kind, $items, $module in "//!": $($rest)+)
    };
}

fn wide(number: impl TryInto<u64>) -> u64 {
    number.try_into().unwrap_or_default()
}

/// Every member of a numbered enum, with a prefix.
macro_rules! members {
    ($items:ident: $rust:ident as $prefix:literal) => {
        for member in $rust::ALL {
            let name = member.name().to_uppercase().replace('-', "_");
            $items.push(Item::Number {
                rust: format!("{}::{member:?}", stringify!($rust)),
                c: format!(concat!("XL_", $prefix, "{}"), name),
                value: Value::Decimal(u64::from(member.raw())),
                declaration: format!("{member:?} = "),
                scope: concat!("pub enum ", stringify!($rust), ":").to_owned(),
            });
        }
    };
}

fn section(
    title: &'static str,
    module: &'static str,
    source: &'static str,
    fill: impl FnOnce(&mut Vec<Item>),
) -> Section {
    let mut items = Vec::new();
    fill(&mut items);
    Section {
        title,
        module,
        source,
        items,
    }
}

macro_rules! source {
    ($module:literal) => {
        include_str!(concat!("../../src/", $module, ".rs"))
    };
}

/// The whole header's content, in its order.
pub(crate) fn sections() -> Vec<Section> {
    let mut all = asking();
    all.extend(places());
    all.extend(calls());
    all
}

/// How to ask, and what comes of it.
fn asking() -> Vec<Section> {
    vec![
        section("Hypercalls", "hypercall", source!("hypercall"), |items| {
            numbers!(Hex, items, hypercall: HYPERCALL_VECTOR as "HYPERCALL_VECTOR");
            members!(items: Hypercall as "CALL_");
            members!(items: SegmentBase as "BASE_");
        }),
        section("Errors", "errno", source!("errno"), |items| {
            members!(items: Errno as "");
        }),
        section(
            "Reasons for which a guest is ended",
            "reason",
            source!("reason"),
            |items| {
                members!(items: Reason as "REASON_");
            },
        ),
    ]
}

/// Where things are.
fn places() -> Vec<Section> {
    vec![
        section("Addresses", "layout", source!("layout"), |items| {
            numbers!(Decimal, items, layout:
                PAGE_SIZE as "PAGE_SIZE",
                PAGE_SHIFT as "PAGE_SHIFT",
                ENTRIES as "ENTRIES",
                HYPERVISOR_SLOT as "HYPERVISOR_SLOT",
                SWITCHER_TEXT_PAGES as "SWITCHER_TEXT_PAGES",
            );
            numbers!(Hex, items, layout:
                SLOT_BASE as "SLOT_BASE",
                SLOT_END as "SLOT_END",
                SWITCHER_TEXT as "SWITCHER_TEXT",
                SWITCHER_RO as "SWITCHER_RO",
                SWITCHER_RW as "SWITCHER_RW",
                CR2_WORD as "CR2_WORD",
                USER_RSP_WORD as "USER_RSP_WORD",
                TIME_PAGE as "TIME_PAGE",
                SHARED_INFO as "SHARED_INFO",
                MACHINE_TO_PFN as "MACHINE_TO_PFN",
                PHYSMAP as "PHYSMAP",
            );
            items.push(structure!(GuestWords as "guest_words" { cr2, user_rsp }));
        }),
        section("Selectors", "selector", source!("selector"), |items| {
            numbers!(Hex, items, selector:
                HYPERVISOR_CS as "HYPERVISOR_CS",
                HYPERVISOR_DS as "HYPERVISOR_DS",
                KERNEL_CS as "KERNEL_CS",
                KERNEL_SS as "KERNEL_SS",
                USER_SS as "USER_SS",
                USER_CS as "USER_CS",
                TSS as "TSS",
            );
            numbers!(Decimal, items, selector:
                GDT_ENTRIES as "GDT_ENTRIES",
                FIRST_GUEST_DESCRIPTOR as "FIRST_GUEST_DESCRIPTOR",
            );
        }),
        section("Start of day", "start_info", source!("start_info"), |items| {
            numbers!(Hex, items, start_info: MAGIC as "MAGIC");
            numbers!(Decimal, items, start_info: STACK_SIZE as "STACK_SIZE");
            numbers!(Hex, items, start_flags in "pub mod flags":
                CONSOLE as "START_CONSOLE",
                NULL_SS_UNSAFE as "START_NULL_SS_UNSAFE",
                SMEP as "START_SMEP",
                FSGSBASE as "START_FSGSBASE",
                XSAVE as "START_XSAVE",
                UMIP as "START_UMIP",
            );
            items.push(structure!(StartInfo as "start_info" {
                magic, version, flags, domain_id, restart_count, nr_pages, mfn_list, module, module_size, stack,
                page_tables_pfn, nr_page_tables, root_mfn, first_free_pfn, name, command_line,
            }));
        }),
    ]
}

/// What calls take.
fn calls() -> Vec<Section> {
    vec![
        section("Traps: set_trap_table", "trap", source!("trap"), trap_items),
        section(
            "Page tables: mmu_update, update_va_mapping, mmuext_op",
            "mmu",
            source!("mmu"),
            mmu_items,
        ),
        section("Memory: memory_op", "memory", source!("memory"), |items| {
            members!(items: MemoryOp as "MEMORY_");
            numbers!(Decimal, items, memory: MAX_FRAMES as "MAX_FRAMES");
        }),
        section(
            "Several calls at once: multicall",
            "multicall",
            source!("multicall"),
            |items| {
                numbers!(Decimal, items, multicall: MAX_ENTRIES as "MAX_CALLS");
                items.push(
                    structure!(MulticallEntry as "multicall_entry" { number, result, detail, arguments }),
                );
            },
        ),
        section("Time, and set_timer_op", "time", source!("time"), |items| {
            items.push(structure!(TimeInfo as "time_info" {
                version, tsc_timestamp, system_time_ns, tsc_to_ns_mul, virtual_time_ns, wall_clock_s,
            }));
        }),
        section("Version: xen_version", "version", source!("version"), |items| {
            members!(items: XenVersion as "VERSION_");
            numbers!(Decimal, items, version: MAJOR as "VERSION_MAJOR", MINOR as "VERSION_MINOR");
        }),
        section("Console: console_io", "console", source!("console"), |items| {
            members!(items: ConsoleIo as "CONSOLE_");
            numbers!(Decimal, items, console: MAX_TRANSFER as "MAX_TRANSFER");
        }),
        section(
            "Waiting and ending: sched_op",
            "sched",
            source!("sched"),
            |items| {
                members!(items: SchedOp as "SCHED_");
                numbers!(Decimal, items, sched:
                    WAKE_INPUT as "WAKE_INPUT",
                    WAKE_OUTPUT as "WAKE_OUTPUT",
                    WAKE_EVENT as "WAKE_EVENT",
                    WAKE_DEFAULT as "WAKE_DEFAULT",
                );
                members!(items: ShutdownReason as "SHUTDOWN_");
            },
        ),
        section(
            "Entry points that are not traps: callback_op",
            "callback",
            source!("callback"),
            |items| {
                members!(items: CallbackOp as "CALLBACK_");
                members!(items: CallbackType as "CALLBACK_TYPE_");
            },
        ),
        section("Events: event_channel_op", "event", source!("event"), |items| {
            numbers!(Decimal, items, event: PORTS as "PORTS");
            members!(items: EventChannelOp as "EVTCHN_");
            members!(items: Virq as "VIRQ_");
            members!(items: PortStatus as "PORT_");
            items.push(structure!(SharedInfo as "shared_info" {
                upcall_pending, upcall_mask, pad, pending_sel, evtchn_pending, evtchn_mask,
            }));
        }),
    ]
}

fn trap_items(items: &mut Vec<Item>) {
    numbers!(Hex, items, trap_flags in "pub mod flags":
        DPL_MASK as "TRAP_DPL_MASK",
        MASK_EVENTS as "TRAP_MASK_EVENTS",
        DIRECT as "TRAP_DIRECT",
    );
    numbers!(Decimal, items, trap: MAX_ENTRIES as "MAX_TRAPS", EXCEPTIONS as "EXCEPTIONS");
    numbers!(Hex, items, trap:
        FIRST_SOFTWARE_VECTOR as "FIRST_SOFTWARE_VECTOR",
        LAST_SOFTWARE_VECTOR as "LAST_SOFTWARE_VECTOR",
    );
    numbers!(Decimal, items, vector in "pub mod vector":
        DE as "VECTOR_DE",
        DB as "VECTOR_DB",
        NMI as "VECTOR_NMI",
        BP as "VECTOR_BP",
        OF as "VECTOR_OF",
        BR as "VECTOR_BR",
        UD as "VECTOR_UD",
        NM as "VECTOR_NM",
        DF as "VECTOR_DF",
        TS as "VECTOR_TS",
        NP as "VECTOR_NP",
        SS as "VECTOR_SS",
        GP as "VECTOR_GP",
        PF as "VECTOR_PF",
        MF as "VECTOR_MF",
        AC as "VECTOR_AC",
        MC as "VECTOR_MC",
        XM as "VECTOR_XM",
    );
    members!(items: TrapRefusal as "REFUSED_");
    items.push(structure!(TrapInfo as "trap_info" { vector, flags, cs, pad, address }));
    items.push(structure!(BounceFrame as "bounce_frame" { error_code, rip, cs, rflags, rsp, ss }));
}

fn mmu_items(items: &mut Vec<Item>) {
    for (name, flag) in PteFlags::all().iter_names() {
        items.push(Item::Number {
            rust: name.to_owned(),
            c: format!("XL_PTE_{name}"),
            value: Value::Hex(flag.bits()),
            declaration: format!("const {name} = "),
            scope: "pub struct PteFlags".to_owned(),
        });
    }
    numbers!(Hex, items, mmu: PTE_FRAME as "PTE_FRAME");
    numbers!(Decimal, items, mmu:
        MMU_NORMAL_PT_UPDATE as "MMU_NORMAL_PT_UPDATE",
        MMU_MACHPHYS_UPDATE as "MMU_MACHPHYS_UPDATE",
        MAX_BATCH as "MAX_BATCH",
        UVMF_NONE as "UVMF_NONE",
        UVMF_TLB_FLUSH as "UVMF_TLB_FLUSH",
        UVMF_INVLPG as "UVMF_INVLPG",
    );
    members!(items: MmuextCommand as "MMUEXT_");
    items.push(structure!(MmuUpdate as "mmu_update" { pointer, value }));
    items.push(structure!(MmuextOp as "mmuext_op" { command, pad, arg1, arg2 }));
}
