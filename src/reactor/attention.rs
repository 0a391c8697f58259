//! Which phases of its loop a program observes.

use crate::ledger::Phase;

/// How closely a program observes its loop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Attention {
    /// Not at all: [`observe`](super::Program::observe) is not called.
    #[default]
    None,
    /// After each turn.
    EachTurn,
    /// After each turn, and before each phase. The program may hold the loop there.
    EachPhase,
}

/// The moment at which a loop is observed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occasion {
    /// Before that phase, when nothing is under way.
    Before(Phase),
    /// In the events phase, when the events of this turn are delivered. Messages sent now arrive in this phase.
    Delivered,
}
