//! Delivery: a pending signal takes effect, when its process is about to go on in ring 3.
use crate::cause::Cause;
use crate::errno::Errno;
use crate::kernel::{Kernel, Machine};
use crate::proc::{End, Next, Process, Turn, VectorState};
use crate::signal::float;
use crate::signal::frame::{self, FRAME_SIZE, Interrupted, Top};
use crate::signal::{Action, Default, Handler, Info, Origin, Signal, SignalSet};
use crate::wait::Restart;
use abi::layout::is_canonical;
use linux_raw_sys::general as linux;

/// Bytes of `int 0x80` and of `syscall`: a call is made again by going back so far.
const CALL_INSTRUCTION: u64 = 2;

/// What delivery has led to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Delivered {
    /// The process goes on, in a handler or where it was.
    GoesOn,
    /// This signal stops it.
    Stops(Signal),
    /// It ends.
    Ends(End),
}

/// A frame could not be written.
struct NoFrame;

impl<'a, M: Machine> Kernel<'a, M> {
    /// Whether a signal is to be delivered to a process that is worked on.
    pub(crate) fn has_signal(&self, process: &Process<'a>) -> bool {
        let entry = self.processes.entry(process.pid);
        entry.is_some_and(|entry| !entry.pending.set().without(process.signals.blocked).is_empty())
    }

    /// Whether the signal that is delivered first ends the process.
    pub(crate) fn has_deadly_signal(&self, process: &Process<'a>) -> bool {
        let entry = self.processes.entry(process.pid);
        let pending = entry.map_or(SignalSet::EMPTY, |entry| entry.pending.set());
        let first = pending.without(process.signals.blocked).first();
        first.is_some_and(|signal| {
            let action = process.signals.action(signal);
            action.handler == Handler::Default
                && signal.default_action() == Default::End
                && !self.is_init(process.pid)
        })
    }

    /// Delivers what is pending. `unfinished`: the process is in a call that would wait; when a handler runs, the call
    /// ends or is made again as it says, else the process's turn is to make it again.
    pub(crate) fn deliver(&mut self, process: &mut Process<'a>, unfinished: Option<Restart>) -> Delivered {
        let mut unfinished = unfinished;
        if unfinished.is_some() {
            process.turn = Turn::Repeat;
        }
        loop {
            let wanted = SignalSet::from_bits(u64::MAX).without(process.signals.blocked);
            let taken = self
                .processes
                .entry_mut(process.pid)
                .and_then(|entry| entry.pending.take(wanted));
            let Some(info) = taken else {
                return Delivered::GoesOn;
            };
            let action = process.signals.action(info.signal);
            match (action.handler, info.signal.default_action()) {
                (Handler::At(address), _) => {
                    if let Some(restart) = unfinished.take() {
                        finish_call(process, restart, &action);
                    }
                    if self.enter_handler(process, address, &action, &info).is_err() {
                        return Delivered::Ends(no_stack(process));
                    }
                    if info.signal == Signal::ALARM {
                        self.resume_alarm(process.pid);
                    }
                }
                (Handler::Ignore, _) | (_, Default::Ignore) => {}
                // Nothing but a fault of its own ends the first process.
                (Handler::Default, _) if self.is_init(process.pid) => {}
                (Handler::Default, Default::Stop) if self.cannot_stop(process, info.signal) => {}
                (Handler::Default, Default::Stop) => return Delivered::Stops(info.signal),
                (Handler::Default, Default::End) => {
                    return Delivered::Ends(End::Signalled {
                        signal: info.signal,
                        rip: process.context.rip,
                    });
                }
            }
        }
    }

    /// Whether a process goes on although `signal` stops others: nobody is there who could make it go on (POSIX, 2.4.3).
    fn cannot_stop(&self, process: &Process<'a>, signal: Signal) -> bool {
        let entry = self.processes.entry(process.pid);
        signal != Signal::STOP && entry.is_some_and(|entry| self.is_orphaned(entry.group, entry.session))
    }

    /// A fault of the process: its handler's affair, or its end.
    pub(crate) fn fault(&mut self, process: &mut Process<'a>, cause: Cause) -> Next {
        let killed = Next::End(End::Killed {
            cause,
            rip: process.context.rip,
        });
        let Some((signal, code)) = cause.signal_and_code() else {
            return killed;
        };
        let action = process.signals.action(signal);
        let Handler::At(address) = action.handler else {
            return killed;
        };
        // A handler that is no address would fault before its first instruction, and be called for that.
        if process.signals.blocked.has(signal) || !is_canonical(address) {
            return killed;
        }
        let code = match cause {
            Cause::FloatingPoint | Cause::SimdFloatingPoint => {
                self.save_user_state(process);
                float::code(process.user_state.vectors.bytes(), cause)
            }
            _ => code,
        };
        let info = Info {
            signal,
            origin: Origin::Fault(code, cause.address(process.context.rip)),
        };
        match self.enter_handler(process, address, &action, &info) {
            Ok(()) => Next::Resume,
            Err(NoFrame) => killed,
        }
    }

    fn enter_handler(
        &mut self,
        process: &mut Process<'a>,
        handler: u64,
        action: &Action,
        info: &Info,
    ) -> Result<(), NoFrame> {
        if !action.has(linux::SA_RESTORER) {
            return Err(NoFrame);
        }
        self.save_user_state(process);
        let signals = &mut process.signals;
        let interrupted = Interrupted {
            context: &process.context,
            vectors: &process.user_state.vectors,
            layout: self.machine.vector_layout(),
            mask: signals.saved.unwrap_or(signals.blocked),
            stack: signals.stack,
        };
        let top = match signals.stack {
            Some(stack) if action.has(linux::SA_ONSTACK) && !stack.contains(process.context.rsp) => {
                Top::Alternate(stack)
            }
            _ => Top::Interrupted,
        };
        let frame = frame::build(&interrupted, info, action.restorer, top).ok_or(NoFrame)?;
        self.copy_out(process, frame.address, &frame.bytes)
            .map_err(|_| NoFrame)?;
        process.context = frame::enter(&process.context, frame.address, handler, info);
        let signals = &mut process.signals;
        signals.saved = None;
        signals.blocked = signals.blocked.union(action.mask);
        if !action.has(linux::SA_NODEFER) {
            signals.blocked = signals.blocked.with(info.signal);
        }
        if action.has(linux::SA_RESETHAND) {
            signals.set_action(info.signal, Action::default());
        }
        Ok(())
    }

    /// `rt_sigreturn`: goes on as the frame above the stack pointer says.
    ///
    /// # Errors
    /// `EFAULT`: there is no frame.
    pub(crate) fn leave_handler(&mut self, process: &mut Process<'a>) -> Result<(), Errno> {
        // The handler's return has popped the first word.
        let address = process.context.rsp.checked_sub(8).ok_or(Errno::FAULT)?;
        let mut bytes = [0; FRAME_SIZE];
        self.copy_in(process, address, &mut bytes)?;
        let back = frame::parse(&bytes);
        let layout = self.machine.vector_layout();
        let mut image = alloc::vec![0; frame::image_size(layout)];
        if back.vectors == 0 {
            image.clear();
        } else if self.copy_in(process, back.vectors, &mut image).is_err() {
            // The program may have made the image short.
            image.truncate(512);
            self.copy_in(process, back.vectors, &mut image)?;
        }
        self.save_user_state(process);
        process.user_state.vectors = if image.is_empty() {
            VectorState::clean(layout.size)
        } else {
            frame::vectors(&image, layout)
        };
        self.load_user_state(process);
        process.context = back.context;
        process.signals.blocked = back.mask;
        Ok(())
    }
}

/// Ends a call that a handler has interrupted, or goes back to before it.
fn finish_call(process: &mut Process<'_>, restart: Restart, action: &Action) {
    process.turn = Turn::Resume;
    process.deadline_ns = None;
    let restarts = restart == Restart::AsHandlerSays && action.has(linux::SA_RESTART);
    if restarts && process.progress == 0 {
        process.context.rip = process.context.rip.wrapping_sub(CALL_INSTRUCTION);
    } else {
        process.context.rax = match core::mem::take(&mut process.progress) {
            0 => Errno::INTERRUPTED.to_rax(),
            // What it has done so far.
            done => done,
        };
    }
}

/// The end of a process whose stack takes no frame.
fn no_stack(process: &Process<'_>) -> End {
    End::Signalled {
        signal: Signal::SEGMENT,
        rip: process.context.rip,
    }
}
