//! The two serial ports: the first for people, the second for machines, which no guest can reach. Both send what waits
//! between turns; nobody stands still for them but a person's own commands, and the machine's end.
use crate::serial::Uart;
use core::fmt::{self, Write};
use core::sync::atomic::{AtomicBool, Ordering};
use spin::{Mutex, MutexGuard};
use xen_lite::console::port::{LOW_BYTES, Port};
use xen_lite::crash::MOST_BYTES;
use xen_lite::crash::own::Why;
use xen_lite::record::Record;

/// What may wait for people: some records of kills.
const PEOPLE_BYTES: usize = 16 * 1024;
/// What may wait for machines.
const MACHINE_BYTES: usize = 8 * 1024;
/// Who finds little waiting has room for the longest record of a kill.
const _: () = assert!(PEOPLE_BYTES - LOW_BYTES >= MOST_BYTES);
/// Room for the longest lines of one end, or one start.
pub(crate) const LINE_ROOM: usize = 1024;
/// How long the machine goes on without a look at a port that has something to send: what a FIFO holds takes 1.4 ms.
pub(crate) const LOOK_NS: u64 = 1_200_000;
/// Bytes that one decision sends, at most.
const SHARE: usize = 1024;

/// The port for people.
pub(crate) type People = Port<Uart, PEOPLE_BYTES>;

static PEOPLE: Mutex<People> = Mutex::new(Port::new(Uart::ABSENT));
static MACHINES: Mutex<Port<Uart, MACHINE_BYTES>> = Mutex::new(Port::new(Uart::ABSENT));

/// Something waits in the port for machines.
static MACHINES_WAIT: AtomicBool = AtomicBool::new(false);

/// Takes both into use; the one for people is the caller's for good.
pub(crate) fn start(people: Uart, machines: Uart) -> &'static mut People {
    *MACHINES.lock().serial_mut() = machines;
    let port = MutexGuard::leak(PEOPLE.lock());
    *port.serial_mut() = people;
    port
}

/// Writes one line for machines, at a domain's expense.
pub(crate) fn line(domain: u16, arguments: fmt::Arguments<'_>) {
    write_line(Some(usize::from(domain)), arguments);
}

fn write_line(payer: Option<usize>, arguments: fmt::Arguments<'_>) {
    let mut port = MACHINES.lock();
    port.bill(payer);
    // A port takes everything.
    let _ = port.write_fmt(arguments);
    let _ = port.write_str("\r\n");
    port.bill(None);
    MACHINES_WAIT.store(true, Ordering::Relaxed);
}

/// Writes a record about a domain.
pub(crate) fn record_of(domain: u16, record: &Record<'_>) {
    line(domain, format_args!("{record}"));
}

/// Writes a record about the machine.
pub(crate) fn record(record: &Record<'_>) {
    write_line(None, format_args!("{record}"));
}

/// Whether the lines of an end, or of a start, find room.
pub(crate) fn has_room() -> bool {
    MACHINES.lock().room() >= LINE_ROOM
}

/// Bytes that the port for machines has accepted so far.
pub(crate) fn accepted() -> u64 {
    MACHINES.lock().accepted()
}

/// Whether something waits for machines.
#[inline]
pub(crate) fn is_empty() -> bool {
    !MACHINES_WAIT.load(Ordering::Relaxed)
}

/// Sends what one look allows.
pub(crate) fn pump(people: &mut People, mut paid: impl FnMut(Option<usize>)) {
    people.pump(SHARE, &mut paid);
    let mut machines = MACHINES.lock();
    machines.pump(SHARE, &mut paid);
    MACHINES_WAIT.store(machines.waiting() > 0, Ordering::Relaxed);
}

/// The hypervisor's own end. All that waits, and this, has left the machine when it returns.
///
/// # Safety
/// Nothing that was interrupted goes on.
pub(crate) unsafe fn last_words(why: &Why<'_>) {
    // SAFETY: the caller's duty; a line that was interrupted stays where it stopped.
    unsafe { end_line() };
    // SAFETY: as above.
    unsafe { last_lines(&format_args!("panic: {why}\n")) };
    write_line(None, format_args!("{}", why.machine_line()));
    // SAFETY: as above.
    unsafe { drain() };
}

/// That the hypervisor's own end could not be told to its end.
///
/// # Safety
/// Nothing that was interrupted goes on.
pub(crate) unsafe fn cut_short() {
    let why = Why::Message(format_args!(
        "another fault, while this was being said: no more is known"
    ));
    // SAFETY: the caller's duty.
    unsafe { end_line() };
    // SAFETY: as above.
    unsafe { last_lines(&format_args!("{why}\n")) };
    write_line(None, format_args!("{}", why.machine_line()));
}

/// More of the hypervisor's own end: whole lines for people.
///
/// # Safety
/// Nothing that was interrupted goes on.
pub(crate) unsafe fn last_lines(lines: &impl fmt::Display) {
    // SAFETY: the caller's duty.
    unsafe { PEOPLE.force_unlock() };
    let port = &mut PEOPLE.lock();
    // A port takes everything.
    let _ = write!(LastLines { begins: true, port }, "{lines}");
}

/// Ends the line that each port may be in.
///
/// # Safety
/// Nothing that was interrupted goes on.
unsafe fn end_line() {
    // SAFETY: the caller's duty.
    unsafe { MACHINES.force_unlock() };
    // SAFETY: as above; whoever had the port for people is not coming back.
    unsafe { PEOPLE.force_unlock() };
    let _ = PEOPLE.lock().write_str("\r\n");
    let _ = MACHINES.lock().write_str("\r\n");
}

/// Puts before each line who says it.
struct LastLines<'a> {
    port: &'a mut People,
    begins: bool,
}

impl Write for LastLines<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for part in text.split_inclusive('\n') {
            if self.begins {
                self.port.write_str("(xen-lite) ")?;
            }
            self.begins = part.ends_with('\n');
            self.port.write_str(part.trim_end_matches('\n'))?;
            if self.begins {
                self.port.write_str("\r\n")?;
            }
        }
        Ok(())
    }
}

/// Waits until everything has been sent.
///
/// # Safety
/// Nobody writes any more.
pub(crate) unsafe fn drain() {
    // SAFETY: the caller's duty.
    unsafe { MACHINES.force_unlock() };
    // SAFETY: as above.
    unsafe { PEOPLE.force_unlock() };
    let mut people = PEOPLE.lock();
    people.drain();
    people.serial_mut().flush();
    let mut machines = MACHINES.lock();
    machines.drain();
    machines.serial_mut().flush();
}
