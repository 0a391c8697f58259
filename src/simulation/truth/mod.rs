//! What must be true, kept separate from the server: from the requests of clients, their answers, and the
//! contents of the disk.
//!
//! `sessions` has the states that a session must have; `history` what the events on the disk say about sessions,
//! and which events there may be at all; `follower` what a subscriber must receive; `attempts` which logins the
//! throttle must refuse and which it must not.

mod attempts;
mod events;
mod follower;
mod history;
mod places;
mod sessions;

pub(super) use attempts::{At, Attempts, LoginOutcome};
pub(super) use events::{Events, Fact};
pub(super) use follower::Follower;
pub(super) use history::{Causes, End, Guesses, History, Published, expiries};
pub(super) use places::Places;
pub(super) use sessions::{Claims, Known, Lasting, Must, Standing};

/// Seconds by which the server and the world may see the same second differently.
pub(super) const SLACK_S: i64 = 2;

/// The wall clock while something was under way, in seconds since 1970.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    pub(in crate::simulation) min_s: i64,
    pub(in crate::simulation) max_s: i64,
}

impl Span {
    /// Whether it includes that time, within the difference that server and world may have.
    pub(in crate::simulation) fn has(self, time_s: i64) -> bool {
        (self.min_s - SLACK_S..=self.max_s + SLACK_S).contains(&time_s)
    }

    pub(in crate::simulation) fn include(&mut self, other: Self) {
        self.min_s = self.min_s.min(other.min_s);
        self.max_s = self.max_s.max(other.max_s);
    }
}
