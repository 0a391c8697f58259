//! What sources are, and how they describe themselves.

use super::clock::Moment;
use super::seams::Peer;
use super::slots::Token;
use crate::ledger::Label;

/// The kind of a source, for the ledger and for observers of the loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    /// A word: `connection`, `listener`.
    pub name: &'static str,
    /// Sources of this kind belong to observers of the loop: what they do is not the server's own work, and is
    /// marked so.
    pub observes: bool,
}

impl Kind {
    /// A kind that does the program's own work.
    #[must_use]
    pub const fn of(name: &'static str) -> Self {
        let observes = false;
        Self { name, observes }
    }

    /// A kind that belongs to observers of the loop.
    #[must_use]
    pub const fn observer(name: &'static str) -> Self {
        let observes = true;
        Self { name, observes }
    }
}

/// How a source describes itself to observers of the loop.
#[derive(Clone, Debug, Default)]
pub struct Description {
    /// The peer at the other end.
    pub peer: Option<Peer>,
    /// What it is doing, in a word; empty if there is nothing to say.
    pub state: &'static str,
    /// The label of what it did last, or is doing now.
    pub label: Label,
    /// When it was opened.
    pub opened: Moment,
    /// Since when it has been idle, if it is.
    pub idle_since: Option<Moment>,
    /// Bytes that were read.
    pub bytes_in: u64,
    /// Bytes that were written.
    pub bytes_out: u64,
    /// Bytes that wait to be written.
    pub outbox: usize,
}

/// A source, and what it says of itself.
#[derive(Clone, Debug)]
pub struct SourceInfo {
    /// Its name.
    pub token: Token,
    /// What it is.
    pub kind: Label,
    /// Its description of itself.
    pub description: Description,
}
