//! From a 32-bit tag to a slot: open addressing with linear probing, eight bytes a cell.
//!
//! The standard map would keep a second copy of each 32-byte key. This one keeps none: it compares
//! tags, and asks the caller about the few slots whose tag is the same. Growing needs only the
//! tags, one pass from front to back, and touches no session.

/// No slot: what an empty cell points at.
pub(super) const NIL: u32 = u32::MAX;

/// Cells of the smallest table; a power of two, as is every size.
const CELLS_MIN: usize = 8;

#[derive(Clone, Copy)]
struct Cell {
    tag: u32,
    slot: u32,
}

const EMPTY: Cell = Cell { tag: 0, slot: NIL };

/// A multimap from tags to slots. Tags should be spread evenly over all 32 bits.
pub(super) struct Index {
    cells: Vec<Cell>,
    len: usize,
}

impl Index {
    pub(super) fn new() -> Self {
        Self {
            cells: vec![EMPTY; CELLS_MIN],
            len: 0,
        }
    }

    /// The slot under `tag` that `is_it` recognises.
    pub(super) fn find(&self, tag: u32, is_it: impl Fn(u32) -> bool) -> Option<u32> {
        self.cell_of(tag, is_it).map(|at| self.cells[at].slot)
    }

    /// Adds an entry. It must not be there yet.
    pub(super) fn insert(&mut self, tag: u32, slot: u32) {
        self.reserve(1);
        self.place(Cell { tag, slot });
        self.len += 1;
    }

    /// Has the entry of `old` under `tag` point at `new`.
    pub(super) fn replace(&mut self, tag: u32, old: u32, new: u32) {
        let at = self
            .cell_of(tag, |slot| slot == old)
            .expect("an indexed slot");
        self.cells[at].slot = new;
    }

    /// Takes out the entry of `slot` under `tag`.
    pub(super) fn remove(&mut self, tag: u32, slot: u32) {
        let mut hole = self
            .cell_of(tag, |other| other == slot)
            .expect("an indexed slot");
        // Pull later entries back over the hole, or a search would end there. One may move if that
        // does not bring it before its home.
        let mut next = self.after(hole);
        while self.cells[next].slot != NIL {
            let wanted = self.home(self.cells[next].tag);
            if self.distance(wanted, next) >= self.distance(hole, next) {
                self.cells[hole] = self.cells[next];
                hole = next;
            }
            next = self.after(next);
        }
        self.cells[hole] = EMPTY;
        self.len -= 1;
    }

    /// Makes room for `more` entries, so that at most three cells in four are in use.
    pub(super) fn reserve(&mut self, more: usize) {
        let cells = ((self.len + more) * 4).div_ceil(3).next_power_of_two();
        if cells > self.cells.len() {
            let former = std::mem::replace(&mut self.cells, vec![EMPTY; cells]);
            for cell in former.into_iter().filter(|cell| cell.slot != NIL) {
                self.place(cell);
            }
        }
    }

    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.cells.capacity() * size_of::<Cell>()
    }

    fn cell_of(&self, tag: u32, is_it: impl Fn(u32) -> bool) -> Option<usize> {
        let mut at = self.home(tag);
        loop {
            let cell = self.cells[at];
            if cell.slot == NIL {
                return None;
            }
            if cell.tag == tag && is_it(cell.slot) {
                return Some(at);
            }
            at = self.after(at);
        }
    }

    fn place(&mut self, cell: Cell) {
        let mut at = self.home(cell.tag);
        while self.cells[at].slot != NIL {
            at = self.after(at);
        }
        self.cells[at] = cell;
    }

    /// The highest bits of the tag, so that tables of all sizes have the same order.
    fn home(&self, tag: u32) -> usize {
        ((u64::from(tag) * self.cells.len() as u64) >> 32) as usize
    }

    fn after(&self, at: usize) -> usize {
        (at + 1) & (self.cells.len() - 1)
    }

    fn distance(&self, from: usize, to: usize) -> usize {
        to.wrapping_sub(from) & (self.cells.len() - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_of_one_tag_are_told_apart_also_around_the_end() {
        let mut index = Index::new();
        for slot in 0..6 {
            index.insert(u32::MAX, slot); // all want the last cell
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
