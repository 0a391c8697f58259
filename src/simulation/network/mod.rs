//! A network, a clock and a selector that one seed decides: bytes that arrive in any pieces, readiness
//! that comes late, twice, in any order or for nothing, peers that take little, and time that jumps.
//!
//! What it does, a kernel may do; nothing here breaks the contract that the loop relies on. That a short
//! read or write leaves nothing to be done, for example, holds here as it does on epoll.

mod seams;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

pub(crate) use seams::{SimAcceptor, SimClock, SimSelector};

use super::chance::Chance;
use crate::reactor::{Peer, Readiness, Token};

/// Which connection, in the order in which they were made.
pub(in crate::simulation) type WireId = usize;

/// What is between a client and the server.
#[derive(Debug, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "facts about two ends that hold or not, each by itself"
)]
struct Wire {
    from: Option<Peer>,
    /// The server has it. Before, it waits at the door.
    accepted: bool,
    /// It has read something of it.
    begun: bool,
    token: Option<Token>,
    /// Its name while it had one.
    former: Option<Token>,
    edge: Readiness,
    /// Sent by the client, and still on its way.
    under_way: VecDeque<u8>,
    ends_under_way: bool,
    arrived: VecDeque<u8>,
    ended: bool,
    /// The client is gone: nothing it was sent will be taken.
    reset: bool,
    outgoing: VecDeque<u8>,
    /// Bytes that fit between the server and the client.
    room: usize,
    /// The server was told that there is no room, and waits to hear otherwise.
    starved: bool,
    shut: bool,
    dropped: bool,
}

/// What is wrong with the network at present; without, everything is as it should be.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::simulation) struct Weather {
    /// Faults happen.
    pub(in crate::simulation) rough: bool,
    /// `accept` fails: no descriptor is left.
    pub(in crate::simulation) no_descriptors: bool,
}

#[derive(Debug)]
struct Net {
    chance: Chance,
    weather: Weather,
    clock: SimClock,
    wires: Vec<Wire>,
    /// Those who wait to be accepted.
    door: VecDeque<WireId>,
    door_token: Option<Token>,
    door_edge: bool,
    /// Tokens that mean nothing any more, of which word may still come.
    stale: Vec<Token>,
    woken: Arc<AtomicBool>,
    /// How long the next wait may be.
    may_sleep: Duration,
    last_wait: Wait,
}

/// What the last wait of the loop was.
#[derive(Clone, Debug, Default)]
pub(in crate::simulation) struct Wait {
    /// How long it was meant to be at most; `None` for ever.
    pub(in crate::simulation) timeout: Option<Duration>,
    pub(in crate::simulation) slept: Duration,
    pub(in crate::simulation) woken: bool,
    pub(in crate::simulation) ready: Vec<(Token, Readiness, Cause)>,
}

/// Why a source was said to be ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::simulation) enum Cause {
    /// It is.
    Edge,
    /// For no reason.
    Spurious,
    /// It was, before it ended.
    Stale,
}

/// The world's hand on the network.
#[derive(Clone, Debug)]
pub(in crate::simulation) struct Network(Rc<RefCell<Net>>);

impl Network {
    pub(in crate::simulation) fn new(clock: SimClock, chance: Chance) -> Self {
        Self(Rc::new(RefCell::new(Net {
            chance,
            weather: Weather::default(),
            clock,
            wires: Vec::new(),
            door: VecDeque::new(),
            door_token: None,
            door_edge: false,
            stale: Vec::new(),
            woken: Arc::default(),
            may_sleep: Duration::ZERO,
            last_wait: Wait::default(),
        })))
    }

    pub(in crate::simulation) fn selector(&self) -> SimSelector {
        SimSelector(self.clone())
    }

    pub(in crate::simulation) fn acceptor(&self) -> SimAcceptor {
        SimAcceptor(self.clone())
    }

    pub(in crate::simulation) fn set_weather(&self, weather: Weather) {
        self.0.borrow_mut().weather = weather;
    }

    /// How long the loop may sleep in its next wait if nobody is ready.
    pub(in crate::simulation) fn let_sleep(&self, at_most: Duration) {
        self.0.borrow_mut().may_sleep = at_most;
    }

    pub(in crate::simulation) fn last_wait(&self) -> Wait {
        self.0.borrow().last_wait.clone()
    }

    /// Somebody connects, from one of a few addresses.
    pub(in crate::simulation) fn connect(&self, room: usize) -> WireId {
        let mut net = self.0.borrow_mut();
        let id = net.wires.len();
        let address = Ipv4Addr::new(192, 0, 2, 1 + (id % 5) as u8);
        net.wires.push(Wire {
            from: Some(Peer::Ip(SocketAddr::from((address, 1024 + id as u16)))),
            room,
            ..Wire::default()
        });
        net.door.push_back(id);
        net.door_edge = true;
        id
    }

    /// The client sends bytes; they are under way.
    pub(in crate::simulation) fn send(&self, id: WireId, bytes: &[u8]) {
        self.0.borrow_mut().wires[id].under_way.extend(bytes);
    }

    /// The client shuts its side, after what it sent.
    pub(in crate::simulation) fn end(&self, id: WireId) {
        self.0.borrow_mut().wires[id].ends_under_way = true;
    }

    /// The client is gone at once.
    pub(in crate::simulation) fn reset(&self, id: WireId) {
        self.0.borrow_mut().wires[id].reset();
    }

    /// Lets up to so many bytes arrive. How many did.
    pub(in crate::simulation) fn arrive(&self, id: WireId, at_most: usize) -> usize {
        let mut net = self.0.borrow_mut();
        let wire = &mut net.wires[id];
        let count = at_most.min(wire.under_way.len());
        wire.arrived.extend(wire.under_way.drain(..count));
        if count > 0 {
            wire.edge = wire.edge.and(Readiness::READABLE);
        }
        if wire.under_way.is_empty() && std::mem::take(&mut wire.ends_under_way) {
            wire.ended = true;
            wire.edge = wire.edge.and(Readiness::READABLE).and(Readiness::ENDED);
        }
        count
    }

    /// The client takes up to so many bytes of what it was sent.
    pub(in crate::simulation) fn take(&self, id: WireId, at_most: usize) -> Vec<u8> {
        let mut net = self.0.borrow_mut();
        let wire = &mut net.wires[id];
        let count = at_most.min(wire.outgoing.len());
        let taken: Vec<u8> = wire.outgoing.drain(..count).collect();
        // Linux says so when a third of the buffer is free (sk_stream_is_writeable).
        if wire.starved && wire.outgoing.len() * 3 <= wire.room * 2 {
            wire.starved = false;
            wire.edge = wire.edge.and(Readiness::WRITABLE);
        }
        taken
    }

    /// The server has ended its side, and everything was taken.
    pub(in crate::simulation) fn is_over(&self, id: WireId) -> bool {
        let net = self.0.borrow();
        let wire = &net.wires[id];
        (wire.shut || wire.dropped) && wire.outgoing.is_empty()
    }

    /// The server has ended its side, whatever is still to be taken.
    pub(in crate::simulation) fn is_ending(&self, id: WireId) -> bool {
        let net = self.0.borrow();
        net.wires[id].shut || net.wires[id].dropped
    }

    /// Whether the server has let it in.
    pub(in crate::simulation) fn is_accepted(&self, id: WireId) -> bool {
        self.0.borrow().wires[id].accepted
    }

    /// Whether something it sent has not arrived.
    pub(in crate::simulation) fn has_under_way(&self, id: WireId) -> bool {
        let wire = &self.0.borrow().wires[id];
        !wire.under_way.is_empty() || wire.ends_under_way
    }

    /// Whether there is something to take, or the end to be seen.
    pub(in crate::simulation) fn has_to_take(&self, id: WireId) -> bool {
        let wire = &self.0.borrow().wires[id];
        !wire.outgoing.is_empty() || wire.shut || wire.dropped
    }

    /// From now on, what counts is what it reads from now on.
    pub(in crate::simulation) fn begin_anew(&self, id: WireId) {
        self.0.borrow_mut().wires[id].begun = false;
    }

    /// Whether the server has read something of it.
    pub(in crate::simulation) fn has_begun(&self, id: WireId) -> bool {
        self.0.borrow().wires[id].begun
    }

    /// Bytes that wait to be taken by the client.
    pub(in crate::simulation) fn outgoing(&self, id: WireId) -> usize {
        self.0.borrow().wires[id].outgoing.len()
    }

    /// Whose connection that token names.
    pub(in crate::simulation) fn of_token(&self, token: Token) -> Option<WireId> {
        let net = self.0.borrow();
        let is = |wire: &Wire| wire.token.or(wire.former) == Some(token);
        net.wires.iter().rposition(is) // another server may have given it before
    }

    /// Connections that the server has not freed.
    pub(in crate::simulation) fn held(&self) -> usize {
        let net = self.0.borrow();
        let held = net
            .wires
            .iter()
            .filter(|wire| wire.accepted && !wire.dropped);
        held.count()
    }

    /// The server is gone: all connections break, and who waited at the door is turned away.
    pub(in crate::simulation) fn break_all(&self) {
        let mut net = self.0.borrow_mut();
        for wire in &mut net.wires {
            wire.dropped = true;
            wire.token = None;
        }
        net.door.clear();
        net.door_token = None;
        net.stale.clear();
        net.woken.store(false, Ordering::SeqCst);
    }
}

impl Wire {
    fn reset(&mut self) {
        self.reset = true;
        self.under_way.clear();
        self.arrived.clear();
        self.outgoing.clear();
        let all = Readiness::READABLE.and(Readiness::WRITABLE);
        self.edge = self.edge.and(all).and(Readiness::ENDED);
    }
}

impl Net {
    /// What is ready, as far as word of it has come.
    fn report(&mut self) -> Vec<(Token, Readiness, Cause)> {
        let (rough, chance) = (self.weather.rough, &mut self.chance);
        let mut is_late = || rough && chance.one_in(8);
        let mut found = Vec::new();
        if let Some(token) = self.door_token
            && self.door_edge
            && !is_late()
        {
            self.door_edge = false;
            found.push((token, Readiness::READABLE, Cause::Edge));
        }
        for wire in &mut self.wires {
            if let Some(token) = wire.token
                && wire.edge != Readiness::NONE
                && !is_late()
            {
                let readiness = std::mem::take(&mut wire.edge);
                found.push((token, readiness, Cause::Edge));
            }
        }
        found
    }

    fn add_noise(&mut self, found: &mut Vec<(Token, Readiness, Cause)>) {
        if self.chance.one_in(16) {
            let tokens: Vec<Token> = self.wires.iter().filter_map(|wire| wire.token).collect();
            if let Some(token) = self.chance.pick(&tokens)
                && !found.iter().any(|(other, ..)| other == token)
            {
                let all = Readiness::READABLE.and(Readiness::WRITABLE);
                found.push((*token, all, Cause::Spurious));
            }
        }
        if self.chance.one_in(16)
            && let Some(token) = self.chance.pick(&self.stale)
        {
            found.push((*token, Readiness::READABLE, Cause::Stale));
        }
    }
}
