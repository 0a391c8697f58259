//! Bugs that are planted on purpose, one at a time, to see whether the simulation finds them. Floor 0.
//!
//! Each is one of the mistakes that servers like this one have really made, at the place where it would
//! be made. Without the feature `planted-bugs`, which only a test turns on, there is none: what asks for
//! one is a constant, and compiles to nothing.

/// A mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// A source whose budget ran out is not asked again.
    LostAgain,
    /// A slot is given to the next source under the same token.
    ReusedToken,
    /// Of several results that wait, the last is thrown away.
    DroppedCompletion,
    /// A timer that fires early, since its deadline was moved, is not armed again.
    ForgottenTimer,
    /// The last byte of a short write is written again.
    SentTwice,
    /// A peer that takes nothing for a moment is taken for one that has everything.
    LostWritable,
    /// Each byte of a head begins the patience with it anew.
    DripExtends,
    /// The next request is read while a worker has the one before.
    ReadAhead,
    /// Whoever has shut their side is taken for gone.
    HalfCloseEnds,
    /// What an address has open is not counted down when it closes.
    KeptCount,
    /// A session leaves the table before its end is on disk.
    EndedEarly,
    /// A login is confirmed although its commit has failed.
    ConfirmedAnyway,
    /// An expired session still counts.
    NeverExpires,
    /// A logout leaves the streams of its session open.
    StreamsStay,
    /// A login that no worker took keeps its place in the throttle.
    KeptPlace,
    /// A commit that fails uses event ids up.
    SkippedIds,
    /// A subscriber that is too slow is not told what it missed.
    SilentGap,
    /// Events that are left when a subscriber goes are in no account.
    OffBalance,
    /// Whoever resumes gets the event at the seam twice.
    ToldTwice,
}

impl Bug {
    /// All of them.
    pub const ALL: [Self; 19] = [
        Self::LostAgain,
        Self::ReusedToken,
        Self::DroppedCompletion,
        Self::ForgottenTimer,
        Self::SentTwice,
        Self::LostWritable,
        Self::DripExtends,
        Self::ReadAhead,
        Self::HalfCloseEnds,
        Self::KeptCount,
        Self::EndedEarly,
        Self::ConfirmedAnyway,
        Self::NeverExpires,
        Self::StreamsStay,
        Self::KeptPlace,
        Self::SkippedIds,
        Self::SilentGap,
        Self::OffBalance,
        Self::ToldTwice,
    ];
}

#[cfg(feature = "planted-bugs")]
thread_local! {
    static PLANTED: std::cell::Cell<Option<Bug>> = const { std::cell::Cell::new(None) };
}

/// From now on, this thread makes that mistake and no other.
#[cfg(feature = "planted-bugs")]
pub fn plant(bug: Option<Bug>) {
    PLANTED.set(bug);
}

/// Whether this thread makes that mistake.
#[cfg(feature = "planted-bugs")]
pub(crate) fn planted(bug: Bug) -> bool {
    PLANTED.get() == Some(bug)
}

/// Whether this thread makes that mistake.
#[cfg(not(feature = "planted-bugs"))]
#[inline]
pub(crate) const fn planted(_: Bug) -> bool {
    false
}
