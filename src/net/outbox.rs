//! Bytes that wait to be written to one peer.

use std::io::{self, Write};

use super::buffers::Buffers;
use crate::reactor::SHORT_MEANS_DRAINED;

/// Bytes that wait, in a buffer that is borrowed only while some do.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    bytes: Vec<u8>,
    /// How many of them have been written.
    written: usize,
}

/// How far a flush came.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Flushed {
    /// Everything is written.
    All,
    /// The peer takes no more at the moment; so many bytes were written before.
    Blocked(usize),
}

impl Outbox {
    /// Where answers are encoded into.
    pub(super) fn buffer(&mut self, buffers: &mut Buffers) -> &mut Vec<u8> {
        if self.bytes.capacity() == 0 {
            self.bytes = buffers.take();
        }
        &mut self.bytes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// How many bytes wait.
    pub(super) fn len(&self) -> usize {
        self.bytes.len() - self.written
    }

    /// Writes what waits: one write, where the peer takes all of it.
    ///
    /// # Errors
    /// What the stream says, other than `WouldBlock`: the connection is gone.
    pub(super) fn flush(
        &mut self,
        stream: &mut impl Write,
        buffers: &mut Buffers,
    ) -> io::Result<Flushed> {
        let before = self.written;
        while self.written < self.bytes.len() {
            match stream.write(&self.bytes[self.written..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => {
                    self.written += count;
                    if self.written < self.bytes.len() && SHORT_MEANS_DRAINED {
                        return Ok(Flushed::Blocked(self.written - before));
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Ok(Flushed::Blocked(self.written - before));
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.discard(buffers);
        Ok(Flushed::All)
    }

    /// Forgets what waits, and gives the buffer back.
    pub(super) fn discard(&mut self, buffers: &mut Buffers) {
        self.written = 0;
        buffers.give_back(std::mem::take(&mut self.bytes));
    }
}
