//! What stands in a feed's queue.

use std::rc::Rc;

use super::encoded::{Encoded, Encoding, frame, gap_json};
use crate::work::Missing;

/// One thing that is to be written.
#[derive(Debug)]
pub(super) enum Item {
    /// An event, which other feeds may have as well.
    Event(Rc<Encoded>),
    /// A message in place of missing events. Boxed, since gaps are rare and queues are many.
    Gap(Box<Gap>),
    /// The reader's position is past the newest event: it is first given another one.
    Rewind(Box<[u8]>),
    /// The last words; nothing follows.
    Last(Box<[u8]>),
}

/// Events that this subscriber missed.
#[derive(Debug)]
pub(super) struct Gap {
    /// The first and the last of their ids.
    pub(super) from: u64,
    pub(super) to: u64,
    /// Made when it is about to be written, since it may grow until then.
    bytes: Option<Box<[u8]>>,
}

impl Item {
    /// What stands in the place of events that the store does not have.
    pub(super) fn missing(encoding: Encoding, missing: Missing) -> Self {
        let Missing { from, to, last } = missing;
        if last.is_some() {
            return Self::Rewind(frame(encoding, last, "gap", &gap_json(missing)));
        }
        Self::Gap(Box::new(Gap {
            from,
            to,
            bytes: None,
        }))
    }

    /// It, as it is sent.
    pub(super) fn bytes(&mut self, encoding: Encoding) -> &[u8] {
        match self {
            Self::Event(event) => event.bytes(encoding),
            Self::Rewind(bytes) | Self::Last(bytes) => bytes,
            Self::Gap(gap) => {
                let (from, to, last) = (gap.from, gap.to, None);
                let json = || gap_json(Missing { from, to, last });
                gap.bytes
                    .get_or_insert_with(|| frame(encoding, None, "gap", &json()))
            }
        }
    }
}

impl Gap {
    pub(super) fn of(id: u64) -> Self {
        Self {
            from: id,
            to: id,
            bytes: None,
        }
    }

    pub(super) fn grow(&mut self, to: u64) {
        self.to = to;
        self.bytes = None;
    }
}
