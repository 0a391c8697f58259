//! What a protocol knows of its stream.

use crate::reactor::{Readiness, Stream};

/// What is known of a stream, kept by the driver: asked of the stream when that may change, and not with each request.
#[derive(Clone, Copy)]
pub(super) struct Link {
    /// What can still be done, as far as is known: an edge is reported once.
    pub(super) can: Readiness,
    /// Bytes pass encrypted.
    pub(super) is_secure: bool,
    /// The two ends are still agreeing how to encrypt.
    pub(super) is_handshaking: bool,
    /// Bytes of memory that the stream itself holds of what the peer has sent.
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

    /// After a read: of a stream that encrypts, anything may have changed.
    #[inline]
    pub(super) fn refresh(&mut self, stream: &impl Stream) {
        if self.is_secure {
            self.is_handshaking = stream.is_handshaking();
            self.held = stream.held_bytes() as u32;
        }
    }
}
