//! How a server ends: it drains, or leaves everything to another process.

use std::time::Duration;

use super::service::{Message, Passed, Service};
use crate::reactor::{Moment, Seams, Turn};

/// How long an idle connection may still send a request after draining began: closing at once
/// would race with a request that is on its way.
const DRAIN_GRACE: Duration = Duration::from_millis(250);

/// How long a request may still be on its way, or an answer, when another process is to go on: those who
/// connect meanwhile wait for it.
const HANDOVER_PATIENCE: Duration = Duration::from_secs(2);

/// Whether the server is shutting down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Life {
    Serving,
    Draining {
        since: Moment,
    },
    /// Another process goes on.
    HandingOver {
        since: Moment,
    },
}

impl<S: Seams> Service<S> {
    /// Begins to shut down: nobody new comes in, what is under way is finished.
    pub fn drain(&mut self, turn: &mut Turn<'_, Self>) {
        if !self.is_draining() {
            log::info!("draining: {} connections are open", self.connections);
            self.app.draining = true;
            self.end_with(Life::Draining { since: turn.now() }, turn);
        }
    }

    /// Begins to leave everything to another process: requests under way are finished, and connections
    /// that have none are given up as they are.
    pub fn hand_over(&mut self, turn: &mut Turn<'_, Self>) {
        if self.life == Life::Serving {
            log::info!("handing over: {} connections are open", self.connections);
            self.end_with(Life::HandingOver { since: turn.now() }, turn);
        }
    }

    fn end_with(&mut self, life: Life, turn: &mut Turn<'_, Self>) {
        self.life = life;
        let data = serde_json::json!({ "restarting": self.is_handing_over() });
        self.app.announce("server.draining", data, turn.unix_ms());
        turn.tell_all(|| Message::Drain);
    }

    /// Whether the server is shutting down for good.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        matches!(self.life, Life::Draining { .. })
    }

    /// Whether nobody new comes in, and nothing new is begun.
    #[must_use]
    pub fn is_ending(&self) -> bool {
        self.life != Life::Serving
    }

    /// Whether another process is to go on.
    #[must_use]
    pub fn is_handing_over(&self) -> bool {
        matches!(self.life, Life::HandingOver { .. })
    }

    /// The connections that another process is to go on with.
    pub fn take_passed(&mut self) -> Vec<Passed> {
        std::mem::take(&mut self.passed)
    }

    /// Whether shutting down, or handing over, is complete: no connection is open, no child runs, no job is under way, and
    /// everything that was confirmed is delivered.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        self.is_ending()
            && self.connections == 0
            && self.children_left == 0
            && self.pending.is_empty()
            && !self.app.hub.has_more()
    }

    /// When idle connections are closed because the server is shutting down.
    pub(super) fn idle_until(&self) -> Moment {
        match self.life {
            Life::Serving => Moment::NEVER,
            Life::Draining { since } | Life::HandingOver { since } => since + DRAIN_GRACE,
        }
    }

    /// When streams end, which other than requests are never finished.
    pub(super) fn streams_until(&self) -> Moment {
        match self.life {
            Life::HandingOver { since } => since,
            _ => self.idle_until(),
        }
    }

    /// When connections are cut that have something under way.
    pub(super) fn busy_until(&self) -> Moment {
        match self.life {
            Life::HandingOver { since } => since + HANDOVER_PATIENCE,
            _ => Moment::NEVER,
        }
    }
}
