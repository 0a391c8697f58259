//! What sources are, and what they say of themselves.

use super::clock::Moment;
use super::seams::Peer;
use super::slots::Token;
use crate::ledger::Label;

/// What a source is, for the ledger and for those who watch the loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    /// A word: `connection`, `listener`.
    pub name: &'static str,
    /// Sources of this kind belong to those who watch the loop: what they do is not the server's own work, and marked
    /// so.
    pub observes: bool,
}

impl Kind {
    /// One that does the program's own work.
    #[must_use]
    pub const fn of(name: &'static str) -> Self {
        let observes = false;
        Self { name, observes }
    }

    /// One that belongs to those who watch the loop.
    #[must_use]
    pub const fn observer(name: &'static str) -> Self {
        let observes = true;
        Self { name, observes }
    }
}

/// What a source says of itself to those who watch the loop.
#[derive(Clone, Debug, Default)]
pub struct Description {
    /// Who is at the other end.
    pub peer: Option<Peer>,
    /// What it is doing, in a word; empty if there is nothing to say.
    pub state: &'static str,
    /// What it was asked for last, or is doing now.
    pub label: Label,
    /// Since when it is there.
    pub opened: Moment,
    /// Since when nothing is expected of it, if nothing is.
    pub idle_since: Option<Moment>,
    /// Bytes that were read.
    pub bytes_in: u64,
    /// Bytes that were written.
    pub bytes_out: u64,
    /// Bytes that wait to be written.
    pub outbox: usize,
}

/// A source that was looked at.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Its name.
    pub token: Token,
    /// What it is.
    pub kind: Label,
    /// What it says.
    pub description: Description,
}
