//! A connection that watches the loop.

use std::sync::Arc;

use super::live::LiveKind;
use super::protocol::Protocol;
use super::state::State;
use crate::http::{Response, Status};
use crate::net::call::Call;
use crate::net::exchange::Exchange;
use crate::net::observers::WATCHER_BYTES_MAX;
use crate::net::service::Service;

impl Protocol {
    /// Begins to send what happens in the loop, or answers why it cannot.
    pub(super) fn watch(
        &mut self,
        greeting: Option<Arc<[u8]>>,
        exchange: &Exchange,
        call: &mut Call<'_, '_>,
    ) {
        if call.service.observers.has_all_watchers() {
            let detail = "as many as may are watching already; close another page";
            return self.answer_busy(detail, exchange, call);
        }
        let head = Response::text(Status::OK, "")
            .with_header("Content-Type", "text/event-stream")
            .no_store();
        self.begin(&head, exchange, call);
        if exchange.head_only() {
            return self.after_answer(true, exchange, call);
        }
        call.service.take_vitals();
        let Service { observers, app, .. } = &mut *call.service;
        let own = observers.begin_to_watch(app, call.turn);
        let out = self.outbox.buffer(&mut call.service.writer.buffers);
        out.extend_from_slice(greeting.as_deref().unwrap_or(&own));
        self.go_live(None, None, LiveKind::Watch, call);
    }

    /// Sends what has happened, unless too much waits already.
    pub(super) fn send_batch(&mut self, batch: &[u8], call: &mut Call<'_, '_>) {
        if let State::Live(live) = &self.state
            && live.ending.is_none()
            && self.outbox.len() + batch.len() <= WATCHER_BYTES_MAX
        {
            let out = self.outbox.buffer(&mut call.service.writer.buffers);
            out.extend_from_slice(batch);
        }
    }
}
