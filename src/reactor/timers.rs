//! Deadlines, kept lazily.
//!
//! A busy connection moves its deadline with every request. Moving a heap entry each time would
//! cost more than the request, so the entry is not moved: the source stores its new deadline, and its
//! one entry in the heap stays where it is. When that entry comes up too early, the reactor compares
//! it with the stored deadline and puts it back further down. See [`Arming`] for the bookkeeping.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::clock::Moment;

/// Stale entries that are tolerated before a sweep is worth it.
const LITTER_ALLOWED: usize = 1024;

/// Entries, ordered by the moment at which they come up. `K` names what is to be woken.
#[derive(Debug)]
pub struct Timers<K> {
    heap: BinaryHeap<Reverse<(Moment, K)>>,
}

impl<K: Ord> Default for Timers<K> {
    fn default() -> Self {
        Self {
            heap: BinaryHeap::new(),
        }
    }
}

/// A deadline and the entry that stands for it. Lives with the source.
#[derive(Clone, Copy, Debug)]
pub struct Arming {
    /// When the source wants to be woken; [`Moment::NEVER`] for not at all. Moving it later is
    /// just a store.
    pub deadline: Moment,
    /// Where its entry is in the heap, or [`Moment::NEVER`]: an entry for any other moment is stale.
    armed: Moment,
}

impl Default for Arming {
    fn default() -> Self {
        Self {
            deadline: Moment::NEVER,
            armed: Moment::NEVER,
        }
    }
}

impl Arming {
    /// A deadline that no entry stands for yet.
    #[must_use]
    pub fn until(deadline: Moment) -> Self {
        Self {
            deadline,
            ..Self::default()
        }
    }
}

/// What an entry that came up means.
#[derive(Debug, PartialEq, Eq)]
pub enum Due {
    /// The deadline has passed.
    Now,
    /// The deadline had moved later, and its entry is put back; or the entry was stale.
    NotYet,
}

impl<K: Ord> Timers<K> {
    /// Makes sure that an entry comes up no later than the deadline. Call it after the deadline may
    /// have moved; it costs nothing if the deadline moved later or not at all.
    pub fn arm(&mut self, key: K, arming: &mut Arming) {
        if arming.deadline < arming.armed {
            arming.armed = arming.deadline;
            self.heap.push(Reverse((arming.deadline, key)));
        }
    }

    /// When the first entry comes up.
    #[must_use]
    pub fn next(&self) -> Option<Moment> {
        self.heap.peek().map(|Reverse((at, _))| *at)
    }

    /// The first `count` entries that come up, in order. Each entry of the heap is before its two children, so only
    /// children of these entries are looked at.
    pub fn nearest(&self, count: usize) -> impl Iterator<Item = (Moment, &K)> {
        let heap = self.heap.as_slice();
        let mut next: BinaryHeap<_> = heap.first().map(|first| (first, 0)).into_iter().collect();
        let in_order = std::iter::from_fn(move || {
            let (Reverse((at, key)), place) = next.pop()?;
            for below in [2 * place + 1, 2 * place + 2] {
                next.extend(heap.get(below).map(|entry| (entry, below)));
            }
            Some((*at, key))
        });
        in_order.take(count)
    }

    /// Takes out an entry that has come up by `now`. The caller finds its arming and calls
    /// [`Timers::settle`] to learn what it means.
    pub fn pop(&mut self, now: Moment) -> Option<(Moment, K)> {
        if self.next()? > now {
            return None;
        }
        self.heap.pop().map(|Reverse(entry)| entry)
    }

    /// Decides about an entry that came up at `at`, and puts it back if the deadline has moved later.
    pub fn settle(&mut self, at: Moment, now: Moment, key: K, arming: &mut Arming) -> Due {
        if at != arming.armed {
            return Due::NotYet;
        }
        arming.armed = Moment::NEVER;
        if arming.deadline <= now {
            arming.deadline = Moment::NEVER;
            return Due::Now;
        }
        self.arm(key, arming);
        Due::NotYet
    }

    /// Whether there are many more entries than `live` keys could need: a source that ends leaves its
    /// entry behind.
    #[must_use]
    pub fn is_littered(&self, live: usize) -> bool {
        self.heap.len() > 2 * live + LITTER_ALLOWED
    }

    /// Removes stale entries. `arming` finds the arming of a key.
    pub fn sweep(&mut self, mut arming: impl FnMut(&K) -> Option<Arming>) {
        self.heap
            .retain(|Reverse((at, key))| arming(key).is_some_and(|arming| arming.armed == *at));
    }

    /// Entries in the heap, including stale ones.
    #[must_use]
    pub fn len(&self) -> usize {
        self.heap.len()
    }

    /// Whether no entry is in the heap.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.heap.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ns: u64) -> Moment {
        Moment::from_ns(ns)
    }

    /// Runs the timers to `now`; returns whether the one deadline fired.
    fn fires(timers: &mut Timers<u32>, arming: &mut Arming, now: Moment) -> bool {
        let mut fired = false;
        while let Some((came_up, key)) = timers.pop(now) {
            fired |= timers.settle(came_up, now, key, arming) == Due::Now;
        }
        fired
    }

    #[test]
    fn a_deadline_moved_a_thousand_times_has_one_entry() {
        let (mut timers, mut arming) = (Timers::default(), Arming::default());
        for ns in 100..1100 {
            arming.deadline = at(ns);
            timers.arm(1, &mut arming);
        }
        assert_eq!(timers.len(), 1);
        assert!(
            !fires(&mut timers, &mut arming, at(1098)),
            "it fired at its first place"
        );
        assert!(fires(&mut timers, &mut arming, at(1099)));
        assert_eq!(timers.next(), None);
    }

    #[test]
    fn the_nearest_entries_are_shown_in_order() {
        let mut timers = Timers::default();
        let mut order: Vec<u64> = (0..500).map(|number| number * 7919 % 503).collect();
        for ns in &order {
            timers.arm(*ns, &mut Arming::until(at(*ns)));
        }
        order.sort_unstable();
        let nearest = timers.nearest(40).map(|(_, key)| *key);
        assert_eq!(nearest.collect::<Vec<u64>>(), order[..40]);
        assert_eq!(timers.nearest(1000).count(), 500);
    }

    #[test]
    fn a_deadline_moved_earlier_fires_once_and_early() {
        let (mut timers, mut arming) = (Timers::default(), Arming::default());
        for ns in [500, 200] {
            arming.deadline = at(ns);
            timers.arm(1, &mut arming);
        }
        assert!(fires(&mut timers, &mut arming, at(200)));
        assert!(
            !fires(&mut timers, &mut arming, at(500)),
            "the stale entry fired"
        );
    }

    #[test]
    fn a_deadline_that_was_lifted_does_not_fire() {
        let (mut timers, mut arming) = (Timers::default(), Arming::default());
        arming.deadline = at(10);
        timers.arm(1, &mut arming);
        arming.deadline = Moment::NEVER;
        timers.arm(1, &mut arming);
        assert!(!fires(&mut timers, &mut arming, at(1_000_000)));
        assert!(timers.is_empty(), "an idle loop would wake for it");
    }

    #[test]
    fn a_sweep_takes_what_stands_for_nothing_and_nothing_else() {
        let mut timers = Timers::default();
        let mut armings = vec![Arming::until(at(50)); 2000];
        for (key, arming) in armings.iter_mut().enumerate() {
            timers.arm(key, arming);
        }
        armings[7].deadline = at(20);
        timers.arm(7, &mut armings[7]);
        assert!(timers.is_littered(10), "most entries stand for nothing");
        assert!(!timers.is_littered(600), "two for each key are no litter");
        timers.sweep(|key| (*key < 10).then(|| armings[*key]));
        assert_eq!(timers.len(), 10);
        assert!(!timers.is_empty());
        assert_eq!(timers.next(), Some(at(20)));
    }

    #[test]
    fn a_deadline_set_again_after_lifting_is_kept() {
        let (mut timers, mut arming) = (Timers::default(), Arming::default());
        arming.deadline = at(10);
        timers.arm(1, &mut arming);
        arming.deadline = Moment::NEVER;
        arming.deadline = at(30);
        timers.arm(1, &mut arming);
        assert!(!fires(&mut timers, &mut arming, at(29)));
        assert!(fires(&mut timers, &mut arming, at(30)));
    }
}
