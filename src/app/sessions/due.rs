//! Which slot is due first: a binary heap that knows where each slot stands.
//!
//! The standard heap cannot remove an entry from its middle, so each logout would leave an entry behind until
//! it is due, and a busy server would hold more entries of ended sessions than of live ones.

use super::index::NIL;
use super::push_tight;
use crate::planted::{Bug, planted};

/// At most one due time, in seconds since 1970, for each slot.
pub(super) struct Due {
    /// Each entry is due no later than its children, at `2n + 1` and `2n + 2`.
    heap: Vec<(i64, u32)>,
    /// Where a slot stands in `heap`, or `NIL`.
    places: Vec<u32>,
}

impl Due {
    pub(super) fn new() -> Self {
        Self {
            heap: Vec::new(),
            places: Vec::new(),
        }
    }

    /// The earliest due time and its slot.
    pub(super) fn first(&self) -> Option<(i64, u32)> {
        self.heap.first().copied()
    }

    /// Adds a slot, which must not be there.
    pub(super) fn insert(&mut self, slot: u32, due_s: i64) {
        while self.places.len() <= slot as usize {
            push_tight(&mut self.places, NIL);
        }
        push_tight(&mut self.heap, (due_s, slot));
        self.rise(self.heap.len() - 1);
    }

    /// Moves a slot to another time.
    pub(super) fn set(&mut self, slot: u32, due_s: i64) {
        let at = self.places[slot as usize] as usize;
        self.heap[at].0 = due_s;
        self.settle(at);
    }

    /// Takes out a slot.
    pub(super) fn remove(&mut self, slot: u32) {
        let at = self.places[slot as usize] as usize;
        self.places[slot as usize] = NIL;
        self.heap.swap_remove(at);
        if at < self.heap.len() && planted(Bug::LostExpiry) {
            self.sink(at);
        } else if at < self.heap.len() {
            self.settle(at);
        }
    }

    pub(super) fn reserve(&mut self, more: usize) {
        self.heap.reserve_exact(more);
        self.places.reserve_exact(more);
    }

    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.heap.capacity() * size_of::<(i64, u32)>() + self.places.capacity() * size_of::<u32>()
    }

    fn settle(&mut self, at: usize) {
        let at = self.rise(at);
        self.sink(at);
    }

    fn rise(&mut self, mut at: usize) -> usize {
        let entry = self.heap[at];
        while at > 0 {
            let parent = (at - 1) / 2;
            if self.heap[parent] <= entry {
                break;
            }
            self.put(at, self.heap[parent]);
            at = parent;
        }
        self.put(at, entry);
        at
    }

    fn sink(&mut self, mut at: usize) {
        let entry = self.heap[at];
        loop {
            let left = 2 * at + 1;
            let children = self.heap.iter().enumerate().skip(left).take(2);
            match children.min_by_key(|(_, child)| **child) {
                Some((child, earlier)) if *earlier < entry => {
                    self.put(at, *earlier);
                    at = child;
                }
                _ => break,
            }
        }
        self.put(at, entry);
    }

    fn put(&mut self, at: usize, entry: (i64, u32)) {
        self.heap[at] = entry;
        self.places[entry.1 as usize] = at as u32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_come_out_in_the_order_of_their_times() {
        let mut due = Due::new();
        for slot in 0..100 {
            due.insert(slot, i64::from(slot * 37 % 101));
        }
        for slot in (0..100).step_by(3) {
            due.remove(slot);
        }
        for slot in (1..100).step_by(3) {
            due.set(slot, i64::from(slot * 53 % 103));
        }
        let (mut former, mut count) = (i64::MIN, 0);
        while let Some((due_s, slot)) = due.first() {
            let factors = if slot % 3 == 1 { (53, 103) } else { (37, 101) };
            assert_eq!(due_s, i64::from(slot * factors.0 % factors.1));
            assert!(former <= due_s);
            (former, count) = (due_s, count + 1);
            due.remove(slot);
        }
        assert_eq!(count, 66);
    }
}
