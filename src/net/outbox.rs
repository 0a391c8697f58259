//! Bytes that wait to be written to one peer.

use std::io::{self, IoSlice, Write};

use super::buffers::Buffers;
use crate::app::Feed;
use crate::planted::{Bug, planted};
use crate::reactor::SHORT_MEANS_DRAINED;

/// Most pieces in one write: as many as Linux allows (`IOV_MAX`).
const SLICES_MAX: usize = 1024;

/// Most written bytes that are kept in front of the waiting ones: with one more write they still fit into 32 bits.
const WRITTEN_MAX: usize = 1 << 31;

/// Bytes that wait, in a buffer that is borrowed only while there are some.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    bytes: Vec<u8>,
    /// How many of them have been written.
    written: u32,
    /// Bytes that were written since the beginning, including those of a feed (saturating).
    sent: u32,
}

/// How far a flush came.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Flushed {
    /// Everything is written.
    All,
    /// The peer takes no more at the moment; so many bytes were written before that.
    Blocked(usize),
}

impl Outbox {
    /// The buffer that answers are encoded into.
    pub(super) fn buffer(&mut self, buffers: &mut Buffers) -> &mut Vec<u8> {
        if self.bytes.capacity() == 0 {
            self.bytes = buffers.take();
        }
        &mut self.bytes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    fn written(&self) -> usize {
        self.written as usize
    }

    /// How many bytes were written since the beginning.
    pub(super) fn sent(&self) -> u64 {
        u64::from(self.sent)
    }

    /// How many bytes wait.
    pub(super) fn len(&self) -> usize {
        self.bytes.len() - self.written()
    }

    /// Writes what waits: with one write, if the peer takes all of it.
    ///
    /// # Errors
    /// The stream's error, other than `WouldBlock`: the connection is gone.
    pub(super) fn flush(
        &mut self,
        stream: &mut impl Write,
        buffers: &mut Buffers,
    ) -> io::Result<Flushed> {
        let mut total = 0;
        while self.written() < self.bytes.len() {
            let waiting = &self.bytes[self.written()..];
            match stream.write(waiting) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => {
                    let short = count < waiting.len();
                    total += count;
                    self.wrote(count, buffers);
                    if short && SHORT_MEANS_DRAINED {
                        return Ok(Flushed::Blocked(total));
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Ok(Flushed::Blocked(total));
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        all_but_the_streams_own(stream, total, || self.discard(buffers))
    }

    /// Takes note that `count` bytes from the front were written. They are dropped soon, even if more waits:
    /// otherwise answers to pings would be kept for ever beside a feed that is never empty.
    fn wrote(&mut self, count: usize, buffers: &mut Buffers) {
        self.written += count as u32; // a system call moves less than 2 GiB
        self.sent = self.sent.saturating_add(count as u32);
        if self.written() < self.bytes.len() && planted(Bug::SentTwice) {
            self.written -= 1;
        }
        if self.written() == self.bytes.len() {
            self.discard(buffers);
        } else if self.written() > (self.bytes.len() / 2).min(WRITTEN_MAX) {
            self.bytes.drain(..self.written());
            self.written = 0;
        }
    }

    /// Writes what waits here and in a feed: with one write, if the peer takes all of it. The outbox goes
    /// first, since an answer to a ping must not wait behind a full feed, but never into the middle of an
    /// event.
    ///
    /// # Errors
    /// As for [`flush`](Self::flush).
    pub(super) fn flush_with(
        &mut self,
        feed: &mut Feed,
        stream: &mut impl Write,
        buffers: &mut Buffers,
    ) -> io::Result<Flushed> {
        let mut total = 0;
        loop {
            let own = &self.bytes[self.written()..];
            if own.is_empty() && feed.is_empty() {
                return all_but_the_streams_own(stream, total, || self.discard(buffers));
            }
            let (own_length, ahead) = (own.len(), feed.rest_of_item());
            let sole = own.is_empty().then(|| feed.sole()).flatten();
            let written = if let Some(event) = sole {
                // The only thing to write in most turns; it needs no list.
                stream.write(event).map(|count| Written {
                    count,
                    short: count < event.len(),
                })
            } else if ahead == 0 {
                let own = (!own.is_empty()).then_some(own);
                write_slices(own.into_iter().chain(feed.slices()), stream)
            } else {
                let mut slices = feed.slices();
                let begun = slices.next();
                write_slices(begun.into_iter().chain([own]).chain(slices), stream)
            };
            match written {
                Ok(Written { count: 0, .. }) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(Written { count, short }) => {
                    total += count;
                    let own = (count - count.min(ahead)).min(own_length);
                    feed.wrote(count - own);
                    self.sent = self.sent.saturating_add((count - own) as u32);
                    if own > 0 {
                        self.wrote(own, buffers);
                    }
                    if short && SHORT_MEANS_DRAINED {
                        feed.block();
                        return Ok(Flushed::Blocked(total));
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    feed.block();
                    return Ok(Flushed::Blocked(total));
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Takes what waits.
    pub(super) fn take(&mut self, buffers: &mut Buffers) -> Vec<u8> {
        let waiting = self.bytes[self.written()..].to_vec();
        self.discard(buffers);
        waiting
    }

    /// Replaces what waits by these bytes.
    pub(super) fn put(&mut self, bytes: Vec<u8>) {
        self.bytes = bytes;
        self.written = 0;
    }

    /// Drops what waits, and gives the buffer back.
    pub(super) fn discard(&mut self, buffers: &mut Buffers) {
        self.written = 0;
        buffers.give_back(std::mem::take(&mut self.bytes));
    }
}

/// Everything was given to the stream: now flushes what the stream itself holds back.
#[inline]
fn all_but_the_streams_own(
    stream: &mut impl Write,
    total: usize,
    discard: impl FnOnce(),
) -> io::Result<Flushed> {
    discard();
    match stream.flush() {
        Ok(()) => Ok(Flushed::All),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Flushed::Blocked(total)),
        Err(error) => Err(error),
    }
}

struct Written {
    count: usize,
    /// The stream took less than it was offered.
    short: bool,
}

/// Writes all that fits into one call.
fn write_slices<'s>(
    slices: impl Iterator<Item = &'s [u8]>,
    stream: &mut impl Write,
) -> io::Result<Written> {
    let mut list = [IoSlice::new(&[]); SLICES_MAX];
    let (mut length, mut offered) = (0, 0);
    for (place, slice) in list.iter_mut().zip(slices) {
        *place = IoSlice::new(slice);
        length += 1;
        offered += slice.len();
    }
    let count = stream.write_vectored(&list[..length])?;
    Ok(Written {
        count,
        short: count < offered,
    })
}

#[cfg(test)]
mod tests;
