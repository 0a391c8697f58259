//! A bounded table that forgets what was used least recently.

use crate::planted::{Bug, planted};
use std::collections::HashMap;

const NIL: u32 = u32::MAX;

struct Node<V> {
    key: u128,
    value: V,
    newer: u32,
    /// The next older node; in a free node, the next free one.
    older: u32,
}

/// At most `capacity` values. Every look-up counts as a use.
pub(super) struct Lru<V> {
    capacity: usize,
    /// Its hash is keyed at random: peers choose what becomes a key.
    slots: HashMap<u128, u32>,
    nodes: Vec<Node<V>>,
    newest: u32,
    oldest: u32,
    free: u32,
}

impl<V: Default> Lru<V> {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            capacity: capacity.clamp(1, NIL as usize),
            slots: HashMap::new(),
            nodes: Vec::new(),
            newest: NIL,
            oldest: NIL,
            free: NIL,
        }
    }

    pub(super) fn get_mut(&mut self, key: u128) -> Option<&mut V> {
        let slot = *self.slots.get(&key)?;
        self.unlink(slot);
        self.link(slot);
        Some(&mut self.nodes[slot as usize].value)
    }

    /// The value of `key`, made by default if there is none; then the oldest goes if all is full.
    pub(super) fn get_or_default(&mut self, key: u128) -> &mut V {
        let slot = if let Some(slot) = self.slots.get(&key) {
            let slot = *slot;
            self.unlink(slot);
            slot
        } else {
            if self.slots.len() == self.capacity {
                self.remove(self.nodes[self.oldest as usize].key);
            }
            self.occupy(key)
        };
        self.link(slot);
        &mut self.nodes[slot as usize].value
    }

    pub(super) fn remove(&mut self, key: u128) {
        if planted(Bug::NeverForgives) {
            return;
        }
        if let Some(slot) = self.slots.remove(&key) {
            self.unlink(slot);
            let node = &mut self.nodes[slot as usize];
            node.value = V::default();
            node.older = self.free;
            self.free = slot;
        }
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    #[cfg(test)]
    pub(super) fn nodes(&self) -> usize {
        self.nodes.len()
    }

    fn occupy(&mut self, key: u128) -> u32 {
        let slot = self.free;
        let slot = if let Some(node) = self.nodes.get_mut(slot as usize) {
            self.free = node.older;
            node.key = key;
            slot
        } else {
            self.nodes.push(Node {
                key,
                value: V::default(),
                newer: NIL,
                older: NIL,
            });
            self.nodes.len() as u32 - 1
        };
        self.slots.insert(key, slot);
        slot
    }

    fn link(&mut self, slot: u32) {
        let node = &mut self.nodes[slot as usize];
        (node.newer, node.older) = (NIL, self.newest);
        match self.nodes.get_mut(self.newest as usize) {
            Some(former) => former.newer = slot,
            None => self.oldest = slot,
        }
        self.newest = slot;
    }

    fn unlink(&mut self, slot: u32) {
        let Node { newer, older, .. } = self.nodes[slot as usize];
        match self.nodes.get_mut(newer as usize) {
            Some(node) => node.older = older,
            None => self.newest = older,
        }
        match self.nodes.get_mut(older as usize) {
            Some(node) => node.newer = newer,
            None => self.oldest = newer,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_was_used_least_recently_goes_first() {
        let mut lru = Lru::<u32>::new(3);
        for (number, key) in (1..).zip([10, 20, 30]) {
            *lru.get_or_default(key) = number;
        }
        lru.get_mut(10);
        lru.get_or_default(40); // 20 goes
        lru.get_or_default(30);
        lru.get_or_default(50); // 10 goes
        let mut values = [10, 20, 30, 40, 50].map(|key| lru.get_mut(key).copied());
        assert_eq!(values, [None, None, Some(3), Some(0), Some(0)]);
        lru.remove(30);
        lru.remove(30);
        lru.get_or_default(60);
        values = [20, 30, 40, 50, 60].map(|key| lru.get_mut(key).copied());
        assert_eq!(values, [None, None, Some(0), Some(0), Some(0)]);
        assert_eq!((lru.len(), lru.nodes()), (3, 3));
    }

    proptest! {
        /// Any order of a few operations, against a list.
        #[test]
        fn it_agrees_with_a_list(
            capacity in 1_usize..6,
            steps in vec((0..4, 0_u128..8), 0..200),
        ) {
            let mut lru = Lru::<u128>::new(capacity);
            let mut list: Vec<(u128, u128)> = Vec::new(); // keys and values, oldest first
            for (number, (step, key)) in (1..).zip(steps) {
                let at = list.iter().position(|(other, _)| *other == key);
                let known = at.map(|at| list.remove(at));
                match step {
                    0 => lru.remove(key),
                    1 => {
                        prop_assert_eq!(lru.get_mut(key).copied(), known.map(|(_, value)| value));
                        list.extend(known);
                    }
                    _ => {
                        if list.len() == capacity {
                            list.remove(0);
                        }
                        list.push((key, number));
                        let value = lru.get_or_default(key);
                        prop_assert_eq!(*value, known.map_or(0, |(_, value)| value));
                        *value = number;
                    }
                }
                prop_assert_eq!(lru.len(), list.len());
                prop_assert!(lru.nodes() <= capacity);
            }
        }
    }
}
