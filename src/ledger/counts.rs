//! Sums over everything since the start. They only grow, so the difference of two readings is what happened in between.

use super::{Label, Outcome};

/// A histogram of durations.
#[derive(Clone, Debug, Default)]
pub struct Histogram {
    counts: [u64; Histogram::BUCKETS],
    sum_ns: u64,
}

impl Histogram {
    /// Buckets, including the last one, for everything that took longer.
    pub const BUCKETS: usize = 22;

    /// Counts a duration, in nanoseconds.
    #[inline]
    pub fn add(&mut self, ns: u64) {
        // Bounds of 1,024 ns, 2,048 and so on: no search, and no division.
        let bucket = (u64::BITS - (ns >> 10).leading_zeros()) as usize;
        self.counts[bucket.min(Self::BUCKETS - 1)] += 1;
        self.sum_ns += ns;
    }

    /// For each bucket its upper bound in nanoseconds, and how many durations were below it; `None` for the
    /// last one, which has no bound.
    pub fn cumulative(&self) -> impl Iterator<Item = (Option<u64>, u64)> {
        let mut total = 0;
        self.counts.iter().enumerate().map(move |(bucket, count)| {
            total += count;
            let bound = (bucket + 1 < Self::BUCKETS).then(|| 1024 << bucket);
            (bound, total)
        })
    }

    /// How many durations in all.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The sum of all durations, in nanoseconds.
    #[must_use]
    pub fn sum_ns(&self) -> u64 {
        self.sum_ns
    }
}

/// The answers under one label.
#[derive(Clone, Debug, Default)]
pub struct RouteCounts {
    /// The statuses, and how often each was answered.
    pub answers: Vec<(u16, u64)>,
    /// How long the dispatches of this label held the loop.
    pub held: Histogram,
    /// How long requests waited whose answer needed a worker.
    pub waited: Histogram,
}

/// The sums.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    /// Indexed by label.
    routes: Vec<RouteCounts>,
    /// How long each turn's work took: a source that became ready at its beginning waited at most that long.
    pub turns: Histogram,
    /// Nanoseconds asleep.
    pub slept_ns: u64,
    /// Sources that stopped because their budget ran out.
    pub agains: u64,
}

impl Counts {
    /// The answers under `label`.
    #[must_use]
    pub fn route(&self, label: Label) -> Option<&RouteCounts> {
        self.routes.get(usize::from(label.0))
    }

    pub(super) fn make_room(&mut self, labels: usize) {
        if self.routes.len() < labels {
            self.routes.resize_with(labels, RouteCounts::default);
        }
    }

    #[inline]
    pub(super) fn answered(&mut self, label: Label, status: u16) {
        let Some(route) = self.routes.get_mut(usize::from(label.0)) else {
            return;
        };
        // Nearly always the first one matches: routes answer with few statuses.
        match route.answers.iter_mut().find(|(known, _)| *known == status) {
            Some((_, count)) => *count += 1,
            None => route.answers.push((status, 1)),
        }
    }

    pub(super) fn waited(&mut self, label: Label, ns: u64) {
        if let Some(route) = self.routes.get_mut(usize::from(label.0)) {
            route.waited.add(ns);
        }
    }

    #[inline]
    pub(super) fn dispatched(&mut self, label: Label, outcome: Outcome, duration_ns: u64) {
        self.agains += u64::from(outcome == Outcome::Again);
        if let Some(route) = self.routes.get_mut(usize::from(label.0)) {
            route.held.add(duration_ns);
        }
    }

    #[inline]
    pub(super) fn turned(&mut self, slept_ns: u64, worked_ns: u64) {
        self.slept_ns += slept_ns;
        self.turns.add(worked_ns);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_in_the_bucket_of_its_bound_and_in_all_that_follow() {
        let mut histogram = Histogram::default();
        for ns in [0, 1023, 1024, 2047, 1 << 20, u64::MAX >> 8] {
            histogram.add(ns);
        }
        let below = |limit| {
            let mut buckets = histogram.cumulative();
            let found = buckets.find(|(bound, _)| *bound == limit);
            found.map(|(_, count)| count)
        };
        assert_eq!(below(Some(1024)), Some(2));
        assert_eq!(below(Some(2048)), Some(4));
        assert_eq!(below(Some(1 << 20)), Some(4));
        assert_eq!(below(Some(1 << 21)), Some(5));
        assert_eq!(below(None), Some(6));
        assert_eq!(histogram.count(), 6);
    }

    #[test]
    fn answers_are_counted_by_status() {
        let mut counts = Counts::default();
        counts.make_room(2);
        for status in [200, 200, 404] {
            counts.answered(Label(1), status);
        }
        counts.answered(Label(7), 200); // that label was never given
        let route = counts.route(Label(1)).unwrap();
        assert_eq!(route.answers, [(200, 2), (404, 1)]);
    }
}
