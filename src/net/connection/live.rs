//! Streams: connections on which events are sent for as long as a session lasts.
//!
//! What they share, and server-sent events; `talking` has what a WebSocket does beyond that. A stream
//! writes its outbox, which holds the head of the answer and small things like pings, and its feed,
//! which the hub fills. It ends by saying why, unless the connection just breaks.

use std::time::Duration;

use super::answering::{log, own_fields};
use super::farewell::Farewell;
use super::session::StreamSession;
use super::talking::Talk;
use super::{Connection, LINGER, State};
use crate::app::{FeedId, Follow, Wire};
use crate::http::{Response, encode_stream_head};
use crate::net::exchange::Exchange;
use crate::net::message::Message;
use crate::net::outbox::Flushed;
use crate::net::service::Service;
use crate::reactor::{Moment, Next, Readiness, Reason, Stream, Token, Turn, random};
use crate::token::Fingerprint;

/// How long a stream is silent before a comment or a ping shows that it is not dead: proxies cut what
/// says nothing for a minute, some for half of one.
pub(super) const HEARTBEAT: Duration = Duration::from_secs(25);

/// Longest time, in milliseconds, after which clients come back when the server shuts down. Each is
/// told its own, so that they do not all come at once; and none before a second is over.
const RETRY_MS_MAX: u32 = 5_000;
const RETRY_MS_MIN: u32 = 1_000;

/// A connection on which events are sent.
pub(super) struct Live {
    /// Whose it is, as the application knows it.
    pub(super) token: Token,
    /// The session with which it ends.
    pub(super) session: Option<StreamSession>,
    /// What is to be sent.
    pub(super) feed: Option<FeedId>,
    /// Since when nothing showed that the stream is not dead.
    pub(super) quiet_since: Moment,
    /// Since when it is about to end, and why.
    pub(super) ending: Option<(Moment, Reason)>,
    /// The peer will send nothing more.
    pub(super) peer_ended: bool,
    pub(super) kind: LiveKind,
}

pub(super) enum LiveKind {
    Sse,
    /// Server-sent events that tell of the loop.
    Watch,
    WebSocket(Box<Talk>),
}

impl Live {
    /// When something has to be done about it.
    pub(super) fn deadline(&self, blocked_until: Option<Moment>, idle_until: Moment) -> Moment {
        if let Some((since, _)) = self.ending {
            return since + LINGER;
        }
        if let Some(ends_at) = self.session.as_ref().and_then(StreamSession::ends_at) {
            // Nothing more is said but that, so no heartbeat is due.
            return ends_at
                .min(blocked_until.unwrap_or(Moment::NEVER))
                .min(idle_until);
        }
        let due = match (&self.kind, blocked_until) {
            // A peer that takes nothing is given its time, and cannot answer a ping that is stuck.
            (_, Some(until)) => until,
            (LiveKind::Sse | LiveKind::Watch, None) => self.quiet_since + HEARTBEAT,
            (LiveKind::WebSocket(talk), None) => {
                (self.quiet_since + HEARTBEAT).min(talk.pong_due())
            }
        };
        let session_due = self.session.as_ref().map(|session| session.look_at);
        due.min(session_due.unwrap_or(Moment::NEVER))
            .min(idle_until)
    }

    /// What it is, in a word.
    pub(super) fn name(&self) -> &'static str {
        match self.kind {
            LiveKind::Sse | LiveKind::Watch => "streaming",
            LiveKind::WebSocket(_) => "websocket",
        }
    }

    /// Nothing but events is expected of it.
    fn is_at_ease(&self) -> bool {
        self.ending.is_none() && !self.peer_ended
    }

    /// Something was written: a sign of life. A WebSocket is pinged all the same, since only the
    /// answer shows that its peer is there.
    fn wrote(&mut self, now: Moment) {
        if !matches!(self.kind, LiveKind::WebSocket(_)) {
            self.quiet_since = now;
        }
    }

    /// The peer will send nothing more. Whoever asked for events and shut their side gets those that
    /// there are up to now; a WebSocket that ends without a word has broken.
    pub(super) fn peer_ends(&mut self) -> Option<Reason> {
        self.peer_ended = true;
        match self.kind {
            LiveKind::Sse => None,
            LiveKind::Watch => Some(Reason("closed by the peer")),
            LiveKind::WebSocket(_) => Some(Reason("closed by the peer without a close frame")),
        }
    }

    /// Whether what the peer sends may be looked at.
    pub(super) fn listens(&self) -> bool {
        let takes = match &self.kind {
            LiveKind::Sse | LiveKind::Watch => true,
            LiveKind::WebSocket(talk) => talk.takes_messages(),
        };
        takes && self.ending.is_none()
    }
}

impl<T: Stream> Connection<T> {
    /// Begins to send events, or answers why not.
    pub(super) fn follow(
        &mut self,
        follow: Follow,
        exchange: Exchange,
        service: &mut Service,
        turn: &mut Turn<'_, Message>,
    ) {
        let Follow {
            head,
            interest,
            since,
            caller,
        } = follow;
        if !self.opens(caller.1, &exchange, service, turn) {
            return;
        }
        self.begin(&head, &exchange, service, turn);
        if exchange.head_only() {
            service.app.streams.close(&caller.1, turn.token());
            return self.after_answer(true, exchange.keep_alive, turn);
        }
        let feed = service.follow(turn.token(), Wire::Sse, interest, since);
        self.state = State::Live(Box::new(Live {
            token: turn.token(),
            session: Some(StreamSession::new(caller, service, turn)),
            feed: Some(feed),
            quiet_since: turn.now(),
            ending: None,
            peer_ended: false,
            kind: LiveKind::Sse,
        }));
        service.read_for(feed, turn);
    }

    /// Sends the head of a stream, and what follows it at once; to HEAD, the same without what follows. The body of
    /// server-sent events ends with the connection: no version of HTTP needs more, and every event is a few bytes
    /// shorter.
    pub(super) fn begin(
        &mut self,
        head: &Response,
        exchange: &Exchange,
        service: &mut Service,
        turn: &mut Turn<'_, Message>,
    ) {
        service.date.refresh(turn.unix_ms() / 1000);
        let fields = own_fields(&self.stream, &service.secure_fields);
        let (wire, date) = (exchange.wire(true, fields), &service.date);
        let out = self.outbox.buffer(&mut service.buffers);
        let before = out.len();
        let _not_chunked = encode_stream_head(head, wire, date, false, out);
        if !exchange.head_only() {
            out.extend_from_slice(head.body.as_bytes());
        }
        let bytes = out.len() - before;
        log(self.peer, exchange, head.status, bytes, turn);
    }

    /// Opens a stream of a session; where that may not be, it is answered why.
    pub(super) fn opens(
        &mut self,
        session: Fingerprint,
        exchange: &Exchange,
        service: &mut Service,
        turn: &mut Turn<'_, Message>,
    ) -> bool {
        let token = turn.token();
        let opened = Service::context(&mut service.app, turn).open_stream(session, token);
        if let Err(refusal) = &opened {
            self.answer(refusal, exchange, service, turn);
        }
        opened.is_ok()
    }

    /// Gives back what a stream or a request that waits holds of the application. To be called once,
    /// however it ends.
    pub(super) fn leave(&mut self, service: &mut Service) {
        let (token, session, feed) = match &mut self.state {
            State::Live(live) => {
                if let LiveKind::Watch = live.kind {
                    service.end_watching(live.token);
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

    /// Says goodbye: what the peer can still be told follows in this turn, then the connection ends.
    pub(super) fn bid(
        &mut self,
        farewell: Farewell,
        service: &mut Service,
        turn: &mut Turn<'_, Message>,
    ) {
        let blocked = self.blocked_since.is_some();
        let State::Live(live) = &mut self.state else {
            return;
        };
        if live.ending.is_some() {
            return;
        }
        live.ending = Some((turn.now(), farewell.reason()));
        let jitter = u32::from_le_bytes(random(turn.entropy()));
        let retry_ms = RETRY_MS_MIN + jitter % (RETRY_MS_MAX - RETRY_MS_MIN);
        let words = farewell.words(&live.kind, retry_ms);
        match live.feed.and_then(|feed| service.app.hub.feed(feed)) {
            Some(feed) => feed.finish(words, blocked),
            None => self
                .outbox
                .buffer(&mut service.buffers)
                .extend_from_slice(&words),
        }
        turn.flush();
    }

    /// A stream's deadline has come: the heartbeat, the pong that did not, the end.
    pub(super) fn live_due(&mut self, service: &mut Service, turn: &mut Turn<'_, Message>) -> Next {
        let now = turn.now();
        let State::Live(live) = &mut self.state else {
            return Next::Wait;
        };
        if let Some((since, reason)) = live.ending
            && now >= (since + LINGER).min(service.life.cut_at())
        {
            return Next::Close(reason);
        }
        if now >= service.life.streams_until() {
            self.bid(Farewell::Draining, service, turn);
            return self.settle(service, turn);
        }
        if !self.session_holds(service, turn) {
            return self.settle(service, turn);
        }
        let State::Live(live) = &mut self.state else {
            return Next::Wait;
        };
        if let LiveKind::WebSocket(talk) = &mut live.kind
            && self.blocked_since.is_none()
            && now >= talk.pong_due()
        {
            return Next::Close(Reason("no pong came"));
        }
        if self.blocked_since.is_none() && now >= live.quiet_since + HEARTBEAT {
            live.quiet_since = now;
            let out = self.outbox.buffer(&mut service.buffers);
            match &mut live.kind {
                LiveKind::Sse | LiveKind::Watch => out.extend_from_slice(b":\n\n"),
                LiveKind::WebSocket(talk) => talk.ping(now, out),
            }
        }
        self.settle(service, turn)
    }

    /// Writes what a stream has: the hub has put something into its feed.
    pub(super) fn flush_live(
        &mut self,
        service: &mut Service,
        turn: &mut Turn<'_, Message>,
    ) -> Next {
        let has_more = self.has_more();
        let State::Live(live) = &mut self.state else {
            return Next::Wait;
        };
        let Service { app, buffers, .. } = service;
        let Some(feed) = live.feed.and_then(|feed| app.hub.feed(feed)) else {
            let flushed = self.outbox.flush(&mut self.stream, buffers);
            return self.after_flush(flushed, service, turn);
        };
        if feed.is_over() && live.ending.is_none() {
            self.bid(Farewell::TooSlow, service, turn);
            return Next::Wait; // and is flushed in the next turn
        }
        if self.blocked_since.is_some() && !self.can.contains(Readiness::WRITABLE) {
            turn.set_deadline(self.deadline(service));
            return Next::Wait; // there is something new, but the peer still takes nothing
        }
        let flushed = self.outbox.flush_with(feed, &mut self.stream, buffers);
        // The common case, a thousand times a turn: everything is written, nothing follows. The
        // deadline only moved away, and finds that out when it comes.
        if let Ok(Flushed::All) = flushed
            && live.is_at_ease()
            && feed.is_done()
            && self.blocked_since.is_none()
            && !has_more
        {
            live.wrote(turn.now());
            return Next::Wait;
        }
        self.after_flush(flushed, service, turn)
    }

    /// Everything of a stream is written.
    pub(super) fn live_flushed(
        &mut self,
        was_blocked: bool,
        service: &mut Service,
        turn: &mut Turn<'_, Message>,
    ) -> Next {
        let State::Live(live) = &mut self.state else {
            return Next::Wait;
        };
        live.wrote(turn.now());
        if let LiveKind::WebSocket(talk) = &mut live.kind
            && was_blocked
        {
            // A ping was on its way until now.
            talk.pinged = talk.pinged.map(|_| turn.now());
        }
        if let Some((_, reason)) = live.ending {
            self.leave(service);
            return self.part(reason, true, service, turn);
        }
        let feed = live.feed;
        if let Some(feed) = feed {
            service.read_for(feed, turn);
            let done = service.app.hub.feed(feed).is_none_or(|feed| feed.is_done());
            if done && live.peer_ended {
                self.bid(Farewell::PeerEnded, service, turn);
            }
        }
        self.settle(service, turn)
    }
}
