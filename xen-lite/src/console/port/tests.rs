//! Nothing is lost, nothing changes places, and who pays is who wrote.
use super::*;
use proptest::prelude::*;
use std::fmt::Write;

/// Takes `depth` bytes each time that it is made ready.
struct Uart {
    sent: Vec<u8>,
    left: usize,
    depth: usize,
    /// It is ready at every look: polling ends.
    polled: bool,
}

impl Uart {
    const fn new(depth: usize) -> Self {
        Self {
            sent: Vec::new(),
            left: 0,
            depth,
            polled: false,
        }
    }
}

impl Serial for Uart {
    fn is_ready(&mut self) -> bool {
        if self.polled {
            self.left = self.depth;
        }
        self.left == self.depth
    }

    fn depth(&self) -> usize {
        self.depth
    }

    fn put(&mut self, byte: u8) {
        assert!(self.left > 0, "no byte more than it takes");
        self.left -= 1;
        self.sent.push(byte);
    }
}

type Small = Port<Uart, 8>;

#[test]
fn what_does_not_fit_into_the_port_waits() {
    let mut port = Small::new(Uart::new(2));
    write!(port, "abcde").unwrap();
    port.pump(99, |_| unreachable!("it takes nothing"));
    assert_eq!((port.waiting(), port.room()), (5, 3));
    port.serial.left = 2;
    port.pump(99, |_| ());
    assert_eq!((port.serial.sent.as_slice(), port.waiting()), (&b"ab"[..], 3));
}

#[test]
fn a_pump_ends_after_its_share() {
    let mut port = Port::<Uart, 64>::new(Uart::new(4));
    port.serial.polled = true;
    write!(port, "{}", "x".repeat(40)).unwrap();
    port.pump(10, |_| ());
    assert_eq!(port.serial.sent.len(), 12);
}

#[test]
fn who_writes_without_room_waits_and_loses_nothing() {
    let mut port = Small::new(Uart::new(1));
    port.serial.polled = true;
    write!(port, "a text that is longer than all the room").unwrap();
    port.drain();
    assert_eq!(port.serial.sent, b"a text that is longer than all the room");
    assert_eq!(port.accepted(), 39);
}

#[test]
fn each_pays_for_its_own_bytes() {
    let mut port = Port::<Uart, 64>::new(Uart::new(16));
    for (payer, text) in [
        (Some(3), "ab"),
        (Some(5), "c"),
        (None, "de"),
        (Some(3), "f"),
        (Some(999), "g"),
    ] {
        port.bill(payer);
        write!(port, "{text}").unwrap();
    }
    let mut payers = Vec::new();
    port.serial.left = 16;
    port.pump(99, |payer| payers.push(payer));
    assert_eq!(payers, [Some(3), Some(5), None, Some(3), None]);
}

#[derive(Clone, Debug)]
enum Step {
    Write(String, Option<usize>),
    Pump(usize),
}

proptest! {
    #[test]
    fn what_is_accepted_goes_out_once_and_in_its_order(
        steps in proptest::collection::vec(prop_oneof![
            ("[a-z]{0,12}", proptest::option::of(0usize..4)).prop_map(|(text, payer)| Step::Write(text, payer)),
            (0usize..20).prop_map(Step::Pump),
        ], 0..60),
        depth in 1usize..5,
    ) {
        let mut port = Port::<Uart, 16>::new(Uart::new(depth));
        let mut all = String::new();
        for step in steps {
            match step {
                Step::Write(text, payer) if text.len() <= port.room() => {
                    port.bill(payer);
                    port.write_str(&text).unwrap();
                    all += &text;
                }
                Step::Write(..) => {}
                Step::Pump(most) => {
                    port.serial.left = depth;
                    port.pump(most, |_| ());
                }
            }
            prop_assert_eq!(port.waiting() + port.serial.sent.len(), all.len());
            prop_assert_eq!(port.bytes.len(), port.payers.len());
        }
        port.serial.polled = true;
        port.drain();
        prop_assert_eq!(String::from_utf8(port.serial.sent).unwrap(), all);
    }
}
