//! Counts of what a server has done since it started: for its last line in the log, and for
//! tests that compare them with what a client has counted.

use std::fmt;

use crate::reactor::Reason;

/// The reason of a connection that the peer reset.
pub(super) const RESET: Reason = Reason("reset by the peer");

/// Counts of ended connections: a connection is counted when it has ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Connections that have ended.
    pub connections: u64,
    /// Complete requests that came on them.
    pub requests: u64,
    /// Ended connections that the peer reset.
    pub resets: u64,
    /// Connections with at least one request.
    asked: u64,
    /// The sum of the squares of requests per connection.
    squares: u128,
}

impl Tally {
    pub(super) fn connection_ended(&mut self, requests: u32, reason: Reason) {
        self.connections += 1;
        self.requests += u64::from(requests);
        self.resets += u64::from(reason == RESET);
        self.asked += u64::from(requests > 0);
        self.squares += u128::from(requests) * u128::from(requests);
    }

    /// How evenly the connections with requests were served: 1 if all had the same number of
    /// requests, 1/n if one of n had all (Jain, Chiu and Hawe 1984). It is meaningful only for
    /// connections that began and ended together. `None` without requests.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    pub fn fairness(&self) -> Option<f64> {
        let requests = self.requests as f64;
        (self.asked > 0).then(|| requests * requests / (self.asked as f64 * self.squares as f64))
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            connections,
            requests,
            resets,
            ..
        } = self;
        write!(
            f,
            "{requests} requests on {connections} connections, {resets} of them reset by the peer"
        )?;
        match self.fairness() {
            Some(fairness) => write!(f, "; fairness {fairness:.4}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fairness_is_one_for_equals_and_small_where_one_has_all() {
        let mut tally = Tally::default();
        assert_eq!(tally.fairness(), None);
        for _ in 0..4 {
            tally.connection_ended(250, Reason("closed by the peer"));
        }
        assert_eq!(
            tally.to_string(),
            "1000 requests on 4 connections, 0 of them reset by the peer; fairness 1.0000"
        );
        for _ in 0..4 {
            tally.connection_ended(1, RESET);
        }
        assert_eq!((tally.connections, tally.resets), (8, 4));
        assert!(tally.fairness().is_some_and(|fairness| fairness < 0.51));
    }

    #[test]
    fn who_never_asked_was_not_treated_unfairly() {
        let mut tally = Tally::default();
        tally.connection_ended(7, RESET);
        tally.connection_ended(0, RESET);
        assert_eq!(tally.fairness(), Some(1.0));
    }
}
