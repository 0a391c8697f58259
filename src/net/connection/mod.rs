//! One client's connection: bytes in, requests to handlers, answers out.
//!
//! A connection is a driver and a protocol. The driver, here, owns the stream: it reads, writes, shuts down, and hands
//! the stream over. The [`Protocol`](protocol::Protocol), in `protocol`, decides what follows. `link` has what it knows
//! about the stream, `state` its states, `expiry` its deadlines, `limits` its bounds.
//!
//! What it does in its states: `reading` and `answering` requests; `polling`, a long poll; `following`, server-sent
//! events; `talking`, a WebSocket; `watching` and `snapshot`, answers to the monitor's clients. A stream's data are in
//! `live`, and for a WebSocket also in `talk`. A stream ends with its session (`session`, `standing`), after a last
//! event (`close`).
//!
//! A connection reads only in `Idle`, `Head` and `Body`, and only while little waits in its outbox: a
//! peer that does not take its answers, or whose request a worker has, cannot queue work without limit.
//! It writes in the flush phase, so that whatever a turn makes for a peer leaves in one write. The one exception: answers
//! to what it has just read are written at once, while their connection is still in the processor's caches. Pipelined
//! answers leave in one write there, too, and a stream, to which the turn may still bring events, waits for the flush phase.

mod answering;
mod close;
mod described;
mod expiry;
mod following;
mod limits;
mod link;
mod live;
mod polling;
mod protocol;
mod reading;
mod session;
mod snapshot;
mod standing;
mod state;
mod talk;
mod talking;
mod watching;

use std::io;
use std::net::Shutdown;

use self::expiry::Expiry;
use self::link::Link;
use self::protocol::Protocol;
use self::state::{Flow, State};
use super::call::Call;
use super::clients::HandedOver;
use super::message::Message;
use super::realm::Realm;
use super::service::Service;
use crate::planted::{Bug, planted};
use crate::reactor::{
    Description, Kind, Moment, Next, OsStream, Peer, Reactor, Readiness, Reason, Received,
    SHORT_MEANS_DRAINED, Selector, Source, Stream, Token, Turn,
};

/// A client's connection.
pub(super) struct Connection<T> {
    stream: T,
    protocol: Protocol,
}

impl<T: Stream> Connection<T> {
    /// A client that is not admitted is told so, and no more.
    pub(super) fn new(stream: T, peer: Peer, realm: Realm, admitted: bool) -> Self {
        let protocol = Protocol::new(Link::of(&stream), peer, realm, admitted);
        Self { stream, protocol }
    }

    /// Reads and handles as far as the descriptor, the outbox or the budget allows: first the bytes that were read
    /// before, then those of one read.
    fn advance(&mut self, call: &mut Call<'_, '_>) -> Flow {
        let mut budget = Protocol::budget(call.turn.crowd());
        let protocol = &mut self.protocol;
        protocol.go_on(&mut budget, call);
        if budget == 0 || !protocol.takes_bytes() || !protocol.can(Readiness::READABLE) {
            return Flow::On;
        }
        if protocol.link.is_handshaking && !call.service.clients.may_shake_hands() {
            return Next::Again.into();
        }
        let mut buffer = call.service.writer.buffers.take_read();
        let received = self.stream.receive(&mut buffer);
        protocol.link.refresh(&self.stream);
        if let Received::Bytes(count) = received {
            // Not if the peer's end was reported along with these bytes: no edge will report it
            // again, so it has to be read.
            let more = protocol.can(Readiness::ENDED) || self.stream.has_more();
            if SHORT_MEANS_DRAINED && count < buffer.len() && !more {
                protocol.link.can = protocol.link.can.without(Readiness::READABLE);
            }
        }
        let flow = protocol.received(&received, &buffer, &mut budget, call);
        call.service.writer.buffers.give_read_back(buffer);
        flow
    }

    /// Discards what still comes, until the end.
    fn linger(&mut self, reason: Reason, service: &mut Service) -> Next {
        // "Writable" is no reason to read: a stream whose writing side is shut is always writable.
        if !self.protocol.can(Readiness::READABLE) {
            return Next::Wait;
        }
        let mut buffer = service.writer.buffers.take_read();
        let received = self.stream.receive(&mut buffer);
        service.writer.buffers.give_read_back(buffer);
        match received {
            Received::Bytes(_) => Next::Again,
            Received::Nothing => {
                let can = &mut self.protocol.link.can;
                *can = can.without(Readiness::READABLE);
                Next::Wait
            }
            _ => Next::Close(reason),
        }
    }

    /// Does what the protocol wants with the stream, and returns what to ask of the loop.
    #[inline]
    fn follow(&mut self, flow: Flow, call: &mut Call<'_, '_>) -> Next {
        match flow {
            // Nearly always.
            Flow::On if !call.service.lifecycle.is_handing_over() => self.protocol.settle(call),
            flow => self.follow_seldom(flow, call),
        }
    }

    fn follow_seldom(&mut self, flow: Flow, call: &mut Call<'_, '_>) -> Next {
        match flow {
            Flow::On if self.hands_over(call) => Next::Close(Reason("handed over")),
            Flow::On => self.protocol.settle(call),
            Flow::Next(next) => next,
            Flow::Part => {
                self.stream.shutdown(Shutdown::Write);
                call.turn
                    .set_deadline(self.protocol.patience(call.service).0);
                Next::Again
            }
        }
    }

    /// Hands the connection to another process, if it is between two requests or has a part of a head; returns
    /// whether it did. Requests under way are finished first; an encrypted connection cannot be handed over.
    #[cold]
    fn hands_over(&mut self, call: &mut Call<'_, '_>) -> bool {
        if !self.protocol.may_be_handed_over() {
            return false;
        }
        call.turn.deregister(&mut self.stream);
        let Some(descriptor) = self.stream.take_descriptor() else {
            return call.turn.register(&mut self.stream).is_err();
        };
        let Protocol { inbox, outbox, .. } = &mut self.protocol;
        call.service.clients.handed_over.push(HandedOver {
            descriptor,
            input: std::mem::take(inbox),
            output: outbox.take(&mut call.service.writer.buffers),
        });
        true
    }
}

/// Registers a connection that another process handed over. The time for a head begins again.
///
/// # Errors
/// If its peer has gone, or the system has no room for one more registration.
pub fn adopt(reactor: &mut Reactor<Service>, handed_over: HandedOver) -> io::Result<()> {
    let (stream, peer) = OsStream::adopt(handed_over.descriptor)?;
    reactor.program.access_log.refresh();
    let Service { app, clients, .. } = &mut reactor.program;
    clients.opened(peer, Realm::Clients, &app.config);
    let mut connection = Connection::new(stream, peer, Realm::Clients, true);
    connection.protocol.inbox = handed_over.input;
    connection.protocol.outbox.put(handed_over.output);
    reactor.add(Box::new(connection)).map(drop)
}

impl<T: Stream> Source<Service> for Connection<T> {
    fn kind(&self) -> Kind {
        self.protocol.realm.kind_of_connections()
    }

    fn register(&mut self, selector: &mut dyn Selector, token: Token) -> io::Result<()> {
        self.stream.register(selector, token)
    }

    fn deregister(&mut self, selector: &mut dyn Selector) {
        self.stream.deregister(selector);
    }

    fn first_deadline(&mut self, service: &Service, now: Moment) -> Moment {
        self.protocol.begins(now);
        self.protocol.patience(service).0
    }

    fn describe(&self) -> Description {
        self.protocol.described()
    }

    fn ready(
        &mut self,
        readiness: Readiness,
        service: &mut Service,
        turn: &mut Turn<'_, Message>,
    ) -> Next {
        let call = &mut Call { service, turn };
        self.protocol.link.can = self.protocol.link.can.and(readiness);
        if readiness.contains(Readiness::ENDED) && planted(Bug::HalfCloseEnds) {
            return Next::Close(Reason("closed by the peer"));
        }
        if let State::Lingering(end) = &self.protocol.state {
            let reason = end.reason;
            return self.linger(reason, call.service);
        }
        if readiness.contains(Readiness::WRITABLE) {
            if self.protocol.blocked_since.is_some() {
                call.turn.flush();
            } else {
                // A part of a handshake that did not fit. If the stream has failed, the next read reports it.
                let _ = self.stream.flush();
            }
        }
        self.protocol.unpark_if_ended(call);
        let flow = match self.advance(call) {
            Flow::On => self.protocol.write_at_once(&mut self.stream, call),
            flow => flow,
        };
        let next = self.follow(flow, call);
        if self.protocol.reserves_as_before() {
            return next; // nearly always: nothing is held
        }
        match self.protocol.reserves_otherwise(next, call) {
            Flow::Next(next) => next,
            flow => self.follow(flow, call),
        }
    }

    fn due(&mut self, service: &mut Service, turn: &mut Turn<'_, Message>) -> Next {
        let call = &mut Call { service, turn };
        let (at, expiry) = self.protocol.patience(call.service);
        if at > call.turn.now() {
            return self.follow(Flow::On, call); // the deadline was moved in a flush, after the timers
        }
        if expiry != Expiry::Blocked {
            let flow = self.protocol.expired(expiry, call);
            return self.follow(flow, call);
        }
        // An edge comes when a third of the socket's buffer is free (Linux, sk_stream_is_writeable): a
        // peer that takes little may have taken something without one.
        self.protocol.link.can = self.protocol.link.can.and(Readiness::WRITABLE);
        let flow = self.protocol.write_to(&mut self.stream, call);
        let next = self.follow(flow, call);
        if self.protocol.is_stalled(call) {
            return Next::Close(Reason("took none of its answers for too long"));
        }
        next
    }

    fn message(
        &mut self,
        message: Message,
        service: &mut Service,
        turn: &mut Turn<'_, Message>,
    ) -> Next {
        let call = &mut Call { service, turn };
        let flow = self.protocol.told(message, call);
        self.follow(flow, call)
    }

    fn flush(&mut self, service: &mut Service, turn: &mut Turn<'_, Message>) -> Next {
        let call = &mut Call { service, turn };
        match self.protocol.write_to(&mut self.stream, call) {
            Flow::Next(next) => next, // nearly always: nothing follows
            flow => self.follow(flow, call),
        }
    }

    fn ended(&mut self, reason: Reason, service: &mut Service) {
        self.protocol.ended(reason, service);
    }
}

impl<T> std::fmt::Debug for Connection<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection")
            .field("peer", &self.protocol.peer)
            .finish_non_exhaustive()
    }
}

// An idle connection takes little more memory than this; with one byte more, malloc would give it sixteen
// more. In debug builds, and with its poll(2) backend, mio's sockets remember their selector.
#[cfg(all(
    target_pointer_width = "64",
    not(debug_assertions),
    not(mio_unsupported_force_poll_poll)
))]
const _: () = assert!(size_of::<Connection<crate::reactor::OsStream>>() <= 168);
