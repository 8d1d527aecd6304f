//! kill [-s SIGNAL | -SIGNAL] PID...: sends a signal, TERM if nothing else is said; -l lists them.
#![no_std]
#![no_main]

use userland::text::{Text, number};
use userland::{Arguments, Errno, eprintln, println, process, signal};

userland::program!(main);

fn main(arguments: Arguments) -> i32 {
    let list = arguments.list();
    let (wanted, targets) = match list.as_slice() {
        [b"-l", names @ ..] => return list_signals(names),
        [b"-s", name, targets @ ..] => (signal::parse(name), targets),
        [b"--", targets @ ..] => (Some(signal::SIGTERM), targets),
        [option, targets @ ..] if option.starts_with(b"-") => {
            (signal::parse(option.get(1..).unwrap_or(b"")), targets)
        }
        targets => (Some(signal::SIGTERM), targets),
    };
    let Some(wanted) = wanted else {
        eprintln!("kill: bad signal");
        return 1;
    };
    if targets.is_empty() {
        eprintln!("usage: kill [-s SIGNAL | -SIGNAL] PID..., kill -l");
        return 1;
    }
    let mut code = 0;
    for target in targets {
        let pid = number(target).and_then(|pid| i32::try_from(pid).ok());
        let sent = pid
            .ok_or(Errno::EINVAL)
            .and_then(|pid| process::kill(pid, wanted));
        if let Err(error) = sent {
            eprintln!("kill: {}: {error}", Text(target));
            code = 1;
        }
    }
    code
}

fn list_signals(names: &[&[u8]]) -> i32 {
    if names.is_empty() {
        for number in 1..=signal::LAST {
            if let Some(name) = signal::name(number) {
                println!("{number:2}) {name}");
            }
        }
        return 0;
    }
    for name in names {
        match (number(name), signal::parse(name)) {
            (Some(_), Some(number)) if signal::name(number).is_some() => {
                println!("{}", signal::name(number).unwrap_or(""));
            }
            (None, Some(number)) => println!("{number}"),
            _ => {
                eprintln!("kill: {}: bad signal", Text(name));
                return 1;
            }
        }
    }
    0
}
