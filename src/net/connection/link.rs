//! What the protocol knows about its stream.

use crate::reactor::{Readiness, Stream};

/// What is known about a stream. The driver asks the stream when something may have changed, not with each request.
#[derive(Clone, Copy)]
pub(super) struct Link {
    /// The I/O that may still succeed, as far as is known: an edge is reported only once.
    pub(super) can: Readiness,
    /// The stream is encrypted.
    pub(super) is_secure: bool,
    /// The TLS handshake is not complete.
    pub(super) is_handshaking: bool,
    /// Bytes from the peer that the stream itself holds in memory.
    pub(super) held: u32,
}

impl Link {
    pub(super) fn of(stream: &impl Stream) -> Self {
        Self {
            can: Readiness::NONE,
            is_secure: stream.is_secure(),
            is_handshaking: stream.is_handshaking(),
            held: 0,
        }
    }

    /// Called after a read, which may have changed anything about an encrypted stream.
    #[inline]
    pub(super) fn refresh(&mut self, stream: &impl Stream) {
        if self.is_secure {
            self.is_handshaking = stream.is_handshaking();
            self.held = stream.held_bytes() as u32;
        }
    }
}
