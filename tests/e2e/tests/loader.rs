//! Kernels that nobody vouches for: damaged, hostile, or too large for their domain. The hypervisor refuses each, says
//! why, and goes on with the others.
use e2e::{Boot, MACHINE, WITNESS, assembled};
use image_builder::workspace;
use std::fs;

/// Offsets of fields (ELF-64 object file format, figures 2 and 6).
mod at {
    pub(super) const CLASS: usize = 4;
    pub(super) const DATA: usize = 5;
    pub(super) const TYPE: usize = 16;
    pub(super) const MACHINE: usize = 18;
    pub(super) const ENTRY: usize = 24;
    pub(super) const PHOFF: usize = 32;
    pub(super) const PHENTSIZE: usize = 54;
    pub(super) const PHNUM: usize = 56;
    /// The first program header; the fields below are inside it.
    pub(super) const SEGMENT: usize = 64;
    pub(super) const OFFSET: usize = SEGMENT + 8;
    pub(super) const VADDR: usize = SEGMENT + 16;
    pub(super) const FILESZ: usize = SEGMENT + 32;
    pub(super) const MEMSZ: usize = SEGMENT + 40;
    pub(super) const SIZE: usize = 56;
}

/// A copy of a good kernel with some bytes replaced.
fn with(good: &[u8], place: usize, bytes: &[u8]) -> Vec<u8> {
    let mut kernel = good.to_vec();
    kernel[place..place + bytes.len()].copy_from_slice(bytes);
    kernel
}

fn word(good: &[u8], place: usize, value: u64) -> Vec<u8> {
    with(good, place, &value.to_le_bytes())
}

fn bad_kernels(good: &[u8]) -> Vec<Vec<u8>> {
    let twice = {
        let first = good[at::SEGMENT..at::SEGMENT + at::SIZE].to_vec();
        with(good, at::SEGMENT + at::SIZE, &first)
    };
    vec![
        with(good, 0, b"MZ"),
        with(good, at::CLASS, &[1]),
        with(good, at::DATA, &[2]),
        with(good, at::TYPE, &[3, 0]),
        with(good, at::TYPE, &[4, 0]),
        with(good, at::MACHINE, &[3, 0]),
        with(good, at::MACHINE, &[0xb7, 0]),
        word(good, at::ENTRY, 0),
        word(good, at::ENTRY, 0x1234_5678_9abc_def0),
        word(good, at::ENTRY, 0xffff_8000_0020_0000),
        word(good, at::PHOFF, u64::MAX),
        word(good, at::PHOFF, u64::MAX - 63),
        word(good, at::PHOFF, good.len() as u64 - 8),
        with(good, at::PHENTSIZE, &[0, 0]),
        with(good, at::PHENTSIZE, &[55, 0]),
        with(good, at::PHNUM, &[0, 0]),
        with(good, at::PHNUM, &[0xff, 0xff]),
        word(good, at::OFFSET, u64::MAX),
        word(good, at::OFFSET, good.len() as u64),
        word(good, at::VADDR, 0xffff_8000_0000_0000),
        word(good, at::VADDR, 0xffff_807f_ffff_f000),
        word(good, at::VADDR, 0x0000_7fff_ffff_ff80),
        word(good, at::VADDR, 0x0000_8000_0000_0000),
        word(good, at::VADDR, 0xffff_8800_0000_0000),
        word(good, at::VADDR, 0xffff_ffff_ffff_ff80),
        word(good, at::FILESZ, u64::MAX),
        word(good, at::FILESZ, 1 << 40),
        word(good, at::MEMSZ, 0x10),
        word(good, at::MEMSZ, u64::MAX),
        word(good, at::MEMSZ, u64::MAX - 0x40_0000),
        twice,
        Vec::new(),
        vec![0x7f],
        good[..63].to_vec(),
        good[..at::SEGMENT + 20].to_vec(),
        good[..good.len() / 4].to_vec(),
        b"#!/bin/sh\n".to_vec(),
        vec![0xff; 5000],
    ]
}

fn domain(name: &str, kernel: &[u8], memory: &str, expect: &str) -> String {
    let directory = workspace::target_dir().join("e2e").join("kernels");
    fs::create_dir_all(&directory).expect("the target directory can be written");
    let path = directory.join(name);
    fs::write(&path, kernel).expect("the target directory can be written");
    format!(
        "
        [[domain]]
        name = \"{name}\"
        kernel = {{ unchecked = \"{}\" }}
        memory = \"{memory}\"
        record = \"line\"
        expect = \"{expect}\"
        ",
        path.display()
    )
}

fn good_kernel() -> Vec<u8> {
    fs::read(assembled("dies")).expect("it was just built")
}

#[test]
fn a_kernel_that_is_no_kernel_is_refused_and_the_others_run() {
    let good = good_kernel();
    let mut scene = MACHINE.to_owned() + WITNESS;
    scene.push_str(&domain("good", &good, "1M", "killed:no-handler"));
    for (n, kernel) in bad_kernels(&good).iter().enumerate() {
        scene.push_str(&domain(
            &format!("bad-{n}"),
            kernel,
            "1M",
            "killed:kernel-image-invalid",
        ));
    }
    let _ = Boot::qemu("bad-kernels", &scene).must_be_good();
}

#[test]
fn a_kernel_that_does_not_fit_its_memory_is_refused_and_the_others_run() {
    let good = good_kernel();
    let mut scene = MACHINE.to_owned() + WITNESS;
    for (n, memory) in ["4K", "8K", "16K", "32K"].iter().enumerate() {
        scene.push_str(&domain(
            &format!("small-{n}"),
            &good,
            memory,
            "killed:out-of-memory",
        ));
    }
    let last = usize::from(good[at::PHNUM]) - 1;
    let huge = word(&good, at::MEMSZ + last * at::SIZE, 64 << 20);
    scene.push_str(&domain("huge", &huge, "1M", "killed:out-of-memory"));
    let _ = Boot::qemu("no-memory", &scene).must_be_good();
}

#[test]
fn a_kernel_with_flipped_bits_ends_in_order_whatever_they_say() {
    let good = good_kernel();
    let mut scene = MACHINE.to_owned() + WITNESS;
    // A fixed sequence: a failure can be repeated.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % below as u64).unwrap_or_default()
    };
    for n in 0..100 {
        let mut kernel = good.clone();
        for _ in 0..1 + n % 4 {
            let headers = at::SEGMENT + 3 * at::SIZE;
            let place = next(headers.min(kernel.len()));
            kernel[place] ^= 1 << next(8);
        }
        scene.push_str(&domain(&format!("flipped-{n}"), &kernel, "256K", "any"));
    }
    let _ = Boot::qemu("flipped-kernels", &scene).must_be_good();
}
