//! What one peer may not take of what is there for all.

use super::live::LiveKind;
use super::{Connection, State};
use crate::http::{Fault, Response, Status};
use crate::ledger::Limit;
use crate::net::buffers::NEW_BYTES;
use crate::net::exchange::Exchange;
use crate::net::message::Message;
use crate::net::service::Service;
use crate::reactor::{Next, Reason, Stream, Turn};
use crate::websocket;

impl<T: Stream> Connection<T> {
    /// Bytes that are held of what is not whole.
    #[inline]
    pub(super) fn held(&self) -> u32 {
        let in_parts = match &self.state {
            State::Body { body, .. } => body.held(),
            State::Live(live) => match &live.kind {
                LiveKind::WebSocket(talk) => talk.held(),
                LiveKind::Sse | LiveKind::Watch => 0,
            },
            _ => 0,
        };
        (self.inbox.capacity() + in_parts + self.stream.held_bytes()) as u32
    }

    /// Brings the sum over all connections up to date.
    pub(super) fn count_held(&mut self, service: &mut Service) {
        let held = self.held();
        let before = std::mem::replace(&mut self.counted, held);
        service.clients.unfinished_bytes -= before as usize;
        service.clients.unfinished_bytes += self.counted as usize;
    }

    /// After a step that changed how much is held. If it is more, and all together hold more than the
    /// server has room for, this peer is the one who goes: whoever sends a request in one piece holds
    /// nothing, and is served all the time.
    #[cold]
    pub(super) fn holds_otherwise(
        &mut self,
        next: Next,
        service: &mut Service,
        turn: &mut Turn<'_, Message>,
    ) -> Next {
        let before = self.counted;
        self.count_held(service);
        let over =
            service.clients.unfinished_bytes > service.app.config.limits.unfinished_bytes_max;
        if self.counted < before || !over || matches!(next, Next::Close(_)) {
            return next;
        }
        turn.ledger().limit_reached(Limit::UnfinishedBytes);
        if self.stream.is_handshaking() {
            return Next::Close(Reason("no room for its handshake")); // it cannot be told
        }
        match &mut self.state {
            State::Idle { .. } | State::Head { .. } | State::Body { .. } => {
                self.answer_fault(Fault::OVERLOADED, service, turn);
            }
            State::Live(_) => {
                let words = "too many messages are on their way in pieces";
                let out = self.outbox.buffer(&mut service.buffers);
                websocket::encode_close(websocket::TRY_AGAIN_LATER, words, out);
                self.hang_up(Reason("no room for its message"), service, turn);
            }
            // It has sent ahead what nobody can look at yet.
            _ => return Next::Close(Reason("no room for what it sent ahead")),
        }
        service.buffers.give_back(std::mem::take(&mut self.inbox));
        self.count_held(service);
        self.settle(service, turn)
    }

    /// Brings the sum of what waits for all peers up to date. What is written in the turn in which it was made never
    /// waits.
    pub(super) fn count_waiting(&mut self, service: &mut Service) {
        let before = std::mem::replace(&mut self.waiting, self.outbox.len() as u32);
        service
            .app
            .hub
            .waiting()
            .change(before as usize, self.waiting as usize);
    }

    /// Whether more waits for all peers than the server has room for, and this one has the room of several. An answer
    /// that fits into one buffer is not much for any of them.
    pub(super) fn has_more_than_its_share_waiting(&self, service: &Service) -> bool {
        let room = service.app.hub.waiting().room(service.clients.open);
        self.waiting as usize > room.max(NEW_BYTES)
    }

    /// Tells a peer whose network has too many connections, and ends this one. It is not waited for:
    /// that would let them have more.
    pub(super) fn refuse(&mut self, service: &mut Service, turn: &mut Turn<'_, Message>) -> Next {
        turn.ledger().limit_reached(Limit::ConnectionsPerAddress);
        let reason = Reason("too many connections of its address");
        if self.stream.is_secure() {
            return Next::Close(reason); // to tell it would take a handshake
        }
        self.state = State::Closing {
            reason,
            linger: false,
        };
        let detail =
            "as many connections as one address may have are open; use those, or close some";
        let answer = Response::problem(Status::TOO_MANY_REQUESTS, "too_many_connections", detail)
            .with_header("Retry-After", "1");
        let exchange = Exchange::unknown(service.clients.timed, turn.now());
        self.answer(&answer, &exchange, service, turn);
        self.settle(service, turn)
    }
}
