//! The two ends of the network in memory: the streams that a server has, and the peers that a test has.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::network::{Backend, Network, Wait, WireId};
use crate::reactor::{Acceptor, Peer, Readiness, Ready, Selector, Stream, Token, Wake};

impl Network {
    /// The selector of a loop.
    #[must_use]
    pub fn selector(&self) -> FakeSelector {
        FakeSelector(self.clone())
    }

    /// The acceptor of a server.
    #[must_use]
    pub fn acceptor(&self) -> FakeAcceptor {
        FakeAcceptor(self.clone())
    }

    /// The two ends of a connection that no listener had to accept.
    #[must_use]
    pub fn pair(&self) -> (FakeStream, FakePeer) {
        let id = self.add(Peer::Unix, usize::MAX);
        let network = self.clone();
        self.0.borrow_mut().wires[id].accepted = true;
        (FakeStream { network, id }, self.peer(id))
    }

    /// The far end of that connection.
    fn peer(&self, id: WireId) -> FakePeer {
        let network = self.clone();
        FakePeer { network, id }
    }

    /// A peer on this machine connects, and takes any number of bytes.
    #[must_use]
    pub fn connect(&self) -> FakePeer {
        self.connect_from(Peer::Unix)
    }

    /// The same, from any address.
    #[must_use]
    pub fn connect_from(&self, from: Peer) -> FakePeer {
        let id = self.add(from, usize::MAX);
        self.knock(id);
        self.peer(id)
    }
}

/// A selector that reports what the network decides.
#[derive(Debug)]
pub struct FakeSelector(pub(super) Network);

/// Ends a wait.
#[derive(Clone, Debug)]
struct FakeWaker(Arc<AtomicBool>);

impl Wake for FakeWaker {
    fn wake(&self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

impl Selector for FakeSelector {
    fn reports_apart(&self) -> bool {
        self.0.0.borrow().backend == Backend::Kqueue
    }

    fn select(&mut self, timeout: Option<Duration>, ready: &mut Vec<Ready>) -> io::Result<()> {
        let mut net = self.0.0.borrow_mut();
        let found = net.find_ready();
        let woken = net.woken.swap(false, Ordering::SeqCst);
        let mut slept = Duration::ZERO;
        if found.is_empty() && !woken {
            slept = match timeout {
                Some(timeout) => timeout.min(net.may_sleep),
                // This stands for ever: no test waits so long.
                None if net.may_sleep == Duration::MAX => Duration::ZERO,
                None => net.may_sleep,
            };
            net.clock.advance(slept);
            net.idle += u64::from(timeout.is_none_or(|timeout| timeout > net.may_sleep));
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

    fn waker(&self) -> Arc<dyn Wake> {
        Arc::new(FakeWaker(Arc::clone(&self.0.0.borrow().woken)))
    }
}

/// The server's end of a connection.
#[derive(Debug)]
pub struct FakeStream {
    pub(super) network: Network,
    pub(super) id: WireId,
}

impl Drop for FakeStream {
    fn drop(&mut self) {
        self.network.0.borrow_mut().wires[self.id].dropped = true;
    }
}

impl Read for FakeStream {
    /// Like a socket's read: gives everything that has arrived, as far as there is room for it. So a short
    /// read means that nothing is left.
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let mut net = self.network.0.borrow_mut();
        let late = net.weather.rough && net.chance.one_in(16);
        let wire = &mut net.wires[self.id];
        wire.reads += 1;
        // The end and an error are reported again at every read.
        if wire.arrived.is_empty() {
            if let Some(kind) = wire.fails {
                return Err(kind.into());
            }
            if wire.ended {
                return Ok(0);
            }
        }
        if wire.arrived.is_empty() || late {
            if late {
                // It arrives a little later.
                wire.becomes(Readiness::READABLE);
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

impl Write for FakeStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut net = self.network.0.borrow_mut();
        let tight = net.weather.rough && net.chance.one_in(8);
        let part = net.chance.below(bytes.len());
        let wire = &mut net.wires[self.id];
        if let Some(kind) = wire.fails {
            return Err(kind.into());
        }
        let room = wire.room;
        let count = if tight { part } else { bytes.len() }.min(room);
        if count < bytes.len() {
            wire.starved = true;
            if count < room {
                // It is not the peer that has no room, but the system, for a moment.
                wire.starved = false;
                wire.becomes(Readiness::WRITABLE);
            }
        }
        if count == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        if room < usize::MAX {
            wire.room -= count;
        }
        wire.writes += 1;
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

impl Stream for FakeStream {
    fn register(&mut self, selector: &mut dyn Selector, token: Token) -> io::Result<()> {
        selector.own::<FakeSelector>();
        let net = &mut *self.network.0.borrow_mut();
        let wire = &mut net.wires[self.id];
        net.registered.insert(self.id);
        wire.token = Some(token);
        wire.becomes(Readiness::WRITABLE);
        if !wire.arrived.is_empty() || wire.ended {
            wire.becomes(Readiness::READABLE);
        }
        if wire.ended && net.backend == Backend::Kqueue {
            wire.becomes(Readiness::ENDED);
        }
        Ok(())
    }

    fn deregister(&mut self, _: &mut dyn Selector) {
        let mut net = self.network.0.borrow_mut();
        if let Some(token) = net.wires[self.id].token.take() {
            net.wires[self.id].former = Some(token);
            net.registered.remove(&self.id);
            net.stale.push(token);
        }
    }

    fn shutdown(&mut self, how: Shutdown) {
        let net = &mut *self.network.0.borrow_mut();
        let wire = &mut net.wires[self.id];
        wire.shut = true;
        if net.backend == Backend::Kqueue {
            if how != Shutdown::Read {
                wire.becomes(Readiness::WRITABLE);
            }
            if how != Shutdown::Write || wire.ended {
                wire.becomes(Readiness::READABLE.and(Readiness::ENDED));
            }
        }
    }
}

/// The server's acceptor.
#[derive(Debug)]
pub struct FakeAcceptor(pub(super) Network);

/// How often in a row `accept` may fail with `InvalidInput`: more often than a listener tolerates in one turn.
const INVALID_MAX: usize = 24;

impl Acceptor for FakeAcceptor {
    type Stream = FakeStream;

    fn accept(&mut self) -> io::Result<(FakeStream, Peer)> {
        let net = &mut *self.0.0.borrow_mut();
        let Some(id) = net.door.front().copied() else {
            return Err(io::ErrorKind::WouldBlock.into());
        };
        if let Some((kind, times)) = &mut net.refusals {
            let kind = *kind;
            *times -= usize::from(*times < usize::MAX);
            if *times == 0 {
                net.refusals = None;
            }
            return Err(kind.into());
        }
        if net.weather.no_descriptors {
            return Err(io::Error::from_raw_os_error(24)); // EMFILE
        }
        if net.weather.rough && net.chance.one_in(32) {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        if net.weather.rough && net.backend == Backend::Kqueue && net.chance.one_in(16) {
            let more = net.chance.below(INVALID_MAX);
            net.refusals = (more > 0).then_some((io::ErrorKind::InvalidInput, more));
            return Err(io::ErrorKind::InvalidInput.into());
        }
        net.door.pop_front();
        let wire = &mut net.wires[id];
        if net.backend == Backend::Kqueue && wire.fails.is_some() && net.chance.one_in(2) {
            wire.dropped = true;
            return Err(io::ErrorKind::InvalidInput.into());
        }
        wire.accepted = true;
        let stream = FakeStream {
            network: self.0.clone(),
            id,
        };
        Ok((stream, wire.from))
    }

    fn register(&mut self, selector: &mut dyn Selector, token: Token) -> io::Result<()> {
        selector.own::<FakeSelector>();
        let mut net = self.0.0.borrow_mut();
        net.door_token = Some(token);
        net.door_edge = !net.door.is_empty();
        Ok(())
    }

    fn deregister(&mut self, _: &mut dyn Selector) {
        let mut net = self.0.0.borrow_mut();
        if let Some(token) = net.door_token.take() {
            net.stale.push(token);
        }
    }

    fn lost_peer_is_invalid(&self) -> bool {
        self.0.0.borrow().backend == Backend::Kqueue
    }
}

/// The far end of a connection, for a test. What it sends arrives at once.
#[derive(Clone, Debug)]
pub struct FakePeer {
    pub(super) network: Network,
    pub(super) id: WireId,
}

impl FakePeer {
    /// Sends bytes.
    pub fn send(&self, bytes: &[u8]) {
        self.network.send(self.id, bytes);
        self.network.arrive(self.id, usize::MAX);
    }

    /// Shuts the writing side: what was sent is read first, then the end.
    pub fn end(&self) {
        self.network.end(self.id);
        self.network.arrive(self.id, usize::MAX);
    }

    /// The connection fails: what was sent is read first, then every read and write fails with `kind`.
    pub fn fail(&self, kind: io::ErrorKind) {
        self.network.0.borrow_mut().wires[self.id].fail(kind);
    }

    /// Takes no more than `bytes` from now on.
    pub fn take_only(&self, bytes: usize) {
        self.network.0.borrow_mut().wires[self.id].room = bytes;
    }

    /// The selector reports that this peer takes bytes.
    pub fn becomes_writable(&self) {
        self.network.0.borrow_mut().wires[self.id].becomes(Readiness::WRITABLE);
    }

    /// Takes everything again.
    pub fn take_all(&self) {
        self.take_only(usize::MAX);
        self.becomes_writable();
    }

    /// What the server wrote since the last call. Taking it here does not make room for more.
    #[must_use]
    pub fn received(&self) -> Vec<u8> {
        let mut net = self.network.0.borrow_mut();
        net.wires[self.id].outgoing.drain(..).collect()
    }

    /// How many writes the server made.
    #[must_use]
    pub fn writes(&self) -> usize {
        self.network.0.borrow().wires[self.id].writes
    }

    /// How many reads were made, including those that found nothing.
    #[must_use]
    pub fn reads(&self) -> usize {
        self.network.0.borrow().wires[self.id].reads
    }

    /// Whether the server ended the connection: it shut its writing side or dropped the stream.
    #[must_use]
    pub fn ended(&self) -> bool {
        self.network.is_ending(self.id)
    }

    /// Whether the server has freed the stream.
    #[must_use]
    pub fn freed(&self) -> bool {
        self.network.0.borrow().wires[self.id].dropped
    }
}
