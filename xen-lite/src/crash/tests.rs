//! Records as they are printed.
use super::*;

const BAD: Identity<'_> = Identity {
    domain: 2,
    name: "bad",
    incarnation: 1,
};

fn registers() -> Registers {
    let mut general = [None; 15];
    for (value, slot) in (0..).zip(&mut general) {
        *slot = Some(value);
    }
    Registers {
        general,
        rip: Some(0x40_1000),
        cs: Some(0x33),
        rflags: Some(0x202),
        rsp: Some(0x7fff_0000),
        ss: Some(0x2b),
    }
}

#[test]
fn a_handler_that_was_paged_out() {
    let handler = 0xffff_ffff_8010_2000;
    let lines = [
        WalkLine {
            level: Level::L4,
            index: 511,
            entry: 0x12_3003,
        },
        WalkLine {
            level: Level::L3,
            index: 510,
            entry: 0x12_4003,
        },
        WalkLine {
            level: Level::L2,
            index: 0,
            entry: 0x8000_0000_0012_5027,
        },
        WalkLine {
            level: Level::L1,
            index: 258,
            entry: 0,
        },
    ];
    let record = CrashRecord {
        fault: Some(Fault {
            vector: 14,
            error_code: 0x10,
            cr2: handler,
        }),
        entry_point: Some(handler),
        walk: Some(Walk {
            address: handler,
            lines: &lines,
            stopped: Some((3, "stops here")),
        }),
        registers: Some(Registers {
            cs: Some(0x19),
            rip: Some(handler),
            ..registers()
        }),
        ..CrashRecord::new(BAD, Reason::HandlerNotPresent)
    };
    assert_eq!(
        record.machine_line().to_string(),
        "xen-lite: domain=2 name=bad incarnation=1 state=killed reason=handler-not-present vector=14 \
         rip=0xffffffff80102000 cpl=1 cr2=0xffffffff80102000 error=0x10 handler=0xffffffff80102000"
    );
    let expected = "\
domain 2 (bad, incarnation 1) killed: handler-not-present
  rule       a guest kernel keeps its trap handlers resident
  why        xen-lite does no paging for guests: only the guest knows where the page went, and the code that could \
bring it back is what cannot run
  entry      0xffffffff80102000 could not be fetched
  fault      #PF (vector 14) error 0x10 (fetch, not present), address 0xffffffff80102000
  page walk  of 0xffffffff80102000
    L4[511] 0x0000000000123003 writable supervisor executable
    L3[510] 0x0000000000124003 writable supervisor executable
    L2[  0] 0x8000000000125027 writable user no-execute
    L1[258] 0x0000000000000000 not present  <- stops here
  interrupted rip 0xffffffff80102000 cs 0x19 flags 0x202 rsp 0x7fff0000 ss 0x2b
             rax 0x0 rbx 0x1 rcx 0x2 rdx 0x3
             rsi 0x4 rdi 0x5 rbp 0x6 r8 0x7
             r9 0x8 r10 0x9 r11 0xa r12 0xb
             r13 0xc r14 0xd r15 0xe
";
    assert_eq!(record.explanation().to_string(), expected);
}

#[test]
fn a_stack_that_could_not_take_the_frame_with_words_gone() {
    let record = CrashRecord {
        fault: Some(Fault {
            vector: 14,
            error_code: 2,
            cr2: 0x8ff8,
        }),
        delivery: Some(Delivery {
            vector: 13,
            error_code: Some(0x40a),
            handler: Some(0x10_0000),
            selector: Some(0x19),
            stack: Some(0x9000),
        }),
        registers: Some(Registers {
            rip: None,
            cs: None,
            ..registers()
        }),
        ..CrashRecord::new(BAD, Reason::KernelStackNotPresent)
    };
    assert_eq!(
        record.machine_line().to_string(),
        "xen-lite: domain=2 name=bad incarnation=1 state=killed reason=kernel-stack-not-present vector=14 cr2=0x8ff8 \
         error=0x2 handler=0x100000 delivering=13"
    );
    let text = record.explanation().to_string();
    assert!(text.contains("  delivering #GP (vector 13) error 0x40a to 0x19:0x100000, frame below 0x9000\n"));
    assert!(text.contains("  fault      #PF (vector 14) error 0x2 (write, not present), address 0x8ff8\n"));
    assert!(text.contains("  interrupted rip gone cs gone flags 0x202"));
}

#[test]
fn a_trap_without_a_handler() {
    let record = CrashRecord {
        fault: Some(Fault {
            vector: 13,
            error_code: 0,
            cr2: 0xdead,
        }),
        delivery: Some(Delivery {
            vector: 6,
            ..Delivery::default()
        }),
        registers: Some(Registers::default()),
        ..CrashRecord::new(BAD, Reason::NoHandler)
    };
    let line = record.machine_line().to_string();
    assert!(
        line.ends_with("reason=no-handler vector=13 error=0x0 delivering=6"),
        "{line}"
    );
    let text = record.explanation().to_string();
    assert!(text.contains("  delivering #UD (vector 6), no handler is registered\n"));
    assert!(text.contains("  interrupted: all registers are gone\n"));
}

#[test]
fn a_panic_of_its_own_has_a_code_and_nothing_else() {
    let record = CrashRecord {
        code: Some(7),
        ..CrashRecord::new(BAD, Reason::GuestPanic)
    };
    let line = record.machine_line().to_string();
    assert_eq!(
        line,
        "xen-lite: domain=2 name=bad incarnation=1 state=killed reason=guest-panic code=7"
    );
    let expected = "\
domain 2 (bad, incarnation 1) killed: guest-panic
  rule       none: the guest kernel gave up by itself
  code       7
";
    assert_eq!(record.explanation().to_string(), expected);
}

#[test]
fn a_kernel_that_cannot_be_loaded_says_what_is_wrong_with_it() {
    let problem = crate::elf::ElfError::PositionIndependent;
    let record = CrashRecord {
        detail: Some(&problem),
        ..CrashRecord::new(BAD, Reason::KernelImageInvalid)
    };
    let text = record.explanation().to_string();
    assert!(text.contains("  cause      position-independent: link it at fixed addresses (ET_EXEC)\n"));
}

#[test]
fn a_name_with_odd_characters_cannot_break_the_line() {
    let identity = Identity {
        name: "a\nb\x1b",
        ..BAD
    };
    let line = CrashRecord::new(identity, Reason::Destroyed)
        .machine_line()
        .to_string();
    assert_eq!(
        line,
        "xen-lite: domain=2 name=a\\x0ab\\x1b incarnation=1 state=killed reason=destroyed"
    );
}

#[test]
fn the_last_entries_are_told_by_name_oldest_first() {
    let mut recorder = Recorder::new();
    let nothing = CrashRecord {
        recent: Some(&recorder),
        ..CrashRecord::new(BAD, Reason::GuestPanic)
    };
    assert!(!nothing.explanation().to_string().contains("recently"));
    for event in [
        Event::Hypercall(0),
        Event::Trap(TIMER_VECTOR),
        Event::Hypercall(999),
        Event::Trap(14),
    ] {
        recorder.add(event);
    }
    let record = CrashRecord {
        recent: Some(&recorder),
        ..CrashRecord::new(BAD, Reason::GuestPanic)
    };
    let text = record.explanation().to_string();
    assert!(
        text.contains("\n  recently   set_trap_table timer hypercall:0x3e7 trap:14\n"),
        "{text}"
    );
    for _ in 0..16 {
        recorder.add(Event::Hypercall(29));
    }
    let record = CrashRecord {
        recent: Some(&recorder),
        ..CrashRecord::new(BAD, Reason::GuestPanic)
    };
    let text = record.explanation().to_string();
    assert_eq!(text.matches("sched_op").count(), 16);
    assert!(text.lines().all(|line| line.len() < 120), "{text}");
}

#[test]
fn a_record_names_the_handler_and_shows_who_called_whom() {
    use super::symbols::tests::module;
    let names = module(&[
        (0x10_0000, 0x100, "page_fault_handler"),
        (0x10_1000, 0x100, "work"),
    ]);
    let backtrace = Backtrace::GONE;
    let record = CrashRecord {
        delivery: Some(Delivery {
            vector: 14,
            handler: Some(0x10_0000),
            selector: Some(0x19),
            ..Delivery::default()
        }),
        entry_point: Some(0x10_0000),
        backtrace: Some(&backtrace),
        symbols: Symbols::parse(&names),
        ..CrashRecord::new(BAD, Reason::HandlerNotPresent)
    };
    let text = record.explanation().to_string();
    for line in [
        "  delivering #PF (vector 14) to 0x19:0x100000 <page_fault_handler+0x0>\n",
        "  entry      0x100000 <page_fault_handler+0x0> could not be fetched\n",
        "  backtrace  none: ",
    ] {
        assert!(text.contains(line), "{text}");
    }
}

/// The longest of everything: each frame in a function whose name is nothing but what has to be escaped.
#[test]
fn no_record_is_longer_than_is_promised() {
    use super::backtrace::{Ring, Stack, Start};
    use super::symbols::{MOST_SHOWN, tests::module};
    struct Deep;
    impl Stack for Deep {
        fn frame(&mut self, at: u64) -> Option<[u64; 2]> {
            Some([at + 16, u64::MAX])
        }
        fn is_code(&self, _: u64) -> bool {
            true
        }
    }
    let name = "\x1b".repeat(MOST_SHOWN);
    let names = module(&[(1 << 63, u32::MAX, &name), (u64::MAX - 15, 16, &name)]);
    let most = u64::MAX - 15; // 16-aligned
    let start = Start {
        rip: Some(most),
        interrupted: Some(most),
        ring: Ring::Kernel,
        rsp: most - 0x1000,
        rbp: most - 0x1000,
    };
    let backtrace = Backtrace::follow(start, &mut Deep);
    assert_eq!(backtrace.callers().len(), super::backtrace::MOST_FRAMES);
    let mut recent = Recorder::new();
    for _ in 0..16 {
        recent.add(Event::Hypercall(u64::MAX >> 1));
    }
    let line = WalkLine {
        level: Level::L1,
        index: 511,
        entry: u64::MAX,
    };
    let name = "n".repeat(31);
    for reason in Reason::ALL {
        let record = CrashRecord {
            fault: Some(Fault {
                vector: 14,
                error_code: u64::MAX,
                cr2: u64::MAX,
            }),
            delivery: Some(Delivery {
                vector: 14,
                error_code: Some(u64::MAX),
                handler: Some(most),
                selector: Some(u16::MAX),
                stack: Some(u64::MAX),
            }),
            entry_point: Some(most),
            code: Some(u64::MAX),
            walk: Some(Walk {
                address: u64::MAX,
                lines: &[line; 4],
                stopped: Some((3, "read-only: the frame cannot be written, or something longer")),
            }),
            registers: Some(Registers {
                general: [Some(u64::MAX); 15],
                rip: Some(u64::MAX),
                cs: Some(u64::MAX),
                rflags: Some(u64::MAX),
                rsp: Some(u64::MAX),
                ss: Some(u64::MAX),
            }),
            recent: Some(&recent),
            backtrace: Some(&backtrace),
            symbols: Symbols::parse(&names),
            ..CrashRecord::new(
                Identity {
                    domain: u16::MAX,
                    name: &name,
                    incarnation: u32::MAX,
                },
                *reason,
            )
        };
        let text = record.explanation().to_string();
        let shown = text.len() + text.lines().count() * "(xen-lite) \r".len();
        assert!(shown <= MOST_BYTES, "{shown} bytes");
        // The names are in it: this is the long one.
        assert!(shown > MOST_BYTES / 2, "{shown} bytes");
    }
}
