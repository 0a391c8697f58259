//! How a server ends: it drains, or hands over to another process.

use super::clients::HandedOver;
use super::lifecycle::{Ending, Lifecycle};
use super::message::Message;
use super::service::Service;
use crate::app::Reply;
use crate::http::Fault;
use crate::reactor::Turn;

impl Service {
    /// Begins to shut down: no new client is admitted, and requests under way are finished.
    pub fn drain(&mut self, turn: &mut Turn<'_, Message>) {
        if !self.lifecycle.is_draining() {
            log::info!("draining: open connections: {}", self.clients.open);
            self.app.draining = true;
            self.end_with(Lifecycle::Draining, turn);
        }
    }

    /// Begins to hand over to another process: requests under way are finished, and connections without a
    /// request are handed over as they are.
    pub fn hand_over(&mut self, turn: &mut Turn<'_, Message>) {
        if self.lifecycle == Lifecycle::Serving {
            log::info!("handing over: open connections: {}", self.clients.open);
            self.end_with(Lifecycle::HandingOver, turn);
        }
    }

    fn end_with(&mut self, life: fn(Ending) -> Lifecycle, turn: &mut Turn<'_, Message>) {
        self.lifecycle = life(Ending::begun(turn.now()));
        self.app.end_announced = false;
        let data = serde_json::json!({ "restarting": self.lifecycle.is_handing_over() });
        self.app.announce("server.draining", data, turn.unix_ms());
        turn.broadcast(|| Message::Drain);
    }

    /// The event that announces the shutdown has been delivered: streams have nothing more to wait for.
    #[cold]
    pub(super) fn end_streams(&mut self, turn: &mut Turn<'_, Message>) {
        self.app.end_announced = false;
        if let Lifecycle::Draining(ending) | Lifecycle::HandingOver(ending) = &mut self.lifecycle {
            ending.announced = true;
            turn.broadcast(|| Message::EndAnnounced);
        }
    }

    /// Another process has waited for this one long enough: requests that wait for a worker are answered that
    /// they were not done. A request that waits for the disk may be done already, and is finished.
    pub(super) fn give_up_jobs(&mut self, turn: &mut Turn<'_, Message>) {
        for connection in self.desk.give_up_jobs() {
            let answer = Reply::Now(Fault::RESTARTING.into());
            turn.send(connection, Message::Answer(answer, None));
        }
    }

    /// The connections that another process is to take over.
    pub fn take_handed_over(&mut self) -> Vec<HandedOver> {
        std::mem::take(&mut self.clients.handed_over)
    }

    /// Whether shutting down, or handing over, is complete: no connection is open, no child runs, no job is under way, and
    /// everything that was confirmed is delivered.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        self.lifecycle.is_ending()
            && self.clients.open == 0
            && self.children.left == 0
            && self.desk.len() == 0
            && !self.app.hub.has_more()
    }
}
