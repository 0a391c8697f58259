//! A world that a test writes: a clock that jumps, entropy from a seed, a network in memory.
//!
//! Nothing here sleeps. When nobody is ready, waiting moves the clock to the deadline; without a
//! deadline, it returns at once, and the test sees that the loop is idle.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io::{self, IoSlice, Read, Write};
use std::net::Shutdown;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::clock::{Clock, Moment};
use super::seams::{Acceptor, Entropy, Peer, Readiness, Ready, Seams, Selector, Stream, Wake};
use super::slots::Token;

/// A clock that moves only when it is told to. Clones show the same time.
#[derive(Clone, Debug, Default)]
pub struct FakeClock(Rc<Cell<u64>>);

/// Wall-clock time at which every fake clock begins: 2026-01-01T00:00:00Z, in milliseconds.
pub const FAKE_EPOCH_MS: u64 = 1_767_225_600_000;

impl FakeClock {
    /// Moves the clock on.
    pub fn advance(&self, by: Duration) {
        self.0.set(self.0.get() + by.as_nanos() as u64);
    }
}

impl Clock for FakeClock {
    fn now(&self) -> Moment {
        Moment::from_ns(self.0.get())
    }

    fn unix_ms(&self) -> u64 {
        FAKE_EPOCH_MS + self.0.get() / 1_000_000
    }
}

/// The same numbers for the same seed (xorshift64, Marsaglia 2003). No secret is safe with it.
#[derive(Clone, Debug)]
pub struct FakeEntropy(u64);

impl FakeEntropy {
    /// Numbers from `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        // Zero is the one state that xorshift never leaves.
        Self(seed.max(1))
    }
}

impl Entropy for FakeEntropy {
    fn fill(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            *byte = (self.0 >> 32) as u8;
        }
    }
}

/// Wakes a fake selector.
#[derive(Clone, Debug, Default)]
pub struct FakeWaker(Arc<AtomicBool>);

impl Wake for FakeWaker {
    fn wake(&self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

type Registered = (Token, Rc<RefCell<Wire>>);

/// Reports what the test's peers did since the last report, edge-triggered like the real one.
#[derive(Debug)]
pub struct FakeSelector {
    clock: FakeClock,
    waker: FakeWaker,
    registered: Vec<Registered>,
    waits: FakeWaits,
}

/// The seams of a written world, whose waits move `clock`, and the test's handle on its waits.
#[must_use]
pub fn fake_seams(clock: &FakeClock) -> (Seams, FakeWaits) {
    let selector = FakeSelector::new(clock.clone());
    let waits = selector.waits();
    let seams = Seams {
        clock: Box::new(clock.clone()),
        entropy: Box::new(FakeEntropy::new(1)),
        selector: Box::new(selector),
    };
    (seams, waits)
}

/// What a test knows about a fake selector's waits, and decides about them.
#[derive(Clone, Debug, Default)]
pub struct FakeWaits(Rc<Waits>);

#[derive(Debug, Default)]
struct Waits {
    idle: Cell<u64>,
    clock_held: Cell<bool>,
    apart: Cell<bool>,
}

impl FakeWaits {
    /// How many waits found nobody ready and would have slept: for ever, or while the clock is held
    /// until a deadline.
    #[must_use]
    pub fn idle(&self) -> u64 {
        self.0.idle.get()
    }

    /// While held, the clock stands still, and no deadline comes.
    pub fn hold_clock(&self, held: bool) {
        self.0.clock_held.set(held);
    }

    /// From now on what can be read and what can be written is reported apart, as kqueue does.
    pub fn report_apart(&self) {
        self.0.apart.set(true);
    }
}

impl FakeSelector {
    /// A selector whose waits move `clock`.
    #[must_use]
    pub fn new(clock: FakeClock) -> Self {
        let (waker, waits) = (FakeWaker::default(), FakeWaits::default());
        Self {
            clock,
            waker,
            registered: Vec::new(),
            waits,
        }
    }

    /// The test's handle on its waits.
    #[must_use]
    pub fn waits(&self) -> FakeWaits {
        self.waits.clone()
    }

    fn register(&mut self, wire: &Rc<RefCell<Wire>>, token: Token) {
        wire.borrow_mut().edge = Readiness::READABLE.and(Readiness::WRITABLE);
        self.registered.push((token, Rc::clone(wire)));
    }

    fn deregister(&mut self, wire: &Rc<RefCell<Wire>>) {
        self.registered
            .retain(|(_, registered)| !Rc::ptr_eq(registered, wire));
    }
}

impl Selector for FakeSelector {
    fn reports_apart(&self) -> bool {
        true
    }

    fn select(&mut self, timeout: Option<Duration>, ready: &mut Vec<Ready>) -> io::Result<()> {
        for (token, wire) in &self.registered {
            let readiness = std::mem::take(&mut wire.borrow_mut().edge);
            if readiness != Readiness::NONE {
                ready.push(Ready {
                    token: *token,
                    readiness,
                });
            }
        }
        if self.waits.0.apart.get() {
            let mut of_reading = ready.clone();
            for (one, other) in ready.iter_mut().zip(&mut of_reading) {
                other.readiness = one.readiness.without(Readiness::WRITABLE);
                one.readiness = one.readiness.without(other.readiness);
            }
            ready.append(&mut of_reading);
            ready.retain(|one| one.readiness != Readiness::NONE);
        }
        let woken = self.waker.0.swap(false, Ordering::SeqCst);
        if ready.is_empty() && !woken {
            match timeout {
                Some(timeout) if !self.waits.0.clock_held.get() => self.clock.advance(timeout),
                // Work is waiting: this is a look, and no sleep.
                Some(Duration::ZERO) => {}
                _ => self.waits.0.idle.set(self.waits.idle() + 1),
            }
        }
        Ok(())
    }

    fn waker(&self) -> Arc<dyn Wake> {
        Arc::new(self.waker.clone())
    }
}

/// What a read finds next.
#[derive(Clone, Debug)]
enum Incoming {
    Bytes(Vec<u8>),
    End,
    Fails(io::ErrorKind),
}

/// What is between a stream and its peer.
#[derive(Debug, Default)]
struct Wire {
    incoming: VecDeque<Incoming>,
    waiting: VecDeque<(FakeStream, Peer)>,
    outgoing: Vec<u8>,
    /// Bytes that the peer still takes; `None` for any number.
    window: Option<usize>,
    writes: usize,
    reads: usize,
    shut: bool,
    dropped: bool,
    edge: Readiness,
}

/// The server's end of a connection in memory.
#[derive(Debug)]
pub struct FakeStream(Rc<RefCell<Wire>>);

/// The test's end of the same connection.
#[derive(Clone, Debug)]
pub struct FakePeer(Rc<RefCell<Wire>>);

/// Two ends of one connection.
#[must_use]
pub fn connection() -> (FakeStream, FakePeer) {
    let wire = Rc::new(RefCell::new(Wire::default()));
    (FakeStream(Rc::clone(&wire)), FakePeer(wire))
}

impl FakePeer {
    fn arrives(&self, incoming: Incoming) {
        let mut wire = self.0.borrow_mut();
        wire.incoming.push_back(incoming);
        wire.edge = wire.edge.and(Readiness::READABLE);
    }

    /// Sends bytes.
    pub fn send(&self, bytes: &[u8]) {
        self.arrives(Incoming::Bytes(bytes.to_vec()));
    }

    /// Shuts the writing side: what was sent is read first, then the end.
    pub fn end(&self) {
        self.arrives(Incoming::End);
        let mut wire = self.0.borrow_mut();
        wire.edge = wire.edge.and(Readiness::ENDED);
    }

    /// The connection fails: the next read says `kind`.
    pub fn fail(&self, kind: io::ErrorKind) {
        self.arrives(Incoming::Fails(kind));
        self.0.borrow_mut().window = Some(0);
    }

    /// Takes no more than `bytes` from now on.
    pub fn take_only(&self, bytes: usize) {
        self.0.borrow_mut().window = Some(bytes);
    }

    /// The selector reports that this peer takes bytes.
    pub fn becomes_writable(&self) {
        let mut wire = self.0.borrow_mut();
        wire.edge = wire.edge.and(Readiness::WRITABLE);
    }

    /// Takes everything again.
    pub fn take_all(&self) {
        self.0.borrow_mut().window = None;
        self.becomes_writable();
    }

    /// What the server wrote since this was asked last.
    #[must_use]
    pub fn received(&self) -> Vec<u8> {
        std::mem::take(&mut self.0.borrow_mut().outgoing)
    }

    /// How many writes reached the wire.
    #[must_use]
    pub fn writes(&self) -> usize {
        self.0.borrow().writes
    }

    /// How many reads were made, those that found nothing among them.
    #[must_use]
    pub fn reads(&self) -> usize {
        self.0.borrow().reads
    }

    /// Whether the server ended the connection: it shut its writing side or dropped the stream.
    #[must_use]
    pub fn ended(&self) -> bool {
        let wire = self.0.borrow();
        wire.shut || wire.dropped
    }

    /// Whether the server has freed the stream.
    #[must_use]
    pub fn freed(&self) -> bool {
        self.0.borrow().dropped
    }
}

impl Drop for FakeStream {
    fn drop(&mut self) {
        self.0.borrow_mut().dropped = true;
    }
}

impl Read for FakeStream {
    /// Like a socket's: everything that has arrived, as far as there is room for it. So a short read
    /// means that nothing is left.
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let mut wire = self.0.borrow_mut();
        wire.reads += 1;
        let mut count = 0;
        while count < bytes.len()
            && let Some(Incoming::Bytes(sent)) = wire.incoming.front_mut()
        {
            let part = sent.len().min(bytes.len() - count);
            bytes[count..count + part].copy_from_slice(&sent[..part]);
            count += part;
            sent.drain(..part);
            if sent.is_empty() {
                wire.incoming.pop_front();
            }
        }
        match wire.incoming.front() {
            _ if count > 0 => Ok(count),
            None | Some(Incoming::Bytes(_)) => Err(io::ErrorKind::WouldBlock.into()),
            // The end and an error stay what they are, however often they are read.
            Some(Incoming::End) => Ok(0),
            Some(Incoming::Fails(kind)) => Err((*kind).into()),
        }
    }
}

impl Write for FakeStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut wire = self.0.borrow_mut();
        if let Some(Incoming::Fails(kind)) = wire.incoming.back() {
            return Err((*kind).into());
        }
        let count = wire
            .window
            .map_or(bytes.len(), |window| window.min(bytes.len()));
        if count == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        wire.window = wire.window.map(|window| window - count);
        wire.outgoing.extend_from_slice(&bytes[..count]);
        wire.writes += 1;
        Ok(count)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let slices: Vec<&[u8]> = slices.iter().map(|slice| &**slice).collect();
        self.write(&slices.concat())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Stream for FakeStream {
    fn register(&mut self, selector: &mut dyn Selector, token: Token) -> io::Result<()> {
        let selector: &mut FakeSelector = selector.own();
        selector.register(&self.0, token);
        Ok(())
    }

    fn deregister(&mut self, selector: &mut dyn Selector) {
        let selector: &mut FakeSelector = selector.own();
        selector.deregister(&self.0);
    }

    fn shutdown(&mut self, _how: Shutdown) {
        self.0.borrow_mut().shut = true;
    }
}

/// Accepts those whom the test lets connect.
#[derive(Debug, Default)]
pub struct FakeAcceptor(Rc<RefCell<Wire>>);

/// The test's side of a [`FakeAcceptor`].
#[derive(Clone, Debug)]
pub struct FakeDoor(Rc<RefCell<Wire>>);

impl FakeAcceptor {
    /// Where the test connects to this acceptor.
    #[must_use]
    pub fn door(&self) -> FakeDoor {
        FakeDoor(Rc::clone(&self.0))
    }
}

impl FakeDoor {
    /// Connects from this machine.
    #[must_use]
    pub fn connect(&self) -> FakePeer {
        self.connect_from(Peer::Unix)
    }

    /// Connects from anywhere.
    #[must_use]
    pub fn connect_from(&self, from: Peer) -> FakePeer {
        let (stream, peer) = connection();
        let mut wire = self.0.borrow_mut();
        wire.waiting.push_back((stream, from));
        wire.edge = Readiness::READABLE;
        peer
    }

    /// From now on, `accept` fails with `kind`; or works again.
    pub fn fail(&self, kind: Option<io::ErrorKind>) {
        self.0.borrow_mut().incoming = kind.map(Incoming::Fails).into_iter().collect();
    }
}

impl Acceptor for FakeAcceptor {
    type Stream = FakeStream;

    fn accept(&mut self) -> io::Result<(FakeStream, Peer)> {
        let mut wire = self.0.borrow_mut();
        wire.reads += 1;
        if let Some(Incoming::Fails(kind)) = wire.incoming.front() {
            return Err((*kind).into());
        }
        let connected = wire.waiting.pop_front();
        connected.ok_or_else(|| io::ErrorKind::WouldBlock.into())
    }

    fn register(&mut self, selector: &mut dyn Selector, token: Token) -> io::Result<()> {
        let selector: &mut FakeSelector = selector.own();
        selector.register(&self.0, token);
        Ok(())
    }

    fn deregister(&mut self, selector: &mut dyn Selector) {
        let selector: &mut FakeSelector = selector.own();
        selector.deregister(&self.0);
    }
}
