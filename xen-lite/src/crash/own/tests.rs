use super::*;
use crate::crash::MOST_BYTES;
use crate::crash::symbols::tests::module;
use crate::recorder::Event;
use proptest::prelude::*;

#[test]
fn every_form_of_a_call_is_known() {
    for (bytes, is_call) in [
        ([0, 0, 0xe8, 1, 2, 3, 4], true),
        ([0, 0, 0, 0, 0, 0xff, 0xd0], true),    // call rax
        ([0, 0, 0, 0, 0x41, 0xff, 0xd7], true), // call r15
        ([0, 0, 0, 0, 0xff, 0x50, 8], true),    // call [rax + 8]
        ([0, 0, 0, 0xff, 0x54, 0x24, 8], true), // call [rsp + 8]
        ([0, 0xff, 0x15, 1, 2, 3, 4], true),    // call [rip + ...]
        ([0xff, 0x94, 0x24, 1, 2, 3, 4], true), // call [rsp + ...]
        ([0, 0, 0, 0, 0, 0xff, 0xe0], false),   // jmp rax
        ([0, 0, 0, 0, 0, 0xff, 0xc0], false),   // inc eax
        ([0, 0, 0xe9, 1, 2, 3, 4], false),      // jmp
        ([0x90; 7], false),
    ] {
        assert_eq!(ends_with_call(&bytes), is_call, "{bytes:x?}");
    }
}

#[test]
fn as_many_calls_as_there_is_room_for_are_found_in_order() {
    let even = |word: u64| word.is_multiple_of(2);
    let calls = Calls::among([1, 2, 3, 4], even);
    assert_eq!(
        calls.found().iter().map(|call| call.address).collect::<Vec<_>>(),
        [2, 4]
    );
    let calls = Calls::among(0..1000, even);
    assert_eq!(calls.found().len(), MOST_CALLS);
    assert_eq!(calls.found().last().unwrap().address, 2 * MOST_CALLS as u64 - 2);
}

#[test]
fn a_recursion_takes_one_line() {
    let words = [&[8; 1000][..], &[6, 8]].concat();
    let calls = Calls::among(words, |_| true);
    let found: Vec<_> = calls
        .found()
        .iter()
        .map(|call| (call.address, call.times))
        .collect();
    assert_eq!(found, [(8, 1000), (6, 1), (8, 1)]);
    let record = PanicRecord {
        calls: Some(&calls),
        ..nothing()
    };
    assert!(
        record
            .to_string()
            .contains("called from 0x8, 1000 times in a row\n"),
        "{record}"
    );
}

fn nothing() -> PanicRecord<'static> {
    PanicRecord {
        fault: None,
        cr3: 0x1000,
        rsp: 0x2000,
        running: None,
        calls: None,
        symbols: Symbols::NONE,
    }
}

#[test]
fn a_panic_before_there_is_anything_says_so() {
    let expected = "  machine    cr3 0x1000 rsp 0x2000
  running    no domain
  backtrace  of the message above
             ends: rsp was on no stack of the hypervisor's
";
    assert_eq!(nothing().to_string(), expected);
}

fn fault(saved: Registers) -> OwnFault {
    OwnFault {
        fault: Fault {
            vector: 14,
            error_code: 2,
            cr2: 0xdead,
        },
        saved,
        cr3: 0x1000,
        window: None,
    }
}

#[test]
fn the_line_for_machines_has_keys_whatever_the_message_is() {
    let line = |why: Why<'_>| why.machine_line().to_string();
    assert_eq!(
        line(Why::Message(format_args!("no domain is loaded"))),
        "xen-lite: event=panic message=no domain is loaded"
    );
    let own = fault(Registers {
        rip: 0x108,
        ..Registers::ZERO
    });
    let told =
        "xen-lite: event=panic vector=14 error=0x2 rip=0x108 cs=0x0 rflags=0x0 rsp=0x0 cr2=0xdead cr3=0x1000";
    assert_eq!(line(Why::Fault(own)), told);
    let window = Some(Window::ExitIret);
    assert_eq!(
        line(Why::Fault(OwnFault { window, ..own })),
        format!("{told} window=ExitIret")
    );
}

#[test]
fn a_fault_has_the_domain_its_last_calls_who_called_whom_and_registers() {
    let names = module(&[(0x100, 0x10, "walk"), (0x200, 0x10, "boot")]);
    let mut recent = Recorder::new();
    recent.add(Event::Hypercall(0));
    let running = Running {
        identity: Identity {
            domain: 3,
            name: "web",
            incarnation: 1,
        },
        recent: &recent,
        entered: ReturnFrame {
            rip: 0x77,
            cs: 0x19,
            ..Registers::ZERO.frame()
        },
    };
    let registers = Registers {
        rip: 0x108,
        rax: 0xa,
        ..Registers::ZERO
    };
    let calls = Calls::among([0x210, 0x300], |_| true);
    let record = PanicRecord {
        fault: Some(fault(registers)),
        running: Some(running),
        calls: Some(&calls),
        symbols: Symbols::parse(&names),
        ..nothing()
    };
    let expected = "  fault      #PF (vector 14) error 0x2 (write, not present), address 0xdead
  machine    cr3 0x1000 rsp 0x2000
  running    domain=3 name=web incarnation=1
  entered    rip 0x77 cs 0x19 flags 0x0 rsp 0x0 ss 0x0
  recently   set_trap_table
  backtrace  at 0x108 <walk+0x8>
             called from 0x210 <boot+0x10>
             called from 0x300
             ends: nothing more was on the stack; some of these calls may have been over
  interrupted rip 0x108 cs 0x0 flags 0x0 rsp 0x0 ss 0x0
             rax 0xa rbx 0x0 ";
    let text = record.to_string();
    assert!(text.starts_with(expected), "{text}");
}

proptest! {
    #[test]
    fn whatever_is_known_the_record_is_no_longer_than_others(
        words in prop::collection::vec(any::<u64>(), 0..100),
        name in "[ -~]{0,300}",
        is_fault: bool,
    ) {
        let names = module(&[(0, u32::MAX, &name)]);
        let calls = Calls::among(words, |_| true);
        let registers = Registers { rip: u64::MAX, rax: u64::MAX, ..Registers::ZERO };
        let record = PanicRecord {
            fault: is_fault.then(|| fault(registers)),
            calls: Some(&calls),
            symbols: Symbols::parse(&names),
            ..nothing()
        };
        prop_assert!(record.to_string().len() < MOST_BYTES);
    }
}
