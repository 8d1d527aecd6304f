//! Time: the TSC for reading, the local APIC's one-shot timer for waking. Both are measured against the PIT at boot.
use core::arch::x86_64::_rdtsc;
use volatile::VolatilePtr;
use x86_64::instructions::port::Port;
use xen_lite::switcher::{SPURIOUS_VECTOR, TIMER_VECTOR};

/// PIT input clock, in Hz.
const PIT_HZ: u64 = 1_193_182;
/// How long the measurement takes, in PIT ticks: about 10 ms.
const MEASURE_TICKS: u16 = 11_932;
/// Where the local APIC is after reset, in physical memory.
pub(crate) const APIC_PHYSICAL: u64 = 0xfee0_0000;

const APIC_EOI: usize = 0xb0;
const APIC_SPURIOUS: usize = 0xf0;
const APIC_TIMER: usize = 0x320;
const APIC_LINT0: usize = 0x350;
const APIC_LINT1: usize = 0x360;
const APIC_ERROR: usize = 0x370;
const APIC_INITIAL: usize = 0x380;
const APIC_CURRENT: usize = 0x390;
const APIC_DIVIDE: usize = 0x3e0;
const MASKED: u32 = 1 << 16;

/// TSC and APIC timer with their rates.
pub(crate) struct Clock {
    apic: u64,
    tsc_start: u64,
    /// Nanoseconds per TSC tick, times 2^32.
    tsc_scale: u64,
    /// APIC timer ticks per nanosecond, times 2^32.
    apic_scale: u64,
    /// When the timer that was armed last strikes.
    armed_until: u64,
}

/// Masks the two interrupt controllers after moving their vectors out of the exceptions' way.
pub(crate) fn mask_pic() {
    for (port, value) in [
        (0x20_u16, 0x11_u8),
        (0xa0, 0x11),
        (0x21, 0x20),
        (0xa1, 0x28),
        (0x21, 4),
        (0xa1, 2),
        (0x21, 1),
        (0xa1, 1),
        (0x21, 0xff),
        (0xa1, 0xff),
    ] {
        // SAFETY: the ports are the 8259s'; all their lines end up masked.
        unsafe { Port::new(port).write(value) };
    }
}

impl Clock {
    /// Measures both clocks. Interrupts are off.
    ///
    /// # Safety
    /// `apic` is the address at which the local APIC's page is mapped, uncached.
    pub(crate) unsafe fn new(apic: u64) -> Self {
        let mut clock = Self {
            apic,
            tsc_start: 0,
            tsc_scale: 0,
            apic_scale: 0,
            armed_until: 0,
        };
        clock.write(APIC_SPURIOUS, 0x100 | u32::from(SPURIOUS_VECTOR));
        clock.write(APIC_LINT0, MASKED);
        clock.write(APIC_LINT1, 0x400); // NMI
        clock.write(APIC_ERROR, MASKED);
        clock.write(APIC_DIVIDE, 0b1011); // by 1
        clock.write(APIC_TIMER, MASKED | u32::from(TIMER_VECTOR));

        clock.write(APIC_INITIAL, u32::MAX);
        let tsc_before = rdtsc();
        wait_for_pit();
        let tsc_ticks = (rdtsc() - tsc_before).max(1);
        let apic_ticks = u64::from(u32::MAX - clock.read(APIC_CURRENT)).max(1);
        clock.write(APIC_INITIAL, 0);

        let elapsed_ns = u64::from(MEASURE_TICKS) * 1_000_000_000 / PIT_HZ;
        clock.tsc_scale = (elapsed_ns << 32) / tsc_ticks;
        clock.apic_scale = (apic_ticks << 32) / elapsed_ns;
        clock.tsc_start = rdtsc();
        clock.write(APIC_TIMER, u32::from(TIMER_VECTOR));
        clock
    }

    fn register(&self, offset: usize) -> VolatilePtr<'_, u32> {
        let address = self.apic as usize + offset;
        // SAFETY: `new`'s caller mapped the APIC's page there, which is not at 0.
        let register = unsafe { core::ptr::NonNull::new_unchecked(address as *mut u32) };
        // SAFETY: offsets are registers of the APIC.
        unsafe { VolatilePtr::new(register) }
    }

    fn read(&self, offset: usize) -> u32 {
        self.register(offset).read()
    }

    fn write(&mut self, offset: usize, value: u32) {
        self.register(offset).write(value);
    }

    /// Nanoseconds since boot.
    pub(crate) fn now_ns(&self) -> u64 {
        let (now, _) = self.now();
        now
    }

    /// The same, and the TSC that it was read from. Both are rounded down, so a guest that adds what the TSC has gone on
    /// since never gets ahead of the next reading.
    pub(crate) fn now(&self) -> (u64, u64) {
        let tsc = rdtsc();
        (scale(tsc.wrapping_sub(self.tsc_start), self.tsc_scale), tsc)
    }

    /// Nanoseconds per TSC tick, times 2^32.
    pub(crate) const fn tsc_scale(&self) -> u64 {
        self.tsc_scale
    }

    /// Raises the timer interrupt once, `delay_ns` from `now_ns`, which was just read; replaces what was armed before.
    #[inline]
    pub(crate) fn arm(&mut self, now_ns: u64, delay_ns: u64) {
        let ticks = scale(delay_ns, self.apic_scale).clamp(1, u64::from(u32::MAX));
        self.armed_until = now_ns.saturating_add(delay_ns);
        self.write(APIC_INITIAL, ticks as u32);
    }

    /// How long it is until the timer that was armed last strikes: 0 when it has.
    pub(crate) fn left_ns(&self) -> u64 {
        self.armed_until.saturating_sub(self.now_ns())
    }

    /// Ends the interrupt that was taken last.
    pub(crate) fn end_of_interrupt(&mut self) {
        self.write(APIC_EOI, 0);
    }
}

/// `value * factor / 2^32`.
fn scale(value: u64, factor: u64) -> u64 {
    ((u128::from(value) * u128::from(factor)) >> 32) as u64
}

/// The time-stamp counter.
pub(crate) fn rdtsc() -> u64 {
    // SAFETY: every CPU with long mode has it.
    unsafe { _rdtsc() }
}

/// Lets PIT channel 2 count [`MEASURE_TICKS`] down, without its speaker.
fn wait_for_pit() {
    let mut gate = Port::<u8>::new(0x61);
    let mut command = Port::<u8>::new(0x43);
    let mut counter = Port::<u8>::new(0x42);
    // SAFETY: the ports are the PIT's and its gate's; no memory is touched.
    let kept = unsafe { gate.read() } & 0xfc;
    // SAFETY: as above; the gate goes low, so the count waits.
    unsafe { gate.write(kept) };
    // SAFETY: as above; channel 2, both bytes, mode 0 (its output rises at the end).
    unsafe { command.write(0b1011_0000) };
    let [low, high] = MEASURE_TICKS.to_le_bytes();
    // SAFETY: as above.
    unsafe { counter.write(low) };
    // SAFETY: as above.
    unsafe { counter.write(high) };
    // SAFETY: as above; the gate goes high, so the count starts.
    unsafe { gate.write(kept | 1) };
    // SAFETY: as above.
    while unsafe { gate.read() } & 0x20 == 0 {}
}

/// The wall clock (CMOS): seconds since 1970-01-01 UTC, taking the clock to run in UTC as servers' do.
pub(crate) fn wall_clock_s() -> u64 {
    let cmos = |register: u8| -> u8 {
        // SAFETY: the ports are the clock's; bit 7 keeps NMIs as they are, on.
        unsafe { Port::new(0x70).write(register) };
        // SAFETY: as above.
        unsafe { Port::new(0x71).read() }
    };
    let read = || [0, 2, 4, 7, 8, 9].map(cmos);
    let mut fields = read();
    // Two equal readings outside an update; a clock that is not there must not hold us up.
    for _ in 0..1000 {
        let again = read();
        if again == fields && cmos(0xa) & 0x80 == 0 {
            break;
        }
        fields = again;
    }
    xen_lite::wall_clock::unix_seconds(fields, cmos(0xb))
}
