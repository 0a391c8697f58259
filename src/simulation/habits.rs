//! What makes stories different, and the digest by which two are compared.

use std::fmt;

use super::themes::{ANY, THEMES, Theme};
use crate::reactor::fake::Chance;

/// The topic of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Topic {
    Health,
    Echo,
    Later,
    Stream,
    Panic,
    Garbage,
    Drip,
    Odd,
    Login,
    Guess,
    Session,
    List,
    Verify,
    Logout,
    Everywhere,
    Revoke,
    Publish,
    Poll,
    Follow,
}

use Topic::{
    Drip, Echo, Everywhere, Follow, Garbage, Guess, Health, Later, List, Login, Logout, Odd, Panic,
    Poll, Publish, Revoke, Session, Stream, Verify,
};

/// The default weight of each topic, in parts of their sum.
const WEIGHTS: [(Topic, usize); 19] = [
    (Health, 6),
    (Echo, 12),
    (Later, 6),
    (Stream, 4),
    (Panic, 2),
    (Garbage, 2),
    (Drip, 1),
    (Odd, 3),
    (Login, 14),
    (Guess, 3),
    (Session, 7),
    (List, 3),
    (Verify, 3),
    (Logout, 5),
    (Everywhere, 2),
    (Revoke, 4),
    (Publish, 12),
    (Poll, 5),
    (Follow, 11),
];

/// Topics that may be asked for most of the time. Some matter only if they are many at once: logins and the end of all
/// sessions, guesses by the dozen, a session that is ended while it is used.
const FAVOURITES: [&[Topic]; 10] = [
    &[Publish, Follow],
    &[Later, Stream],
    &[Login, Guess],
    &[Session, List, Verify, Logout, Everywhere, Revoke],
    &[Publish],
    &[Poll, Follow],
    &[Guess],
    &[Login, Everywhere],
    &[Session, Login, Revoke],
    &[Odd, Verify],
];

/// The habits of a story. If all stories were alike, bugs that need many requests of the same kind would never show
/// (Groce and others, Swarm Testing, ISSTA 2012).
#[derive(Clone, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "facts about a story that hold or not, each by itself"
)]
pub(super) struct Habits {
    /// The theme of the story, in addition to what all stories have.
    pub(super) theme: &'static Theme,
    /// Clients that have logged in when the story begins.
    pub(super) logged_in: usize,
    /// The weight of each topic.
    pub(super) weights: Vec<(Topic, usize)>,
    /// Some clients take nothing.
    pub(super) deaf: bool,
    /// Clients come and go.
    pub(super) restless: bool,
    /// Workers take their time.
    pub(super) slow_workers: bool,
    /// Nearly all logins are of one user.
    pub(super) one_user: Option<usize>,
    /// Most sessions are presented by the cookie.
    pub(super) cookies: bool,
    /// Keys are rotated now and then.
    pub(super) rotates: bool,
    /// Now and then, nothing happens for minutes.
    pub(super) patient: bool,
}

impl fmt::Display for Habits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sum: usize = self.weights.iter().map(|(_, weight)| weight).sum();
        let shares = self.weights.iter().filter(|(_, weight)| *weight > 0);
        let shares: Vec<String> = shares
            .map(|(topic, weight)| {
                let percent = (weight * 100 + sum / 2) / sum.max(1);
                format!("{} {percent}", format!("{topic:?}").to_lowercase())
            })
            .collect();
        if !self.theme.about.is_empty() {
            write!(f, "{} ", self.theme.about)?;
        }
        write!(f, "Of 100 requests: {}.", shares.join(", "))?;
        let habits = [
            (
                self.logged_in > 0,
                "Some clients have logged in at the beginning.",
            ),
            (self.theme.swift, "Nothing takes long."),
            (self.deaf, "Every third client takes nothing."),
            (self.restless, "Clients come and go."),
            (self.slow_workers, "Workers take their time."),
            (
                self.one_user.is_some(),
                "Nearly all logins are of one user.",
            ),
            (self.cookies, "Most sessions are shown by the cookie."),
            (self.rotates, "Keys are rotated."),
            (self.patient, "Now and then, nothing happens for minutes."),
        ];
        for (_, words) in habits.iter().filter(|(is, _)| *is) {
            write!(f, " {words}")?;
        }
        Ok(())
    }
}

impl Habits {
    pub(super) fn new(chance: &mut Chance, users: usize) -> Self {
        let theme = chance.one_in(4).then(|| chance.pick(&THEMES)).flatten();
        let favours = theme.is_none() && chance.one_in(2);
        let favourite = favours.then(|| chance.pick(&FAVOURITES).copied());
        let favourite = favourite.flatten().unwrap_or_default();
        let theme = theme.unwrap_or(&ANY);
        // Guesses at one name reach the limit sooner than at several, and again when time has passed.
        let guesses = favourite == [Guess];
        let mut weights = WEIGHTS.to_vec();
        let sum: usize = weights.iter().map(|(_, weight)| weight).sum();
        for (topic, weight) in &mut weights {
            if favourite.contains(topic) {
                // Half of all requests are one of these.
                *weight += sum / favourite.len();
            }
            let more = theme.asks.iter().find(|(asked, _)| asked == topic);
            *weight += more.map_or(0, |(_, more)| *more);
        }
        Self {
            theme,
            logged_in: chance.pick(theme.logged_in).copied().unwrap_or(0),
            weights,
            deaf: theme.deaf || chance.one_in(3),
            restless: theme.restless || chance.one_in(3),
            slow_workers: theme.slow_workers || chance.one_in(3),
            one_user: (theme.one_user || guesses || chance.one_in(3)).then(|| chance.below(users)),
            cookies: chance.one_in(3),
            rotates: theme.rotates || chance.one_in(3),
            patient: theme.patient || chance.one_in(if guesses { 2 } else { 4 }),
        }
    }

    /// The topic of the next request.
    pub(super) fn topic(&self, chance: &mut Chance) -> Topic {
        let sum: usize = self.weights.iter().map(|(_, weight)| weight).sum();
        let mut left = chance.below(sum);
        for (topic, weight) in &self.weights {
            match left.checked_sub(*weight) {
                Some(rest) => left = rest,
                None => return *topic,
            }
        }
        Health
    }
}

/// The digest of a story: a hash of all that clients received, of every turn and its time (FNV-1a).
#[derive(Clone, Copy, Debug)]
pub(super) struct Digest(pub(super) u64);

impl Default for Digest {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Digest {
    pub(super) fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}
