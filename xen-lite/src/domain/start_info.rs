//! The page that tells a guest what it is and has.
use super::layout::Layout;
use abi::layout::{PAGE_SIZE, is_canonical};
use abi::start_info::{MAGIC, STACK_SIZE, StartInfo};
use abi::version::{MAJOR, MINOR};
use core::mem::offset_of;

/// What a layout does not know.
#[derive(Clone, Copy, Debug)]
pub struct Identity<'a> {
    /// Number of the domain.
    pub domain_id: u32,
    /// How often it has been restarted.
    pub restart_count: u32,
    /// Bits of `abi::start_info::flags`.
    pub flags: u64,
    /// Machine frame of the root table.
    pub root_mfn: u64,
    /// Size of its module, 0 for none.
    pub module_size: u64,
    /// Its name, at most 31 bytes; more are cut.
    pub name: &'a str,
    /// Its command line, at most 1023 bytes; more are cut.
    pub command_line: &'a [u8],
}

/// The page for a domain that is laid out so.
#[must_use]
pub fn start_info(layout: &Layout, identity: &Identity<'_>) -> StartInfo {
    StartInfo {
        magic: MAGIC,
        version: MAJOR << 16 | MINOR,
        flags: identity.flags,
        domain_id: identity.domain_id,
        restart_count: identity.restart_count,
        nr_pages: layout.nr_pages(),
        mfn_list: Layout::address_of(layout.frame_list_pfn),
        module: if identity.module_size == 0 {
            0
        } else {
            Layout::address_of(layout.module_pfn)
        },
        module_size: identity.module_size,
        stack: Layout::address_of(layout.stack_pfn),
        page_tables_pfn: layout.page_tables_pfn,
        nr_page_tables: layout.table_count(),
        root_mfn: identity.root_mfn,
        first_free_pfn: layout.first_free_pfn,
        name: terminated(identity.name.as_bytes()),
        command_line: terminated(identity.command_line),
    }
}

/// Address of the page, which the guest finds in rsi.
#[must_use]
pub const fn start_info_address(layout: &Layout) -> u64 {
    Layout::address_of(layout.start_info_pfn)
}

/// The guest's first stack pointer, and its kernel stack for traps from ring 3.
#[must_use]
pub const fn stack_top(layout: &Layout) -> u64 {
    Layout::address_of(layout.stack_pfn) + STACK_SIZE
}
const _: () =
    assert!(STACK_SIZE.is_multiple_of(PAGE_SIZE) && is_canonical(Layout::address_of(u32::MAX as u64)));

/// `text` and at least one NUL.
fn terminated<const N: usize>(text: &[u8]) -> [u8; N] {
    let mut padded = [0; N];
    let room = padded.iter_mut().take(N.saturating_sub(1));
    for (byte, from) in room.zip(text) {
        *byte = *from;
    }
    padded
}

/// The page's bytes in the guest's memory; all after them are 0.
#[must_use]
pub fn encode(info: &StartInfo) -> [u8; size_of::<StartInfo>()] {
    let mut bytes = [0; size_of::<StartInfo>()];
    let mut put = |offset: usize, value: &[u8]| {
        for (byte, from) in bytes.iter_mut().skip(offset).zip(value) {
            *byte = *from;
        }
    };
    put(offset_of!(StartInfo, magic), &info.magic.to_le_bytes());
    put(offset_of!(StartInfo, version), &info.version.to_le_bytes());
    put(offset_of!(StartInfo, flags), &info.flags.to_le_bytes());
    put(offset_of!(StartInfo, domain_id), &info.domain_id.to_le_bytes());
    put(
        offset_of!(StartInfo, restart_count),
        &info.restart_count.to_le_bytes(),
    );
    put(offset_of!(StartInfo, nr_pages), &info.nr_pages.to_le_bytes());
    put(offset_of!(StartInfo, mfn_list), &info.mfn_list.to_le_bytes());
    put(offset_of!(StartInfo, module), &info.module.to_le_bytes());
    put(
        offset_of!(StartInfo, module_size),
        &info.module_size.to_le_bytes(),
    );
    put(offset_of!(StartInfo, stack), &info.stack.to_le_bytes());
    put(
        offset_of!(StartInfo, page_tables_pfn),
        &info.page_tables_pfn.to_le_bytes(),
    );
    put(
        offset_of!(StartInfo, nr_page_tables),
        &info.nr_page_tables.to_le_bytes(),
    );
    put(offset_of!(StartInfo, root_mfn), &info.root_mfn.to_le_bytes());
    put(
        offset_of!(StartInfo, first_free_pfn),
        &info.first_free_pfn.to_le_bytes(),
    );
    put(offset_of!(StartInfo, name), &info.name);
    put(offset_of!(StartInfo, command_line), &info.command_line);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::elf::{KernelPlan, Segment};

    fn layout() -> Layout {
        let segment = Segment {
            vaddr: 0x10_0000,
            pages: 3,
            executable: true,
            ..Segment::default()
        };
        Layout::new(&KernelPlan::for_test(0x10_0000, &[segment]), 5000, 1024).unwrap()
    }

    const IDENTITY: Identity<'_> = Identity {
        domain_id: 7,
        restart_count: 2,
        flags: 1,
        root_mfn: 0x1234,
        module_size: 5000,
        name: "web",
        command_line: b"a=b",
    };

    #[test]
    fn addresses_are_those_of_the_physmap() {
        let info = start_info(&layout(), &IDENTITY);
        // Segments 0..3, module 3..5, frame list 5..7, start_info 7, stack 8..12, tables from 12.
        assert_eq!(info.module, 0xffff_8800_0000_3000);
        assert_eq!(info.mfn_list, 0xffff_8800_0000_5000);
        assert_eq!(start_info_address(&layout()), 0xffff_8800_0000_7000);
        assert_eq!(info.stack, 0xffff_8800_0000_8000);
        assert_eq!(stack_top(&layout()), 0xffff_8800_0000_c000);
        assert_eq!(info.page_tables_pfn, 12);
        assert_eq!(info.first_free_pfn, 12 + info.nr_page_tables);
    }

    #[test]
    fn a_domain_without_a_module_is_told_so() {
        assert_eq!(
            start_info(
                &layout(),
                &Identity {
                    module_size: 0,
                    ..IDENTITY
                }
            )
            .module,
            0
        );
    }

    #[test]
    fn texts_end_in_a_nul_even_if_they_must_be_cut() {
        let long = [b'x'; 2000];
        let info = start_info(
            &layout(),
            &Identity {
                command_line: &long,
                ..IDENTITY
            },
        );
        assert_eq!(info.command_line[1022..], [b'x', 0]);
        assert_eq!(info.name[..4], *b"web\0");
    }

    #[test]
    fn every_field_is_at_its_place_in_the_page() {
        let info = start_info(&layout(), &IDENTITY);
        let bytes = encode(&info);
        assert_eq!(bytes[..8], *b"xen-lite");
        assert_eq!(bytes[24..32], [7, 0, 0, 0, 2, 0, 0, 0]);
        let word = |offset: usize| u64::from_le_bytes(bytes[offset..offset + 8].try_into().unwrap());
        let words: Vec<u64> = (0..13).map(|index| word(index * 8)).collect();
        let expected = [
            MAGIC,
            info.version,
            1,
            2 << 32 | 7,
            1024,
            info.mfn_list,
            info.module,
            5000,
            info.stack,
            info.page_tables_pfn,
            info.nr_page_tables,
            0x1234,
            info.first_free_pfn,
        ];
        assert_eq!(words, expected);
        assert_eq!(bytes[104..108], *b"web\0");
        assert_eq!(bytes[136..140], *b"a=b\0");
    }
}
