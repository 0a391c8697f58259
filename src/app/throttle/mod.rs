//! The login throttle: how many attempts a user name and an address have, and what follows.
//!
//! * The throttle is asked about each attempt twice: before the password is hashed, and again when the hash
//!   is done, before the client learns whether the password was right. Of parallel attempts, those that finish
//!   after the limit was reached are refused, and their result is not revealed; parallel logins with the right
//!   password are never refused, since an attempt counts only when it has failed.
//! * In any [`WINDOW_S`], clients learn of no more than `failed_logins_per_name_max` failures of a name and
//!   `failed_logins_per_address_max` of an address. The failure that reaches the limit has the name or the
//!   address refused for [`REFUSAL_S_MIN`].
//! * Refused attempts neither count nor prolong a refusal: a client that waits as long as it was told is admitted.
//! * After a refusal the first failure refuses again, for twice as long, up to [`REFUSAL_S_MAX`].
//! * [`QUIET_S`] after the end of the last refusal all is forgotten. A success clears the failures of the name at
//!   once, but not those of the address: otherwise an attacker with one account could try all others.
//!
//! * The number of attempts under way, right or wrong, is limited for each name, so that one name cannot take all
//!   places in the queue of hashes, from any number of addresses. Between addresses the queue is fair (`work::pool`).
//! * Requests that are friendly (`app::friendly`) have no network, and only their names count.
//!
//! The tables are bounded. When one is full, the name or address that has not been seen for the longest time is
//! forgotten, so that a flood can make the throttle forget but never locks out others.
//!
//! An attacker can lock out a known name for up to a quarter of an hour at a time: that is the price of limiting
//! names at all.

mod under_way;

use std::collections::VecDeque;
use std::hash::RandomState;
use std::net::IpAddr;
use std::num::NonZeroUsize;

use crate::config::Limits;
use crate::planted::{Bug, planted};
use crate::token::fingerprint;
use lru::LruCache;
use under_way::UnderWay;

pub use under_way::Place;

/// How long a failure counts, in seconds.
pub const WINDOW_S: u64 = 120;
/// How long the first refusal lasts, in seconds.
pub const REFUSAL_S_MIN: u64 = 30;
/// How long a refusal lasts at most, in seconds.
pub const REFUSAL_S_MAX: u64 = 15 * 60;
/// How long after a refusal the next one is still longer, in seconds.
pub const QUIET_S: u64 = 15 * 60;
/// Names, and as many addresses, that are remembered by default. Under a flood of both the tables
/// grow to some 40 MB with the default limits, and no further.
pub const CAPACITY: usize = 100_000;

const _: () = assert!(
    WINDOW_S <= QUIET_S,
    "what is forgotten after a quiet time must not count any more"
);

/// A login that must not be tried now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// For how long, in seconds; at least one. The value of `Retry-After`.
    pub retry_after_s: u64,
}

/// The names and addresses with recent failed logins.
pub struct Throttle {
    names: LruCache<u128, Record, RandomState>,
    addresses: LruCache<u128, Record, RandomState>,
    under_way: UnderWay,
    failures_per_name_max: usize,
    failures_per_address_max: usize,
}

impl Throttle {
    /// A throttle that remembers at most `capacity` names and as many addresses (at least one).
    #[must_use]
    pub fn new(capacity: usize, limits: &Limits) -> Self {
        let capacity = NonZeroUsize::new(capacity).unwrap_or(NonZeroUsize::MIN);
        let table = || {
            // Hashed with a random key, since peers choose the names. Bounded afterwards: otherwise the table would
            // allocate its full size at once.
            let mut table = LruCache::unbounded_with_hasher(RandomState::new());
            table.resize(capacity);
            table
        };
        Self {
            names: table(),
            addresses: table(),
            under_way: UnderWay::default(),
            failures_per_name_max: limits.failed_logins_per_name_max,
            failures_per_address_max: limits.failed_logins_per_address_max,
        }
    }

    /// Whether a login may be tried, or its outcome revealed, at `now_s`, seconds of a clock that
    /// never goes back. Counts nothing.
    ///
    /// Names are compared byte by byte; the caller bounds their length. `network` is the network that the
    /// attempt counts against, if any.
    ///
    /// # Errors
    /// [`Refused`] if the name or the network failed too often.
    pub fn admit(&mut self, name: &str, network: Option<u128>, now_s: u64) -> Result<(), Refused> {
        let of_network = |key| refusal_left_s(&mut self.addresses, key, now_s);
        let refusals = [
            network.and_then(of_network),
            refusal_left_s(&mut self.names, name_key(name), now_s),
        ];
        match refusals.into_iter().flatten().max() {
            Some(retry_after_s) => Err(Refused { retry_after_s }),
            None => Ok(()),
        }
    }

    /// Takes a place for an attempt that was admitted just now; `None` while the name has `max` already.
    pub fn begin(&mut self, name: &str, max: usize) -> Option<Place> {
        self.under_way.begin(name, max)
    }

    /// An attempt is over, whether it succeeded or not.
    pub fn end(&mut self, place: Place) {
        self.under_way.end(&place);
    }

    /// Attempts under way.
    #[must_use]
    pub fn under_way(&self) -> usize {
        self.under_way.len()
    }

    /// An attempt that was admitted just now has failed.
    pub fn failed(&mut self, name: &str, network: Option<u128>, now_s: u64) {
        let name = self
            .names
            .get_or_insert_mut(name_key(name), Record::default);
        name.count(now_s, self.failures_per_name_max);
        if let Some(key) = network {
            let address = self.addresses.get_or_insert_mut(key, Record::default);
            address.count(now_s, self.failures_per_address_max);
        }
    }

    /// An attempt that was admitted just now has succeeded: the failures of the name are forgotten.
    pub fn succeeded(&mut self, name: &str) {
        if !planted(Bug::NeverForgives) {
            self.names.pop(&name_key(name));
        }
    }

    /// Names and addresses that are remembered, for the monitor.
    #[must_use]
    pub fn len(&self) -> (usize, usize) {
        (self.names.len(), self.addresses.len())
    }

    /// Whether no name and no address is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == (0, 0)
    }
}

/// Half of the name's SHA-256: every name takes the same space, a password that a user types into the wrong
/// field is not kept, and an attacker cannot find a second name with the same 128 bits.
pub(super) fn name_key(name: &str) -> u128 {
    u128::from_be_bytes(fingerprint(name.as_bytes()).as_chunks().0[0])
}

/// One number for each IPv4 address, and one for each IPv6 /64, since a single customer has a whole /64.
#[must_use]
pub fn network(address: IpAddr) -> u128 {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
        IpAddr::V6(v6) => v6.to_bits() >> 64 << 64, // never an IPv4 key: in those the low half is not zero
    }
}

fn refusal_left_s(
    table: &mut LruCache<u128, Record, RandomState>,
    key: u128,
    now_s: u64,
) -> Option<u64> {
    let record = table.get_mut(&key)?;
    let left_s = record.refused_until_s.saturating_sub(now_s);
    (left_s > 0).then_some(left_s)
}

/// What is known of one name or address.
#[derive(Default)]
struct Record {
    /// The times of the failures that may still count, oldest first: at most as many as the limit.
    failures_s: VecDeque<u32>,
    /// How often it has been refused; the next refusal doubles with each.
    refusals: u32,
    /// The time until which it is refused; if that is past, the end of the last refusal.
    refused_until_s: u64,
}

impl Record {
    /// Counts a failure of an admitted attempt, and refuses the next ones if it was one too many.
    fn count(&mut self, now_s: u64, failures_max: usize) {
        if self.refusals > 0 && now_s >= self.refused_until_s.saturating_add(QUIET_S) {
            *self = Self::default();
        }
        // Enough for 136 years, since the clock counts from the start of the process.
        let now32_s = u32::try_from(now_s).unwrap_or(u32::MAX);
        while let Some(oldest_s) = self.failures_s.front()
            && (self.failures_s.len() >= failures_max
                || (u64::from(*oldest_s) + WINDOW_S <= now_s && !planted(Bug::NoWindow)))
        {
            self.failures_s.pop_front();
        }
        self.failures_s.push_back(now32_s);
        if self.refusals > 0 || self.failures_s.len() >= failures_max {
            let before = if planted(Bug::NeverLonger) {
                0
            } else {
                self.refusals
            };
            let doublings = before.min(REFUSAL_S_MAX.ilog2()); // the shift stays in range
            let refusal_s = (REFUSAL_S_MIN << doublings).min(REFUSAL_S_MAX);
            self.refused_until_s = now_s.saturating_add(refusal_s);
            self.refusals += 1;
        }
    }
}

#[cfg(test)]
mod tests;
