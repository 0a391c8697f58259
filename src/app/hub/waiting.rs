//! How many bytes wait for all peers together.

use std::cell::Cell;
use std::rc::Rc;

/// The sum of the bytes that peers have not taken yet: answers, and events, each counted once for all its
/// subscribers. Clones share one sum.
#[derive(Clone, Debug)]
pub struct Waiting(Rc<Sum>);

#[derive(Debug)]
struct Sum {
    bytes: Cell<usize>,
    bytes_max: usize,
}

/// Nothing waits, and there is no limit.
impl Default for Waiting {
    fn default() -> Self {
        Self::new(usize::MAX)
    }
}

impl Waiting {
    /// Nothing waits, and at most so many bytes may.
    #[must_use]
    pub fn new(bytes_max: usize) -> Self {
        Self(Rc::new(Sum {
            bytes: Cell::new(0),
            bytes_max,
        }))
    }

    /// The sum.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.0.bytes.get()
    }

    /// Replaces a part of `before` bytes by one of `after` bytes.
    pub fn change(&self, before: usize, after: usize) {
        self.0.bytes.set(self.0.bytes.get() - before + after);
    }

    /// How much may wait for each of so many peers, if all are to have the same.
    #[must_use]
    pub fn share(&self, peers: usize) -> usize {
        self.0.bytes_max / peers.max(1)
    }

    /// How much may wait for each of so many peers that do not take it: an equal share if more bytes wait than are
    /// allowed, and any number of bytes otherwise.
    #[must_use]
    pub fn room(&self, peers: usize) -> usize {
        if self.bytes() > self.0.bytes_max {
            self.share(peers)
        } else {
            usize::MAX
        }
    }
}
