//! The kinds of password hashes in a store, which timing could tell apart.
//!
//! Imported hashes have the cost that their origin gave them. If a failed login computed only the hash of the tried
//! name, its time would reveal which names exist, and so would the time that others wait for a worker behind it. So
//! each failed login computes a hash of every kind that the store has, for any name: the same work in the same order.
//! No thread sleeps, and no clock is read.
//!
//! The cost is bounded: all kinds together fill at most [`WORK_OF_ALL_KIB_MAX`]. Hashes that would exceed it are not
//! imported; those that an older version imported are not imitated, and [`Kinds::beyond`] counts them.

use std::collections::HashMap;
use std::sync::Arc;

use argon2::{Algorithm, Argon2, Params, Version};

use super::{LANES_MAX, MEMORY_KIB_MAX, Stored, WORK_KIB_MAX};
use crate::config::HashCost;

/// Most work, in KiB filled (memory times passes), of all kinds of hashes in a store together: 512 MiB, a fifth of a
/// second of one core. Thirteen times the default; the defaults of PHP, Django and argon2-cffi take 200 to 256 MiB.
pub const WORK_OF_ALL_KIB_MAX: u64 = 512 * 1024;

/// Everything that decides how long checking a hash takes.
// The work comes first, since it decides the order in which the kinds are computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Kind {
    work_kib: u64,
    memory_kib: u32,
    passes: u32,
    lanes: u32,
    algorithm: Algorithm,
    version: u32,
}

impl Kind {
    /// The kind of hashes that are made at `cost`.
    ///
    /// # Panics
    /// If Argon2 rejects it (less than 8 KiB a lane, no pass, no lane).
    #[must_use]
    pub fn at(cost: HashCost) -> Self {
        let params = Params::new(cost.memory_kib, cost.passes, cost.lanes, None);
        let params = params.expect("the configured hash cost is one that Argon2 takes");
        Self::new(Algorithm::Argon2id, Version::V0x13, &params)
    }

    /// The kind of hashes with these parameters.
    pub(super) fn new(algorithm: Algorithm, version: Version, params: &Params) -> Self {
        let (memory_kib, passes) = (params.m_cost(), params.t_cost());
        Self {
            work_kib: u64::from(memory_kib) * u64::from(passes),
            memory_kib,
            passes,
            lanes: params.p_cost(),
            algorithm,
            version: version.into(),
        }
    }

    /// The Argon2 instance that makes hashes of this kind, with so many bytes.
    pub(super) fn argon2(self, digest_bytes: usize) -> Argon2<'static> {
        let params = Params::new(self.memory_kib, self.passes, self.lanes, Some(digest_bytes));
        let params = params.expect("they were those of a hash before");
        let version = Version::try_from(self.version).expect("it was one before");
        Argon2::new(self.algorithm, version, params)
    }

    pub(super) fn is_affordable(self) -> bool {
        self.memory_kib <= MEMORY_KIB_MAX
            && self.lanes <= LANES_MAX
            && self.work_kib <= WORK_KIB_MAX
    }

    pub(super) fn is_within(self, cost: HashCost) -> bool {
        self.memory_kib <= cost.memory_kib && self.passes <= cost.passes && self.lanes <= cost.lanes
    }

    /// Whether it takes less work than `cost`. More lanes are not more work, so they do not count.
    pub(super) fn is_weaker_than(self, cost: HashCost) -> bool {
        self.memory_kib < cost.memory_kib
            || self.passes < cost.passes
            || self.algorithm != Algorithm::Argon2id
            || self.version != u32::from(Version::V0x13)
    }
}

/// The number of users with a hash of each kind.
#[derive(Debug, Default)]
pub struct Kinds {
    /// Keyed by the part before the salt: most users share it, so few strings have to be parsed.
    users: HashMap<String, (Option<Kind>, usize)>,
    imitated: Arc<[Kind]>,
}

impl Kinds {
    /// A user has this hash.
    pub fn add(&mut self, phc: &str) {
        if let Some((_, count)) = self.users.get_mut(parameters(phc)) {
            *count += 1;
            return;
        }
        // An invalid hash is not a kind of its own: a login with it costs as much as one with an unknown name.
        let stored = Stored::parse(phc).ok();
        let kind = stored
            .map(|stored| stored.kind())
            .filter(|kind| kind.is_affordable());
        self.users.insert(parameters(phc).to_owned(), (kind, 1));
        self.choose();
    }

    /// A user no longer has this hash.
    pub fn remove(&mut self, phc: &str) {
        let Some((_, count)) = self.users.get_mut(parameters(phc)) else {
            return;
        };
        *count -= 1;
        if *count == 0 {
            self.users.remove(parameters(phc));
            self.choose();
        }
    }

    /// The kinds that each failed login computes, the cheapest first.
    #[must_use]
    pub fn imitated(&self) -> Arc<[Kind]> {
        Arc::clone(&self.imitated)
    }

    /// How many users have a hash that costs too much to be imitated: the time that a failed login takes reveals
    /// that they exist.
    #[must_use]
    pub fn beyond(&self) -> usize {
        let beyond = self.users.values().filter_map(|(kind, count)| {
            let kind = kind.as_ref()?;
            (!self.imitated.contains(kind)).then_some(*count)
        });
        beyond.sum()
    }

    fn choose(&mut self) {
        let mut kinds: Vec<Kind> = self.users.values().filter_map(|(kind, _)| *kind).collect();
        kinds.sort_unstable();
        kinds.dedup();
        let mut left_kib = WORK_OF_ALL_KIB_MAX;
        kinds.retain(|kind| {
            let rest = left_kib.checked_sub(kind.work_kib);
            left_kib = rest.unwrap_or(left_kib);
            rest.is_some()
        });
        self.imitated = kinds.into();
    }
}

/// The part before the salt in a PHC string.
fn parameters(phc: &str) -> &str {
    phc.rsplitn(3, '$').nth(2).unwrap_or_default()
}

/// Whether a password that was hashed elsewhere may be imported as it is, in addition to those that `kinds` has.
///
/// # Errors
/// One sentence for the user: not a PHC string of Argon2, or more expensive than a failed login may be. Even then
/// `kinds` has taken note of it.
pub fn check_phc(phc: &str, kinds: &mut Kinds) -> Result<(), String> {
    let stored = Stored::parse(phc)?;
    let before = kinds.beyond();
    kinds.add(phc);
    if stored.kind().is_affordable() && kinds.beyond() == before {
        return Ok(());
    }
    Err(format!(
        "the hash costs too much to check, because each failed login costs as much as all kinds of hashes in the \
         store together: at most p={LANES_MAX}, and {WORK_OF_ALL_KIB_MAX} for the sum of m times t over the kinds"
    ))
}
