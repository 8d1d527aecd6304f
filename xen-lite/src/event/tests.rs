//! Ports: what each operation does, what it refuses, and that both ends of a channel always agree.
use super::{Packed, Port, close_all, is_due, is_pending, raise_virq};
use crate::addr::DomainId;
use crate::testing::world::Bench;
use abi::errno::Errno;
use abi::event::{EventChannelOp, PORTS, PortStatus, SharedInfo, Virq};
use abi::hypercall::Hypercall;
use core::mem::offset_of;
use proptest::prelude::*;

const SELECTOR: usize = offset_of!(SharedInfo, pending_sel);
const PENDING: usize = offset_of!(SharedInfo, evtchn_pending);
const MASK: usize = offset_of!(SharedInfo, evtchn_mask);

type Answer = (Result<u64, Errno>, u64);

fn op(bench: &mut Bench, domain: usize, op: EventChannelOp, arguments: &[u64]) -> Answer {
    let arguments = [&[op.raw()], arguments].concat();
    bench.ask_quick(domain, Hypercall::EventChannelOp, &arguments)
}

fn done(bench: &mut Bench, domain: usize, command: EventChannelOp, arguments: &[u64]) -> u64 {
    op(bench, domain, command, arguments).0.unwrap()
}

fn refused(bench: &mut Bench, domain: usize, command: EventChannelOp, arguments: &[u64]) -> Errno {
    let before: Vec<Vec<Port>> = bench.domains.iter().map(|domain| ports(&domain.ports)).collect();
    let errno = op(bench, domain, command, arguments).0.unwrap_err();
    let after: Vec<Vec<Port>> = bench.domains.iter().map(|domain| ports(&domain.ports)).collect();
    assert!(before == after, "a refused {command:?} has changed a port");
    errno
}

fn ports(ports: &super::Ports) -> Vec<Port> {
    (0..PORTS as u64).map(|port| ports.get(port)).collect()
}

/// A channel between two domains; the first has offered it.
fn channel(bench: &mut Bench, from: usize, to: usize) -> (u64, u64) {
    let offered = done(bench, from, EventChannelOp::AllocUnbound, &[to as u64]);
    let bound = done(
        bench,
        to,
        EventChannelOp::BindInterdomain,
        &[from as u64, offered],
    );
    (offered, bound)
}

#[test]
fn an_event_sets_pending_selector_and_the_flag_of_the_other_end_alone() {
    let mut bench = Bench::new(2);
    let (here, there) = channel(&mut bench, 0, 1);
    for _ in 2..=70 {
        done(&mut bench, 0, EventChannelOp::AllocUnbound, &[0]);
    }
    let (far, _) = channel(&mut bench, 0, 1);
    assert_eq!(far, 71);
    assert_eq!(op(&mut bench, 1, EventChannelOp::Send, &[2]), (Ok(0), 0));
    assert!(bench.world.after.take_notified());
    assert!(bench.world.stirred.eq([0]), "it may sleep");
    assert_eq!(bench.shared(0, PENDING + 8), 1 << (71 - 64));
    assert_eq!((bench.shared(0, SELECTOR), bench.shared(0, 0)), (2, 1));
    assert_eq!(op(&mut bench, 1, EventChannelOp::Send, &[there]), (Ok(0), 0));
    assert_eq!(
        (bench.shared(0, PENDING), bench.shared(0, SELECTOR)),
        (1 << here, 3)
    );
    let set = bench.domains[1].vcpu.set.shared_info();
    assert!(bench.world.mem.words(set).iter().all(|word| *word == 0));
}

#[test]
fn a_masked_port_only_notes_the_event_until_it_is_unmasked() {
    let mut bench = Bench::new(2);
    let (here, there) = channel(&mut bench, 0, 1);
    bench.set_shared(0, MASK, 1 << here | 1 << 9);
    done(&mut bench, 1, EventChannelOp::Send, &[there]);
    let shared = bench.domains[0].vcpu.set.shared_info();
    assert_eq!(
        (bench.shared(0, PENDING), bench.shared(0, SELECTOR)),
        (1 << here, 0)
    );
    assert!(!is_pending(&bench.world.mem, shared));
    done(&mut bench, 0, EventChannelOp::Unmask, &[here]);
    assert_eq!((bench.shared(0, MASK), bench.shared(0, SELECTOR)), (1 << 9, 1));
    assert!(is_due(&bench.world.mem, shared));
}

#[test]
fn unmasking_port_0_or_a_quiet_port_announces_nothing() {
    let mut bench = Bench::new(1);
    let port = done(&mut bench, 0, EventChannelOp::AllocUnbound, &[0]);
    bench.set_shared(0, PENDING, 1);
    for port in [0, port] {
        done(&mut bench, 0, EventChannelOp::Unmask, &[port]);
        assert_eq!((bench.shared(0, 0), bench.shared(0, SELECTOR)), (0, 0));
    }
}

#[test]
fn ports_that_do_not_exist_are_refused_by_every_operation() {
    let mut bench = Bench::new(2);
    for port in [
        1,
        5,
        PORTS as u64 - 1,
        PORTS as u64,
        1 << 16 | 1,
        1 << 32 | 1,
        u64::MAX,
    ] {
        for command in [
            EventChannelOp::Close,
            EventChannelOp::Send,
            EventChannelOp::Unmask,
        ] {
            assert_eq!(refused(&mut bench, 0, command, &[port]), Errno::Invalid);
        }
        let bind = refused(&mut bench, 0, EventChannelOp::BindInterdomain, &[1, port]);
        assert_eq!(bind, Errno::Invalid);
    }
    for command in [
        EventChannelOp::Close,
        EventChannelOp::Send,
        EventChannelOp::Status,
    ] {
        assert_eq!(refused(&mut bench, 0, command, &[0]), Errno::Invalid);
    }
    let closed = (Ok(PortStatus::Closed.raw()), 0);
    assert_eq!(
        op(&mut bench, 0, EventChannelOp::Status, &[PORTS as u64 - 1]),
        closed
    );
    assert_eq!(
        refused(&mut bench, 0, EventChannelOp::Status, &[PORTS as u64]),
        Errno::Invalid
    );
}

#[test]
fn domains_that_do_not_exist_or_have_ended_are_refused() {
    let mut bench = Bench::new(3);
    let offered = done(&mut bench, 2, EventChannelOp::AllocUnbound, &[0]);
    bench.end(2);
    for domain in [2, 3, 1 << 16, 1 << 32, u64::MAX] {
        let alloc = refused(&mut bench, 0, EventChannelOp::AllocUnbound, &[domain]);
        let bind = refused(&mut bench, 0, EventChannelOp::BindInterdomain, &[domain, offered]);
        assert_eq!((alloc, bind), (Errno::NoDomain, Errno::NoDomain));
    }
    assert_eq!(
        bench.ask(0, Hypercall::EventChannelOp, &[2, 0, 0]).0,
        Err(Errno::NoSys)
    );
}

#[test]
fn only_the_domain_that_a_port_was_offered_to_may_bind_it_and_only_once() {
    let mut bench = Bench::new(3);
    let offered = done(&mut bench, 0, EventChannelOp::AllocUnbound, &[1]);
    for thief in [0, 2] {
        let bind = refused(&mut bench, thief, EventChannelOp::BindInterdomain, &[0, offered]);
        assert_eq!(bind, Errno::Invalid);
    }
    done(&mut bench, 1, EventChannelOp::BindInterdomain, &[0, offered]);
    let again = refused(&mut bench, 1, EventChannelOp::BindInterdomain, &[0, offered]);
    assert_eq!(again, Errno::Invalid);
}

#[test]
fn a_loop_notifies_its_own_domain_and_either_end_may_be_closed() {
    for first in [0, 1] {
        let mut bench = Bench::new(1);
        let (a, b) = channel(&mut bench, 0, 0);
        assert_ne!(a, b);
        done(&mut bench, 0, EventChannelOp::Send, &[a]);
        assert!(!bench.world.after.take_notified(), "nobody else is to run for it");
        assert_eq!(bench.shared(0, PENDING), 1 << b);
        let (closed, left) = if first == 0 { (a, b) } else { (b, a) };
        done(&mut bench, 0, EventChannelOp::Close, &[closed]);
        let unbound = (Ok(PortStatus::Unbound.raw()), 0);
        assert_eq!(op(&mut bench, 0, EventChannelOp::Status, &[left]), unbound);
        done(&mut bench, 0, EventChannelOp::Send, &[left]);
        done(&mut bench, 0, EventChannelOp::BindInterdomain, &[0, left]);
        done(&mut bench, 0, EventChannelOp::Close, &[left]);
    }
}

#[test]
fn a_closed_ports_event_is_not_its_successors() {
    let mut bench = Bench::new(2);
    let (here, there) = channel(&mut bench, 0, 1);
    bench.set_shared(0, PENDING, 1 << 9);
    done(&mut bench, 1, EventChannelOp::Send, &[there]);
    done(&mut bench, 0, EventChannelOp::Close, &[here]);
    assert_eq!(bench.shared(0, PENDING), 1 << 9, "that of others stays");
    let next = done(&mut bench, 0, EventChannelOp::BindVirq, &[Virq::Timer.raw()]);
    assert_eq!(next, here);
    done(&mut bench, 1, EventChannelOp::Send, &[there]);
    assert_eq!(
        bench.shared(0, PENDING),
        1 << 9,
        "the old peer reaches it no more"
    );
}

#[test]
fn all_ports_can_be_had_and_no_more() {
    let mut bench = Bench::new(2);
    for port in 1..PORTS as u64 {
        assert_eq!(
            done(&mut bench, 0, EventChannelOp::AllocUnbound, &[1]),
            port,
            "the lowest free one"
        );
    }
    let full = refused(&mut bench, 0, EventChannelOp::AllocUnbound, &[1]);
    let virq = refused(&mut bench, 0, EventChannelOp::BindVirq, &[Virq::Timer.raw()]);
    let offered = done(&mut bench, 1, EventChannelOp::AllocUnbound, &[0]);
    let bind = refused(&mut bench, 0, EventChannelOp::BindInterdomain, &[1, offered]);
    assert_eq!(
        (full, virq, bind),
        (Errno::NoSpace, Errno::NoSpace, Errno::NoSpace)
    );
    let other = channel(&mut bench, 1, 1);
    assert_eq!(other, (2, 3), "the others have theirs");
    done(&mut bench, 0, EventChannelOp::Close, &[500]);
    assert_eq!(
        done(&mut bench, 0, EventChannelOp::BindInterdomain, &[1, offered]),
        500
    );
}

#[test]
fn what_a_port_is_bound_to_is_kept_whole() {
    for domain in [0, 1, 0x100, u16::MAX].map(DomainId) {
        let interdomain = (0..PORTS as u16).map(|port| Port::Interdomain(domain, port));
        for port in interdomain.chain([Port::Unbound(domain)]) {
            assert_eq!(Packed::of(port).map(Packed::port), Some(port));
        }
    }
    for port in [Port::Closed, Port::Virq(Virq::Timer), Port::Virq(Virq::Console)] {
        assert_eq!(Packed::of(port).map(Packed::port), Some(port));
    }
    assert_eq!(Packed::of(Port::Interdomain(DomainId(0), u16::MAX)), None);
}

#[test]
fn a_virq_has_one_port_and_is_not_a_guests_to_send() {
    let mut bench = Bench::new(1);
    assert_eq!(
        refused(&mut bench, 0, EventChannelOp::BindVirq, &[1]),
        Errno::Invalid
    );
    raise_virq(&mut bench.world.mem, &bench.domains[0], Virq::Timer);
    assert_eq!(bench.shared(0, 0), 0, "nobody asked for it");
    let port = done(&mut bench, 0, EventChannelOp::BindVirq, &[0]);
    assert_eq!(
        refused(&mut bench, 0, EventChannelOp::BindVirq, &[0]),
        Errno::Exists
    );
    assert_eq!(
        refused(&mut bench, 0, EventChannelOp::Send, &[port]),
        Errno::Invalid
    );
    let other = done(&mut bench, 0, EventChannelOp::BindVirq, &[2]);
    let status = op(&mut bench, 0, EventChannelOp::Status, &[other]);
    assert_eq!(status, (Ok(PortStatus::Virq.raw()), Virq::Console.raw()));
    raise_virq(&mut bench.world.mem, &bench.domains[0], Virq::Timer);
    assert_eq!(bench.shared(0, PENDING), 1 << port);
    done(&mut bench, 0, EventChannelOp::Close, &[port]);
    done(&mut bench, 0, EventChannelOp::BindVirq, &[0]);
}

#[test]
fn the_end_of_a_domain_leaves_its_peers_unbound_and_its_next_incarnation_with_nothing() {
    let mut bench = Bench::new(3);
    let (here, there) = channel(&mut bench, 0, 1);
    let (_, third) = channel(&mut bench, 1, 2);
    channel(&mut bench, 1, 1);
    done(&mut bench, 1, EventChannelOp::BindVirq, &[0]);
    close_all(&mut bench.domains, 1);
    assert!(
        ports(&bench.domains[1].ports)
            .iter()
            .all(|port| *port == Port::Closed)
    );
    let unbound = (Ok(PortStatus::Unbound.raw()), 1);
    assert_eq!(op(&mut bench, 0, EventChannelOp::Status, &[here]), unbound);
    assert_eq!(op(&mut bench, 2, EventChannelOp::Status, &[third]), unbound);
    bench.set_shared(1, 0, 0);
    done(&mut bench, 0, EventChannelOp::Send, &[here]);
    assert_eq!(
        (bench.shared(1, 0), bench.shared(1, PENDING)),
        (0, 0),
        "into the void"
    );
    // The next incarnation may take the place of the last.
    let bound = done(&mut bench, 1, EventChannelOp::BindInterdomain, &[0, here]);
    assert_eq!(bound, there);
    done(&mut bench, 0, EventChannelOp::Send, &[here]);
    assert_eq!(bench.shared(1, PENDING), 1 << bound);
}

#[test]
fn a_page_full_of_nonsense_changes_no_port_and_no_other_domain() {
    let mut bench = Bench::new(2);
    let (here, there) = channel(&mut bench, 0, 1);
    for nonsense in [u64::MAX, 0x5555_5555_5555_5555, 1 << 63] {
        for offset in (0..4096).step_by(8) {
            bench.set_shared(0, offset, nonsense);
        }
        done(&mut bench, 0, EventChannelOp::Send, &[here]);
        done(&mut bench, 1, EventChannelOp::Send, &[there]);
        done(&mut bench, 0, EventChannelOp::Unmask, &[here]);
        assert_eq!(bench.shared(1, PENDING), 1 << there);
        assert_eq!(
            bench.domains[0].ports.get(here),
            Port::Interdomain(crate::addr::DomainId(1), there as u16)
        );
        let beyond = size_of::<SharedInfo>();
        assert_eq!(
            bench.shared(0, beyond),
            nonsense,
            "nothing is written past the bits"
        );
    }
}

/// A second opinion on who is connected to whom: an unordered pair for each channel, by (domain, port).
#[derive(Default)]
struct Model {
    offers: Vec<((usize, u64), usize)>,
    pairs: Vec<[(usize, u64); 2]>,
    virqs: Vec<((usize, u64), u64)>,
    pending: Vec<(usize, u64)>,
}

impl Model {
    fn taken(&self, domain: usize) -> Vec<u64> {
        let offers = self.offers.iter().map(|(port, _)| *port);
        let virqs = self.virqs.iter().map(|(port, _)| *port);
        let all = self.pairs.iter().flatten().copied().chain(offers).chain(virqs);
        all.filter(|(owner, _)| *owner == domain)
            .map(|(_, port)| port)
            .collect()
    }

    fn fresh(&self, domain: usize) -> (usize, u64) {
        let taken = self.taken(domain);
        let port = (1..).find(|port| !taken.contains(port)).unwrap();
        (domain, port)
    }

    fn peer(&self, port: (usize, u64)) -> Option<(usize, u64)> {
        self.pairs.iter().find_map(|[a, b]| match port {
            end if end == *a => Some(*b),
            end if end == *b => Some(*a),
            _ => None,
        })
    }

    fn close(&mut self, port: (usize, u64)) -> bool {
        let peer = self.peer(port);
        let known = self.taken(port.0).contains(&port.1);
        self.offers.retain(|(offer, _)| *offer != port);
        self.virqs.retain(|(virq, _)| *virq != port);
        self.pairs.retain(|pair| !pair.contains(&port));
        if let Some(peer) = peer {
            self.offers.push((peer, port.0));
        }
        known
    }

    fn step(
        &mut self,
        domain: usize,
        command: EventChannelOp,
        first: u64,
        second: u64,
    ) -> Result<u64, Errno> {
        let own = (domain, first);
        match command {
            EventChannelOp::AllocUnbound if first >= DOMAINS => Err(Errno::NoDomain),
            EventChannelOp::AllocUnbound => {
                let port = self.fresh(domain);
                self.offers.push((port, first as usize));
                Ok(port.1)
            }
            EventChannelOp::BindInterdomain if first >= DOMAINS => Err(Errno::NoDomain),
            EventChannelOp::BindInterdomain => {
                let offer = ((first as usize, second), domain);
                if !self.offers.contains(&offer) {
                    return Err(Errno::Invalid);
                }
                let port = self.fresh(domain);
                self.offers.retain(|other| *other != offer);
                self.pairs.push([offer.0, port]);
                Ok(port.1)
            }
            EventChannelOp::BindVirq if Virq::from_raw(first).is_none() => Err(Errno::Invalid),
            EventChannelOp::BindVirq => {
                if self
                    .virqs
                    .iter()
                    .any(|((owner, _), virq)| (*owner, *virq) == (domain, first))
                {
                    return Err(Errno::Exists);
                }
                let port = self.fresh(domain);
                self.virqs.push((port, first));
                Ok(port.1)
            }
            EventChannelOp::Close => {
                self.pending.retain(|port| *port != own || first == 0);
                self.close(own).then_some(0).ok_or(Errno::Invalid)
            }
            EventChannelOp::Send => match self.peer(own) {
                Some(peer) => {
                    self.pending.push(peer);
                    Ok(0)
                }
                None if self.offers.iter().any(|(offer, _)| *offer == own) => Ok(0),
                None => Err(Errno::Invalid),
            },
            EventChannelOp::Unmask => {
                let known = first == 0 || self.taken(domain).contains(&first);
                known.then_some(0).ok_or(Errno::Invalid)
            }
            EventChannelOp::Status => unreachable!("asked for each port"),
        }
    }

    fn status(&self, port: (usize, u64)) -> (PortStatus, u64) {
        if let Some((domain, port)) = self.peer(port) {
            return (PortStatus::Interdomain, domain as u64 | port << 16);
        }
        let offer = self.offers.iter().find(|(offer, _)| *offer == port);
        let virq = self.virqs.iter().find(|(virq, _)| *virq == port);
        match (offer, virq) {
            (Some((_, to)), _) => (PortStatus::Unbound, *to as u64),
            (_, Some((_, virq))) => (PortStatus::Virq, *virq),
            _ => (PortStatus::Closed, 0),
        }
    }
}

const DOMAINS: u64 = 3;
const TRIED: u64 = 12;

fn commands() -> impl Strategy<Value = Vec<(usize, usize, u64, u64)>> {
    let step = (0..DOMAINS as usize, 0..8_usize, 0..TRIED, 0..TRIED);
    proptest::collection::vec(step, 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn both_ends_agree_after_any_operations_of_any_domains(steps in commands()) {
        let mut bench = Bench::new(DOMAINS as u16);
        let mut model = Model::default();
        for (domain, command, first, second) in steps {
            let command = match command {
                0 | 1 => EventChannelOp::AllocUnbound,
                2 | 3 => EventChannelOp::BindInterdomain,
                4 => EventChannelOp::BindVirq,
                5 => EventChannelOp::Close,
                6 => EventChannelOp::Send,
                _ => EventChannelOp::Unmask,
            };
            // Domains are few: most numbers shall name one.
            let first = match command {
                EventChannelOp::AllocUnbound | EventChannelOp::BindInterdomain => first % (DOMAINS + 1),
                _ => first,
            };
            let said = op(&mut bench, domain, command, &[first, second]).0;
            prop_assert_eq!(said, model.step(domain, command, first, second), "{:?}", command);
            for domain in 0..DOMAINS as usize {
                for port in 1..2 * TRIED {
                    let real = match bench.domains[domain].ports.get(port) {
                        Port::Closed => (PortStatus::Closed, 0),
                        Port::Unbound(to) => (PortStatus::Unbound, u64::from(to.0)),
                        Port::Interdomain(to, port) => {
                            (PortStatus::Interdomain, u64::from(to.0) | u64::from(port) << 16)
                        }
                        Port::Virq(virq) => (PortStatus::Virq, virq.raw()),
                    };
                    prop_assert_eq!(real, model.status((domain, port)), "port {} of {}", port, domain);
                    let bit = bench.shared(domain, PENDING + port as usize / 64 * 8) >> (port % 64) & 1 != 0;
                    prop_assert_eq!(bit, model.pending.contains(&(domain, port)), "port {} of {}", port, domain);
                }
            }
        }
    }
}
