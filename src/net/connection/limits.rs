//! How much of the shared resources one peer may take.

use super::live::LiveKind;
use super::protocol::Protocol;
use super::state::{Flow, State};
use crate::http::{Fault, Response, Status};
use crate::ledger::Limit;
use crate::net::buffers::NEW_BYTES;
use crate::net::call::Call;
use crate::net::exchange::End;
use crate::net::service::Service;
use crate::reactor::{Next, Reason};
use crate::websocket;

impl Protocol {
    /// Whether as much is reserved as when it was last counted.
    #[inline]
    pub(super) fn reserves_as_before(&self) -> bool {
        self.reserved_bytes() == self.reserved
    }

    /// Bytes that are reserved for an incomplete request or message.
    #[inline]
    fn reserved_bytes(&self) -> u32 {
        let in_parts = match &self.state {
            State::Body { body, .. } => body.held(),
            State::Live(live) => match &live.kind {
                LiveKind::WebSocket(talk) => talk.held(),
                LiveKind::Sse | LiveKind::Watch => 0,
            },
            _ => 0,
        };
        (self.inbox.capacity() + in_parts) as u32 + self.link.held
    }

    /// Brings the sum over all connections up to date.
    pub(super) fn count_reserved(&mut self, service: &mut Service) {
        let reserved = self.reserved_bytes();
        let before = std::mem::replace(&mut self.reserved, reserved);
        service.clients.unfinished_bytes -= before as usize;
        service.clients.unfinished_bytes += self.reserved as usize;
    }

    /// Called after a step that changed how much is held. If this connection holds more than before, and all
    /// together hold more than the server has room for, this connection is ended: a client that sends each request
    /// in one piece holds nothing, and is always served.
    #[cold]
    pub(super) fn reserves_otherwise(&mut self, next: Next, call: &mut Call<'_, '_>) -> Flow {
        let before = self.reserved;
        self.count_reserved(call.service);
        let over = call.service.clients.unfinished_bytes
            > call.service.app.config.limits.unfinished_bytes_max;
        if self.reserved < before || !over || matches!(next, Next::Close(_)) {
            return next.into();
        }
        call.turn.ledger().limit_reached(Limit::UnfinishedBytes);
        if self.link.is_handshaking {
            return Next::Close(Reason("no room for its handshake")).into(); // it cannot be answered yet
        }
        match &mut self.state {
            State::Idle { .. } | State::Head { .. } | State::Body { .. } => {
                self.answer_fault(Fault::OVERLOADED, call);
            }
            State::Live(_) => {
                let words = "too many messages are on their way in pieces";
                let out = self.outbox.buffer(&mut call.service.writer.buffers);
                websocket::encode_close(websocket::TRY_AGAIN_LATER, words, out);
                self.hang_up(Reason("no room for its message"), call);
            }
            // It has sent bytes ahead that cannot be handled yet.
            _ => return Next::Close(Reason("no room for what it sent ahead")).into(),
        }
        call.service
            .writer
            .buffers
            .give_back(std::mem::take(&mut self.inbox));
        self.count_reserved(call.service);
        Flow::On
    }

    /// Brings the sum of the bytes that wait for all peers up to date. Bytes that are written in the turn in which they
    /// were made never wait.
    pub(super) fn count_waiting(&mut self, service: &mut Service) {
        let before = std::mem::replace(&mut self.waiting, self.outbox.len() as u32);
        service
            .app
            .hub
            .waiting()
            .change(before as usize, self.waiting as usize);
    }

    /// Whether more bytes wait for all peers than the server has room for, and this peer takes more than its share. An
    /// answer that fits into one buffer is never too much.
    pub(super) fn has_more_than_its_share_waiting(&self, service: &Service) -> bool {
        let room = service.app.hub.waiting().room(service.clients.open);
        self.waiting as usize > room.max(NEW_BYTES)
    }

    /// Tells a peer that its network has too many connections, and ends this one. The server does not wait for the
    /// peer's end: that would let the network have more connections.
    pub(super) fn refuse(&mut self, call: &mut Call<'_, '_>) -> Flow {
        call.turn
            .ledger()
            .limit_reached(Limit::ConnectionsPerAddress);
        let reason = Reason("too many connections of its address");
        if self.link.is_secure {
            return Next::Close(reason).into(); // an answer would need a handshake
        }
        let detail =
            "as many connections as one address may have are open; use those, or close some";
        let answer = Response::problem(Status::TOO_MANY_REQUESTS, "too_many_connections", detail)
            .with_header("Retry-After", "1");
        let exchange = self.no_exchange(reason, call);
        self.answer(&answer, &exchange, call);
        let linger = false;
        self.enter(State::Closing(End { reason, linger }), call.service);
        Flow::On
    }
}
