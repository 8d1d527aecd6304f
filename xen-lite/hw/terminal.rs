//! The first serial port: the hypervisor's words, the guests' consoles, the user's keys.
//!
//! What guests write passes through [`xen_lite::console::terminal`], which decides what the port gets.
use crate::serial::Uart;
use alloc::vec::Vec;
use core::fmt::{self, Write};
use xen_lite::console::terminal::{Stream, Terminal as Lines, Writer};
use xen_lite::domain::Domain;

/// Most bytes of one domain's output that are passed on while the port takes them.
const DRAIN: usize = 4096;
/// Bytes that are looked at before the port is asked again.
const CHUNK: usize = 16;

/// The terminal with everyone who writes to it.
pub(crate) struct Terminal {
    uart: Uart,
    lines: Lines,
    own: Stream,
    streams: Vec<Stream>,
    /// The domain whose unfinished lines are shown as they come.
    owner: usize,
}

/// How much of what a domain has written is passed on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Until {
    /// Whole lines, unless it is the owner or its ring is full: two writers do not break each other's lines.
    LineEnd,
    /// Everything.
    End,
}

impl Terminal {
    pub(crate) fn new(uart: Uart) -> Self {
        Self {
            uart,
            lines: Lines::new(),
            own: Stream::hypervisor(),
            streams: Vec::new(),
            owner: 0,
        }
    }

    /// Makes the domains known; the owner's lines may be edited.
    pub(crate) fn introduce(&mut self, domains: &[Domain], owner: usize) {
        self.streams = domains
            .iter()
            .map(|domain| Stream::domain(domain.id.0, domain.config.name))
            .collect();
        self.owner = owner;
        let owner = domains.get(owner).map(|domain| Writer::Domain(domain.id.0));
        self.lines.set_owner(owner, &mut self.uart);
    }

    /// Several whole lines of the hypervisor's.
    pub(crate) fn say_lines(&mut self, arguments: fmt::Arguments<'_>) {
        // A UART takes everything.
        let _ = Own { terminal: self }.write_fmt(arguments);
    }

    /// A line of the hypervisor's.
    pub(crate) fn say(&mut self, arguments: fmt::Arguments<'_>) {
        let mut out = Own { terminal: self };
        // A UART takes everything.
        let _ = out.write_fmt(arguments);
        let _ = out.write_str("\n");
    }

    /// Keys go to the console's domain, as far as it has room; what domains have written goes out as far as the port has.
    /// Says whether there were keys.
    pub(crate) fn poll(&mut self, domains: &mut [Domain], console: usize) -> bool {
        let mut typed = false;
        if let Some(domain) = domains.get_mut(console) {
            while domain.console.input.room() > 0 {
                match self.uart.receive() {
                    Some(byte) => typed |= domain.console.input.push_byte(byte),
                    None => break,
                }
            }
        }
        for index in 0..domains.len() {
            self.drain(domains, index);
        }
        typed
    }

    /// Passes on what a domain has written, as long as the port takes it without waiting.
    pub(crate) fn drain(&mut self, domains: &mut [Domain], index: usize) {
        for _ in 0..DRAIN / CHUNK {
            if !self.uart.ready() || !self.pass_on(domains, index, Until::LineEnd) {
                return;
            }
        }
    }

    /// Passes on all that a domain has written; it writes no more in this incarnation.
    pub(crate) fn flush(&mut self, domains: &mut [Domain], index: usize) {
        while self.pass_on(domains, index, Until::End) {}
        if let Some(stream) = self.streams.get_mut(index) {
            self.lines.end(stream, &mut self.uart);
        }
    }

    fn pass_on(&mut self, domains: &mut [Domain], index: usize, until: Until) -> bool {
        let (Some(domain), Some(stream)) = (domains.get_mut(index), self.streams.get_mut(index)) else {
            return false;
        };
        let output = &domain.console.output;
        let all = until == Until::End || index == self.owner || output.room() == 0;
        let waiting = output.peek();
        let waiting = if all {
            waiting
        } else {
            waiting.get(..output.whole_lines()).unwrap_or(waiting)
        };
        let chunk = waiting.get(..CHUNK).unwrap_or(waiting);
        if chunk.is_empty() {
            return false;
        }
        self.lines.write(stream, chunk, &mut self.uart);
        domain.lines += chunk.iter().filter(|byte| **byte == b'\n').count() as u64;
        let length = chunk.len();
        domain.console.output.consume(length);
        true
    }

    /// The last words.
    pub(crate) fn finish(&mut self) {
        self.say(format_args!("all domains have ended: power off"));
        self.uart.flush();
    }
}

/// The hypervisor as a writer.
struct Own<'a> {
    terminal: &'a mut Terminal,
}

impl Write for Own<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let Terminal { uart, lines, own, .. } = self.terminal;
        lines.write(own, text.as_bytes(), uart);
        Ok(())
    }
}
