//! The login throttle: how many attempts a user name and an address have, and what follows.
//!
//! * An attempt is asked about twice: before its password is hashed, and again when the hash is
//!   there, before the client learns whether it was right. Of attempts in parallel, those that end after
//!   the limit was reached are refused unseen; and good logins in parallel are never refused, since
//!   nothing counts before it has failed.
//! * No more than `failed_logins_per_name_max` and `failed_logins_per_address_max` failures are told in any
//!   [`WINDOW_S`]. From the one that reaches the limit, the name or the address is refused, for
//!   [`REFUSAL_S_MIN`].
//! * Refused attempts count for nothing and prolong nothing: a client that waits as long as it was told is heard.
//! * After a refusal the first failure refuses again, for twice as long, up to [`REFUSAL_S_MAX`].
//! * [`QUIET_S`] after the end of the last refusal all is forgotten. A success forgets everything
//!   about the name at once, and nothing about the address, or one good account would be a licence
//!   to try all others.
//!
//! * Of attempts under way, good or bad, a name has so many: it alone cannot take all places in the queue of hashes,
//!   from however many addresses. Between addresses the queue itself is fair (`work::pool`).
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
/// Names, and as many addresses, that are remembered unless the caller says otherwise. Under a
/// flood of both the tables grow to some 40 MB with the default limits, and no further.
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

/// Who has failed to log in lately.
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
            // Keyed at random: peers choose the keys. Bounded afterwards, or it would take the memory for all at once.
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

    /// Asks whether a login may be tried, or its outcome told, at `now_s`, seconds of a clock that
    /// never goes back. Counts nothing.
    ///
    /// Names are told apart byte by byte; the caller bounds their length. `network` is the one that the
    /// attempt counts for, if it counts for one.
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

    /// Takes a place for an attempt that was admitted just now; none, while the name has `max` already.
    pub fn begin(&mut self, name: &str, max: usize) -> Option<Place> {
        self.under_way.begin(name, max)
    }

    /// An attempt is over, whatever came of it.
    pub fn end(&mut self, place: Place) {
        self.under_way.end(&place);
    }

    /// Attempts that are not over.
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

    /// An attempt that was admitted just now has succeeded: the name starts afresh.
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

    /// Whether nobody is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == (0, 0)
    }
}

/// Half of the name's SHA-256: every name takes the same room, what people type into the wrong
/// field (their password) is not kept, and nobody finds a second name with the same 128 bits.
pub(super) fn name_key(name: &str) -> u128 {
    u128::from_be_bytes(fingerprint(name.as_bytes()).as_chunks().0[0])
}

/// One number for each IPv4 address, and one for each /64 of IPv6, of which a single customer has all.
#[must_use]
pub fn network(address: IpAddr) -> u128 {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
        IpAddr::V6(v6) => v6.to_bits() >> 64 << 64, // never an IPv4 key: those have a low half
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
    /// When those failures were that may still count, oldest first: as many as the limit at most.
    failures_s: VecDeque<u32>,
    /// How often it has been refused; the next refusal doubles with each.
    refusals: u32,
    /// Until when it is refused; in the past, when the last refusal ended.
    refused_until_s: u64,
}

impl Record {
    /// Counts a failure that nothing forbade, and refuses the next ones if it was one too many.
    fn count(&mut self, now_s: u64, failures_max: usize) {
        if self.refusals > 0 && now_s >= self.refused_until_s.saturating_add(QUIET_S) {
            *self = Self::default();
        }
        // 136 years of a clock that counts from the start of the process.
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
