//! seq [FIRST [STEP]] LAST: whole numbers, one a line.
#![no_std]
#![no_main]

use core::fmt::Write;
use userland::io::Output;
use userland::text::{Text, number};
use userland::{Arguments, eprintln};

userland::program!(main);

fn main(arguments: Arguments) -> i32 {
    let list = arguments.list();
    if let Some(bad) = list.iter().find(|argument| number(argument).is_none()) {
        eprintln!("seq: invalid argument: '{}'", Text(bad));
        return 1;
    }
    let value = |index: usize| list.get(index).and_then(|argument| number(argument)).unwrap_or(1);
    let (first, step, last) = match list.len() {
        1 => (1, 1, value(0)),
        2 => (value(0), 1, value(1)),
        3 => (value(0), value(1), value(2)),
        _ => {
            eprintln!("usage: seq [FIRST [STEP]] LAST");
            return 1;
        }
    };
    if step == 0 {
        eprintln!("seq: the step must not be zero");
        return 1;
    }
    let mut output = Output::standard();
    let mut next = Some(first);
    while let Some(value) = next.filter(|value| if step > 0 { *value <= last } else { *value >= last }) {
        // The output takes everything, and keeps errors.
        let _ = writeln!(output, "{value}");
        if output.has_failed() {
            break;
        }
        next = value.checked_add(step);
    }
    output.finish("seq", 0)
}
