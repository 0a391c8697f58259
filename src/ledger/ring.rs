//! A ring buffer of records.

/// The last so many records, oldest first.
#[derive(Debug)]
pub(super) struct Ring<T> {
    records: Vec<T>,
    capacity: usize,
    /// The index of the oldest record, which the next one overwrites when the ring is full.
    oldest: usize,
    total: u64,
}

impl<T: Copy> Ring<T> {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            records: Vec::with_capacity(capacity),
            capacity,
            oldest: 0,
            total: 0,
        }
    }

    /// Grows to this capacity, if it is larger.
    pub(super) fn grow(&mut self, capacity: usize) {
        if capacity > self.capacity {
            self.records.rotate_left(self.oldest);
            self.oldest = 0;
            self.records.reserve_exact(capacity - self.records.len());
            self.capacity = capacity;
        }
    }

    #[inline]
    pub(super) fn push(&mut self, record: T) {
        self.total += 1;
        if self.records.len() < self.capacity {
            self.records.push(record);
        } else {
            self.records[self.oldest] = record;
            self.oldest += 1;
            if self.oldest == self.capacity {
                self.oldest = 0;
            }
        }
    }

    /// How many records there ever were.
    pub(super) fn total(&self) -> u64 {
        self.total
    }

    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = &T> {
        let (newer, older) = self.records.split_at(self.oldest);
        older.iter().chain(newer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ring_forgets_the_oldest_first() {
        let mut ring = Ring::new(3);
        for record in 0..8_i32 {
            ring.push(record);
            let kept: Vec<i32> = ring.iter().copied().collect();
            assert_eq!(kept, ((record - 2).max(0)..=record).collect::<Vec<_>>());
            assert_eq!(ring.total(), u64::from(record.unsigned_abs()) + 1);
        }
    }

    #[test]
    fn a_ring_that_grows_keeps_what_it_has_in_its_order() {
        let mut ring = Ring::new(3);
        for record in 0..10_i32 {
            if record == 5 {
                ring.grow(5);
            }
            ring.push(record);
        }
        ring.grow(2);
        assert_eq!(ring.iter().copied().collect::<Vec<i32>>(), [5, 6, 7, 8, 9]);
        assert_eq!(ring.total(), 10);
        let mut ring = Ring::new(3);
        (0..5).for_each(|record| ring.push(record));
        ring.grow(4);
        ring.push(5);
        assert_eq!(ring.iter().copied().collect::<Vec<i32>>(), [2, 3, 4, 5]);
    }
}
