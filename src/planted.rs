//! Bugs that are planted on purpose, one at a time, to see whether the simulation finds them. Floor 0.
//!
//! Each is a bug that servers like this one have really had, at the place where it would be. Without the
//! feature `planted-bugs`, which only a test turns on, there is none: the check for a bug is a constant, and
//! compiles to nothing.

macro_rules! bugs {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// A planted bug.
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
    /// A connection whose budget ran out does not ask to be called again.
    LostAgain,
    /// The selector forgets the generation of a token: its reports about a source that has gone reach the next source
    /// in the same slot.
    ReusedToken,
    /// If the store's worker has several results for the loop, the last one is lost.
    DroppedCompletion,
    /// The deadline of a connection is not set again for its second and later requests.
    ForgottenTimer,
    /// The last byte of a short write is written again.
    SentTwice,
    /// If a peer takes nothing for a moment, the server assumes that it has received everything.
    LostWritable,
    /// Each byte of a head starts the head's deadline again.
    DripExtends,
    /// The next request is read while a worker has the previous one.
    ReadAhead,
    /// A client that has shut its side is treated as gone.
    HalfCloseEnds,
    /// The count of an address's connections does not fall when one closes.
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
    /// Events that are left when a subscriber goes are not counted.
    OffBalance,
    /// A subscriber that resumes gets the last event from the store again as the first live one.
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
    /// A session whose key has retired is still accepted.
    RetiredKey,
    /// All parallel guesses learn whether they were right.
    ToldAnyway,
    /// A failed login is stored with the typed name even if no user has it.
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
    /// Any user finds a session by its id.
    StrangersId,
    /// A poll never gives back its place among the readings of its session.
    KeptReading,
    /// `user.*` is treated as `user*`.
    LoosePrefix,
    /// A reader that resumes is not told that the store no longer has what it missed.
    TrimmedSilently,
    /// When a subscriber leaves, the events that were confirmed in that turn are not delivered at all.
    DeafHub,
    /// The store keeps one event less than it should.
    KeepsOneLess,
    /// A session that ends twice has two events.
    EndsTwice,
    /// If the commit of a group fails, its first transaction is not told so.
    UntoldFailure,
    /// The header of a signature names the algorithm `none`.
    AlgNone,
    /// Sessions whose key has retired are listed.
    ListsRetired,
    /// An event for another user is the publisher's own.
    ForOneself,
    /// A poll that was cut at its limit claims to have read to the end.
    SkippedRest,
    /// User names are compared without their case.
    AnyCase,
    /// A cache may keep the answer of `/verify`.
    Cacheable,
    /// The answer to HEAD has a body.
    HeadBody,
    /// The date of the first answer is the date of all.
    StandingClock,
    /// `Allow` leaves out HEAD.
    HeadUnsaid,
    /// A login that has to give way to others gets no answer.
    GaveWayUntold,
    /// A client that meets a full disk is told to wait for more than an hour.
    LongRetry,
}

#[cfg(feature = "planted-bugs")]
thread_local! {
    static PLANTED: std::cell::Cell<Option<Bug>> = const { std::cell::Cell::new(None) };
}

/// From now on, this thread has that bug and no other.
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
