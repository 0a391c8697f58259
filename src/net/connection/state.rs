//! The states of a connection, and what each has to remember.
//!
//! ```text
//!            first byte              head, body to come
//!     Idle ─────────────▶ Head ────────────────────────▶ Body
//!      ▲                   │  whole request               │ whole
//!      │                   ▼                              ▼
//!      │◀──── answered ── handler ◀───────────────────────┘
//!      │                   │ later          │ stream
//!      │◀──── answered ── Waiting           ▼
//!      │◀──── last piece ───────────── Streaming
//!      │
//!      └─ any state ── fault, `Connection: close`, end ──▶ Closing ──▶ Lingering ──▶ freed
//! ```

use super::live::Live;
use crate::app::{FeedId, Stream as Pieces};
use crate::net::exchange::{End, Exchange};
use crate::net::framing::Body;
use crate::reactor::{Moment, Next, Reason, Token};
use crate::token::Fingerprint;

pub(super) enum State {
    /// Its network has as many connections as it may. It is told so as soon as the loop turns to it.
    Refused,
    /// Between two requests.
    Idle { since: Moment },
    /// Part of a head has arrived.
    Head { since: Moment },
    /// A head and part of its body have arrived.
    Body { since: Moment, body: Box<Body> },
    /// A worker has it. Reading pauses.
    Waiting { exchange: Box<Exchange> },
    /// The body of an answer is being made piece by piece.
    Streaming(Box<Streaming>),
    /// It is answered when there are events, or when it has waited long enough.
    Parked(Box<Parked>),
    /// Events are sent as they come; on a WebSocket, messages go both ways.
    Live(Box<Live>),
    /// Once the outbox is empty, the connection ends.
    Closing(End),
    /// Our side is shut; what still comes is thrown away.
    Lingering { since: Moment, reason: Reason },
}

/// An answer whose body is made as it is taken.
pub(super) struct Streaming {
    pub(super) exchange: Exchange,
    pub(super) pieces: Pieces,
    /// The pieces are chunks; else the end of the connection ends the body.
    pub(super) chunked: bool,
    /// Bytes of body made so far, as they are on the wire.
    pub(super) bytes: usize,
}

/// A request that waits for events.
pub(super) struct Parked {
    pub(super) exchange: Exchange,
    pub(super) token: Token,
    pub(super) session: Fingerprint,
    pub(super) feed: FeedId,
    pub(super) through: u64,
    pub(super) limit: usize,
    pub(super) until: Moment,
    /// When its session has to be looked at again.
    pub(super) look_at: Moment,
}

/// What a connection's patience is about: what is done when it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expiry {
    /// Nothing is expected of the peer.
    Never,
    /// The peer is to be told that its network has too many connections.
    Refusal,
    /// No handshake came in time.
    Handshake,
    /// No request came in time.
    Idle,
    /// No whole head came in time.
    Head,
    /// No whole body came in time.
    Body,
    /// A request has not arrived, and another process waits to go on.
    Restart,
    /// The peer has taken nothing of what waits for it.
    Blocked,
    /// Another process waits, and whatever this is about has taken too long.
    Cut,
    /// The peer has had its time to see our end.
    Linger,
    /// A request has waited for events for long enough.
    Poll,
    /// The session of a request that waits may have ended.
    Session,
    /// A stream has had its time to take its last words.
    Ending,
    /// The server shuts down, and a stream has nothing more to wait for.
    Draining,
    /// No pong came.
    Pong,
    /// A stream shows that it is not dead, and looks at its session.
    Beat,
}

/// The earlier of two moments; if they are the same, the first.
#[inline]
pub(super) fn sooner(one: (Moment, Expiry), other: (Moment, Expiry)) -> (Moment, Expiry) {
    if other.0 < one.0 { other } else { one }
}

/// What a connection does after something was done.
#[derive(Clone, Copy, Debug)]
pub(super) enum Flow {
    /// What its state asks for.
    On,
    /// Nothing: what was asked of the loop before still holds.
    Next(Next),
    /// Its peer is to see our end; what still comes is thrown away.
    Part,
}

impl From<Next> for Flow {
    fn from(next: Next) -> Self {
        Self::Next(next)
    }
}
