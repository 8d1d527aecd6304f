//! Ports: what they are bound to, what masks them, how many there are.
use abi::errno::Errno;
use abi::event::{EventChannelOp, PORTS, PortStatus, Virq};
use guests::runtime::event::{self, channel, channel_done, channel_refused, looped_ports, send, served};
use guests::runtime::{call, start_info, upcall};
use guests::{check, check_eq};

use super::Run;

pub(crate) const CASES: &[(&str, Run)] = &[
    ("ports-and-masks", masks),
    ("ports-refuse", refuse),
    ("ports-run-out", run_out),
];

fn masks(_: u32) {
    let (offered, bound) = looped_ports();
    send(bound);
    check!(
        event::has_fired(offered) && event::is_pending(),
        "without an upcall the bits tell"
    );
    upcall::install();
    check!(call::yield_now().is_ok(), "a hypercall");
    check_eq!(served(offered), 1, "what was pending is delivered");
    for n in 1..50 {
        send(bound);
        check_eq!(served(offered), n + 1, "an event comes before the call returns");
        send(offered);
        check_eq!(served(bound), n, "and so does one to the other end");
    }
    let (upcalls, served_before) = (upcall::count(), served(offered));
    let news = || (upcall::count() - upcalls, served(offered) - served_before);
    event::mask_port(offered);
    send(bound);
    send(bound);
    check!(
        event::has_fired(offered) && !event::is_pending(),
        "a masked port notes it, without notice"
    );
    check_eq!(news(), (0, 0), "and delivers nothing");
    channel_done(EventChannelOp::Unmask, &[offered]);
    check_eq!(news(), (1, 1), "once, when it is unmasked");
    channel_done(EventChannelOp::Unmask, &[offered]);
    check_eq!(news(), (1, 1), "and not again");
    event::mask(0xff);
    send(bound);
    check_eq!(news(), (1, 1), "no upcall while it is masked");
    channel_done(EventChannelOp::Unmask, &[offered]);
    check_eq!(news(), (1, 1), "unmasking a port is not unmasking the upcall");
    event::clear_mask();
    check_eq!(news(), (1, 1), "clearing it by hand delivers nothing");
    channel_done(EventChannelOp::Unmask, &[0]);
    check_eq!(news(), (2, 2), "unmask of port 0 does");
    event::mask(1);
    send(bound);
    let blocked = call::block(0, abi::sched::WAKE_EVENT);
    check!(blocked.ok().is_ok(), "a wait with an event pending: {blocked:x?}");
    check_eq!(news(), (3, 3), "waiting unmasks");
    channel_done(EventChannelOp::Close, &[offered]);
    send(bound);
    check_eq!(news(), (3, 3), "into the void");
}

fn refuse(_: u32) {
    let own = u64::from(start_info().domain_id);
    let (offered, bound) = looped_ports();
    for port in [
        0,
        offered + 2,
        PORTS as u64 - 1,
        PORTS as u64,
        1 << 16 | offered,
        1 << 32 | offered,
        u64::MAX,
    ] {
        for command in [EventChannelOp::Send, EventChannelOp::Close] {
            channel_refused(command, &[port], Errno::Invalid);
        }
        channel_refused(EventChannelOp::BindInterdomain, &[own, port], Errno::Invalid);
    }
    for port in [0, PORTS as u64, u64::MAX] {
        channel_refused(EventChannelOp::Status, &[port], Errno::Invalid);
    }
    for domain in [999, 1 << 16 | own, 1 << 32 | own, u64::MAX, 0x7ff0] {
        channel_refused(EventChannelOp::AllocUnbound, &[domain], Errno::NoDomain);
        channel_refused(EventChannelOp::BindInterdomain, &[domain, 1], Errno::NoDomain);
    }
    // A port that somebody is bound to already is offered to nobody.
    channel_refused(EventChannelOp::BindInterdomain, &[own, offered], Errno::Invalid);
    channel_refused(EventChannelOp::BindInterdomain, &[own, bound], Errno::Invalid);
    for virq in [1, 3, 99, u64::MAX] {
        channel_refused(EventChannelOp::BindVirq, &[virq], Errno::Invalid);
    }
    let timer = event::timer_port();
    channel_refused(EventChannelOp::BindVirq, &[Virq::Timer.raw()], Errno::Exists);
    channel_refused(EventChannelOp::Send, &[timer], Errno::Invalid);
    let status = channel(EventChannelOp::Status, &[bound]);
    check_eq!(status.ok(), Ok(PortStatus::Interdomain.raw()), "the bound port");
    check_eq!(status.detail, own | offered << 16, "names its other end");
    channel_done(EventChannelOp::Close, &[offered]);
    let status = channel(EventChannelOp::Status, &[bound]).ok();
    check_eq!(
        status,
        Ok(PortStatus::Unbound.raw()),
        "the other end becomes unbound"
    );
    channel_refused(EventChannelOp::Close, &[offered], Errno::Invalid);
    send(bound);
}

fn run_out(_: u32) {
    let own = u64::from(start_info().domain_id);
    for round in 0..2 {
        for n in 1..PORTS as u64 {
            let port = channel(EventChannelOp::AllocUnbound, &[own]).ok();
            check!(
                port.is_ok_and(|port| port > 0 && port < PORTS as u64),
                "port {n}, round {round}: {port:?}"
            );
        }
        channel_refused(EventChannelOp::AllocUnbound, &[own], Errno::NoSpace);
        channel_refused(EventChannelOp::BindVirq, &[Virq::Timer.raw()], Errno::NoSpace);
        for port in 1..PORTS as u64 {
            channel_done(EventChannelOp::Close, &[port]);
        }
    }
}
