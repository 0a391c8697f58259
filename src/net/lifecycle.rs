//! The life of a server: it serves, then drains or hands over to another process.

use std::time::Duration;

use crate::reactor::Moment;

/// How long an idle connection may still send a request after draining began: closing it at once
/// would race with a request that is on its way.
const DRAIN_GRACE: Duration = Duration::from_millis(250);

/// How long streams wait at most for the event that announces the shutdown: the disk may be slow.
const STREAMS_GRACE: Duration = Duration::from_millis(1500);

/// How long a handover takes at most: after that, this process has ended everything. Clients that connect
/// meanwhile have to wait for it.
const HANDOVER_TIME: Duration = Duration::from_secs(2);
/// Requests that have not arrived after this part of the time are given up; the rest is for telling their clients.
const HANDOVER_PATIENCE: Duration = Duration::from_millis(1500);
const _: () = assert!(HANDOVER_PATIENCE.as_millis() < HANDOVER_TIME.as_millis());

/// How long a child process that is to end may take after its stdin was closed, and again after SIGTERM.
const CHILD_GRACE: Duration = Duration::from_secs(2);
/// The same in a handover: both steps together fit into [`HANDOVER_TIME`].
const CHILD_GRACE_HANDOVER: Duration = Duration::from_millis(900);

/// Whether the server is shutting down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifecycle {
    /// It is not shutting down.
    Serving,
    /// It shuts down for good: requests under way are finished.
    Draining(Ending),
    /// Another process takes over.
    HandingOver(Ending),
}

/// A shutdown or handover that has begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ending {
    since: Moment,
    /// Streams have been told, or cannot be told.
    pub(super) announced: bool,
}

impl Ending {
    /// An end that no stream has been told of yet.
    pub(super) fn begun(since: Moment) -> Self {
        let announced = false;
        Self { since, announced }
    }
}

impl Lifecycle {
    /// Whether the server is shutting down for good.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        matches!(self, Self::Draining(_))
    }

    /// Whether no new client is admitted and nothing new is begun.
    #[must_use]
    pub fn is_ending(&self) -> bool {
        *self != Self::Serving
    }

    /// Whether another process is to take over.
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

    /// When streams end. Unlike requests they never finish by themselves, so they end as soon as they have been told.
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

    /// When requests that have not fully arrived are given up.
    pub(super) fn busy_until(&self) -> Moment {
        match *self {
            Self::HandingOver(Ending { since, .. }) => since + HANDOVER_PATIENCE,
            _ => Moment::NEVER,
        }
    }

    /// When connections are cut in any state, and jobs are given up, because another process waits.
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
