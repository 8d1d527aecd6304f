//! Lines for machines, on the second serial port, which no guest can reach; and for people, on the first.
use crate::serial::Uart;
use core::fmt::{self, Write};
use spin::Mutex;
use xen_lite::domain::Domain;
use xen_lite::paging::AuditFault;

use abi::sched::ShutdownReason;

static MACHINES: Mutex<Option<Uart>> = Mutex::new(None);

/// Takes the second port into use.
pub(crate) fn start(uart: Uart) {
    *MACHINES.lock() = Some(uart);
}

/// Writes one line for machines.
pub(crate) fn line(arguments: fmt::Arguments<'_>) {
    if let Some(uart) = MACHINES.lock().as_mut() {
        // A UART takes everything.
        let _ = uart.write_fmt(arguments);
        let _ = uart.write_str("\r\n");
    }
}

/// Lets a panic write although its own interrupted line holds the port.
///
/// # Safety
/// Nothing that was interrupted goes on.
pub(crate) unsafe fn break_lock() {
    // SAFETY: the caller's duty.
    unsafe { MACHINES.force_unlock() };
}

/// Waits until the port is empty.
pub(crate) fn flush() {
    if let Some(uart) = MACHINES.lock().as_ref() {
        uart.flush();
    }
}

/// `domain=1 name=web incarnation=0`.
pub(crate) struct Who<'a>(pub(crate) &'a Domain);

impl fmt::Display for Who<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "domain={} name={} incarnation={}",
            self.0.id.0, self.0.config.name, self.0.incarnation
        )
    }
}

/// A domain's first instruction is next.
pub(crate) fn domain_start(domain: &Domain) {
    line(format_args!("xen-lite: event=domain-start {}", Who(domain)));
}

/// A domain has ended itself.
pub(crate) fn shutdown(domain: &Domain, reason: ShutdownReason, code: u64) {
    line(format_args!(
        "xen-lite: {} state=shutdown reason={} code={code}",
        Who(domain),
        reason.name()
    ));
}

/// A dead domain's frames are free again.
pub(crate) fn frames(domain: &Domain, returned: u32, owned: u32) {
    line(format_args!(
        "xen-lite: event=frames domain={} incarnation={} returned={returned} owned={owned}",
        domain.id.0, domain.incarnation
    ));
}

/// What an audit found.
pub(crate) fn audit(result: Result<(), AuditFault>) {
    match result {
        Ok(()) => line(format_args!("xen-lite: event=audit result=clean")),
        Err(fault) => line(format_args!("xen-lite: event=audit result={fault}")),
    }
}

/// The last lines: witnesses that live, and the sum of all ends.
pub(crate) fn end(domains: &[Domain]) {
    use xen_lite::domain::{End, Stage};
    let (mut killed, mut shut_down) = (0, 0);
    for domain in domains {
        match domain.stage {
            Stage::Ended(End::Killed(_)) => killed += 1,
            Stage::Ended(End::Shutdown(..)) => shut_down += 1,
            _ => line(format_args!(
                "xen-lite: domain={} name={} state=alive lines={}",
                domain.id.0, domain.config.name, domain.lines
            )),
        }
    }
    let count = domains.len();
    line(format_args!(
        "xen-lite: event=end domains={count} killed={killed} shutdown={shut_down}"
    ));
}
