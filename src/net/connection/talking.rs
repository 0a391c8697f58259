//! A WebSocket: what a stream does that also listens.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use super::live::{Live, LiveKind};
use super::session::StreamSession;
use super::{Connection, OUTBOX_BYTES_ENOUGH, State};
use crate::app::{Conversation, Reply, Socket, Upgrade, Wire};
use crate::ledger::Label;
use crate::net::exchange::Exchange;
use crate::net::message;
use crate::net::service::Service;
use crate::reactor::{Moment, Reason, Stream, Turn};
use crate::websocket::{self, Heard, Incoming, Message, Violation};

/// How long a peer may take to answer a ping.
const PONG_TIMEOUT: Duration = Duration::from_secs(10);

/// Answers that one socket may be owed before it is read again.
const OWED_MAX: usize = 64;

/// What a WebSocket has beyond what every stream has.
pub(super) struct Talk {
    incoming: Incoming,
    conversation: Box<dyn Conversation>,
    /// Since when a ping has not been answered.
    pub(super) pinged: Option<Moment>,
    /// Answers that are still to be sent, in the order of the messages: one that is ready waits for those
    /// before it.
    owed: VecDeque<Owed>,
    /// What its route is named in the ledger.
    label: Label,
}

/// An answer to a message.
enum Owed {
    /// A worker has to do something first. A conversation asks the store alone, which does one thing after the
    /// other, so what comes back answers the first message that waits.
    Later,
    /// Here it is. Without a text there is nothing to say.
    Ready(Option<String>),
}

impl Owed {
    fn of(reply: &Reply) -> Self {
        Self::Ready(match reply {
            Reply::Now(response) => {
                let text = String::from_utf8_lossy(response.body.as_bytes());
                Some(text.trim_end().to_owned())
            }
            _ => None,
        })
    }
}

impl Talk {
    pub(super) fn ping(&mut self, now: Moment, out: &mut Vec<u8>) {
        websocket::encode_ping(b"", out);
        self.pinged = Some(now);
    }

    /// Bytes that are held of a message that is not whole.
    pub(super) fn held(&self) -> usize {
        self.incoming.held()
    }

    /// When the peer has not answered a ping for too long. While it is not read, its answer cannot be
    /// seen.
    pub(super) fn pong_due(&self) -> Moment {
        match self.pinged {
            Some(at) if self.takes_messages() => at + PONG_TIMEOUT,
            _ => Moment::NEVER,
        }
    }

    pub(super) fn takes_messages(&self) -> bool {
        self.owed.len() < OWED_MAX
    }

    /// Writes the answers that wait for no other.
    fn answer(&mut self, now: Moment, out: &mut Vec<u8>) {
        let was_read = self.takes_messages();
        while let Some(Owed::Ready(text)) = self.owed.front_mut() {
            if let Some(text) = text {
                websocket::encode_text(text, out);
            }
            self.owed.pop_front();
        }
        if !was_read && self.takes_messages() {
            // It is read again from now on, and its pong may be among what has waited.
            self.pinged = self.pinged.map(|_| now);
        }
    }
}

impl<T: Stream> Connection<T> {
    /// Becomes a WebSocket, or answers why not.
    pub(super) fn upgrade(
        &mut self,
        upgrade: Upgrade,
        exchange: Exchange,
        service: &mut Service,
        turn: &mut Turn<'_, message::Message>,
    ) {
        let Upgrade {
            head,
            conversation,
            message_bytes_max,
            caller,
            events,
        } = upgrade;
        if let Some((_, session)) = caller
            && !self.opens(session, &exchange, service, turn)
        {
            return;
        }
        self.begin(&head, &exchange, service, turn);
        let feed = events.map(|(interest, since)| {
            service.follow(turn.token(), Wire::WebSocket, interest, since)
        });
        self.state = State::Live(Box::new(Live {
            token: turn.token(),
            session: caller.map(|caller| StreamSession::new(caller, service, turn)),
            feed,
            quiet_since: turn.now(),
            ending: None,
            peer_ended: false,
            kind: LiveKind::WebSocket(Box::new(Talk {
                incoming: Incoming::new(message_bytes_max),
                conversation,
                pinged: None,
                owed: VecDeque::new(),
                label: turn.current_label(),
            })),
        }));
        if let Some(feed) = feed {
            service.read_for(feed, turn);
        }
    }

    /// Takes what a stream's peer sent: messages, on a WebSocket; nothing that is meant for anybody,
    /// on any other. How many bytes are done with.
    pub(super) fn hear(
        &mut self,
        input: &[u8],
        budget: &mut usize,
        service: &mut Service,
        turn: &mut Turn<'_, message::Message>,
    ) -> usize {
        if !self.session_holds(service, turn) {
            return input.len(); // it has no session to act for
        }
        let mut rest = input;
        while *budget > 0 && self.outbox.len() < OUTBOX_BYTES_ENOUGH {
            let State::Live(live) = &mut self.state else {
                break;
            };
            let LiveKind::WebSocket(talk) = &mut live.kind else {
                return input.len();
            };
            if live.ending.is_some() {
                return input.len();
            }
            if !talk.takes_messages() {
                break;
            }
            turn.label(talk.label);
            let out = self.outbox.buffer(&mut service.buffers);
            match talk.incoming.next(&mut rest, out) {
                Ok(None) => break,
                Ok(Some(Heard::Pong)) => talk.pinged = None,
                Ok(Some(Heard::Closed)) => {
                    self.hang_up(Reason("closed by the peer"), service, turn);
                }
                Ok(Some(Heard::Message(message))) => {
                    *budget -= 1;
                    self.converse(message, service, turn);
                }
                Err(Violation { code, reason }) => {
                    log::debug!("{} broke the rules of WebSockets: {reason}", self.peer);
                    websocket::encode_close(code, reason, out);
                    self.hang_up(Reason(reason), service, turn);
                }
            }
        }
        input.len() - rest.len()
    }

    /// Has a message dealt with.
    fn converse(
        &mut self,
        message: Message,
        service: &mut Service,
        turn: &mut Turn<'_, message::Message>,
    ) {
        let State::Live(live) = &mut self.state else {
            return;
        };
        let LiveKind::WebSocket(talk) = &mut live.kind else {
            return;
        };
        let Service { app, buffers, .. } = service;
        let mut socket = Socket {
            id: live.token,
            user_id: live.session.as_ref().map(StreamSession::user_id),
            feed: live.feed,
            out: self.outbox.buffer(buffers),
            replies: Vec::new(),
            close: None,
            cx: Service::context(app, turn),
        };
        let heard = catch_unwind(AssertUnwindSafe(|| {
            talk.conversation.heard(message, &mut socket);
        }));
        let Socket { replies, close, .. } = socket;
        if heard.is_err() {
            let detail = format!("the handler of {} panicked", turn.ledger().name(talk.label));
            app.report("handler_panicked", detail, turn.unix_ms());
            websocket::encode_close(
                websocket::INTERNAL_ERROR,
                "the server failed",
                self.outbox.buffer(buffers),
            );
            return self.hang_up(Reason("its handler panicked"), service, turn);
        }
        for reply in replies {
            let answer = service.submit_all(reply, Some(turn.token()), turn);
            let answer = answer.map_or(Owed::Later, |reply| Owed::of(&reply));
            talk.owed.push_back(answer);
        }
        let out = self.outbox.buffer(&mut service.buffers);
        talk.answer(turn.now(), out);
        if let Some((code, reason)) = close {
            let out = self.outbox.buffer(&mut service.buffers);
            websocket::encode_close(code, &reason, out);
            self.hang_up(Reason("closed by its handler"), service, turn);
        }
    }

    /// Sends the body of a reply that a conversation has waited for.
    pub(super) fn say(&mut self, reply: &Reply, now: Moment, service: &mut Service) {
        let State::Live(live) = &mut self.state else {
            return;
        };
        if let LiveKind::WebSocket(talk) = &mut live.kind
            && live.ending.is_none()
        {
            let first = talk
                .owed
                .iter_mut()
                .find(|owed| matches!(owed, Owed::Later));
            if let Some(first) = first {
                *first = Owed::of(reply);
            }
            talk.answer(now, self.outbox.buffer(&mut service.buffers));
        }
    }

    /// Ends a WebSocket whose close frame is in the outbox: no event may follow that.
    pub(super) fn hang_up(
        &mut self,
        reason: Reason,
        service: &mut Service,
        turn: &mut Turn<'_, message::Message>,
    ) {
        let State::Live(live) = &mut self.state else {
            return;
        };
        live.ending = Some((turn.now(), reason));
        if let Some(feed) = live.feed.and_then(|feed| service.app.hub.feed(feed)) {
            feed.stop();
        }
    }
}
