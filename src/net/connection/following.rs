//! Server-sent events, and what all streams share: how they begin, send heartbeats, write and end.

use std::io::Write;

use super::close::CloseCause;
use super::expiry::HEARTBEAT;
use super::live::{Live, LiveKind};
use super::protocol::Protocol;
use super::session::StreamSession;
use super::state::{Flow, State};
use crate::app::{Encoding, FeedId, Follow};
use crate::http::{Response, encode_stream_head};
use crate::net::call::Call;
use crate::net::exchange::Exchange;
use crate::net::outbox::Flushed;
use crate::net::service::Service;
use crate::reactor::{Next, Readiness, random};
use crate::token::Fingerprint;

/// Longest time, in milliseconds, after which clients reconnect when the server shuts down. Each client is
/// given its own time, at least a second, so that they do not all reconnect at once.
const RETRY_MS_MAX: u32 = 5_000;
const RETRY_MS_MIN: u32 = 1_000;

impl Protocol {
    /// Begins to send events, or answers why it cannot.
    pub(super) fn follow(&mut self, follow: Follow, exchange: Exchange, call: &mut Call<'_, '_>) {
        let Follow {
            head,
            interest,
            since,
            caller,
        } = follow;
        if !self.opens(caller.1, &exchange, call) {
            return;
        }
        self.begin(&head, &exchange, call);
        if exchange.head_only() {
            call.service.app.streams.close(&caller.1, call.turn.token());
            return self.after_answer(true, &exchange, call);
        }
        let feed = call
            .service
            .follow(call.turn.token(), Encoding::Sse, interest, since);
        let session = StreamSession::new(caller, call);
        self.go_live(Some(session), Some(feed), LiveKind::Sse, call);
    }

    /// Sends the head of a stream, and the bytes that follow it at once; to HEAD, only the head. The body of
    /// server-sent events ends with the connection: every version of HTTP allows that, and every event is a few
    /// bytes shorter than in a chunk.
    pub(super) fn begin(&mut self, head: &Response, exchange: &Exchange, call: &mut Call<'_, '_>) {
        let writer = &mut call.service.writer;
        let (secure, unix_ms) = (self.link.is_secure, call.turn.unix_ms());
        writer.write(&mut self.outbox, secure, unix_ms, |fields, date, out| {
            let _not_chunked =
                encode_stream_head(head, exchange.wire(true, fields), date, false, out);
            if !exchange.head_only() {
                out.extend_from_slice(head.body.as_bytes());
            }
        });
        exchange.answered(head.status, head.body.as_bytes().len(), call);
    }

    /// Sends events from now on.
    pub(super) fn go_live(
        &mut self,
        session: Option<StreamSession>,
        feed: Option<FeedId>,
        kind: LiveKind,
        call: &mut Call<'_, '_>,
    ) {
        let live = Live {
            token: call.turn.token(),
            session,
            has_expired: false,
            feed,
            quiet_since: call.turn.now(),
            ending: None,
            peer_ended: false,
            kind,
        };
        self.enter(State::Live(Box::new(live)), call.service);
        if let Some(feed) = feed {
            call.service.read_for(feed, call.turn);
        }
    }

    /// Opens a stream of a session, or answers why it cannot.
    pub(super) fn opens(
        &mut self,
        session: Fingerprint,
        exchange: &Exchange,
        call: &mut Call<'_, '_>,
    ) -> bool {
        let token = call.turn.token();
        let opened = call.context().open_stream(session, token);
        if let Err(refusal) = &opened {
            self.answer(refusal, exchange, call);
        }
        opened.is_ok()
    }

    /// Ends the stream: the last message to the peer follows in this turn, then the connection ends.
    pub(super) fn send_close(&mut self, cause: CloseCause, call: &mut Call<'_, '_>) {
        let blocked = self.blocked_since.is_some();
        let State::Live(live) = &mut self.state else {
            return;
        };
        if live.ending.is_some() {
            return;
        }
        live.ending = Some(Box::new((call.turn.now(), cause.reason())));
        let jitter = u32::from_le_bytes(random(call.turn.entropy()));
        let retry_ms = RETRY_MS_MIN + jitter % (RETRY_MS_MAX - RETRY_MS_MIN);
        let words = cause.last_message(&live.kind, retry_ms);
        match live.feed.and_then(|feed| call.service.app.hub.feed(feed)) {
            Some(feed) => feed.finish(words, blocked),
            None => self
                .outbox
                .buffer(&mut call.service.writer.buffers)
                .extend_from_slice(&words),
        }
        call.turn.flush();
    }

    /// Sends the heartbeat if it is due, and checks the session.
    pub(super) fn beat(&mut self, call: &mut Call<'_, '_>) {
        if !self.session_holds(call) {
            return;
        }
        let (now, blocked) = (call.turn.now(), self.blocked_since.is_some());
        let State::Live(live) = &mut self.state else {
            return;
        };
        if !blocked && now >= live.quiet_since + HEARTBEAT {
            live.quiet_since = now;
            let out = self.outbox.buffer(&mut call.service.writer.buffers);
            match &mut live.kind {
                LiveKind::Sse | LiveKind::Watch => out.extend_from_slice(b":\n\n"),
                LiveKind::WebSocket(talk) => talk.ping(now, out),
            }
        }
    }

    /// Writes what waits in a stream, after the hub has put something into its feed.
    pub(super) fn write_live(&mut self, stream: &mut impl Write, call: &mut Call<'_, '_>) -> Flow {
        let has_more = self.has_more();
        let State::Live(live) = &mut self.state else {
            return Next::Wait.into();
        };
        let Service { app, writer, .. } = &mut *call.service;
        let Some(feed) = live.feed.and_then(|feed| app.hub.feed(feed)) else {
            let flushed = self.outbox.flush(stream, &mut writer.buffers);
            return self.wrote(flushed, call);
        };
        if feed.is_over() && live.ending.is_none() {
            self.send_close(CloseCause::TooSlow, call);
            return Next::Wait.into(); // it is flushed in the next turn
        }
        if self.blocked_since.is_some() && !self.link.can.contains(Readiness::WRITABLE) {
            // There is something new, but the peer still takes nothing.
            return self.wait_for_peer(call.turn, call.service);
        }
        let flushed = self.outbox.flush_with(feed, stream, &mut writer.buffers);
        // The common case, a thousand times a turn: everything is written, and nothing follows. The
        // deadline has only moved further away, which is noticed when the timer fires.
        if let Ok(Flushed::All) = flushed
            && live.is_at_ease()
            && feed.is_done()
            && self.blocked_since.is_none()
            && !has_more
        {
            live.wrote(call.turn.now());
            return Next::Wait.into();
        }
        self.wrote(flushed, call)
    }

    /// Everything that waited in a stream is written.
    pub(super) fn wrote_all_of_live(&mut self, was_blocked: bool, call: &mut Call<'_, '_>) -> Flow {
        let State::Live(live) = &mut self.state else {
            return Next::Wait.into();
        };
        live.wrote(call.turn.now());
        if let LiveKind::WebSocket(talk) = &mut live.kind
            && was_blocked
        {
            // A ping was on its way until now.
            talk.pinged = talk.pinged.map(|_| call.turn.now());
        }
        if let Some(ending) = &live.ending {
            let reason = ending.1;
            return self.part(reason, true, call);
        }
        if let Some(feed) = live.feed {
            call.service.read_for(feed, call.turn);
            let feed = call.service.app.hub.feed(feed);
            if feed.is_none_or(|feed| feed.is_done()) && live.peer_ended {
                self.send_close(CloseCause::PeerEnded, call);
            }
        }
        Flow::On
    }
}
