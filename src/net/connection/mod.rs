//! One client's connection: bytes in, requests to handlers, answers out.
//!
//! The states and what moves a connection from one to the next:
//!
//! ```text
//!            first byte              head, body to come
//!     Idle ─────────────▶ Head ────────────────────────▶ Body
//!      ▲                   │  whole request               │ whole
//!      │                   ▼                              ▼
//!      │◀──── answered ── handler ◀───────────────────────┘
//!      │                   │ later          │ stream
//!      │◀──── answered ── Waiting           ▼
//!      │◀──── last piece ───────────── Streaming
//!      │
//!      └─ any state ── fault, `Connection: close`, end ──▶ Closing ──▶ Lingering ──▶ freed
//! ```
//!
//! A connection reads only in `Idle`, `Head` and `Body`, and only while little waits in its outbox: a
//! peer that does not take its answers, or whose request a worker has, cannot queue work without limit.
//! Nothing is written but in the flush phase, so that pipelined answers leave in one write.

mod answering;
mod described;
mod farewell;
mod limits;
mod live;
mod parked;
mod parting;
mod passing;
mod reading;
mod session;
mod talking;
mod watching;

use std::io;
use std::time::Duration;

pub use self::passing::adopt;

use self::answering::Streaming;
use self::farewell::Farewell;
use self::live::Live;
use self::parked::Parked;
use super::body::Body;
use super::door::Realm;
use super::exchange::Exchange;
use super::outbox::{Flushed, Outbox};
use super::service::Service;
use super::tally::RESET;
use crate::app::session_needed;
use crate::http::Fault;
use crate::ledger::{Label, Limit};
use crate::net::message::Message;
use crate::planted::{Bug, planted};
use crate::reactor::{
    Description, Moment, Next, Peer, Readiness, Reason, Selector, Source, Stream, Token, Turn,
};

/// How long the rest of what a peer sends is read and thrown away, so that the reset which answers
/// unread bytes does not destroy the last answer on its way (RFC 9112, section 9.6).
const LINGER: Duration = Duration::from_secs(2);

/// Bytes of answers that may wait before the next pipelined request is looked at. Answers are as long
/// as handlers make them: a count of requests alone would not bound the outbox.
const OUTBOX_BYTES_ENOUGH: usize = 64 * 1024;

/// A client's connection.
pub(super) struct Connection<T> {
    stream: T,
    peer: Peer,
    realm: Realm,
    state: State,
    /// Bytes that were read and belong to no request yet. Empty, and without memory, in between.
    inbox: Vec<u8>,
    outbox: Outbox,
    /// Since when the peer has taken nothing of what waits for it.
    blocked_since: Option<Moment>,
    /// What can still be done, as far as is known: an edge is reported once.
    can: Readiness,
    /// Since which second it is there, and how many bytes were read, up to what fits here: for whoever
    /// watches.
    opened_s: u32,
    bytes_in: u32,
    /// What it was asked for last.
    asked: Label,
    /// Whole requests that have come.
    requests: u32,
    /// Bytes held of what is not whole, as they are in the sum over all connections.
    counted: u32,
    /// Bytes of the outbox, as they are in the sum of what waits for all peers: none, unless the peer takes no more.
    waiting: u32,
}

enum State {
    /// Its network has as many connections as it may. It is told so as soon as the loop turns to it.
    Refused,
    /// Between two requests.
    Idle { since: Moment },
    /// Part of a head has arrived.
    Head { since: Moment },
    /// A head and part of its body have arrived.
    Body { since: Moment, body: Box<Body> },
    /// A worker has it. Reading pauses.
    Waiting { exchange: Box<Exchange> },
    /// The body of an answer is being made piece by piece.
    Streaming(Box<Streaming>),
    /// It is answered when there are events, or when it has waited long enough.
    Parked(Box<Parked>),
    /// Events are sent as they come; on a WebSocket, messages go both ways.
    Live(Box<Live>),
    /// Once the outbox is empty, the connection ends.
    Closing { reason: Reason, linger: bool },
    /// Our side is shut; what still comes is thrown away.
    Lingering { since: Moment, reason: Reason },
}

impl<T: Stream> Connection<T> {
    /// Whoever is not admitted is told so, and no more.
    pub(super) fn new(stream: T, peer: Peer, realm: Realm, admitted: bool) -> Self {
        let since = Moment::default();
        Self {
            stream,
            peer,
            realm,
            state: if admitted {
                State::Idle { since }
            } else {
                State::Refused
            },
            inbox: Vec::new(),
            outbox: Outbox::default(),
            blocked_since: None,
            can: Readiness::NONE,
            opened_s: 0,
            bytes_in: 0,
            asked: Label::NONE,
            requests: 0,
            counted: 0,
            waiting: 0,
        }
    }

    /// Whether the next bytes may be looked at.
    fn takes_bytes(&self) -> bool {
        let takes = match &self.state {
            State::Idle { .. } | State::Head { .. } | State::Body { .. } => {
                self.blocked_since.is_none()
            }
            // Whoever does not read may still have something to say: that it is about to end.
            State::Live(live) => live.listens(),
            State::Waiting { .. } => planted(Bug::ReadAhead),
            _ => false,
        };
        takes && self.outbox.len() < OUTBOX_BYTES_ENOUGH
    }

    fn become_idle(&mut self, turn: &Turn<'_, Message>) -> State {
        std::mem::replace(&mut self.state, State::Idle { since: turn.now() })
    }

    /// When the patience with this peer ends. Computed from when things began, so that a drip of
    /// bytes extends nothing.
    #[inline]
    fn deadline(&self, service: &Service) -> Moment {
        let limits = &service.app.config.limits;
        let blocked_until = self.blocked_since.map(|since| since + limits.write_timeout);
        if let State::Live(live) = &self.state {
            let deadline = live.deadline(blocked_until, service.life.streams_until());
            return deadline.min(service.life.cut_at());
        }
        if let Some(until) = blocked_until {
            return until.min(service.life.cut_at());
        }
        match &self.state {
            State::Idle { since } if self.stream.is_handshaking() => {
                (*since + limits.handshake_timeout).min(service.life.idle_until())
            }
            State::Idle { since } => (*since + limits.idle_timeout).min(service.life.idle_until()),
            State::Head { since } => (*since + limits.head_timeout).min(service.life.busy_until()),
            State::Body { since, .. } => {
                (*since + limits.body_timeout).min(service.life.busy_until())
            }
            State::Lingering { since, .. } => (*since + LINGER).min(service.life.cut_at()),
            State::Parked(parked) => {
                let answer_at = parked.until.min(parked.look_at);
                answer_at.min(service.life.streams_until())
            }
            State::Streaming(_) => service.life.cut_at(),
            State::Refused => Moment::default(),
            State::Waiting { .. } | State::Live(_) | State::Closing { .. } => Moment::NEVER,
        }
    }

    /// After whatever was done: what to ask of the loop.
    #[inline]
    fn settle(&mut self, service: &mut Service, turn: &mut Turn<'_, Message>) -> Next {
        if let State::Closing {
            reason,
            linger: false,
        } = self.state
            && self.has_written_all()
        {
            return Next::Close(reason);
        }
        let something_to_do =
            !self.outbox.is_empty() || matches!(self.state, State::Closing { .. });
        if service.life.is_handing_over() && self.passes(service, turn) {
            return Next::Close(Reason("handed over"));
        }
        if something_to_do && self.blocked_since.is_none() {
            turn.flush();
        }
        if self.requests == 0 || !planted(Bug::ForgottenTimer) {
            turn.set_deadline(self.deadline(service));
        }
        if self.takes_bytes() && self.has_more() && !planted(Bug::LostAgain) {
            Next::Again
        } else {
            Next::Wait
        }
    }

    /// Whether the peer has been given everything: a stream that encrypts may hold some of it back.
    fn has_written_all(&self) -> bool {
        self.outbox.is_empty() && self.blocked_since.is_none()
    }

    /// Whether there is something to look at without a new edge: unread bytes, or whole requests
    /// or messages that were read with an earlier one. Of a head in part, the rest comes with an edge.
    fn has_more(&self) -> bool {
        self.can.contains(Readiness::READABLE)
            || (!self.inbox.is_empty() && matches!(self.state, State::Idle { .. } | State::Live(_)))
    }

    /// After a flush: what follows if all is written, and patience with a peer that takes nothing.
    #[inline]
    fn after_flush(
        &mut self,
        flushed: io::Result<Flushed>,
        service: &mut Service,
        turn: &mut Turn<'_, Message>,
    ) -> Next {
        match flushed {
            Ok(Flushed::All) => {
                let was_blocked = self.blocked_since.take().is_some();
                if was_blocked {
                    self.count_waiting(service);
                }
                if !was_blocked && matches!(self.state, State::Idle { .. }) && !self.has_more() {
                    return Next::Wait; // nearly always: nothing has changed since it was settled
                }
                self.flushed(was_blocked, service, turn)
            }
            Ok(Flushed::Blocked(_)) if planted(Bug::LostWritable) => Next::Wait,
            Ok(Flushed::Blocked(count)) => {
                self.can = self.can.without(Readiness::WRITABLE);
                // Every byte that is taken begins the patience anew: this is about a peer that
                // takes none.
                if count > 0 || self.blocked_since.is_none() {
                    self.blocked_since = Some(turn.now());
                }
                self.count_waiting(service);
                if self.has_more_than_its_share_waiting(service) {
                    turn.ledger().limit_reached(Limit::WaitingBytes);
                    return Next::Close(Reason("no room for the answers that it does not take"));
                }
                turn.set_deadline(self.deadline(service));
                Next::Wait
            }
            Err(_) => Next::Close(RESET),
        }
    }
}

impl<T: Stream> Source<Service> for Connection<T> {
    fn kind(&self) -> &'static str {
        self.realm.name_of_connections()
    }

    fn is_observer(&self) -> bool {
        self.realm == Realm::Monitor
    }

    fn register(&mut self, selector: &mut dyn Selector, token: Token) -> io::Result<()> {
        self.stream.register(selector, token)
    }

    fn deregister(&mut self, selector: &mut dyn Selector) {
        self.stream.deregister(selector);
    }

    fn first_deadline(&mut self, service: &Service, now: Moment) -> Moment {
        if let State::Idle { since } = &mut self.state {
            *since = now;
        }
        self.opened_s = now.as_secs() as u32;
        self.deadline(service)
    }

    fn describe(&self) -> Description {
        self.described()
    }

    fn ready(
        &mut self,
        readiness: Readiness,
        service: &mut Service,
        turn: &mut Turn<'_, Message>,
    ) -> Next {
        self.can = self.can.and(readiness);
        if readiness.contains(Readiness::ENDED) && planted(Bug::HalfCloseEnds) {
            return Next::Close(Reason("closed by the peer"));
        }
        if let State::Lingering { reason, .. } = self.state {
            return self.linger(service, reason);
        }
        if readiness.contains(Readiness::WRITABLE) {
            if self.blocked_since.is_some() {
                turn.flush();
            } else {
                // Part of a handshake that did not fit. A stream that fails tells when it is read.
                let _ = self.stream.flush();
            }
        }
        self.unpark_if_ended(service, turn);
        let next = self.advance(service, turn);
        if self.held() == self.counted {
            return next; // nearly always: nothing is held
        }
        self.holds_otherwise(next, service, turn)
    }

    fn due(&mut self, service: &mut Service, turn: &mut Turn<'_, Message>) -> Next {
        if self.deadline(service) > turn.now() {
            return self.settle(service, turn); // it was moved in a flush, after the timers
        }
        let (now, patience) = (turn.now(), service.app.config.limits.write_timeout);
        let stalled = |since| now >= since + patience;
        if self.blocked_since.is_some() && turn.now() >= service.life.cut_at() {
            return Next::Close(Reason("the server restarts"));
        }
        if self.blocked_since.is_some_and(stalled) {
            // An edge comes when a third of the socket's buffer is free (Linux, sk_stream_is_writeable): a
            // peer that takes little may have taken something without one.
            self.can = self.can.and(Readiness::WRITABLE);
            let next = self.flush(service, turn);
            if self.blocked_since.is_some_and(stalled) {
                return Next::Close(Reason("took none of its answers for too long"));
            }
            return next;
        }
        match self.state {
            State::Refused => return self.refuse(service, turn),
            State::Live(_) => return self.live_due(service, turn),
            State::Parked(_) => self.parked_due(service, turn),
            State::Idle { .. } if self.stream.is_handshaking() => {
                return Next::Close(Reason("no TLS handshake in time"));
            }
            State::Idle { .. } => return Next::Close(Reason("idle for too long")),
            State::Lingering { reason, .. } => return Next::Close(reason),
            State::Streaming(_) => return Next::Close(Reason("the server restarts")),
            State::Head { .. } | State::Body { .. } if turn.now() >= service.life.busy_until() => {
                self.answer_fault(Fault::RESTARTING, service, turn);
            }
            State::Head { .. } => self.answer_fault(Fault::HEAD_TIMEOUT, service, turn),
            State::Body { .. } => self.answer_fault(Fault::BODY_TIMEOUT, service, turn),
            _ => {}
        }
        self.count_held(service);
        self.settle(service, turn)
    }

    fn message(
        &mut self,
        message: Message,
        service: &mut Service,
        turn: &mut Turn<'_, Message>,
    ) -> Next {
        match (&self.state, message) {
            (State::Waiting { .. }, Message::Answer(reply)) => {
                if let State::Waiting { exchange } = self.become_idle(turn) {
                    let waited_ns = turn.now().ns_since(exchange.began);
                    turn.ledger().waited(exchange.route, waited_ns);
                    self.reply(reply, *exchange, service, turn);
                }
            }
            (State::Waiting { .. }, Message::Panicked) => {
                if let State::Waiting { exchange } = self.become_idle(turn) {
                    self.answer_panic("what followed its job panicked", &exchange, service, turn);
                }
            }
            (_, Message::End) => return Next::Close(Reason("ended by the operator")),
            (State::Live(_), Message::Answer(reply)) => {
                self.say(&reply, turn.now(), service);
            }
            (State::Live(_), Message::Batch(batch)) => self.tell(&batch, service),
            (State::Live(_), Message::Panicked) => self.bid(Farewell::Failed, service, turn),
            (State::Live(_), Message::SessionEnded) => self.bid(Farewell::Revoked, service, turn),
            (State::Parked(_), Message::SessionEnded) => {
                self.answer_parked(&session_needed(), service, turn);
            }
            (_, Message::LookAtSession) => {
                let _it_has_ended_if_not = self.session_holds(service, turn);
            }
            _ => {}
        }
        self.settle(service, turn)
    }

    fn flush(&mut self, service: &mut Service, turn: &mut Turn<'_, Message>) -> Next {
        match &self.state {
            State::Live(_) => return self.flush_live(service, turn),
            State::Parked(parked) if parked.has_news(service) => self.unpark(service, turn),
            _ => {}
        }
        let flushed = self.outbox.flush(&mut self.stream, &mut service.buffers);
        self.after_flush(flushed, service, turn)
    }

    fn ended(&mut self, reason: Reason, service: &mut Service) {
        let Service { app, clients, .. } = service;
        clients.ended(self.peer, self.realm, self.requests, reason, &app.config);
        service.clients.unfinished_bytes -= self.counted as usize;
        self.leave(service);
        self.outbox.discard(&mut service.buffers);
        self.count_waiting(service);
        service.buffers.give_back(std::mem::take(&mut self.inbox));
    }
}

impl<T> std::fmt::Debug for Connection<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection")
            .field("peer", &self.peer)
            .finish_non_exhaustive()
    }
}

// A connection that does nothing has little more than this; with a byte more, malloc would give it sixteen
// more. In debug builds, and with its poll(2) backend, mio's sockets remember their selector.
#[cfg(all(
    target_pointer_width = "64",
    not(debug_assertions),
    not(mio_unsupported_force_poll_poll)
))]
const _: () = assert!(size_of::<Connection<crate::reactor::OsStream>>() <= 168);
