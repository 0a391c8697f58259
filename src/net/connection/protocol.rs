//! What a connection does with the bytes that arrive, and at its deadlines: everything but the stream itself.
//!
//! Read next: `reading`, the way in, and `answering`, the way out.

use std::io::{self, Write};

use super::close::CloseCause;
use super::expiry::{Expiry, LINGER, sooner};
use super::link::Link;
use super::live::LiveKind;
use super::state::{Flow, Lingering, State};
use crate::app::session_needed;
use crate::http::Fault;
use crate::ledger::{Label, Limit};
use crate::net::call::Call;
use crate::net::exchange::End;
use crate::net::message::Message;
use crate::net::outbox::{Flushed, Outbox};
use crate::net::realm::Realm;
use crate::net::service::Service;
use crate::net::tally::RESET;
use crate::planted::{Bug, planted};
use crate::reactor::{Moment, Next, Peer, Readiness, Reason, Turn};

/// Bytes of answers in the outbox at which no further pipelined request is handled. Answers are as long
/// as handlers make them, so a limit on the number of requests alone would not bound the outbox.
pub(super) const OUTBOX_BYTES_ENOUGH: usize = 64 * 1024;

/// A connection without its stream: bytes in, requests to handlers, answers out.
pub(super) struct Protocol {
    pub(super) peer: Peer,
    pub(super) realm: Realm,
    /// What is known about the stream.
    pub(super) link: Link,
    /// Changed only by [`enter`](Self::enter).
    pub(super) state: State,
    /// Bytes that were read and belong to no complete request yet. Empty, and without memory, between requests.
    pub(super) inbox: Vec<u8>,
    pub(super) outbox: Outbox,
    /// Since when the peer has taken nothing of what waits for it.
    pub(super) blocked_since: Option<Moment>,
    /// The second in which it was opened, and how many bytes were read (saturating): for the monitor.
    pub(super) opened_s: u32,
    pub(super) bytes_in: u32,
    /// The label of its last request.
    pub(super) asked: Label,
    /// Complete requests so far.
    pub(super) requests: u32,
    /// Bytes reserved for an incomplete request or message, as in the sum over all connections.
    pub(super) reserved: u32,
    /// Bytes of the outbox, as counted in the sum of what waits for all peers: 0, unless the peer takes no more.
    pub(super) waiting: u32,
}

impl Protocol {
    /// A client that is not admitted is told so, and no more.
    pub(super) fn new(link: Link, peer: Peer, realm: Realm, admitted: bool) -> Self {
        let since = Moment::default();
        Self {
            peer,
            realm,
            link,
            state: if admitted {
                State::Idle { since }
            } else {
                State::Refused
            },
            inbox: Vec::new(),
            outbox: Outbox::default(),
            blocked_since: None,
            opened_s: 0,
            bytes_in: 0,
            asked: Label::NONE,
            requests: 0,
            reserved: 0,
            waiting: 0,
        }
    }

    /// The connection has been added to the loop.
    pub(super) fn begins(&mut self, now: Moment) {
        if let State::Idle { since } = &mut self.state {
            *since = now;
        }
        self.opened_s = now.as_secs() as u32;
    }

    /// Enters another state, and releases what the previous state held of the application; returns the previous state.
    #[inline]
    pub(super) fn enter(&mut self, state: State, service: &mut Service) -> State {
        if let State::Live(_) | State::Parked(_) = self.state {
            self.leave(service);
        }
        std::mem::replace(&mut self.state, state)
    }

    /// Waits for the next request; returns the previous state.
    #[inline]
    pub(super) fn become_idle(&mut self, call: &mut Call<'_, '_>) -> State {
        let since = call.turn.now();
        self.enter(State::Idle { since }, call.service)
    }

    /// Releases what a stream or a waiting request holds of the application. Called exactly once, no matter
    /// how it ends.
    #[cold]
    fn leave(&mut self, service: &mut Service) {
        let (token, session, feed) = match &mut self.state {
            State::Live(live) => {
                if let LiveKind::Watch = live.kind {
                    service.observers.end_watching(live.token, &mut service.app);
                }
                let session = live.session.take().map(|session| session.fingerprint);
                (live.token, session, live.feed.take())
            }
            State::Parked(parked) => (parked.token, Some(parked.session), Some(parked.feed)),
            _ => return,
        };
        if let Some(session) = session {
            service.app.streams.close(&session, token);
        }
        if let Some(balance) = feed.and_then(|feed| service.app.hub.unfollow(feed)) {
            log::info!(target: "loopgate::streams", "{} {token}: {balance}", self.peer);
        }
    }

    /// The connection has ended, and releases everything.
    pub(super) fn ended(&mut self, reason: Reason, service: &mut Service) {
        let Service { app, clients, .. } = service;
        clients.ended(self.peer, self.realm, self.requests, reason, &app.config);
        clients.unfinished_bytes -= self.reserved as usize;
        self.leave(service);
        self.outbox.discard(&mut service.writer.buffers);
        self.count_waiting(service);
        let inbox = std::mem::take(&mut self.inbox);
        service.writer.buffers.give_back(inbox);
    }

    /// Whether the next bytes may be handled.
    pub(super) fn takes_bytes(&self) -> bool {
        let takes = match &self.state {
            State::Idle { .. } | State::Head { .. } | State::Body { .. } => {
                self.blocked_since.is_none()
            }
            // A stream that does not read may still be about to end.
            State::Live(live) => live.listens(),
            State::Waiting { .. } => planted(Bug::ReadAhead),
            _ => false,
        };
        takes && self.outbox.len() < OUTBOX_BYTES_ENOUGH
    }

    /// The next deadline, and what it is for. It is computed from the time at which a phase began, so that a peer that
    /// drips bytes extends nothing.
    #[inline]
    pub(super) fn patience(&self, service: &Service) -> (Moment, Expiry) {
        let (limits, life) = (&service.app.config.limits, &service.lifecycle);
        // Nearly always, so it is looked at first.
        if let State::Idle { since } = self.state
            && self.blocked_since.is_none()
        {
            let (patience, expiry) = if self.link.is_handshaking {
                (limits.handshake_timeout, Expiry::Handshake)
            } else {
                (limits.idle_timeout, Expiry::Idle)
            };
            return ((since + patience).min(life.idle_until()), expiry);
        }
        self.patience_within_a_request(service)
    }

    /// The same, once a request or a stream has begun.
    fn patience_within_a_request(&self, service: &Service) -> (Moment, Expiry) {
        let (limits, life) = (&service.app.config.limits, &service.lifecycle);
        if let State::Live(live) = &self.state {
            let blocked = self.blocked_since.map(|since| since + limits.write_timeout);
            return live.patience(blocked, life);
        }
        if let Some(since) = self.blocked_since {
            let until = since + limits.write_timeout;
            return sooner((life.cut_at(), Expiry::Cut), (until, Expiry::Blocked));
        }
        let restart = || (life.busy_until(), Expiry::Restart);
        match &self.state {
            State::Head { since } => {
                sooner(restart(), (*since + limits.head_timeout, Expiry::Head))
            }
            State::Body { since, .. } => {
                sooner(restart(), (*since + limits.body_timeout, Expiry::Body))
            }
            State::Lingering(end) => ((end.since + LINGER).min(life.cut_at()), Expiry::Linger),
            State::Parked(parked) => sooner(
                (parked.until.min(life.streams_until()), Expiry::Poll),
                (parked.check_at, Expiry::Session),
            ),
            State::Streaming(_) => (life.cut_at(), Expiry::Cut),
            State::Refused => (Moment::default(), Expiry::Refusal),
            State::Idle { .. } | State::Waiting { .. } | State::Live(_) | State::Closing(_) => {
                (Moment::NEVER, Expiry::Never)
            }
        }
    }

    /// A deadline has passed.
    pub(super) fn expired(&mut self, expiry: Expiry, call: &mut Call<'_, '_>) -> Flow {
        let reason = match expiry {
            Expiry::Handshake => "no TLS handshake in time",
            Expiry::Idle => "idle for too long",
            Expiry::Cut => "the server restarts",
            // If its session has ended meanwhile, the peer is told that instead.
            Expiry::Pong if !self.session_holds(call) => return Flow::On,
            Expiry::Pong => "no pong came",
            Expiry::Refusal => return self.refuse(call),
            Expiry::Head => return self.give_up(Fault::HEAD_TIMEOUT, call),
            Expiry::Body => return self.give_up(Fault::BODY_TIMEOUT, call),
            Expiry::Restart => return self.give_up(Fault::RESTARTING, call),
            Expiry::Linger | Expiry::Ending => return self.end_now(),
            Expiry::Poll => {
                self.unpark(call);
                return Flow::On;
            }
            Expiry::Session => {
                let _it_was_answered_if_not = self.session_holds(call);
                return Flow::On;
            }
            Expiry::Draining => {
                self.send_close(CloseCause::Draining, call);
                return Flow::On;
            }
            Expiry::Beat => {
                self.beat(call);
                return Flow::On;
            }
            Expiry::Never | Expiry::Blocked => return Flow::On,
        };
        Next::Close(Reason(reason)).into()
    }

    /// The peer has had its time to see our end, or to take the last message.
    fn end_now(&self) -> Flow {
        let reason = match &self.state {
            State::Lingering(end) => Some(end.reason),
            State::Live(live) => live.ending.as_ref().map(|ending| ending.1),
            _ => None,
        };
        reason.map_or(Flow::On, |reason| Next::Close(reason).into())
    }

    /// Answers a request that has not arrived in time, and releases its memory.
    fn give_up(&mut self, fault: Fault, call: &mut Call<'_, '_>) -> Flow {
        self.answer_fault(fault, call);
        self.count_reserved(call.service);
        Flow::On
    }

    /// Whether the peer has taken nothing for the longest time allowed.
    pub(super) fn is_stalled(&self, call: &Call<'_, '_>) -> bool {
        let patience = call.service.app.config.limits.write_timeout;
        let now = call.turn.now();
        self.blocked_since
            .is_some_and(|since| now >= since + patience)
    }

    /// After every step: what to ask of the loop.
    #[inline]
    pub(super) fn settle(&mut self, call: &mut Call<'_, '_>) -> Next {
        if let State::Closing(End {
            reason,
            linger: false,
        }) = self.state
            && self.has_written_all()
        {
            return Next::Close(reason);
        }
        let something_to_do = !self.outbox.is_empty() || matches!(self.state, State::Closing(_));
        if something_to_do && self.blocked_since.is_none() {
            call.turn.flush();
        }
        if self.requests == 0 || !planted(Bug::ForgottenTimer) {
            call.turn.set_deadline(self.patience(call.service).0);
        }
        if self.takes_bytes() && self.has_more() && !planted(Bug::LostAgain) {
            Next::Again
        } else {
            Next::Wait
        }
    }

    /// Whether another process can take it over: it is between two requests, or has a part of a head.
    pub(super) fn may_be_handed_over(&self) -> bool {
        let is_between = matches!(self.state, State::Idle { .. } | State::Head { .. });
        is_between && !self.link.is_secure && self.realm == Realm::Clients
    }

    /// Whether everything has been written to the peer: an encrypted stream may still hold back a part.
    pub(super) fn has_written_all(&self) -> bool {
        self.outbox.is_empty() && self.blocked_since.is_none()
    }

    /// Whether there is something to handle without a new edge: unread bytes, or complete requests or
    /// messages that were read with an earlier one. The rest of an incomplete head comes with an edge.
    pub(super) fn has_more(&self) -> bool {
        self.link.can.contains(Readiness::READABLE)
            || (!self.inbox.is_empty() && matches!(self.state, State::Idle { .. } | State::Live(_)))
    }

    /// Handles a message from another source.
    pub(super) fn told(&mut self, message: Message, call: &mut Call<'_, '_>) -> Flow {
        match (&self.state, message) {
            (State::Waiting { .. }, Message::Answer(reply, user)) => {
                if let State::Waiting { mut exchange } = self.become_idle(call) {
                    exchange.is_of(user);
                    let waited_ns = call.turn.now().ns_since(exchange.began);
                    call.turn.ledger().waited(exchange.route, waited_ns);
                    self.reply(reply, *exchange, call);
                }
            }
            (State::Waiting { .. }, Message::Panicked) => {
                if let State::Waiting { exchange } = self.become_idle(call) {
                    self.answer_panic("what followed its job panicked", *exchange, call);
                }
            }
            (_, Message::End) => return Next::Close(Reason("ended by the operator")).into(),
            (State::Live(_), Message::Answer(reply, _)) => self.send_reply(&reply, call),
            (State::Live(_), Message::Batch(batch)) => self.send_batch(&batch, call),
            (State::Live(_), Message::Panicked) => self.send_close(CloseCause::Failed, call),
            (State::Live(_), Message::SessionEnded) => self.send_close(CloseCause::Revoked, call),
            (State::Parked(_), Message::SessionEnded) => {
                self.answer_parked(&session_needed(), call);
            }
            (_, Message::CheckSession) => {
                let _it_has_ended_if_not = self.session_holds(call);
            }
            _ => {}
        }
        Flow::On
    }

    /// Writes the answers to what was just read, if nothing more can come to them in this turn.
    #[inline]
    pub(super) fn write_at_once(
        &mut self,
        stream: &mut impl Write,
        call: &mut Call<'_, '_>,
    ) -> Flow {
        let is_answered = matches!(self.state, State::Idle { .. }) && !self.outbox.is_empty();
        if !is_answered || self.blocked_since.is_some() {
            return Flow::On;
        }
        match self.outbox.flush(stream, &mut call.service.writer.buffers) {
            Ok(Flushed::All) => Flow::On, // nearly always
            flushed => self.wrote_otherwise(flushed, call),
        }
    }

    /// Writes what waits.
    #[inline]
    pub(super) fn write_to(&mut self, stream: &mut impl Write, call: &mut Call<'_, '_>) -> Flow {
        match &self.state {
            State::Live(_) => return self.write_live(stream, call),
            State::Parked(parked) => {
                let feed = call.service.app.hub.feed(parked.feed);
                if feed.is_none_or(|feed| !feed.is_empty()) {
                    self.unpark(call);
                }
            }
            _ => {}
        }
        let flushed = self.outbox.flush(stream, &mut call.service.writer.buffers);
        self.wrote(flushed, call)
    }

    /// After a flush: what follows if all is written, and the deadline for a peer that takes nothing.
    #[inline]
    pub(super) fn wrote(&mut self, flushed: io::Result<Flushed>, call: &mut Call<'_, '_>) -> Flow {
        if let Ok(Flushed::All) = flushed
            && self.blocked_since.is_none()
            && matches!(self.state, State::Idle { .. })
            && !self.has_more()
        {
            return Next::Wait.into(); // nearly always: nothing has changed since it was settled
        }
        self.wrote_otherwise(flushed, call)
    }

    fn wrote_otherwise(&mut self, flushed: io::Result<Flushed>, call: &mut Call<'_, '_>) -> Flow {
        match flushed {
            Ok(Flushed::All) => {
                let was_blocked = self.blocked_since.take().is_some();
                if was_blocked {
                    self.count_waiting(call.service);
                }
                self.wrote_all(was_blocked, call)
            }
            Ok(Flushed::Blocked(_)) if planted(Bug::LostWritable) => Next::Wait.into(),
            Ok(Flushed::Blocked(count)) => {
                self.link.can = self.link.can.without(Readiness::WRITABLE);
                // Every byte that the peer takes starts this time again: the deadline is for a peer that
                // takes none.
                if count > 0 || self.blocked_since.is_none() {
                    self.blocked_since = Some(call.turn.now());
                }
                self.count_waiting(call.service);
                if self.has_more_than_its_share_waiting(call.service) {
                    call.turn.ledger().limit_reached(Limit::WaitingBytes);
                    let reason = Reason("no room for the answers that it does not take");
                    return Next::Close(reason).into();
                }
                self.wait_for_peer(call.turn, call.service)
            }
            Err(_) => Next::Close(RESET).into(),
        }
    }

    /// Nothing can be done before the peer takes something, or the deadline passes.
    pub(super) fn wait_for_peer(&self, turn: &mut Turn<'_, Message>, service: &Service) -> Flow {
        turn.set_deadline(self.patience(service).0);
        Next::Wait.into()
    }

    /// The outbox is empty: what comes next?
    fn wrote_all(&mut self, was_blocked: bool, call: &mut Call<'_, '_>) -> Flow {
        match self.state {
            State::Streaming(_) => {
                self.fill(call);
                call.turn.flush();
                self.wait_for_peer(call.turn, call.service)
            }
            State::Live(_) => self.wrote_all_of_live(was_blocked, call),
            State::Closing(End { reason, linger }) => self.part(reason, linger, call),
            _ => Flow::On,
        }
    }

    /// Ends the connection; if the peer may still be sending, only after it has seen our end.
    pub(super) fn part(&mut self, reason: Reason, linger: bool, call: &mut Call<'_, '_>) -> Flow {
        if !linger && !self.link.can.contains(Readiness::READABLE) {
            return Next::Close(reason).into();
        }
        let since = call.turn.now();
        let end = Box::new(Lingering { since, reason });
        self.enter(State::Lingering(end), call.service);
        Flow::Part
    }
}
