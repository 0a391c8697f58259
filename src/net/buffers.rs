//! Memory that connections borrow while they hold bytes.

use crate::config::READ_BUFFER_BYTES;

/// Buffers kept for the next borrower; more are given back to the allocator.
const SPARE_MAX: usize = 256;
/// A buffer that has grown beyond this is not kept.
const SPARE_BYTES_MAX: usize = 64 * 1024;
/// Capacity of a new buffer: enough for most answers, even for 16 of them.
pub(super) const NEW_BYTES: usize = 4 * 1024;

/// The loop's buffers: one to read into, and a stack of spares for bytes that have to wait.
#[derive(Debug)]
pub(super) struct Buffers {
    read: Vec<u8>,
    spare: Vec<Vec<u8>>,
}

impl Default for Buffers {
    fn default() -> Self {
        Self {
            read: vec![0; READ_BUFFER_BYTES],
            spare: Vec::with_capacity(SPARE_MAX),
        }
    }
}

impl Buffers {
    /// Takes the one read buffer, [`READ_BUFFER_BYTES`] long, for the length of one call.
    pub(super) fn take_read(&mut self) -> Vec<u8> {
        debug_assert_eq!(
            self.read.len(),
            READ_BUFFER_BYTES,
            "the read buffer is out already"
        );
        std::mem::take(&mut self.read)
    }

    /// Gives the read buffer back.
    pub(super) fn give_read_back(&mut self, buffer: Vec<u8>) {
        self.read = buffer;
    }

    /// An empty buffer.
    pub(super) fn take(&mut self) -> Vec<u8> {
        self.spare
            .pop()
            .unwrap_or_else(|| Vec::with_capacity(NEW_BYTES))
    }

    /// Buffers that wait for a borrower.
    #[cfg(test)]
    pub(super) fn spares(&self) -> usize {
        self.spare.len()
    }

    /// Gives a buffer back, with any content.
    pub(super) fn give_back(&mut self, mut buffer: Vec<u8>) {
        let worth_keeping = (NEW_BYTES..=SPARE_BYTES_MAX).contains(&buffer.capacity());
        if worth_keeping && self.spare.len() < SPARE_MAX {
            buffer.clear();
            self.spare.push(buffer);
        }
    }
}
