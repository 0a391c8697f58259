//! The steps of a turn.

/// A named step of a turn, in the order in which a turn takes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Sleeps until something is due.
    Wait,
    /// Descriptors that can be read, written or accepted from.
    Readiness,
    /// Results from worker threads.
    Completions,
    /// Deadlines that have passed.
    Timers,
    /// Events that were emitted in this turn go to their subscribers.
    Events,
    /// Each outbox that got something is written once.
    Flush,
    /// Sources that ended are freed.
    Reap,
}

impl Phase {
    /// Phases in a turn.
    pub const COUNT: usize = 7;
    /// All of them, in order.
    pub const ALL: [Self; Self::COUNT] = [
        Self::Wait,
        Self::Readiness,
        Self::Completions,
        Self::Timers,
        Self::Events,
        Self::Flush,
        Self::Reap,
    ];

    /// The phase's name, as the docs write it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Wait => "wait",
            Self::Readiness => "readiness",
            Self::Completions => "completions",
            Self::Timers => "timers",
            Self::Events => "events",
            Self::Flush => "flush",
            Self::Reap => "reap",
        }
    }
}
