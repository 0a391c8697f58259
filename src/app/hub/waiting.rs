//! How many bytes wait for all peers together.

use std::cell::Cell;
use std::rc::Rc;

/// The sum of the bytes that peers have not taken yet: events, each once for all who are to be told of it, and
/// answers. Clones are the same sum.
#[derive(Clone, Debug, Default)]
pub struct Waiting(Rc<Sum>);

#[derive(Debug)]
struct Sum {
    bytes: Cell<usize>,
    bytes_max: usize,
}

impl Default for Sum {
    fn default() -> Self {
        Self {
            bytes: Cell::new(0),
            bytes_max: usize::MAX,
        }
    }
}

impl Waiting {
    /// Nothing waits, and so many bytes may.
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

    /// What counted `before` bytes counts `after` bytes from now on.
    pub fn change(&self, before: usize, after: usize) {
        self.0.bytes.set(self.0.bytes.get() - before + after);
    }

    /// Whether more bytes wait than may.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.bytes() > self.0.bytes_max
    }

    /// What each of so many peers may have waiting, if all are to have the same.
    #[must_use]
    pub fn share(&self, peers: usize) -> usize {
        self.0.bytes_max / peers.max(1)
    }
}
