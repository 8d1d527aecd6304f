//! Whose turn it is: processes that never give way do not keep others from theirs.
use crate::check::{Check, Works, child, ends, ends_well, same, tests};
use alloc::vec::Vec;
use core::hint::{black_box, spin_loop};
use userland::files;
use userland::process::{self, Status};
use userland::signal;

tests! {
    spinning_processes_share
    a_spinning_process_does_not_keep_a_reader_waiting
    giving_way_works
}

fn spins_for_ever() -> Result<process::Pid, alloc::string::String> {
    child(|| {
        loop {
            spin_loop();
        }
    })
}

fn spinning_processes_share() -> Check {
    let spinners = [spins_for_ever()?, spins_for_ever()?];
    let workers: Vec<_> = (0..3)
        .map(|_| {
            child(|| {
                let mut sum = 0u64;
                for round in 0..200_000u64 {
                    sum = black_box(sum.wrapping_add(round));
                }
                i32::from(sum != 199_999 * 100_000)
            })
        })
        .collect::<Result<_, _>>()?;
    workers.into_iter().try_for_each(ends_well)?;
    for pid in spinners {
        process::kill(pid, signal::SIGKILL).works("kill")?;
        ends(pid, Status::Killed(signal::SIGKILL))?;
    }
    Ok(())
}

fn a_spinning_process_does_not_keep_a_reader_waiting() -> Check {
    let spinner = spins_for_ever()?;
    let (reader, writer) = files::pipe(0).works("pipe")?;
    let (answers, answer) = files::pipe(0).works("pipe")?;
    let pid = child(|| {
        let mut byte = [0];
        for _ in 0..10 {
            if files::read(reader.fd(), &mut byte) != Ok(1) || files::write(answer.fd(), &byte) != Ok(1) {
                return 1;
            }
        }
        0
    })?;
    for round in 0..10u8 {
        files::write_all(writer.fd(), &[round]).works("write")?;
        let mut byte = [0];
        same(files::read(answers.fd(), &mut byte), Ok(1), "the answer")?;
        same(byte, [round], "the answer")?;
    }
    ends_well(pid)?;
    process::kill(spinner, signal::SIGKILL).works("kill")?;
    ends(spinner, Status::Killed(signal::SIGKILL))
}

fn giving_way_works() -> Check {
    let pids: Vec<_> = (0..5)
        .map(|_| {
            child(|| {
                (0..100).for_each(|_| process::give_way());
                0
            })
        })
        .collect::<Result<_, _>>()?;
    pids.into_iter().try_for_each(ends_well)
}
