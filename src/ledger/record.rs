//! The records of the ledger: turns, dispatches, jobs.

use super::{Label, Phase};

/// One turn: when it was, how long each phase took, and how much each phase had to do.
#[derive(Clone, Copy, Debug, Default)]
pub struct TurnRecord {
    /// Counts turns from 1.
    pub number: u64,
    /// When the wait ended and the work began.
    pub began_ns: u64,
    /// Nanoseconds in each phase, by [`Phase::ALL`]'s order; the first is the sleep.
    pub phase_ns: [u64; Phase::COUNT],
    /// Pieces of work in each phase. For `wait`: how many sources were ready when it ended.
    pub counts: [u32; Phase::COUNT],
    /// The timeout of the wait, in nanoseconds: until the nearest deadline; [`u64::MAX`] for ever; 0 if a source still
    /// had work.
    pub timeout_ns: u64,
}

/// What a dispatched source wanted next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// To be woken by readiness.
    Wait,
    /// To be called again in the next turn: its budget ran out.
    Again,
    /// To be freed.
    Close,
    /// It continued under another label; the next record has the rest.
    Continued,
}

/// One dispatch of a source. Its turn follows from the records of turns.
#[derive(Clone, Copy, Debug)]
pub struct DispatchRecord {
    /// The source's token, as a number; `u32::MAX` for the program's own work.
    pub token: u64,
    /// When it began.
    pub began_ns: u64,
    /// How long it took.
    pub duration_ns: u64,
    /// The source's kind: `connection`, `listener`.
    pub kind: Label,
    /// What it did, if it is known: the route's name.
    pub label: Label,
    /// The phase in which it was.
    pub phase: Phase,
    /// What it wanted next.
    pub outcome: Outcome,
}

// One is written for every request.
const _: () = assert!(size_of::<DispatchRecord>() == 32, "two to a cache line");

/// Work that a worker has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JobRecord {
    /// The job's number, unique among the jobs under way.
    pub id: u64,
    /// What it was done for: the label of the dispatch that submitted it.
    pub label: Label,
    /// The worker's name.
    pub worker: Label,
    /// When it was submitted. It waited until it was started.
    pub submitted_ns: u64,
    /// When a worker began. Transactions of one group begin and end together.
    pub started_ns: u64,
    /// When the worker was done.
    pub finished_ns: u64,
    /// When the loop took the result.
    pub delivered_ns: u64,
}

/// A dispatch that held the loop.
#[derive(Clone, Copy, Debug)]
pub struct SlowRecord {
    /// The turn that it was in.
    pub turn: u64,
    /// What was dispatched.
    pub dispatch: DispatchRecord,
}
