//! Records in a fixed room.

/// The last so many records, oldest first.
#[derive(Debug)]
pub(super) struct Ring<T> {
    records: Vec<T>,
    capacity: usize,
    /// Where the next record goes once the ring is full: the oldest record.
    oldest: usize,
    /// How often it has been full and begun anew.
    laps: u64,
}

impl<T: Copy> Ring<T> {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            records: Vec::with_capacity(capacity),
            capacity,
            oldest: 0,
            laps: 0,
        }
    }

    pub(super) fn push(&mut self, record: T) {
        if self.records.len() < self.capacity {
            self.records.push(record);
        } else {
            self.records[self.oldest] = record;
            self.oldest += 1;
            if self.oldest == self.capacity {
                self.oldest = 0;
                self.laps += 1;
            }
        }
    }

    /// How many records there ever were.
    pub(super) fn total(&self) -> u64 {
        self.records.len() as u64 + self.laps * self.capacity as u64 + self.oldest as u64
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
}
