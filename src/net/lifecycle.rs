//! The life of a server: it serves, then drains or leaves everything to another process.

use std::time::Duration;

use super::clients::Passed;
use super::service::Service;
use crate::app::Reply;
use crate::http::Fault;
use crate::net::message::Message;
use crate::reactor::{Moment, Turn};

/// How long an idle connection may still send a request after draining began: closing at once
/// would race with a request that is on its way.
const DRAIN_GRACE: Duration = Duration::from_millis(250);

/// How long streams wait at most for the event that tells of the end: the disk may be slow.
const STREAMS_GRACE: Duration = Duration::from_millis(1500);

/// When another process is to go on, everything of this one is over after so long: those who connect meanwhile
/// wait for it.
const HANDOVER_TIME: Duration = Duration::from_secs(2);
/// Requests that have not arrived after so much of it are given up; the rest of the time is for telling that.
const HANDOVER_PATIENCE: Duration = Duration::from_millis(1500);
const _: () = assert!(HANDOVER_PATIENCE.as_millis() < HANDOVER_TIME.as_millis());

/// How long a child process that is to end may take to see that its stdin has ended, and then SIGTERM.
const CHILD_GRACE: Duration = Duration::from_secs(2);
/// The same when another process is to go on: both together fit into [`HANDOVER_TIME`].
const CHILD_GRACE_HANDOVER: Duration = Duration::from_millis(900);

/// Whether the server is shutting down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// It is not.
    Serving,
    /// For good: what is under way is finished.
    Draining(Ending),
    /// Another process goes on.
    HandingOver(Ending),
}

/// An end that has begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ending {
    since: Moment,
    /// Streams have been told of it, or cannot be.
    announced: bool,
}

impl Life {
    /// Whether the server is shutting down for good.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        matches!(self, Self::Draining(_))
    }

    /// Whether no new client comes in, and nothing new is begun.
    #[must_use]
    pub fn is_ending(&self) -> bool {
        *self != Self::Serving
    }

    /// Whether another process is to go on.
    #[must_use]
    pub fn is_handing_over(&self) -> bool {
        matches!(self, Self::HandingOver(_))
    }

    /// When idle connections are closed because the server is shutting down.
    pub(super) fn idle_until(&self) -> Moment {
        match *self {
            Self::Serving => Moment::NEVER,
            Self::Draining(Ending { since, .. }) | Self::HandingOver(Ending { since, .. }) => {
                since + DRAIN_GRACE
            }
        }
    }

    /// When streams end, which other than requests are never finished: as soon as they have been told.
    pub(super) fn streams_until(&self) -> Moment {
        match *self {
            Self::Serving => Moment::NEVER,
            Self::Draining(ending) | Self::HandingOver(ending) => {
                let grace = if ending.announced {
                    Duration::ZERO
                } else {
                    STREAMS_GRACE
                };
                ending.since + grace
            }
        }
    }

    /// When requests are given up that have not arrived.
    pub(super) fn busy_until(&self) -> Moment {
        match *self {
            Self::HandingOver(Ending { since, .. }) => since + HANDOVER_PATIENCE,
            _ => Moment::NEVER,
        }
    }

    /// When connections are cut, whatever they are about, and jobs are given up: another process waits.
    pub(super) fn cut_at(&self) -> Moment {
        match *self {
            Self::HandingOver(Ending { since, .. }) => since + HANDOVER_TIME,
            _ => Moment::NEVER,
        }
    }

    /// How long a child process may take for each step towards its end.
    pub(super) fn child_grace(&self) -> Duration {
        match *self {
            Self::HandingOver(_) => CHILD_GRACE_HANDOVER,
            _ => CHILD_GRACE,
        }
    }
}

impl Service {
    /// Begins to shut down: no new client comes in, what is under way is finished.
    pub fn drain(&mut self, turn: &mut Turn<'_, Message>) {
        if !self.life.is_draining() {
            log::info!("draining: open connections: {}", self.clients.open);
            self.app.draining = true;
            self.end_with(Life::Draining, turn);
        }
    }

    /// Begins to leave everything to another process: requests under way are finished, and connections
    /// that have none are given up as they are.
    pub fn hand_over(&mut self, turn: &mut Turn<'_, Message>) {
        if self.life == Life::Serving {
            log::info!("handing over: open connections: {}", self.clients.open);
            self.end_with(Life::HandingOver, turn);
        }
    }

    fn end_with(&mut self, life: fn(Ending) -> Life, turn: &mut Turn<'_, Message>) {
        self.life = life(Ending {
            since: turn.now(),
            announced: false,
        });
        self.app.end_announced = false;
        let data = serde_json::json!({ "restarting": self.life.is_handing_over() });
        self.app.announce("server.draining", data, turn.unix_ms());
        turn.tell_all(|| Message::Drain);
    }

    /// The event that tells of the end has been delivered: streams have nothing more to wait for.
    #[cold]
    pub(super) fn end_streams(&mut self, turn: &mut Turn<'_, Message>) {
        self.app.end_announced = false;
        if let Life::Draining(ending) | Life::HandingOver(ending) = &mut self.life {
            ending.announced = true;
            turn.tell_all(|| Message::EndAnnounced);
        }
    }

    /// Another process waits for this one for long enough: requests that wait for a worker are answered that
    /// they were not done. One that waits for the disk may be done already, and is finished.
    pub(super) fn give_up_jobs(&mut self, turn: &mut Turn<'_, Message>) {
        for connection in self.desk.give_up_jobs() {
            let answer = Reply::Now(Fault::RESTARTING.into());
            turn.tell(connection, Message::Answer(answer));
        }
    }

    /// The connections that another process is to go on with.
    pub fn take_passed(&mut self) -> Vec<Passed> {
        std::mem::take(&mut self.clients.passed)
    }

    /// Whether shutting down, or handing over, is complete: no connection is open, no child runs, no job is under way, and
    /// everything that was confirmed is delivered.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        self.life.is_ending()
            && self.clients.open == 0
            && self.children.left == 0
            && self.desk.len() == 0
            && !self.app.hub.has_more()
    }
}
