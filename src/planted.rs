//! Bugs that are planted on purpose, one at a time, to see whether the simulation finds them. Floor 0.
//!
//! Each is one of the mistakes that servers like this one have really made, at the place where it would
//! be made. Without the feature `planted-bugs`, which only a test turns on, there is none: what asks for
//! one is a constant, and compiles to nothing.

macro_rules! bugs {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// A mistake.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Bug {
            $($(#[$doc])* $name,)*
        }

        impl Bug {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name),*];
        }
    };
}

bugs! {
    /// A connection whose budget ran out does not ask to be asked again.
    LostAgain,
    /// The selector forgets the generation of a token: what it says of a source that has gone is said of the next one
    /// in the same slot.
    ReusedToken,
    /// Of several results that the store's worker has for the loop, the last is thrown away.
    DroppedCompletion,
    /// From a connection's second request on its deadline is not set again.
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
    /// A session that ends leaves its streams open.
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
    /// A logout everywhere forgets the logins that were confirmed meanwhile.
    LateLoginsStay,
    /// A logout leaves the cookie in the browser.
    CookieStays,
    /// Of two different cookies the first one counts.
    FirstCookie,
    /// Scripts may read the cookie.
    OpenCookie,
    /// A page of a sibling site counts as a page of this one.
    SiblingSite,
    /// A session whose key has retired still opens what it opened.
    RetiredKey,
    /// Guesses in parallel are all told whether they were right.
    ToldAnyway,
    /// A failed login is remembered with what was typed, although it is no user's name.
    KeptTypo,
    /// A failed login counts for ever.
    NoWindow,
    /// Each refusal is as long as the first.
    NeverLonger,
    /// A good login does not clear the failures of its name.
    NeverForgives,
    /// Times of last use are taken out of the table and never written.
    LostTouches,
    /// A session that ends leaves the heap of expiry times out of order.
    LostExpiry,
    /// Use prolongs a session beyond its absolute end.
    EndlessByUse,
    /// A session is found by its id, whoever asks.
    StrangersId,
    /// A poll never gives back its place among the readings of its session.
    KeptReading,
    /// `user.*` is taken for `user*`.
    LoosePrefix,
    /// A reader that resumes is not told that the store no longer has what it missed.
    TrimmedSilently,
    /// When a subscriber leaves, what was confirmed in that turn is delivered to nobody.
    DeafHub,
    /// The store keeps one event less than it should.
    KeepsOneLess,
    /// A session that ends twice has two events.
    EndsTwice,
    /// Of a group whose commit failed, the first is not told so.
    UntoldFailure,
    /// A signature says that it needs none.
    AlgNone,
    /// Sessions whose key has retired are listed.
    ListsRetired,
    /// An event for another user is the publisher's own.
    ForOneself,
    /// A poll that was cut at its limit says that it has read to the end.
    SkippedRest,
    /// User names are compared without their case.
    AnyCase,
    /// A cache may keep what `/verify` said.
    Cacheable,
    /// The answer to HEAD has a body.
    HeadBody,
    /// The date of the first answer is the date of all.
    StandingClock,
    /// `Allow` leaves out HEAD.
    HeadUnsaid,
    /// A login that has to give way to others is not told so.
    GaveWayUntold,
    /// A client that meets a full disk is sent away for more than an hour.
    LongRetry,
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
