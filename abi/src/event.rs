//! Events: asynchronous, maskable notifications (the paper's section 3.2), and `event_channel_op`.
//!
//! An event arrives at a *port*. Bits in [`SharedInfo`] say what is pending and what is masked; while something unmasked is
//! pending and the upcall is not masked, the guest kernel is entered at its upcall:
//!
//! - in ring 1, on the flat segments, with a [`crate::trap::BounceFrame`] as for a bounced trap (error code 0), and
//!   [`SharedInfo::upcall_mask`] set;
//! - inside the region that was registered with the upcall, on the frame that lies there already, with the interrupted
//!   address in the error code's place below it: a guest that returns by *clear the mask .. iretq* needs no more stack,
//!   however events fall.
//!
//! The upcall clears [`SharedInfo::upcall_pending`], takes [`SharedInfo::pending_sel`] and serves the ports. It saves and
//! restores [`crate::layout::GuestWords`], which a trap inside it would overwrite.
//! Clearing the mask by hand delivers nothing by itself: look at `upcall_pending` afterwards and call
//! [`EventChannelOp::Unmask`] with port 0 when it is set.
use crate::numbered::numbered;

/// Ports of a domain: 1 to `PORTS - 1`; port 0 is none.
pub const PORTS: usize = 1024;

/// The page at [`crate::layout::SHARED_INFO`], which guest and hypervisor write. Fields are as in Xen's `shared_info`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct SharedInfo {
    /// Not 0: something unmasked is pending.
    pub upcall_pending: u8,
    /// Not 0: no upcall.
    pub upcall_mask: u8,
    /// Unused.
    pub pad: [u8; 6],
    /// Which words of `evtchn_pending` have news, by bit.
    pub pending_sel: u64,
    /// A bit for each port: it has fired.
    pub evtchn_pending: [u64; PORTS / 64],
    /// A bit for each port: it fires without notice.
    pub evtchn_mask: [u64; PORTS / 64],
}
const _: () = assert!(size_of::<SharedInfo>() <= 4096);

numbered! {
    /// The command in rdi. Numbers are Xen's.
    pub enum EventChannelOp: u64 {
        /// `(remote domain, remote port)`: returns a port of one's own, bound to a port that the remote has offered.
        BindInterdomain = 0, "bind_interdomain";
        /// `(virq)`: returns a port for a [`Virq`]; one port each.
        BindVirq = 1, "bind_virq";
        /// `(port)`: gives it up, and what is pending there; the other end becomes unbound.
        Close = 3, "close";
        /// `(port)`: notifies the other end.
        Send = 4, "send";
        /// `(port)`: returns a [`PortStatus`]; rdx: `remote domain | remote port << 16`, or the virq.
        Status = 5, "status";
        /// `(remote domain)`: returns a port that this domain may bind to. One's own number is allowed: a loop.
        AllocUnbound = 6, "alloc_unbound";
        /// `(port)`: clears its mask bit, and delivers what is pending. Port 0: delivers what is pending.
        Unmask = 9, "unmask";
    }
}

numbered! {
    /// Events that come from the hypervisor. Numbers are Xen's.
    pub enum Virq: u64 {
        /// The one-shot timer of `set_timer_op`.
        Timer = 0, "timer";
        /// Console input waits.
        Console = 2, "console";
    }
}

numbered! {
    /// What a port is. Numbers are Xen's.
    pub enum PortStatus: u64 {
        /// Not in use.
        Closed = 0, "closed";
        /// Offered to a remote domain.
        Unbound = 1, "unbound";
        /// Bound to a port of a remote domain.
        Interdomain = 2, "interdomain";
        /// Bound to a virq.
        Virq = 4, "virq";
    }
}
