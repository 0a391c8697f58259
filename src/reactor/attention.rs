//! Which phases of its loop a program observes.

use crate::ledger::Phase;

/// How much of a loop's turning its program looks at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Attention {
    /// Nothing: it is not asked.
    #[default]
    None,
    /// What happened in each turn.
    EachTurn,
    /// Each turn, and the loop before each of its phases. It may hold the loop there.
    EachPhase,
}

/// When a loop is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occasion {
    /// Before that phase, when nothing is under way.
    Before(Phase),
    /// In the events phase, when the events of this turn are delivered. What is told now arrives in this phase.
    Delivered,
}
