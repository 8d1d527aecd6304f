//! The first serial port: the hypervisor's words, the guests' consoles, the user's keys.
//!
//! What guests write passes through [`xen_lite::console::terminal`], which decides what the port gets.
use crate::ports::{LINE_ROOM, People};
use alloc::vec::Vec;
use core::fmt::{self, Write};
use xen_lite::console::log::Log;
use xen_lite::console::monitor::{Key, Monitor};
use xen_lite::console::terminal::{Stream, Terminal as Lines, Writer};
use xen_lite::console::waiting::{Put, Waiting};
use xen_lite::domain::{Domain, Until};

/// When the port has been given so many bytes, it is somebody else's turn. What a guest writes can become many times as
/// long (a newline, its prefix), so what goes out is counted, not what came in.
pub(crate) const SHARE: u64 = 1024;
/// Bytes that are looked at before the port is asked again: each can be a line with its prefix.
const CHUNK: usize = 16;
const _: () = assert!(CHUNK * 40 <= LINE_ROOM);

/// Most keys that are looked at in one turn.
const MOST_KEYS: usize = 1024;
/// Keys that wait for their domain to have room. The monitor's key is not seen behind more.
const WAITING_KEYS: usize = 16 * 1024;
/// What `dmesg` can show.
const LOG_BYTES: usize = 8192;
/// What stands before the monitor's command line, behind the prefix.
const PROMPT: &[u8] = b"> ";

/// The terminal with everyone who writes to it.
pub(crate) struct Terminal {
    port: &'static mut People,
    lines: Lines,
    own: Stream,
    streams: Vec<Stream>,
    /// The domain that the keys go to; its unfinished lines are shown as they come, while the monitor is closed.
    console: usize,
    monitor: Monitor,
    monitor_stream: Stream,
    waiting: Waiting<WAITING_KEYS>,
    log: Log<LOG_BYTES>,
}

/// What keys have led to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Typed {
    /// The indices of domains that have got some: of one whose keys had waited, of the console's.
    pub(crate) keys: [Option<usize>; 2],
    /// The monitor's line is a command, to be run behind them.
    pub(crate) is_command: bool,
}

impl Terminal {
    pub(crate) fn new(port: &'static mut People) -> Self {
        Self {
            port,
            lines: Lines::new(),
            own: Stream::hypervisor(),
            streams: Vec::new(),
            console: 0,
            monitor: Monitor::new(),
            monitor_stream: Stream::monitor(),
            waiting: Waiting::new(),
            log: Log::new(),
        }
    }

    /// Makes the domains known; the owner's lines may be edited.
    pub(crate) fn introduce(&mut self, domains: &[Domain], owner: usize) {
        self.streams = domains
            .iter()
            .map(|domain| Stream::domain(domain.id.0, domain.config.name))
            .collect();
        self.give_keys(domains, owner);
    }

    /// The domain that the keys go to.
    pub(crate) const fn console(&self) -> usize {
        self.console
    }

    /// The domain that may edit its line, if one may.
    pub(crate) fn owner(&self) -> Option<usize> {
        (!self.monitor.is_open()).then_some(self.console)
    }

    /// Gives the keys, and with them the right to edit its line, to a domain.
    pub(crate) fn give_keys(&mut self, domains: &[Domain], index: usize) {
        self.console = index;
        self.monitor.close();
        let owner = domains.get(index).map(|domain| Writer::Domain(domain.id.0));
        self.lines.set_owner(owner, self.port);
    }

    /// The monitor's command line.
    pub(crate) const fn monitor(&self) -> &Monitor {
        &self.monitor
    }

    /// Begins the monitor's next command line.
    pub(crate) fn prompt(&mut self) {
        self.monitor.clear();
        self.write_monitor(PROMPT);
    }

    /// A line of the monitor's, which is not kept for `dmesg`.
    pub(crate) fn reply(&mut self, arguments: fmt::Arguments<'_>) {
        let mut out = Reply { terminal: self };
        // A port takes everything.
        let _ = out.write_fmt(arguments);
        let _ = out.write_str("\n");
    }

    /// The hypervisor's latest lines, as the monitor's.
    pub(crate) fn show_log(&mut self) {
        let Self {
            port,
            lines,
            monitor_stream,
            log,
            ..
        } = self;
        for part in log.parts() {
            lines.write(monitor_stream, part, *port);
        }
    }

    /// Several whole lines of the hypervisor's.
    pub(crate) fn say_lines(&mut self, arguments: fmt::Arguments<'_>) {
        // A port takes everything.
        let _ = Own { terminal: self }.write_fmt(arguments);
    }

    /// A line of the hypervisor's.
    pub(crate) fn say(&mut self, arguments: fmt::Arguments<'_>) {
        let mut out = Own { terminal: self };
        // A port takes everything.
        let _ = out.write_fmt(arguments);
        let _ = out.write_str("\n");
    }

    /// Keys go to the monitor while it is open, and else to the console's domain as far as it has room; one that has ended
    /// for good reads no more, and its keys go nowhere.
    pub(crate) fn poll(&mut self, domains: &mut [Domain]) -> Typed {
        let waited = self.pass_waiting(domains);
        let mut keys = None;
        for _ in 0..MOST_KEYS {
            if !self.takes_key(domains) {
                break;
            }
            let Some(byte) = self.port.serial_mut().receive() else {
                break;
            };
            match self.monitor.key(byte) {
                Key::Guest(byte) => keys = self.pass_key(domains, byte).or(keys),
                Key::Opens => self.open_monitor(domains),
                Key::Closes(byte) => {
                    self.write_monitor(b"\n");
                    self.give_keys(domains, self.console);
                    keys = byte.and_then(|byte| self.pass_key(domains, byte)).or(keys);
                }
                Key::Adds(byte) => self.write_monitor(&[byte]),
                Key::Erases(count) => {
                    for _ in 0..count {
                        self.write_monitor(b"\x08\x1b[K");
                    }
                }
                Key::Enter => {
                    self.write_monitor(b"\n");
                    return Typed {
                        keys: [waited, keys],
                        is_command: true,
                    };
                }
                Key::Nothing => {}
            }
        }
        Typed {
            keys: [waited, keys],
            is_command: false,
        }
    }

    /// Gives keys that have waited to their domain, as far as it has room; says to whom, if there were any.
    fn pass_waiting(&mut self, domains: &mut [Domain]) -> Option<usize> {
        let whose = self.waiting.whose()?;
        match domains.get_mut(whose).filter(|domain| !domain.has_ended()) {
            Some(domain) => self.waiting.pass(&mut domain.console.input).then_some(whose),
            None => {
                self.waiting.forget();
                None
            }
        }
    }

    /// Whether there is room for the next key, whoever's it is. The one that has opened the monitor has left some for
    /// itself: typed again it is the domain's.
    fn takes_key(&self, domains: &[Domain]) -> bool {
        let domain = domains.get(self.console).filter(|domain| !domain.has_ended());
        self.monitor.is_open()
            || domain.is_none_or(|domain| self.waiting.takes(self.console, &domain.console.input))
    }

    /// Gives a key to the console's domain, if there is one; says to whom, if it has got it already.
    fn pass_key(&mut self, domains: &mut [Domain], byte: u8) -> Option<usize> {
        let domain = domains
            .get_mut(self.console)
            .filter(|domain| !domain.has_ended())?;
        let put = self.waiting.put(self.console, &mut domain.console.input, byte);
        (put == Put::There).then_some(self.console)
    }

    fn open_monitor(&mut self, domains: &[Domain]) {
        self.lines.set_owner(Some(Writer::Monitor), self.port);
        let console = domains
            .get(self.console)
            .map_or("nobody", |domain| domain.config.name);
        self.reply(format_args!(
            "monitor: help shows the commands; an empty line gives the keys back to {console}"
        ));
        self.prompt();
    }

    fn write_monitor(&mut self, bytes: &[u8]) {
        self.lines.write(&mut self.monitor_stream, bytes, self.port);
    }

    /// The port.
    pub(crate) const fn port(&mut self) -> &mut People {
        self.port
    }

    /// Whether a domain has written something that was not passed on.
    pub(crate) fn has_text(domain: &Domain) -> bool {
        !domain.console.output.is_empty()
    }

    /// Whether some of it is to be passed on now.
    pub(crate) fn has_due_text(&self, domain: &mut Domain, index: usize) -> bool {
        domain.console.due(self.until(domain, index)) > 0
    }

    /// The owner's line is shown as it comes, and a dead domain's will not be finished.
    fn until(&self, domain: &Domain, index: usize) -> Until {
        if self.owner() == Some(index) || !domain.is_live() {
            Until::End
        } else {
            Until::LineEnd
        }
    }

    /// Passes on some of what a domain has written, at its expense; false if it has written nothing that is to be passed on.
    pub(crate) fn pass_on(&mut self, domains: &mut [Domain], index: usize) -> bool {
        self.port.bill(Some(index));
        let until = domains
            .get(index)
            .map_or(Until::LineEnd, |domain| self.until(domain, index));
        let passed = self.pass_on_until(domains, index, until);
        self.end_line_of_the_dead(domains, index);
        self.port.bill(None);
        passed
    }

    /// Passes on all that a domain has written.
    pub(crate) fn flush_all(&mut self, domains: &mut [Domain], index: usize) {
        while self.pass_on_until(domains, index, Until::End) {}
        self.end_line(index);
    }

    fn end_line_of_the_dead(&mut self, domains: &[Domain], index: usize) {
        if domains
            .get(index)
            .is_some_and(|domain| !domain.is_live() && domain.console.output.is_empty())
        {
            self.end_line(index);
        }
    }

    fn end_line(&mut self, index: usize) {
        if let Some(stream) = self.streams.get_mut(index) {
            self.lines.end(stream, self.port);
        }
    }

    fn pass_on_until(&mut self, domains: &mut [Domain], index: usize, until: Until) -> bool {
        let (Some(domain), Some(stream)) = (domains.get_mut(index), self.streams.get_mut(index)) else {
            return false;
        };
        let due = domain.console.due(until);
        let waiting = domain.console.output.peek();
        let waiting = waiting.get(..due).unwrap_or(waiting);
        let chunk = waiting.get(..CHUNK).unwrap_or(waiting);
        if chunk.is_empty() {
            return false;
        }
        self.lines.write(stream, chunk, self.port);
        domain.lines += chunk.iter().filter(|byte| **byte == b'\n').count() as u64;
        let length = chunk.len();
        domain.console.output.consume(length);
        true
    }

    /// The last words.
    pub(crate) fn finish(&mut self) {
        self.say(format_args!("all domains have ended: power off"));
    }
}

/// The hypervisor as a writer.
struct Own<'a> {
    terminal: &'a mut Terminal,
}

impl Write for Own<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let Terminal {
            port,
            lines,
            own,
            log,
            ..
        } = self.terminal;
        lines.write(own, text.as_bytes(), *port);
        log.add(text);
        Ok(())
    }
}

/// The monitor as a writer.
struct Reply<'a> {
    terminal: &'a mut Terminal,
}

impl Write for Reply<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.terminal.write_monitor(text.as_bytes());
        Ok(())
    }
}
