//! When the upcall is entered, on which frame, and which stacks end a guest.
use super::{AfterCall, Entry, Upcall, after_call, enter};
use crate::testing::world::{Bench, at};
use abi::layout::{SLOT_BASE, SLOT_END};
use abi::reason::Reason;
use abi::selector::{KERNEL_CS, KERNEL_SS, USER_CS};

const UPCALL: Upcall = Upcall {
    address: 0x1000,
    region_start: 0x2000,
    region_end: 0x2010,
};

/// A domain at `rip` in ring 1 with an event due.
fn due(rip: u64, rsp: u64) -> Bench {
    let mut bench = Bench::new(1);
    bench.set_shared(0, 0, 1);
    let vcpu = &mut bench.domains[0].vcpu;
    vcpu.upcall = Some(UPCALL);
    vcpu.registers.rip = rip;
    vcpu.registers.rsp = rsp;
    vcpu.registers.cs = u64::from(KERNEL_CS);
    vcpu.registers.ss = u64::from(KERNEL_SS);
    vcpu.registers.rflags = 0x246;
    bench
}

fn entered(bench: &mut Bench) -> Entry {
    let entry = enter(&mut bench.world, &mut bench.domains[0]);
    bench.audit();
    entry
}

#[test]
fn nothing_happens_without_an_upcall_or_while_it_is_masked_or_nothing_is_pending() {
    for flags in [0, 0x100, 0x101, 0xff01, 0x8000_0000_0000_0000, 0x1_0000] {
        let mut bench = due(UPCALL.region_start, at(1, 0));
        bench.set_shared(0, 0, flags);
        let before = bench.domains[0].vcpu.registers.rip;
        assert_eq!(entered(&mut bench), Entry::AsItIs, "{flags:#x}");
        assert_eq!(
            (bench.shared(0, 0), bench.domains[0].vcpu.registers.rip),
            (flags, before)
        );
    }
    let mut bench = due(UPCALL.region_start, at(1, 0));
    bench.domains[0].vcpu.upcall = None;
    assert_eq!(entered(&mut bench), Entry::AsItIs);
    assert_eq!(bench.shared(0, 0), 1, "the event waits for an upcall");
}

#[test]
fn any_pending_byte_but_0_counts_and_the_mask_is_set() {
    for pending in [1, 2, 0x80, 0xff] {
        let mut bench = due(0x3000, at(1, 0));
        bench.set_shared(0, 0, pending);
        assert_eq!(entered(&mut bench), Entry::Bounce);
        assert_eq!(bench.shared(0, 0), pending | 0x100);
        assert_eq!(bench.domains[0].vcpu.registers.rip, 0x3000);
    }
}

#[test]
fn the_region_has_its_first_byte_and_not_its_last_and_is_ring_1s() {
    for (rip, inside) in [
        (UPCALL.region_start - 1, false),
        (UPCALL.region_start, true),
        (UPCALL.region_end - 1, true),
        (UPCALL.region_end, false),
    ] {
        let mut bench = due(rip, at(1, 64));
        let expected = if inside { Entry::AsItIs } else { Entry::Bounce };
        assert_eq!(entered(&mut bench), expected, "{rip:#x}");
        let mut user = due(rip, at(1, 64));
        user.domains[0].vcpu.registers.cs = u64::from(USER_CS);
        assert_eq!(entered(&mut user), Entry::Bounce, "{rip:#x} in ring 3");
    }
}

#[test]
fn no_region_means_a_new_frame_everywhere() {
    for rip in [0, 1, u64::MAX] {
        let mut bench = due(rip, at(1, 64));
        bench.domains[0].vcpu.upcall = Some(Upcall {
            region_start: 0,
            region_end: 0,
            ..UPCALL
        });
        assert_eq!(entered(&mut bench), Entry::Bounce);
    }
}

#[test]
fn inside_the_region_the_frame_is_completed_by_one_word_and_the_upcall_is_entered_on_flat_segments() {
    let frame = [0x1234, u64::from(USER_CS), 0x202, 0x5678, 0x2b];
    let mut bench = due(UPCALL.region_start + 4, at(1, 64));
    bench.write(0, at(1, 48), &[7, 7]);
    bench.write(0, at(1, 64), &frame);
    let registers = &mut bench.domains[0].vcpu.registers;
    registers.rax = 0xaaaa;
    // A code segment of the guest's own, and the stack segment that a direct trap leaves.
    (registers.cs, registers.ss) = (0x81, 1);
    registers.rflags = 0x40_0ed7;
    assert_eq!(entered(&mut bench), Entry::AsItIs);
    let registers = bench.domains[0].vcpu.registers;
    assert_eq!((registers.rip, registers.rsp), (UPCALL.address, at(1, 56)));
    assert_eq!(
        (registers.cs, registers.ss, registers.rflags),
        (u64::from(KERNEL_CS), u64::from(KERNEL_SS), 0x202)
    );
    assert_eq!(registers.rax, 0xaaaa);
    assert_eq!(
        bench.read(0, at(1, 56)),
        UPCALL.region_start + 4,
        "how far the return had come"
    );
    assert_eq!(bench.read(0, at(1, 48)), 7, "nothing below it is touched");
    for (n, word) in (0..).zip(frame) {
        assert_eq!(bench.read(0, at(1, 64 + 8 * n)), word);
    }
    assert_eq!(bench.shared(0, 0), 0x101);
    assert_eq!(entered(&mut bench), Entry::AsItIs, "masked now");
}

#[test]
fn a_stack_that_cannot_take_the_word_ends_the_guest_for_that_stacks_reason() {
    for (rsp, reason) in [
        (at(5, 0), Reason::KernelStackNotPresent),
        (at(4, 2048), Reason::KernelStackNotPresent),
        // Half on a good page, half on none.
        (at(6, 4), Reason::KernelStackNotPresent),
        (0, Reason::KernelStackNotPresent),
        (8, Reason::KernelStackNotPresent),
        (at(3, 0), Reason::KernelStackReadOnly),
        (at(2, 4), Reason::KernelStackReadOnly),
        (at(3, 64), Reason::KernelStackReadOnly),
        (SLOT_BASE + 8, Reason::KernelStackForbidden),
        (abi::layout::SHARED_INFO + 64, Reason::KernelStackForbidden),
        (SLOT_END, Reason::KernelStackForbidden),
        (SLOT_END + 4, Reason::KernelStackForbidden),
        (SLOT_BASE, Reason::KernelStackNonCanonical),
        (0x0000_8000_0000_1000, Reason::KernelStackNonCanonical),
        (4, Reason::KernelStackNonCanonical),
    ] {
        let mut bench = due(UPCALL.region_start, rsp);
        let before = bench.domains[0].vcpu.registers;
        let kill = entered(&mut bench);
        // A table's page may be refused for one reason or the other; here each has one.
        assert_eq!(kill, Entry::Kill(reason, rsp.wrapping_sub(8)), "{rsp:#x}");
        let after = bench.domains[0].vcpu.registers;
        assert_eq!(
            (before.rip, before.rsp),
            (after.rip, after.rsp),
            "the record shows where it was"
        );
    }
}

#[test]
fn after_a_hypercall_the_same_is_decided_without_a_look_at_the_stack() {
    for flags in [0, 1, 0x100, 0x101, 0x80, 0xff01, 0x1_0000, 0x1_0001] {
        for rip in [
            0x3000,
            UPCALL.region_start,
            UPCALL.region_end - 1,
            UPCALL.region_end,
        ] {
            let mut bench = due(rip, at(1, 64));
            bench.set_shared(0, 0, flags);
            let after = after_call(&mut bench.world.mem, &bench.domains[0]);
            let masked = bench.shared(0, 0);
            let mut other = due(rip, at(1, 64));
            other.set_shared(0, 0, flags);
            let entry = entered(&mut other);
            let moved = other.domains[0].vcpu.registers.rip != rip;
            let expected = match (entry, moved) {
                (Entry::Bounce, _) => AfterCall::Bounce,
                (Entry::AsItIs, true) => AfterCall::InRegion,
                (Entry::AsItIs, false) => AfterCall::AsItIs,
                (Entry::Kill(..), _) => panic!("the stack is good"),
            };
            assert_eq!(after, expected, "flags {flags:#x}, rip {rip:#x}");
            // Inside the region it is left to `enter`, which masks.
            let as_it_was = if after == AfterCall::InRegion {
                flags
            } else {
                other.shared(0, 0)
            };
            assert_eq!(masked, as_it_was);
        }
    }
    let mut bench = due(0x3000, at(1, 0));
    bench.domains[0].vcpu.upcall = None;
    assert_eq!(
        after_call(&mut bench.world.mem, &bench.domains[0]),
        AfterCall::AsItIs
    );
}
