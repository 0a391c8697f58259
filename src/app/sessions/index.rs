//! From a 32-bit tag to a slot.
//!
//! The standard map would keep a second copy of each 32-byte key. This table keeps none: it compares tags, and asks the
//! caller about the few slots whose tag is the same. Growing needs only the tags, and touches no session.

use hashbrown::HashTable;

/// No slot.
pub(super) const NIL: u32 = u32::MAX;

struct Cell {
    tag: u32,
    slot: u32,
}

/// A multimap from tags to slots. Tags should be spread evenly over all 32 bits.
pub(super) struct Index(HashTable<Cell>);

impl Index {
    pub(super) fn new() -> Self {
        Self(HashTable::new())
    }

    /// The slot under `tag` that `is_it` recognises.
    pub(super) fn find(&self, tag: u32, is_it: impl Fn(u32) -> bool) -> Option<u32> {
        let found = self
            .0
            .find(spread(tag), |cell| cell.tag == tag && is_it(cell.slot));
        found.map(|cell| cell.slot)
    }

    /// Adds an entry. It must not be there yet.
    pub(super) fn insert(&mut self, tag: u32, slot: u32) {
        let cell = Cell { tag, slot };
        self.0
            .insert_unique(spread(tag), cell, |cell| spread(cell.tag));
    }

    /// Has the entry of `old` under `tag` point at `new`.
    pub(super) fn replace(&mut self, tag: u32, old: u32, new: u32) {
        let cell = self.0.find_mut(spread(tag), |cell| cell.slot == old);
        cell.expect("an indexed slot").slot = new;
    }

    /// Takes out the entry of `slot` under `tag`.
    pub(super) fn remove(&mut self, tag: u32, slot: u32) {
        let entry = self.0.find_entry(spread(tag), |cell| cell.slot == slot);
        entry.ok().expect("an indexed slot").remove();
    }

    /// Makes room for `more` entries.
    pub(super) fn reserve(&mut self, more: usize) {
        self.0.reserve(more, |cell| spread(cell.tag));
    }

    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.0.allocation_size()
    }
}

/// The table looks at the lowest and the highest bits of 64.
fn spread(tag: u32) -> u64 {
    u64::from(tag) << 32 | u64::from(tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_of_one_tag_are_told_apart() {
        let mut index = Index::new();
        for slot in 0..6 {
            index.insert(u32::MAX, slot);
        }
        index.insert(0, 6);
        index.remove(u32::MAX, 0);
        index.remove(u32::MAX, 3);
        index.replace(u32::MAX, 5, 9);
        for (slot, there) in [
            (0, false),
            (1, true),
            (2, true),
            (3, false),
            (4, true),
            (5, false),
            (9, true),
        ] {
            let found = index.find(u32::MAX, |other| other == slot);
            assert_eq!(found, there.then_some(slot), "slot {slot}");
        }
        assert_eq!(index.find(0, |_| true), Some(6));
    }

    #[test]
    fn removing_leaves_no_search_unfinished() {
        // Tags that crowd a few neighbouring cells, in every order of removal.
        let tags = [0u32, 0, 1 << 29, 1 << 29, 0, 7 << 29];
        for first in 0..tags.len() {
            let mut index = Index::new();
            for (slot, tag) in (0..).zip(tags) {
                index.insert(tag, slot);
            }
            let order = (0..tags.len()).map(|n| (first + n * 5) % tags.len());
            let mut gone = Vec::new();
            for slot in order {
                index.remove(tags[slot], slot as u32);
                gone.push(slot);
                for (other, tag) in tags.iter().enumerate() {
                    let found = index.find(*tag, |slot| slot == other as u32).is_some();
                    assert_eq!(found, !gone.contains(&other));
                }
            }
        }
    }
}
