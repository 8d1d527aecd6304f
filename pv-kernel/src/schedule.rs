//! Whose turn it is: round robin.
use crate::kernel::{Kernel, Machine};
use crate::proc::{Next, Process, Status, Turn};
use crate::wait::Channel;
use abi::sched::WAKE_INPUT;
use alloc::boxed::Box;

impl<'a, M: Machine> Kernel<'a, M> {
    /// Runs processes until the one that the kernel has started ends.
    pub fn run_until_ended(&mut self) -> Status {
        loop {
            if let Some(status) = self.ended.take() {
                return status;
            }
            self.step();
        }
    }

    /// Gives one process its turn, or waits for something to happen.
    pub(crate) fn step(&mut self) {
        match self.processes.take_next() {
            Some(process) => self.give_turn(process),
            None => self.idle(),
        }
    }

    /// Lets a process go on until it waits, ends, or lets others go first.
    fn give_turn(&mut self, mut process: Box<Process<'a>>) {
        loop {
            if process.turn == Turn::Resume {
                self.enter(&process);
                process.context = process.context.sanitised();
                self.machine.run_user(&mut process.context);
            }
            process.turn = Turn::Resume;
            match self.trap(&mut process) {
                Next::Resume => {}
                Next::Yield => return self.processes.put_ready(process),
                Next::Wait(wait) => {
                    process.turn = Turn::Repeat;
                    return self.processes.put_waiting(process, wait);
                }
                Next::Pause(wait) => return self.processes.put_waiting(process, wait),
                Next::End(end) => return self.exit(process, end),
            }
        }
    }

    /// Nobody can go on: waits for the world.
    fn idle(&mut self) {
        self.machine.wait(WAKE_INPUT);
        self.wake(Channel::Input);
    }
}
