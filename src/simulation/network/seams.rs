//! The network as the server meets it.

use std::cell::Cell;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::{Network, Wait, WireId};
use crate::reactor::fake::FAKE_EPOCH_MS;
use crate::reactor::{
    Acceptor, Clock, Moment, Peer, Readiness, Ready, Selector, Stream, Token, Wake,
};

/// A clock that moves when the world says so; clones show the same time.
#[derive(Clone, Debug, Default)]
pub(crate) struct SimClock {
    ns: Rc<Cell<u64>>,
    /// How far the wall clock is from where it would be, in milliseconds.
    wall_off_ms: Rc<Cell<i64>>,
}

impl SimClock {
    pub(in crate::simulation) fn advance(&self, by: Duration) {
        self.ns.set(self.ns.get() + by.as_nanos() as u64);
    }

    /// Somebody sets the wall clock.
    pub(in crate::simulation) fn jump(&self, by_ms: i64) {
        self.wall_off_ms.set(self.wall_off_ms.get() + by_ms);
    }

    pub(in crate::simulation) fn unix_s(&self) -> i64 {
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

/// Reports what the network decides.
#[derive(Debug)]
pub(crate) struct SimSelector(pub(super) Network);

/// Ends a wait.
#[derive(Clone, Debug)]
pub(crate) struct SimWaker(Arc<AtomicBool>);

impl Wake for SimWaker {
    fn wake(&self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

impl Selector for SimSelector {
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

    fn waker(&self) -> Arc<dyn Wake> {
        Arc::new(SimWaker(Arc::clone(&self.0.0.borrow().woken)))
    }
}

/// The server's end of a connection.
#[derive(Debug)]
pub(crate) struct SimStream {
    pub(super) network: Network,
    pub(super) id: WireId,
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

impl Stream for SimStream {
    fn register(&mut self, _: &mut dyn Selector, token: Token) -> io::Result<()> {
        let mut net = self.network.0.borrow_mut();
        let wire = &mut net.wires[self.id];
        wire.token = Some(token);
        wire.edge = wire.edge.and(Readiness::WRITABLE);
        if !wire.arrived.is_empty() || wire.ended {
            wire.edge = wire.edge.and(Readiness::READABLE);
        }
        Ok(())
    }

    fn deregister(&mut self, _: &mut dyn Selector) {
        let mut net = self.network.0.borrow_mut();
        if let Some(token) = net.wires[self.id].token.take() {
            net.wires[self.id].former = Some(token);
            net.stale.push(token);
        }
    }

    fn shutdown(&mut self, _: Shutdown) {
        self.network.0.borrow_mut().wires[self.id].shut = true;
    }
}

/// The server's door.
#[derive(Debug)]
pub(crate) struct SimAcceptor(pub(super) Network);

impl Acceptor for SimAcceptor {
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

    fn register(&mut self, _: &mut dyn Selector, token: Token) -> io::Result<()> {
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
}
