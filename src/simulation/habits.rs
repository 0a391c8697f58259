//! What makes one story unlike the next, and how two are told to be the same.

use std::fmt;

use super::chance::Chance;
use super::clients::FAVOURITES;

/// What is usual in a story. Were all stories alike, what takes many of the same would never happen
/// (Groce and others, Swarm Testing, ISSTA 2012).
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Habits {
    /// Half of all requests are one of these.
    pub(super) favourite: Option<(usize, usize)>,
    /// Some clients take nothing.
    pub(super) deaf: bool,
    /// People come and go.
    pub(super) restless: bool,
    /// Workers take their time.
    pub(super) slow_workers: bool,
}

impl fmt::Display for Habits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let habits = [
            (self.deaf, "Every third client takes nothing."),
            (self.restless, "People come and go."),
            (self.slow_workers, "Workers take their time."),
        ];
        let told = habits.iter().filter(|(is, _)| *is);
        let told: Vec<&str> = told.map(|(_, words)| *words).collect();
        f.write_str(&told.join(" "))
    }
}

impl Habits {
    pub(super) fn new(chance: &mut Chance) -> Self {
        let favourite = chance.one_in(2).then(|| chance.pick(&FAVOURITES).copied());
        Self {
            favourite: favourite.flatten(),
            deaf: chance.one_in(3),
            restless: chance.one_in(3),
            slow_workers: chance.one_in(3),
        }
    }
}

/// What a story comes to: a hash of all that clients got, of every turn and when it was (FNV-1a).
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
