//! A request whose body has not fully arrived: its head, kept, and the body so far.

use crate::config::Limits;
use crate::http::{Chunked, Fault, Framing};

/// A request that waits for the rest of its body.
pub(super) struct Body {
    /// The head's bytes: parsed again when the body is whole, which is rarer than it is cheap.
    pub(super) head: Vec<u8>,
    pub(super) bytes: Vec<u8>,
    rest: Rest,
}

enum Rest {
    Bytes(usize),
    Chunks(Chunked),
}

impl Body {
    /// A body of which nothing has arrived. No memory is set aside for what a peer only announces.
    pub(super) fn new(head: &[u8], framing: Framing) -> Self {
        let rest = match framing {
            // It was compared with the limit before.
            Framing::Length(length) => Rest::Bytes(length as usize),
            Framing::Chunked => Rest::Chunks(Chunked::new()),
        };
        Self {
            head: head.to_vec(),
            bytes: Vec::new(),
            rest,
        }
    }

    /// Bytes that are held.
    pub(super) fn held(&self) -> usize {
        self.head.capacity() + self.bytes.capacity()
    }

    /// Takes what belongs to the body from the front of `input`; how many bytes that were, and
    /// whether the body is whole.
    ///
    /// # Errors
    /// The fault to answer with, when the framing is broken or the body too long.
    pub(super) fn feed(&mut self, input: &[u8], limits: &Limits) -> Result<(usize, bool), Fault> {
        match &mut self.rest {
            Rest::Bytes(missing) => {
                let count = input.len().min(*missing);
                self.bytes.extend_from_slice(&input[..count]);
                *missing -= count;
                Ok((count, *missing == 0))
            }
            Rest::Chunks(chunked) => {
                let progress = chunked.decode(input, &mut self.bytes, limits.body_bytes_max)?;
                Ok((progress.consumed, progress.done))
            }
        }
    }
}
