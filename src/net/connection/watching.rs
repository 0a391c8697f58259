//! A connection of somebody who watches the loop.

use std::sync::Arc;

use super::live::{Live, LiveKind};
use super::{Connection, State};
use crate::http::{Response, Status};
use crate::net::exchange::Exchange;
use crate::net::message::Message;
use crate::net::service::Service;
use crate::net::watching::WATCHER_BYTES_MAX;
use crate::reactor::{Stream, Turn};

impl<T: Stream> Connection<T> {
    /// Begins to tell what happens, or answers why not.
    pub(super) fn watch(
        &mut self,
        greeting: Option<Arc<[u8]>>,
        exchange: &Exchange,
        service: &mut Service,
        turn: &mut Turn<'_, Message>,
    ) {
        if service.watchers.is_full() {
            let busy = Response::problem(
                Status::SERVICE_UNAVAILABLE,
                "busy",
                "as many as may are watching already; close another page",
            );
            let busy = busy.with_header("Retry-After", "1");
            return self.answer(&busy, exchange, service, turn);
        }
        let head = Response::text(Status::OK, "")
            .with_header("Content-Type", "text/event-stream")
            .no_store();
        self.begin(&head, exchange, service, turn);
        if exchange.head_only() {
            return self.after_answer(true, exchange.keep_alive, turn);
        }
        let own = service.begin_to_watch(turn);
        let out = self.outbox.buffer(&mut service.buffers);
        out.extend_from_slice(greeting.as_deref().unwrap_or(&own));
        self.state = State::Live(Box::new(Live {
            token: turn.token(),
            session: None,
            feed: None,
            quiet_since: turn.now(),
            ending: None,
            peer_ended: false,
            kind: LiveKind::Watch,
        }));
    }

    /// Tells what has happened, unless too much waits already.
    pub(super) fn tell(&mut self, batch: &[u8], service: &mut Service) {
        if let State::Live(live) = &self.state
            && live.ending.is_none()
            && self.outbox.len() + batch.len() <= WATCHER_BYTES_MAX
        {
            let out = self.outbox.buffer(&mut service.buffers);
            out.extend_from_slice(batch);
        }
    }
}
