//! A network, a clock and a selector that one seed decides: bytes that arrive in any pieces, readiness
//! that comes late, twice, in any order or for nothing, peers that take little, and time that jumps.
//!
//! What it does, a kernel may do; nothing here breaks the contract that the loop relies on. That a short
//! read or write leaves nothing to be done, for example, holds here as it does on epoll.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::chance::Chance;
use crate::reactor::fake::{FAKE_EPOCH_MS, FakeEntropy};
use crate::reactor::{
    Acceptor, Clock, Moment, Peer, Readiness, Ready, Seams, Selector, Stream, Token, Wake,
};

/// The seams of a simulated world.
#[derive(Debug)]
pub(crate) struct Simulated;

impl Seams for Simulated {
    type Clock = SimClock;
    type Entropy = FakeEntropy;
    type Selector = SimSelector;
    type Stream = SimStream;
    type Acceptor = SimAcceptor;
}

/// A clock that moves when the world says so; clones show the same time.
#[derive(Clone, Debug, Default)]
pub(crate) struct SimClock {
    ns: Rc<Cell<u64>>,
    /// How far the wall clock is from where it would be, in milliseconds.
    wall_off_ms: Rc<Cell<i64>>,
}

impl SimClock {
    pub(super) fn advance(&self, by: Duration) {
        self.ns.set(self.ns.get() + by.as_nanos() as u64);
    }

    /// Somebody sets the wall clock.
    pub(super) fn jump(&self, by_ms: i64) {
        self.wall_off_ms.set(self.wall_off_ms.get() + by_ms);
    }

    pub(super) fn unix_s(&self) -> i64 {
        (self.unix_ms() / 1000).cast_signed()
    }
}

impl Clock for SimClock {
    fn now(&self) -> Moment {
        // Each look takes some time, as it does everywhere.
        self.ns.set(self.ns.get() + 100);
        Moment::from_ns(self.ns.get())
    }

    fn unix_ms(&self) -> u64 {
        let ms = FAKE_EPOCH_MS + self.ns.get() / 1_000_000;
        ms.saturating_add_signed(self.wall_off_ms.get())
    }
}

/// Which connection, in the order in which they were made.
pub(super) type WireId = usize;

/// What is between a client and the server.
#[derive(Debug, Default)]
struct Wire {
    from: Option<Peer>,
    /// The server has it. Before, it waits at the door.
    accepted: bool,
    /// It has read something of it.
    begun: bool,
    token: Option<Token>,
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
pub(super) struct Weather {
    /// Faults happen.
    pub(super) rough: bool,
    /// `accept` fails: no descriptor is left.
    pub(super) no_descriptors: bool,
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
pub(super) struct Wait {
    /// How long it was meant to be at most; `None` for ever.
    pub(super) timeout: Option<Duration>,
    pub(super) slept: Duration,
    pub(super) woken: bool,
    pub(super) ready: Vec<(Token, Readiness, Cause)>,
}

/// Why a source was said to be ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// It is.
    Edge,
    /// For no reason.
    Spurious,
    /// It was, before it ended.
    Stale,
}

/// The world's hand on the network.
#[derive(Clone, Debug)]
pub(super) struct Network(Rc<RefCell<Net>>);

impl Network {
    pub(super) fn new(clock: SimClock, chance: Chance) -> Self {
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

    pub(super) fn selector(&self) -> SimSelector {
        SimSelector(self.clone())
    }

    pub(super) fn acceptor(&self) -> SimAcceptor {
        SimAcceptor(self.clone())
    }

    pub(super) fn set_weather(&self, weather: Weather) {
        self.0.borrow_mut().weather = weather;
    }

    /// How long the loop may sleep in its next wait if nobody is ready.
    pub(super) fn let_sleep(&self, at_most: Duration) {
        self.0.borrow_mut().may_sleep = at_most;
    }

    pub(super) fn last_wait(&self) -> Wait {
        self.0.borrow().last_wait.clone()
    }

    /// Somebody connects, from one of a few addresses.
    pub(super) fn connect(&self, room: usize) -> WireId {
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
    pub(super) fn send(&self, id: WireId, bytes: &[u8]) {
        self.0.borrow_mut().wires[id].under_way.extend(bytes);
    }

    /// The client shuts its side, after what it sent.
    pub(super) fn end(&self, id: WireId) {
        self.0.borrow_mut().wires[id].ends_under_way = true;
    }

    /// The client is gone at once.
    pub(super) fn reset(&self, id: WireId) {
        self.0.borrow_mut().wires[id].reset();
    }

    /// Lets up to so many bytes arrive. How many did.
    pub(super) fn arrive(&self, id: WireId, at_most: usize) -> usize {
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
    pub(super) fn take(&self, id: WireId, at_most: usize) -> Vec<u8> {
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
    pub(super) fn is_over(&self, id: WireId) -> bool {
        let net = self.0.borrow();
        let wire = &net.wires[id];
        (wire.shut || wire.dropped) && wire.outgoing.is_empty()
    }

    /// The server has ended its side, whatever is still to be taken.
    pub(super) fn is_ending(&self, id: WireId) -> bool {
        let net = self.0.borrow();
        net.wires[id].shut || net.wires[id].dropped
    }

    /// Whether the server has let it in.
    pub(super) fn is_accepted(&self, id: WireId) -> bool {
        self.0.borrow().wires[id].accepted
    }

    /// Whether something it sent has not arrived.
    pub(super) fn has_under_way(&self, id: WireId) -> bool {
        let wire = &self.0.borrow().wires[id];
        !wire.under_way.is_empty() || wire.ends_under_way
    }

    /// Whether there is something to take, or the end to be seen.
    pub(super) fn has_to_take(&self, id: WireId) -> bool {
        let wire = &self.0.borrow().wires[id];
        !wire.outgoing.is_empty() || wire.shut || wire.dropped
    }

    /// From now on, what counts is what it reads from now on.
    pub(super) fn begin_anew(&self, id: WireId) {
        self.0.borrow_mut().wires[id].begun = false;
    }

    /// Whether the server has read something of it.
    pub(super) fn has_begun(&self, id: WireId) -> bool {
        self.0.borrow().wires[id].begun
    }

    /// Bytes that wait to be taken by the client.
    pub(super) fn outgoing(&self, id: WireId) -> usize {
        self.0.borrow().wires[id].outgoing.len()
    }

    /// Whose connection that token names.
    pub(super) fn of_token(&self, token: Token) -> Option<WireId> {
        let net = self.0.borrow();
        net.wires.iter().position(|wire| wire.token == Some(token))
    }

    /// Connections that the server has not freed.
    pub(super) fn held(&self) -> usize {
        let net = self.0.borrow();
        let held = net
            .wires
            .iter()
            .filter(|wire| wire.accepted && !wire.dropped);
        held.count()
    }

    /// The server is gone: all connections break, and who waited at the door is turned away.
    pub(super) fn break_all(&self) {
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

/// Reports what the network decides.
#[derive(Debug)]
pub(crate) struct SimSelector(Network);

/// Ends a wait.
#[derive(Clone, Debug)]
pub(crate) struct SimWaker(Arc<AtomicBool>);

impl Wake for SimWaker {
    fn wake(&self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

impl Selector for SimSelector {
    type Waker = SimWaker;

    fn select(&mut self, timeout: Option<Duration>, ready: &mut Vec<Ready>) -> io::Result<()> {
        let mut net = self.0.0.borrow_mut();
        let mut found = net.report();
        let rough = net.weather.rough;
        if rough {
            net.chance.shuffle(&mut found);
            net.add_noise(&mut found);
        }
        let woken = net.woken.swap(false, Ordering::SeqCst);
        let mut slept = Duration::ZERO;
        if found.is_empty() && !woken {
            slept = net.may_sleep.min(timeout.unwrap_or(net.may_sleep));
            net.clock.advance(slept);
        }
        ready.extend(found.iter().map(|(token, readiness, _)| Ready {
            token: *token,
            readiness: *readiness,
        }));
        net.last_wait = Wait {
            timeout,
            slept,
            woken,
            ready: found,
        };
        Ok(())
    }

    fn waker(&self) -> SimWaker {
        SimWaker(Arc::clone(&self.0.0.borrow().woken))
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

/// The server's end of a connection.
#[derive(Debug)]
pub(crate) struct SimStream {
    network: Network,
    id: WireId,
}

impl Drop for SimStream {
    fn drop(&mut self) {
        self.network.0.borrow_mut().wires[self.id].dropped = true;
    }
}

impl Read for SimStream {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let mut net = self.network.0.borrow_mut();
        let late = net.weather.rough && net.chance.one_in(16);
        let wire = &mut net.wires[self.id];
        if wire.reset {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        if wire.arrived.is_empty() && wire.ended {
            return Ok(0);
        }
        if wire.arrived.is_empty() || late {
            if late {
                // It arrives a little later.
                wire.edge = wire.edge.and(Readiness::READABLE);
            }
            return Err(io::ErrorKind::WouldBlock.into());
        }
        wire.begun = true;
        let count = bytes.len().min(wire.arrived.len());
        for (slot, byte) in bytes.iter_mut().zip(wire.arrived.drain(..count)) {
            *slot = byte;
        }
        Ok(count)
    }
}

impl Write for SimStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut net = self.network.0.borrow_mut();
        let tight = net.weather.rough && net.chance.one_in(8);
        let part = net.chance.below(bytes.len());
        let wire = &mut net.wires[self.id];
        if wire.reset {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let room = wire.room.saturating_sub(wire.outgoing.len());
        let count = if tight { part } else { bytes.len() }.min(room);
        if count < bytes.len() {
            wire.starved = true;
            if count < room {
                // Not the client has no room but the system, for a moment.
                wire.starved = false;
                wire.edge = wire.edge.and(Readiness::WRITABLE);
            }
        }
        if count == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        wire.outgoing.extend(&bytes[..count]);
        Ok(count)
    }

    fn write_vectored(&mut self, slices: &[io::IoSlice<'_>]) -> io::Result<usize> {
        let slices: Vec<&[u8]> = slices.iter().map(|slice| &**slice).collect();
        self.write(&slices.concat())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Stream<SimSelector> for SimStream {
    fn register(&mut self, _: &mut SimSelector, token: Token) -> io::Result<()> {
        let mut net = self.network.0.borrow_mut();
        let wire = &mut net.wires[self.id];
        wire.token = Some(token);
        wire.edge = wire.edge.and(Readiness::WRITABLE);
        if !wire.arrived.is_empty() || wire.ended {
            wire.edge = wire.edge.and(Readiness::READABLE);
        }
        Ok(())
    }

    fn deregister(&mut self, _: &mut SimSelector) {
        let mut net = self.network.0.borrow_mut();
        if let Some(token) = net.wires[self.id].token.take() {
            net.stale.push(token);
        }
    }

    fn shutdown(&mut self, _: Shutdown) {
        self.network.0.borrow_mut().wires[self.id].shut = true;
    }
}

/// The server's door.
#[derive(Debug)]
pub(crate) struct SimAcceptor(Network);

impl Acceptor<SimSelector> for SimAcceptor {
    type Stream = SimStream;

    fn accept(&mut self) -> io::Result<(SimStream, Peer)> {
        let mut net = self.0.0.borrow_mut();
        if net.door.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        if net.weather.no_descriptors {
            return Err(io::Error::from_raw_os_error(24)); // EMFILE
        }
        if net.weather.rough && net.chance.one_in(32) {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        let Some(id) = net.door.pop_front() else {
            return Err(io::ErrorKind::WouldBlock.into());
        };
        let wire = &mut net.wires[id];
        wire.accepted = true;
        let peer = wire.from.unwrap_or(Peer::Unix);
        let stream = SimStream {
            network: self.0.clone(),
            id,
        };
        Ok((stream, peer))
    }

    fn register(&mut self, _: &mut SimSelector, token: Token) -> io::Result<()> {
        let mut net = self.0.0.borrow_mut();
        net.door_token = Some(token);
        net.door_edge = !net.door.is_empty();
        Ok(())
    }

    fn deregister(&mut self, _: &mut SimSelector) {
        let mut net = self.0.0.borrow_mut();
        if let Some(token) = net.door_token.take() {
            net.stale.push(token);
        }
    }
}
