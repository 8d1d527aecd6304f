//! The kill rules: what a fault inside a delivery means, and whether a fetch fault is the guest's to handle.
//!
//! Ring 0 has three places that may fault on the guest's account ([`Window`]); the caller has found out, by the saved
//! privilege *and* the saved rip, that the fault struck in one of them. Everything else at ring 0 is a bug of ours, and
//! so is a fault here that its window cannot raise: [`Verdict::Bug`].
use super::table::{BounceEntry, TrapTable};
use crate::addr::Level;
use abi::layout::{in_hypervisor_slot, is_canonical};
use abi::mmu::PteFlags;
use abi::reason::Reason;
use abi::trap::{BounceFrame, vector};

/// Bits of a page fault's error code (SDM vol. 3A, 4.7).
pub mod page_fault {
    /// The translation was there and forbade the access.
    pub const PROTECTION: u64 = 1 << 0;
    /// A write.
    pub const WRITE: u64 = 1 << 1;
    /// From ring 3.
    pub const USER: u64 = 1 << 2;
    /// A reserved bit was set in an entry.
    pub const RESERVED: u64 = 1 << 3;
    /// An instruction fetch.
    pub const FETCH: u64 = 1 << 4;
}

/// An instruction of the switcher that may fault.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Window {
    /// The bounce's stores to the guest kernel's stack.
    BounceStore,
    /// The bounce's iretq to the handler.
    BounceIret,
    /// The iretq that leaves the hypervisor.
    ExitIret,
}

/// A fault, as the CPU reported it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Fault {
    /// Vector.
    pub vector: u8,
    /// Error code, 0 where there is none.
    pub error_code: u64,
    /// CR2, for page faults.
    pub cr2: u64,
}

/// What to do about a fault at ring 0.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// End the guest.
    Kill(Reason),
    /// The hypervisor is wrong: this fault cannot be a guest's doing.
    Bug,
}

/// A fault in one of the windows. `entry` is what the bounce read for the vector it was delivering.
#[must_use]
pub const fn fault_in_delivery(window: Window, nested: Fault, entry: BounceEntry) -> Verdict {
    let reason = match window {
        Window::BounceStore => refused_store(nested),
        Window::BounceIret => refused_handler(nested, entry),
        Window::ExitIret => match nested.vector {
            vector::GP | vector::NP | vector::SS => Some(Reason::ReturnFrameInvalid),
            _ => None,
        },
    };
    match reason {
        Some(reason) => Verdict::Kill(reason),
        None => Verdict::Bug,
    }
}

const fn refused_store(nested: Fault) -> Option<Reason> {
    match nested.vector {
        // The frame's lower end can reach into the slot from a stack pointer just above it.
        vector::PF if in_hypervisor_slot(nested.cr2) => Some(Reason::KernelStackForbidden),
        // Guests' tables hold no reserved bits.
        vector::PF if nested.error_code & page_fault::RESERVED != 0 => None,
        vector::PF if nested.error_code & page_fault::WRITE == 0 => None,
        vector::PF if nested.error_code & page_fault::PROTECTION != 0 => Some(Reason::KernelStackReadOnly),
        vector::PF => Some(Reason::KernelStackNotPresent),
        vector::GP | vector::SS => Some(Reason::KernelStackNonCanonical),
        _ => None,
    }
}

const fn refused_handler(nested: Fault, entry: BounceEntry) -> Option<Reason> {
    match nested.vector {
        vector::NP => Some(Reason::HandlerSegmentNotPresent),
        vector::GP if entry.is_empty() => Some(Reason::NoHandler),
        vector::GP => Some(Reason::HandlerSegmentInvalid),
        _ => None,
    }
}

/// A #DF with saved privilege 1 or 3: the CPU could not deliver a direct trap, for a page fault on the way would have
/// been a page fault. `stack` is where it began to push: the saved rsp in ring 1, the kernel stack from ring 3.
#[must_use]
pub const fn double_fault(stack: u64) -> Reason {
    const FRAME: u64 = size_of::<BounceFrame>() as u64;
    let lowest = stack.wrapping_sub(FRAME);
    if is_canonical(lowest) && is_canonical(stack) {
        Reason::DoubleFault
    } else {
        Reason::KernelStackNonCanonical
    }
}

/// What stands at the address that could not be fetched.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EntryPoint {
    /// The handler of this vector.
    Handler(u8),
    /// The syscall entry, or the event upcall.
    Callback,
}

impl EntryPoint {
    /// What a guest has registered at `address`; `callbacks` are its syscall entry and its like, 0 for none.
    #[must_use]
    pub fn at(address: u64, table: &TrapTable, callbacks: &[u64]) -> Option<Self> {
        match table.vector_at(address) {
            Some(vector) => Some(Self::Handler(vector)),
            None if address != 0 && callbacks.contains(&address) => Some(Self::Callback),
            None => None,
        }
    }
}

/// Whether ring 1 may fetch from a page, by the tables as they are now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fetch {
    /// Yes.
    Allowed,
    /// An entry is not present.
    NotPresent(Level),
    /// An entry forbids execution.
    NoExecute(Level),
    /// A user page, under supervisor-mode execution prevention.
    UserPage,
}

impl Fetch {
    /// Judges a walk: the entries read, from the root's down. SMEP looks at the whole path: one supervisor entry makes a
    /// page a supervisor page.
    #[must_use]
    pub fn judge(entries: &[u64], smep: Smep) -> Self {
        let levels = [Level::L4, Level::L3, Level::L2, Level::L1];
        let mut user_page = true;
        let mut no_execute = None;
        for (position, level) in levels.into_iter().enumerate() {
            let flags = PteFlags::from_bits_truncate(entries.get(position).copied().unwrap_or(0));
            if !flags.contains(PteFlags::PRESENT) {
                return Self::NotPresent(level);
            }
            if flags.contains(PteFlags::NO_EXECUTE) && no_execute.is_none() {
                no_execute = Some(level);
            }
            user_page &= flags.contains(PteFlags::USER);
        }
        match (no_execute, smep) {
            (Some(level), _) => Self::NoExecute(level),
            (None, Smep::On) if user_page => Self::UserPage,
            _ => Self::Allowed,
        }
    }
}

/// Supervisor-mode execution prevention.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Smep {
    /// CR4.SMEP is set.
    On,
    /// This CPU has none.
    Off,
}

/// A page fault with CR2 = rip, as the stub found it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FetchFault {
    /// Privilege at which it struck: the low bits of the saved code selector.
    pub cpl: u8,
    /// CR2.
    pub cr2: u64,
    /// Saved rip.
    pub rip: u64,
    /// Error code.
    pub error_code: u64,
}

/// What to do about a possible fetch fault.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FetchVerdict {
    /// A page fault like any other: bounce it.
    Ordinary,
    /// The tables allow the fetch by now: flush the translation and go on.
    FlushAndResume,
    /// A double fault of the guest.
    Kill(Reason),
}

/// The rule that a guest keeps its entry points resident: one that ring 1 tried to fetch and cannot ends the guest, at
/// once and for every vector.
///
/// `registered` is [`EntryPoint::at`] the rip; `fresh` judges a walk made now, for the CPU may have used an old translation.
#[must_use]
pub const fn fetch_fault(fault: FetchFault, registered: Option<EntryPoint>, fresh: Fetch) -> FetchVerdict {
    // CR2 = rip without a fetch: an instruction that touches its own first byte.
    let is_fetch = fault.error_code & page_fault::FETCH != 0;
    if fault.cpl != 1 || fault.cr2 != fault.rip || !is_fetch {
        return FetchVerdict::Ordinary;
    }
    match (registered, fresh) {
        (None, _) => FetchVerdict::Ordinary,
        (Some(_), Fetch::Allowed) => FetchVerdict::FlushAndResume,
        (Some(EntryPoint::Callback), _) => FetchVerdict::Kill(Reason::CallbackNotPresent),
        (Some(EntryPoint::Handler(_)), Fetch::NotPresent(_)) => FetchVerdict::Kill(Reason::HandlerNotPresent),
        (Some(EntryPoint::Handler(_)), Fetch::NoExecute(_) | Fetch::UserPage) => {
            FetchVerdict::Kill(Reason::HandlerNotExecutable)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use abi::layout::{SLOT_BASE, SLOT_END};

    const HANDLER: BounceEntry = BounceEntry {
        address: 0x10_0000,
        cs: 0x19,
    };

    fn fault(vector: u8, error_code: u64) -> Fault {
        Fault {
            vector,
            error_code,
            cr2: 0x1000,
        }
    }

    fn store(vector: u8, error_code: u64) -> Verdict {
        fault_in_delivery(Window::BounceStore, fault(vector, error_code), HANDLER)
    }

    #[test]
    fn a_store_that_the_stack_cannot_take_tells_absent_from_read_only() {
        assert_eq!(store(vector::PF, 2), Verdict::Kill(Reason::KernelStackNotPresent));
        assert_eq!(store(vector::PF, 3), Verdict::Kill(Reason::KernelStackReadOnly));
    }

    #[test]
    fn a_store_to_a_bad_address_is_a_non_canonical_stack() {
        assert_eq!(
            store(vector::GP, 0),
            Verdict::Kill(Reason::KernelStackNonCanonical)
        );
        assert_eq!(
            store(vector::SS, 0),
            Verdict::Kill(Reason::KernelStackNonCanonical)
        );
    }

    #[test]
    fn a_frame_that_reaches_down_into_the_slot_is_forbidden() {
        for cr2 in [SLOT_END - 8, SLOT_BASE] {
            for error_code in [2, 3] {
                let nested = Fault {
                    vector: vector::PF,
                    error_code,
                    cr2,
                };
                let verdict = fault_in_delivery(Window::BounceStore, nested, HANDLER);
                assert_eq!(verdict, Verdict::Kill(Reason::KernelStackForbidden));
            }
        }
    }

    #[test]
    fn the_iretq_to_a_handler_tells_absent_from_invalid_segments_and_from_no_handler() {
        let iret = |vector, entry| fault_in_delivery(Window::BounceIret, fault(vector, 0x80), entry);
        assert_eq!(
            iret(vector::NP, HANDLER),
            Verdict::Kill(Reason::HandlerSegmentNotPresent)
        );
        assert_eq!(
            iret(vector::GP, HANDLER),
            Verdict::Kill(Reason::HandlerSegmentInvalid)
        );
        assert_eq!(
            iret(vector::GP, BounceEntry::EMPTY),
            Verdict::Kill(Reason::NoHandler)
        );
    }

    #[test]
    fn the_exit_iretq_refuses_the_frame_it_returns_to() {
        for vector in [vector::GP, vector::NP, vector::SS] {
            let verdict = fault_in_delivery(Window::ExitIret, fault(vector, 0), BounceEntry::EMPTY);
            assert_eq!(verdict, Verdict::Kill(Reason::ReturnFrameInvalid));
        }
    }

    #[test]
    fn a_fault_that_its_window_cannot_raise_is_our_bug() {
        for vector in 0..32 {
            let known: &[u8] = &[vector::PF, vector::GP, vector::SS, vector::NP];
            for window in [Window::BounceStore, Window::BounceIret, Window::ExitIret] {
                if !known.contains(&vector) {
                    assert_eq!(fault_in_delivery(window, fault(vector, 0), HANDLER), Verdict::Bug);
                }
            }
        }
        assert_eq!(store(vector::NP, 0), Verdict::Bug);
        assert_eq!(store(vector::PF, 0), Verdict::Bug, "a read");
        assert_eq!(store(vector::PF, 2 | 8 | 1), Verdict::Bug, "a reserved bit");
        for window in [Window::BounceIret, Window::ExitIret] {
            assert_eq!(
                fault_in_delivery(window, fault(vector::PF, 3), HANDLER),
                Verdict::Bug
            );
        }
    }

    #[test]
    fn a_double_fault_of_a_guest_is_put_down_to_its_stack_where_that_explains_it() {
        for stack in [0x0000_8000_0000_0000, 0x0000_8000_0000_1000, SLOT_BASE, 1 << 63] {
            assert_eq!(double_fault(stack), Reason::KernelStackNonCanonical);
        }
        assert_eq!(double_fault(0x10_0000), Reason::DoubleFault);
    }

    const FETCH: FetchFault = FetchFault {
        cpl: 1,
        cr2: 0x5000,
        rip: 0x5000,
        error_code: page_fault::FETCH,
    };

    #[test]
    fn an_absent_handler_ends_the_guest_whatever_its_vector() {
        for vector in [0, 6, 14, 0x80] {
            let verdict = fetch_fault(
                FETCH,
                Some(EntryPoint::Handler(vector)),
                Fetch::NotPresent(Level::L1),
            );
            assert_eq!(verdict, FetchVerdict::Kill(Reason::HandlerNotPresent));
        }
    }

    #[test]
    fn a_handler_that_may_not_be_executed_ends_the_guest() {
        let fault = FetchFault {
            error_code: page_fault::FETCH | page_fault::PROTECTION,
            ..FETCH
        };
        for fresh in [
            Fetch::NoExecute(Level::L1),
            Fetch::NoExecute(Level::L4),
            Fetch::UserPage,
        ] {
            let verdict = fetch_fault(fault, Some(EntryPoint::Handler(14)), fresh);
            assert_eq!(verdict, FetchVerdict::Kill(Reason::HandlerNotExecutable));
        }
    }

    #[test]
    fn a_callback_that_cannot_be_fetched_has_its_own_reason() {
        for fresh in [
            Fetch::NotPresent(Level::L2),
            Fetch::NoExecute(Level::L1),
            Fetch::UserPage,
        ] {
            let verdict = fetch_fault(FETCH, Some(EntryPoint::Callback), fresh);
            assert_eq!(verdict, FetchVerdict::Kill(Reason::CallbackNotPresent));
        }
    }

    #[test]
    fn a_stale_translation_is_flushed_and_the_guest_resumes() {
        for entry in [EntryPoint::Handler(14), EntryPoint::Callback] {
            assert_eq!(
                fetch_fault(FETCH, Some(entry), Fetch::Allowed),
                FetchVerdict::FlushAndResume
            );
        }
    }

    #[test]
    fn what_is_not_a_ring_1_fetch_of_an_entry_point_is_an_ordinary_fault() {
        let handler = Some(EntryPoint::Handler(14));
        let absent = Fetch::NotPresent(Level::L1);
        let user = FetchFault { cpl: 3, ..FETCH };
        let writes_to_itself = FetchFault {
            error_code: page_fault::WRITE | page_fault::PROTECTION,
            ..FETCH
        };
        let elsewhere = FetchFault { cr2: 0x6000, ..FETCH };
        for fault in [user, writes_to_itself, elsewhere] {
            assert_eq!(fetch_fault(fault, handler, absent), FetchVerdict::Ordinary);
        }
        assert_eq!(fetch_fault(FETCH, None, absent), FetchVerdict::Ordinary);
    }

    #[test]
    fn a_null_call_is_nobodys_entry_point() {
        assert_eq!(EntryPoint::at(0, &TrapTable::EMPTY, &[0, 0x5000]), None);
        assert_eq!(
            EntryPoint::at(0x5000, &TrapTable::EMPTY, &[0, 0x5000]),
            Some(EntryPoint::Callback)
        );
    }

    #[test]
    fn a_walk_is_judged_as_the_cpu_does() {
        let kernel = (PteFlags::PRESENT | PteFlags::WRITABLE).bits();
        let user = kernel | PteFlags::USER.bits();
        let no_execute = PteFlags::NO_EXECUTE.bits();
        assert_eq!(Fetch::judge(&[kernel; 4], Smep::On), Fetch::Allowed);
        assert_eq!(Fetch::judge(&[user; 4], Smep::On), Fetch::UserPage);
        assert_eq!(Fetch::judge(&[user; 4], Smep::Off), Fetch::Allowed);
        assert_eq!(
            Fetch::judge(&[user, user, kernel, user], Smep::On),
            Fetch::Allowed
        );
        assert_eq!(
            Fetch::judge(&[user, user, user | no_execute, user], Smep::On),
            Fetch::NoExecute(Level::L2)
        );
        assert_eq!(
            Fetch::judge(&[kernel, kernel, no_execute], Smep::On),
            Fetch::NotPresent(Level::L2)
        );
        assert_eq!(
            Fetch::judge(&[kernel | no_execute, 0], Smep::On),
            Fetch::NotPresent(Level::L3)
        );
        assert_eq!(Fetch::judge(&[], Smep::On), Fetch::NotPresent(Level::L4));
    }
}
