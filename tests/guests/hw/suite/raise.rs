//! Instructions that raise a vector in ring 1.
use abi::selector::FIRST_GUEST_DESCRIPTOR;
use abi::trap::vector;
use guests::check;
use guests::runtime::{call, code, memory};

/// Exceptions that ring-1 code can raise by an instruction of its own, the page fault last.
pub(crate) const BY_ITSELF: [u8; 10] = [
    vector::DE,
    vector::DB,
    vector::BP,
    vector::OF,
    vector::UD,
    vector::NP,
    vector::SS,
    vector::GP,
    vector::MF,
    vector::PF,
];

/// The same without the page fault.
pub(crate) const BUT_PAGE_FAULT: [u8; 9] = [
    vector::DE,
    vector::DB,
    vector::BP,
    vector::OF,
    vector::UD,
    vector::NP,
    vector::SS,
    vector::GP,
    vector::MF,
];

/// Vectors that a direct entry with a DPL opens to `int n`.
pub(crate) const BY_INT: [u8; 9] = [
    vector::DE,
    vector::BP,
    vector::OF,
    vector::BR,
    vector::NM,
    vector::MF,
    vector::XM,
    0x40,
    0x80,
];

/// A 64-bit code segment, ring 1, present.
pub(crate) const CODE_RING_1: u64 = 0x00af_bb00_0000_ffff;
/// A 64-bit code segment, ring 3, present.
pub(crate) const CODE_RING_3: u64 = 0x00af_fb00_0000_ffff;
/// A data segment, ring 1, present.
pub(crate) const DATA_RING_1: u64 = 0x00cf_b300_0000_ffff;
/// A descriptor's present bit.
pub(crate) const PRESENT: u64 = 1 << 47;

/// The ring-1 selector of the guest's own slot number `n`.
pub(crate) fn own_selector(n: u16) -> u16 {
    (FIRST_GUEST_DESCRIPTOR as u16 + n) << 3 | 1
}

/// Fills one of the guest's own slots.
pub(crate) fn own_segment(n: u16, descriptor: u64) {
    let done = call::update_descriptor(u64::from(own_selector(n) & !7), descriptor);
    check!(done.is_ok(), "slot {n} takes {descriptor:#x}: {done:?}");
}

/// Instructions, at most so many bytes.
pub(crate) struct Bytes {
    bytes: [u8; 40],
    used: usize,
}

impl Bytes {
    fn new(parts: &[&[u8]]) -> Self {
        let mut all = Self {
            bytes: [0x90; 40],
            used: 0,
        };
        for byte in parts.iter().copied().flatten() {
            all.bytes[all.used] = *byte;
            all.used += 1;
        }
        all
    }
}

impl core::ops::Deref for Bytes {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.bytes[..self.used]
    }
}

/// Code that raises a vector of [`BY_ITSELF`] in ring 1.
pub(crate) fn instructions(vector: u8) -> Bytes {
    // A slot that says: data, ring 1, not present.
    const ABSENT_DATA: u16 = 15;
    let selector = own_selector(ABSENT_DATA).to_le_bytes();
    if matches!(vector, vector::NP | vector::SS) {
        own_segment(ABSENT_DATA, DATA_RING_1 & !PRESENT);
    }
    match vector {
        // xor ecx, ecx; div ecx
        vector::DE => Bytes::new(&[&[0x31, 0xc9, 0xf7, 0xf1]]),
        // pushfq; or dword [rsp], TF; popfq; nop; nop
        vector::DB => Bytes::new(&[&[0x9c, 0x81, 0x0c, 0x24, 0, 1, 0, 0, 0x9d, 0x90, 0x90]]),
        vector::BP => Bytes::new(&[&[0xcc]]),
        // int 4: `into` is gone in 64-bit code
        vector::OF => Bytes::new(&[&[0xcd, 4]]),
        vector::UD => Bytes::new(&[&code::UD2]),
        // mov ax, selector; mov ds, ax
        vector::NP => Bytes::new(&[&[0x66, 0xb8], &selector, &[0x8e, 0xd8]]),
        // mov ax, selector; mov ss, ax
        vector::SS => Bytes::new(&[&[0x66, 0xb8], &selector, &[0x8e, 0xd0]]),
        // hlt
        vector::GP => Bytes::new(&[&[0xf4]]),
        // fninit; push 0x37b (division by zero unmasked); fldcw [rsp]; fld1; fldz; fdivp; fwait
        vector::MF => Bytes::new(&[&[
            0xdb, 0xe3, 0x68, 0x7b, 3, 0, 0, 0xd9, 0x2c, 0x24, 0xd9, 0xe8, 0xd9, 0xee, 0xde, 0xf9, 0x9b,
        ]]),
        // movabs rax, [an unmapped page]
        _ => Bytes::new(&[&[0x48, 0xa1], &memory::kernel_area(1).to_le_bytes()]),
    }
}

/// `int n`.
pub(crate) fn int(vector: u8) -> [u8; 2] {
    [0xcd, vector]
}

/// Raises a vector in ring 1 and checks that its handler got it.
pub(crate) fn works(bytes: &[u8], vector: u8) {
    let found = code::run_in_ring1(bytes);
    check!(
        found.vector == u64::from(vector),
        "vector {vector} arrives while its handler is there: {found:x?}"
    );
}

/// Raises what must end this guest.
pub(crate) fn dies(bytes: &[u8]) {
    let found = code::run_in_ring1(bytes);
    check!(false, "the guest is dead, yet a handler ran: {found:x?}");
}
