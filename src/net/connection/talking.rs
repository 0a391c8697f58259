//! A WebSocket: a stream that also takes messages from its peer.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::live::LiveKind;
use super::protocol::{OUTBOX_BYTES_ENOUGH, Protocol};
use super::session::StreamSession;
use super::state::State;
use super::talk::Talk;
use crate::app::{Encoding, Reply, Socket, Upgrade};
use crate::net::call::Call;
use crate::net::exchange::Exchange;
use crate::net::service::Service;
use crate::reactor::Reason;
use crate::websocket::{self, Heard, Message, Violation};

impl Protocol {
    /// Becomes a WebSocket, or answers why it cannot.
    pub(super) fn upgrade(
        &mut self,
        upgrade: Upgrade,
        exchange: Exchange,
        call: &mut Call<'_, '_>,
    ) {
        let Upgrade {
            head,
            conversation,
            message_bytes_max,
            caller,
            events,
        } = upgrade;
        if let Some((_, session)) = caller
            && !self.opens(session, &exchange, call)
        {
            return;
        }
        self.begin(&head, &exchange, call);
        let feed = events.map(|(interest, since)| {
            call.service
                .follow(call.turn.token(), Encoding::WebSocket, interest, since)
        });
        let session = caller.map(|caller| StreamSession::new(caller, call));
        let talk = Talk::new(conversation, message_bytes_max, call.turn.current_label());
        self.go_live(session, feed, LiveKind::WebSocket(Box::new(talk)), call);
    }

    /// Takes what a stream's peer sent: messages on a WebSocket; on any other stream the bytes are
    /// ignored. Returns how many bytes were used.
    pub(super) fn hear(
        &mut self,
        input: &[u8],
        budget: &mut usize,
        call: &mut Call<'_, '_>,
    ) -> usize {
        if !self.session_holds(call) {
            return input.len(); // its session has ended
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
            call.turn.label(talk.label);
            let out = self.outbox.buffer(&mut call.service.writer.buffers);
            match talk.incoming.next(&mut rest, out) {
                Ok(None) => break,
                Ok(Some(Heard::Pong)) => talk.pinged = None,
                Ok(Some(Heard::Closed)) => {
                    self.hang_up(Reason("closed by the peer"), call);
                }
                Ok(Some(Heard::Message(message))) => {
                    *budget -= 1;
                    self.converse(message, call);
                }
                Err(Violation { code, reason }) => {
                    log::debug!("{} broke the rules of WebSockets: {reason}", self.peer);
                    websocket::encode_close(code, reason, out);
                    self.hang_up(Reason(reason), call);
                }
            }
        }
        input.len() - rest.len()
    }

    /// Passes a message to the conversation.
    fn converse(&mut self, message: Message, call: &mut Call<'_, '_>) {
        let State::Live(live) = &mut self.state else {
            return;
        };
        let LiveKind::WebSocket(talk) = &mut live.kind else {
            return;
        };
        let Service { app, writer, .. } = &mut *call.service;
        let mut socket = Socket {
            id: live.token,
            user_id: live.session.as_ref().map(|session| session.user_id),
            feed: live.feed,
            out: self.outbox.buffer(&mut writer.buffers),
            replies: Vec::new(),
            close: None,
            cx: Service::context(app, call.turn),
        };
        let heard = catch_unwind(AssertUnwindSafe(|| {
            talk.conversation.heard(message, &mut socket);
        }));
        let Socket { replies, close, .. } = socket;
        if heard.is_err() {
            let detail = format!(
                "the handler of {} panicked",
                call.turn.ledger().name(talk.label)
            );
            app.report("handler_panicked", detail, call.turn.unix_ms());
            websocket::encode_close(
                websocket::INTERNAL_ERROR,
                "the server failed",
                self.outbox.buffer(&mut writer.buffers),
            );
            return self.hang_up(Reason("its handler panicked"), call);
        }
        for reply in replies {
            let token = call.turn.token();
            talk.owes(call.service.submit_all(reply, Some(token), call.turn));
        }
        let out = self.outbox.buffer(&mut call.service.writer.buffers);
        talk.answer(call.turn.now(), out);
        if let Some((code, reason)) = close {
            let out = self.outbox.buffer(&mut call.service.writer.buffers);
            websocket::encode_close(code, &reason, out);
            self.hang_up(Reason("closed by its handler"), call);
        }
    }

    /// Sends the body of a reply that the conversation has waited for.
    pub(super) fn send_reply(&mut self, reply: &Reply, call: &mut Call<'_, '_>) {
        let State::Live(live) = &mut self.state else {
            return;
        };
        if let LiveKind::WebSocket(talk) = &mut live.kind
            && live.ending.is_none()
        {
            talk.has_ready(reply);
            let out = self.outbox.buffer(&mut call.service.writer.buffers);
            talk.answer(call.turn.now(), out);
        }
    }

    /// Ends a WebSocket whose close frame is in the outbox: no event may follow it.
    pub(super) fn hang_up(&mut self, reason: Reason, call: &mut Call<'_, '_>) {
        let State::Live(live) = &mut self.state else {
            return;
        };
        live.ending = Some(Box::new((call.turn.now(), reason)));
        if let Some(feed) = live.feed.and_then(|feed| call.service.app.hub.feed(feed)) {
            feed.stop();
        }
    }
}
