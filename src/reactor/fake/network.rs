//! A network in memory: bytes on their way, peers that take little, and readiness as a kernel would report it.
//!
//! In calm weather everything arrives at once and is reported correctly; that is what tests want. In rough weather a
//! seeded generator decides: bytes arrive in any pieces, and readiness comes late, without cause, in any order, or for
//! a source that has gone.
//!
//! It does only what a kernel may do, and never breaks the contract that the loop relies on. For example, a short read
//! or write means that nothing is left to be done, as with epoll and kqueue. [`Backend`] says which of them it
//! imitates.

use std::cell::RefCell;
use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::{Chance, FakeClock};
use crate::reactor::{Peer, Readiness, Token};

/// The number of a connection, in the order in which they were made.
pub type WireId = usize;

/// The system's selector that the network imitates when it reports readiness.
///
/// kqueue differs from epoll in these points, which `kqueue(2)` of FreeBSD and macOS describes and mio passes on:
///
/// - Reading and writing have separate filters: what can be read and what can be written come as two reports,
///   in either order.
/// - A read filter shows the end of the stream in every report after it.
/// - A write filter is triggered by acknowledgements, so most peers that take something are reported as writable
///   even if there was room all the time. Our own shutdown triggers it, too.
/// - `accept` may fail with `EINVAL` when the peer has gone before it was accepted.
///
/// Worse than a real kqueue, it may report the second half in a later wait, when its source has gone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Backend {
    /// One report for each source.
    #[default]
    Epoll,
    /// One report for each source and direction.
    Kqueue,
}

/// What lies between a peer and the server.
#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "facts about two ends that hold or not, each by itself"
)]
pub(super) struct Wire {
    pub(super) from: Peer,
    /// The server has accepted it.
    pub(super) accepted: bool,
    /// The server has read something from it.
    pub(super) begun: bool,
    pub(super) token: Option<Token>,
    /// The token that it had.
    pub(super) former: Option<Token>,
    pub(super) edge: Readiness,
    /// Sent by the peer, and still on its way.
    under_way: VecDeque<u8>,
    ends_under_way: bool,
    pub(super) arrived: VecDeque<u8>,
    pub(super) ended: bool,
    /// The connection has failed: every read that finds no bytes fails with this, and so does every write.
    pub(super) fails: Option<io::ErrorKind>,
    pub(super) outgoing: VecDeque<u8>,
    /// Bytes that still fit between the server and the peer; the largest number means no limit.
    pub(super) room: usize,
    /// The server was told that there is no room, and waits for an edge.
    pub(super) starved: bool,
    pub(super) shut: bool,
    pub(super) dropped: bool,
    pub(super) reads: usize,
    pub(super) writes: usize,
}

/// The faults of the network at present; by default there are none.
#[derive(Clone, Copy, Debug, Default)]
pub struct Weather {
    /// Faults happen.
    pub rough: bool,
    /// `accept` fails: no descriptor is left.
    pub no_descriptors: bool,
}

#[derive(Debug)]
pub(super) struct Net {
    pub(super) chance: Chance,
    pub(super) weather: Weather,
    pub(super) backend: Backend,
    pub(super) clock: FakeClock,
    pub(super) wires: Vec<Wire>,
    /// Connections with a token.
    pub(super) registered: BTreeSet<WireId>,
    /// Connections that wait to be accepted.
    pub(super) door: VecDeque<WireId>,
    pub(super) door_token: Option<Token>,
    pub(super) door_edge: bool,
    /// How `accept` fails, and how many times more.
    pub(super) refusals: Option<(io::ErrorKind, usize)>,
    /// Stale tokens that may still be reported.
    pub(super) stale: Vec<Token>,
    /// Second halves of reports that come with a later wait.
    second_halves: Vec<(Token, Readiness)>,
    /// Reports of a stale token go to the next token of its slot.
    forgets_generations: bool,
    pub(super) woken: Arc<AtomicBool>,
    /// How long the next wait may be.
    pub(super) may_sleep: Duration,
    /// Waits that would have slept on.
    pub(super) idle: u64,
    pub(super) last_wait: Wait,
}

/// The last wait of the loop.
#[derive(Clone, Debug, Default)]
pub struct Wait {
    /// Its timeout; `None` for ever.
    pub timeout: Option<Duration>,
    /// How long it was.
    pub slept: Duration,
    /// Whether a worker ended it.
    pub woken: bool,
    /// The sources that were reported as ready.
    pub ready: Vec<(Token, Readiness, Cause)>,
}

/// Why a source was reported as ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// It is.
    Edge,
    /// For no reason.
    Spurious,
    /// It was ready before it ended.
    Stale,
}

/// The handle with which a test or a story controls the network. Clones control the same network.
#[derive(Clone, Debug)]
pub struct Network(pub(super) Rc<RefCell<Net>>);

impl Network {
    /// A calm network without connections. Its waits move `clock`; `chance` decides in rough weather.
    #[must_use]
    pub fn new(clock: FakeClock, chance: Chance) -> Self {
        Self(Rc::new(RefCell::new(Net {
            chance,
            weather: Weather::default(),
            backend: Backend::default(),
            clock,
            wires: Vec::new(),
            registered: BTreeSet::new(),
            door: VecDeque::new(),
            door_token: None,
            door_edge: false,
            refusals: None,
            stale: Vec::new(),
            second_halves: Vec::new(),
            forgets_generations: false,
            woken: Arc::default(),
            may_sleep: Duration::MAX,
            idle: 0,
            last_wait: Wait::default(),
        })))
    }

    /// From now on readiness is reported as by this backend.
    pub fn report_as(&self, backend: Backend) {
        self.0.borrow_mut().backend = backend;
    }

    /// From now on the weather is like this. When it calms down, `accept` fails no more, however often it still would
    /// have: a listener may have to pause more than once until a storm of such failures is over.
    pub fn set_weather(&self, weather: Weather) {
        let mut net = self.0.borrow_mut();
        if net.weather.rough && !weather.rough {
            net.refusals = None;
        }
        net.weather = weather;
    }

    /// Plants a bug: the selector drops the generation of tokens, so a report of a source that has gone is taken for
    /// a report of the next source in its slot.
    pub fn forget_generations(&self, forgets: bool) {
        self.0.borrow_mut().forgets_generations = forgets;
    }

    /// How long the loop may sleep in its next wait if no source is ready.
    pub fn let_sleep(&self, at_most: Duration) {
        self.0.borrow_mut().may_sleep = at_most;
    }

    /// While held, the clock stands still, and no deadline comes.
    pub fn hold_clock(&self, held: bool) {
        self.let_sleep(if held { Duration::ZERO } else { Duration::MAX });
    }

    /// How many waits found no source ready and would have slept on: for ever, or longer than allowed.
    #[must_use]
    pub fn idle(&self) -> u64 {
        self.0.borrow().idle
    }

    /// The last wait.
    #[must_use]
    pub fn last_wait(&self) -> Wait {
        self.0.borrow().last_wait.clone()
    }

    pub(super) fn add(&self, from: Peer, room: usize) -> WireId {
        let mut net = self.0.borrow_mut();
        net.wires.push(Wire {
            from,
            accepted: false,
            begun: false,
            token: None,
            former: None,
            edge: Readiness::NONE,
            under_way: VecDeque::new(),
            ends_under_way: false,
            arrived: VecDeque::new(),
            ended: false,
            fails: None,
            outgoing: VecDeque::new(),
            room,
            starved: false,
            shut: false,
            dropped: false,
            reads: 0,
            writes: 0,
        });
        net.wires.len() - 1
    }

    /// A peer connects, from one of a few addresses; so many bytes fit between it and the server.
    #[must_use]
    pub fn connect_with_room(&self, room: usize) -> WireId {
        let number = self.0.borrow().wires.len();
        let address = Ipv4Addr::new(192, 0, 2, 1 + (number % 5) as u8);
        let from = Peer::Ip(SocketAddr::from((address, 1024 + number as u16)));
        let id = self.add(from, room);
        self.knock(id);
        id
    }

    pub(super) fn knock(&self, id: WireId) {
        let mut net = self.0.borrow_mut();
        net.door.push_back(id);
        net.door_edge = true;
    }

    /// From now on `accept` fails with `kind`, so many times; always, for the largest number.
    pub fn fail_accepts(&self, kind: io::ErrorKind, times: usize) {
        self.0.borrow_mut().refusals = (times > 0).then_some((kind, times));
    }

    /// The peer sends bytes; they are under way.
    pub fn send(&self, id: WireId, bytes: &[u8]) {
        self.0.borrow_mut().wires[id].under_way.extend(bytes);
    }

    /// The peer shuts its side, after what it sent.
    pub fn end(&self, id: WireId) {
        self.0.borrow_mut().wires[id].ends_under_way = true;
    }

    /// The peer is gone at once.
    pub fn reset(&self, id: WireId) {
        let wire = &mut self.0.borrow_mut().wires[id];
        wire.under_way.clear();
        wire.arrived.clear();
        wire.outgoing.clear();
        wire.fail(io::ErrorKind::ConnectionReset);
    }

    /// Lets up to so many bytes arrive; returns how many did.
    #[expect(
        clippy::must_use_candidate,
        reason = "most callers have all of them arrive"
    )]
    pub fn arrive(&self, id: WireId, at_most: usize) -> usize {
        let mut net = self.0.borrow_mut();
        let wire = &mut net.wires[id];
        let count = at_most.min(wire.under_way.len());
        wire.arrived.extend(wire.under_way.drain(..count));
        if count > 0 {
            wire.becomes(Readiness::READABLE);
        }
        if wire.under_way.is_empty() && std::mem::take(&mut wire.ends_under_way) {
            wire.ended = true;
            wire.becomes(Readiness::READABLE.and(Readiness::ENDED));
        }
        count
    }

    /// The peer takes up to so many bytes of what it was sent.
    #[must_use]
    pub fn take(&self, id: WireId, at_most: usize) -> Vec<u8> {
        let net = &mut *self.0.borrow_mut();
        let wire = &mut net.wires[id];
        let capacity = wire.room.saturating_add(wire.outgoing.len());
        let count = at_most.min(wire.outgoing.len());
        let taken: Vec<u8> = wire.outgoing.drain(..count).collect();
        wire.room = wire.room.saturating_add(count);
        // Linux reports it when a third of the buffer is free (sk_stream_is_writeable).
        if wire.starved && wire.outgoing.len().saturating_mul(3) <= capacity.saturating_mul(2) {
            wire.starved = false;
            wire.becomes(Readiness::WRITABLE);
        }
        // Not always: otherwise a source that forgets that it has more to do would never stall.
        if net.backend == Backend::Kqueue && count > 0 && !net.chance.one_in(4) {
            wire.becomes(Readiness::WRITABLE);
            if wire.ended && net.chance.one_in(2) {
                wire.becomes(Readiness::READABLE.and(Readiness::ENDED));
            }
        }
        taken
    }

    /// The server has ended its side, and everything was taken.
    #[must_use]
    pub fn is_over(&self, id: WireId) -> bool {
        let net = self.0.borrow();
        let wire = &net.wires[id];
        (wire.shut || wire.dropped) && wire.outgoing.is_empty()
    }

    /// The server has ended its side, even if there is still something to take.
    #[must_use]
    pub fn is_ending(&self, id: WireId) -> bool {
        let net = self.0.borrow();
        net.wires[id].shut || net.wires[id].dropped
    }

    /// Whether the server has accepted it.
    #[must_use]
    pub fn is_accepted(&self, id: WireId) -> bool {
        self.0.borrow().wires[id].accepted
    }

    /// Whether something it sent has not arrived.
    #[must_use]
    pub fn has_under_way(&self, id: WireId) -> bool {
        let wire = &self.0.borrow().wires[id];
        !wire.under_way.is_empty() || wire.ends_under_way
    }

    /// Whether there is something to take, or the end to be seen.
    #[must_use]
    pub fn has_to_take(&self, id: WireId) -> bool {
        let wire = &self.0.borrow().wires[id];
        !wire.outgoing.is_empty() || wire.shut || wire.dropped
    }

    /// Resets [`has_begun`](Self::has_begun), for which only reads from now on count.
    pub fn begin_anew(&self, id: WireId) {
        self.0.borrow_mut().wires[id].begun = false;
    }

    /// Whether the server has read something from it.
    #[must_use]
    pub fn has_begun(&self, id: WireId) -> bool {
        self.0.borrow().wires[id].begun
    }

    /// Bytes that wait to be taken by the peer.
    #[must_use]
    pub fn outgoing(&self, id: WireId) -> usize {
        self.0.borrow().wires[id].outgoing.len()
    }

    /// The connection that this token names.
    #[must_use]
    pub fn of_token(&self, token: Token) -> Option<WireId> {
        let net = self.0.borrow();
        let is = |wire: &Wire| wire.token.or(wire.former) == Some(token);
        net.wires.iter().rposition(is) // another server may have used the same token before
    }

    /// Connections that the server has not freed.
    #[must_use]
    pub fn held(&self) -> usize {
        let net = self.0.borrow();
        let held = net
            .wires
            .iter()
            .filter(|wire| wire.accepted && !wire.dropped);
        held.count()
    }

    /// Forgets the newest connections that the server has freed, since there may have been millions. Their peers must
    /// not be used any more.
    pub fn forget_freed(&self) {
        let mut net = self.0.borrow_mut();
        while net.wires.pop_if(|wire| wire.dropped).is_some() {}
        net.stale.clear();
    }

    /// The server is gone: all connections break, including those that wait to be accepted.
    pub fn break_all(&self) {
        let mut net = self.0.borrow_mut();
        for wire in &mut net.wires {
            wire.dropped = true;
            wire.token = None;
        }
        net.registered.clear();
        net.door.clear();
        net.door_token = None;
        net.stale.clear();
        net.second_halves.clear();
        net.woken.store(false, Ordering::SeqCst);
    }
}

impl Wire {
    /// There is something to report.
    pub(super) fn becomes(&mut self, ready: Readiness) {
        self.edge = self.edge.and(ready);
    }

    pub(super) fn fail(&mut self, kind: io::ErrorKind) {
        self.fails = Some(kind);
        self.becomes(ALL);
    }
}

/// What is reported for a connection that has failed.
const ALL: Readiness = Readiness::READABLE
    .and(Readiness::WRITABLE)
    .and(Readiness::ENDED);

type Found = Vec<(Token, Readiness, Cause)>;

impl Net {
    /// The names of all connections that have one.
    fn tokens(&self) -> impl Iterator<Item = Token> {
        let registered = self.registered.iter();
        registered.filter_map(|id| self.wires[*id].token)
    }

    /// The sources that are reported as ready.
    pub(super) fn find_ready(&mut self) -> Found {
        let mut found = self.edges();
        let rough = self.weather.rough;
        if rough {
            self.chance.shuffle(&mut found);
            self.add_noise(&mut found);
        }
        if self.backend == Backend::Kqueue {
            found = self.in_halves(found);
            if rough {
                self.chance.shuffle(&mut found);
            }
        }
        if self.forgets_generations {
            self.mistake_tokens(&mut found);
        }
        found
    }

    fn edges(&mut self) -> Found {
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
        for id in &self.registered {
            let wire = &mut self.wires[*id];
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

    fn add_noise(&mut self, found: &mut Found) {
        if self.chance.one_in(16) {
            let tokens: Vec<Token> = self.tokens().collect();
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

    /// The same, as two filters report it: first one half of each report, then the other halves. In rough weather
    /// some of the latter come with a later wait.
    fn in_halves(&mut self, found: Found) -> Found {
        let late = std::mem::take(&mut self.second_halves).into_iter();
        let mut halves: Found = late
            .map(|(token, readiness)| {
                let cause = if self.tokens().any(|there| there == token) {
                    Cause::Edge
                } else {
                    Cause::Stale
                };
                (token, readiness, cause)
            })
            .collect();
        let mut second = Vec::new();
        for (token, readiness, cause) in found {
            let (reads, writes) = readiness.apart();
            if reads == Readiness::NONE || writes == Readiness::NONE {
                halves.push((token, readiness, cause));
                continue;
            }
            let (first, other) = if self.chance.one_in(2) {
                (reads, writes)
            } else {
                (writes, reads)
            };
            halves.push((token, first, cause));
            if self.weather.rough && self.chance.one_in(4) {
                self.second_halves.push((token, other));
            } else {
                second.push((token, other, cause));
            }
        }
        halves.append(&mut second);
        halves
    }

    /// Gives the report of a source that has gone, and whose peer had ended, to the source that has its slot now.
    fn mistake_tokens(&mut self, found: &mut Found) {
        let slot = |token: &Token| token.as_u64() as u32;
        let was_used = |token: &Token| self.stale.iter().any(|gone| slot(gone) == slot(token));
        let mistaken: Vec<Token> = self.tokens().filter(was_used).collect();
        if self.chance.one_in(8)
            && let Some(token) = self.chance.pick(&mistaken)
        {
            let ended = Readiness::READABLE.and(Readiness::ENDED);
            found.push((*token, ended, Cause::Stale));
        }
    }
}
