//! Where requests begin and end in the bytes that a peer sends (RFC 9112, section 6).
//!
//! Bytes in, requests out: no stream, no clock, and no state but that of a [`Body`] that has not fully arrived.

use crate::app::{Found, Routes};
use crate::config::Limits;
use crate::http::{Chunked, Fault, Framing, Head};

/// How much of a request with a complete head has arrived.
pub(super) enum Framed<'b> {
    /// All of it. This is its body, as it stands in the bytes.
    Whole(&'b [u8]),
    /// The handler does not need the body. It may still follow, and would be taken for the next request, so the
    /// connection ends with the answer.
    Unread,
    /// Its body is not complete yet.
    Begun {
        /// The client asks before it sends the body, and is to be told to continue.
        asks: bool,
    },
}

/// Looks for the body of a request for the handlers of `table` in `rest`, which follows its head.
///
/// # Errors
/// The fault to answer with; the connection must be closed after that.
#[inline]
pub(super) fn frame<'b>(
    head: &Head<'_>,
    rest: &'b [u8],
    table: &Routes,
    limits: &Limits,
) -> Result<Framed<'b>, Fault> {
    if head.framing == Framing::Length(0) {
        return Ok(Framed::Whole(&[]));
    }
    frame_body(head, rest, table, limits)
}

fn frame_body<'b>(
    head: &Head<'_>,
    rest: &'b [u8],
    table: &Routes,
    limits: &Limits,
) -> Result<Framed<'b>, Fault> {
    // The client asks before it sends: it is told to continue only if the body will be used.
    let asks = head.expect_continue && rest.is_empty();
    let (from_head, known) = match table.find(head.method, head.target.path) {
        Found::Handler { reads_body, .. } => (!reads_body, true),
        Found::NotImplemented => return Err(Fault::METHOD_NOT_IMPLEMENTED),
        Found::Options(_) | Found::NotAllowed(_) | Found::Nothing => (false, false),
    };
    let bytes_max = limits.body_bytes_max as u64;
    if !from_head && matches!(head.framing, Framing::Length(length) if length > bytes_max) {
        return Err(Fault::BODY_TOO_LARGE);
    }
    if from_head || (asks && !known) {
        return Ok(Framed::Unread);
    }
    if let Framing::Length(length) = head.framing
        && let Some(body) = rest.get(..length as usize)
    {
        return Ok(Framed::Whole(body));
    }
    Ok(Framed::Begun { asks })
}

/// A request that waits for the rest of its body.
pub(super) struct Body {
    /// The head's bytes: they are parsed again when the body is complete, which is rare and cheap.
    pub(super) head: Vec<u8>,
    pub(super) bytes: Vec<u8>,
    rest: Rest,
}

enum Rest {
    Bytes(usize),
    Chunks(Chunked),
}

impl Body {
    /// A body of which nothing has arrived. No memory is reserved for bytes that a peer only announces.
    pub(super) fn new(head: &[u8], framing: Framing) -> Self {
        let rest = match framing {
            // It was checked against the limit before.
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

    /// Takes the bytes of the body from the front of `input`; returns how many it took, and
    /// whether the body is complete.
    ///
    /// # Errors
    /// The fault to answer with, if the framing is broken or the body too long.
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
