//! What a source answers when it is called.

/// What a source wants next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Next {
    /// Drained. Wake me when the descriptor is ready again.
    Wait,
    /// Budget spent, work left: no new edge will come, so ask me again next turn.
    Again,
    /// I have ended. Free me when this turn is over.
    Close(Reason),
}

/// Why a source ended, in a few words for the log and the counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reason(pub &'static str);
