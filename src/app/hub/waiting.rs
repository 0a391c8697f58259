//! How many bytes wait for all peers together.

use std::cell::Cell;
use std::rc::Rc;

/// The sum of the bytes that peers have not taken yet: events, each once for all who are to be told of it, and
/// answers. Clones are the same sum.
#[derive(Clone, Debug)]
pub struct Waiting(Rc<Sum>);

#[derive(Debug)]
struct Sum {
    bytes: Cell<usize>,
    bytes_max: usize,
}

/// Nothing waits, and as much may as there is.
impl Default for Waiting {
    fn default() -> Self {
        Self::new(usize::MAX)
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

    /// What each of so many peers may have waiting, if all are to have the same.
    #[must_use]
    pub fn share(&self, peers: usize) -> usize {
        self.0.bytes_max / peers.max(1)
    }

    /// What each of so many peers may have waiting that does not take it: its share where more bytes wait than may,
    /// and any number of bytes otherwise.
    #[must_use]
    pub fn room(&self, peers: usize) -> usize {
        if self.bytes() > self.0.bytes_max {
            self.share(peers)
        } else {
            usize::MAX
        }
    }
}
