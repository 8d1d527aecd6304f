//! What a process has said about signals.
use crate::signal::{Action, Default, Handler, Signal, SignalSet};
use alloc::boxed::Box;

const SIGNALS: usize = Signal::LAST as usize;

/// A stack for handlers: Linux's `stack_t`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AlternateStack {
    /// Lowest address.
    pub start: u64,
    /// Bytes.
    pub size: u64,
}

impl AlternateStack {
    /// Whether a stack pointer lies in it.
    #[must_use]
    pub const fn contains(&self, rsp: u64) -> bool {
        rsp > self.start && rsp - self.start <= self.size
    }
}

/// Actions, mask and stack of a process.
#[derive(Clone, Debug)]
pub struct SignalState {
    actions: Box<[Action; SIGNALS]>,
    /// What is not delivered now.
    pub blocked: SignalSet,
    /// What is blocked after the call that waits with another mask.
    pub saved: Option<SignalSet>,
    /// The stack for handlers.
    pub stack: Option<AlternateStack>,
}

impl core::default::Default for SignalState {
    fn default() -> Self {
        Self::new()
    }
}

impl SignalState {
    /// Nothing said.
    #[must_use]
    pub fn new() -> Self {
        Self {
            actions: Box::new([Action::default(); SIGNALS]),
            blocked: SignalSet::EMPTY,
            saved: None,
            stack: None,
        }
    }

    /// What is said about `signal`.
    #[must_use]
    pub fn action(&self, signal: Signal) -> Action {
        let index = usize::from(signal.number() - 1);
        self.actions.get(index).copied().unwrap_or_default()
    }

    /// Says something else.
    pub fn set_action(&mut self, signal: Signal, action: Action) {
        if let Some(slot) = self.actions.get_mut(usize::from(signal.number() - 1)) {
            *slot = action;
        }
    }

    /// Whether `signal` would come to nothing.
    #[must_use]
    pub fn ignores(&self, signal: Signal) -> bool {
        match self.action(signal).handler {
            Handler::Ignore => true,
            Handler::Default => signal.default_action() == Default::Ignore,
            Handler::At(_) => false,
        }
    }

    /// Another program takes over: what was ignored stays so, handlers and their stack are gone.
    pub fn exec(&mut self) {
        for action in self.actions.iter_mut() {
            let ignored = action.handler == Handler::Ignore;
            *action = Action::default();
            if ignored {
                action.handler = Handler::Ignore;
            }
        }
        self.stack = None;
        self.saved = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_program_inherits_what_is_ignored_and_no_handler() {
        let mut state = SignalState::new();
        let action = |handler| Action {
            handler,
            ..Action::default()
        };
        state.set_action(Signal::INTERRUPT, action(Handler::Ignore));
        state.set_action(Signal::ALARM, action(Handler::At(0x1000)));
        state.exec();
        assert!(state.ignores(Signal::INTERRUPT));
        assert_eq!(state.action(Signal::ALARM), Action::default());
    }
}
