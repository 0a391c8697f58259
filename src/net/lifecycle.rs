//! The life of a server: it serves, then drains or hands over to another process.

use std::time::Duration;

use crate::reactor::Moment;

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
    pub(super) announced: bool,
}

impl Ending {
    /// One of which no stream has been told yet.
    pub(super) fn begun(since: Moment) -> Self {
        let announced = false;
        Self { since, announced }
    }
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
