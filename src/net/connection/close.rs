//! How a stream ends: the last event that its peer gets.

use super::live::LiveKind;
use crate::reactor::Reason;
use crate::websocket;

/// Why a stream ends.
#[derive(Clone, Copy, Debug)]
pub(super) enum CloseCause {
    /// Its session has ended.
    Revoked,
    /// The server shuts down.
    Draining,
    /// The peer is too slow, and is to be disconnected.
    TooSlow,
    /// The peer has ended its side, and has received everything.
    PeerEnded,
    /// The continuation of a job of its conversation panicked.
    Failed,
}

impl CloseCause {
    pub(super) fn reason(self) -> Reason {
        Reason(match self {
            Self::Revoked => "its session has ended",
            Self::Draining => "the server shuts down",
            Self::TooSlow => "too slow, or the store failed",
            Self::PeerEnded => "closed by the peer",
            Self::Failed => "what followed its job panicked",
        })
    }

    /// The last message, as bytes.
    pub(super) fn last_message(self, kind: &LiveKind, retry_ms: u32) -> Vec<u8> {
        let mut words = Vec::new();
        match (kind, self) {
            (LiveKind::Sse | LiveKind::Watch, Self::Revoked) => words.extend_from_slice(
                b"event: session.revoked\ndata: {\"name\":\"session.revoked\",\"data\":{}}\n\n",
            ),
            (LiveKind::Sse | LiveKind::Watch, Self::Draining) => {
                words.extend_from_slice(format!("retry: {retry_ms}\n\n").as_bytes());
            }
            (LiveKind::Sse | LiveKind::Watch, _) => {}
            (LiveKind::WebSocket(_), _) => {
                let (code, reason) = match self {
                    Self::Revoked => (websocket::SESSION_ENDED, "the session has ended"),
                    Self::Draining => (websocket::GOING_AWAY, "the server shuts down"),
                    Self::TooSlow => (websocket::TRY_AGAIN_LATER, "too slow: resume with ?since="),
                    Self::PeerEnded => (websocket::NORMAL, ""),
                    Self::Failed => (websocket::INTERNAL_ERROR, "the server failed"),
                };
                websocket::encode_close(code, reason, &mut words);
            }
        }
        words
    }
}
