//! ps: all processes, from /proc.
#![no_std]
#![no_main]

use core::fmt::Write;
use userland::io::Output;
use userland::text::Text;
use userland::{Arguments, eprintln, procfs};

userland::program!(main);

fn main(_: Arguments) -> i32 {
    let processes = match procfs::processes() {
        Ok(processes) => processes,
        Err(error) => {
            eprintln!("ps: /proc: {error}");
            return 1;
        }
    };
    let mut output = Output::standard();
    output.line(b"PID   USER     TIME  COMMAND");
    for process in processes {
        let seconds = process.ticks / 100;
        let line = procfs::command_line(process.pid);
        // The output takes everything.
        let _ = write!(
            output,
            "{:5} root     {:2}:{:02}  ",
            process.pid,
            seconds / 60,
            seconds % 60
        );
        let _ = match (line.is_empty(), process.state) {
            (false, _) => writeln!(output, "{}", Text(&line)),
            // One that has ended has a name and nothing else.
            (true, _) => writeln!(output, "[{}]", Text(&process.name)),
        };
    }
    output.finish("ps", 0)
}
