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
//!
//! Not drawn: `Refused`, the first state of a connection whose network has too many, which leads to `Closing`; and
//! `Parked` and `Live`, which follow from a handler or from `Waiting`, like `Streaming`.

use super::live::Live;
use crate::app::{FeedId, Stream as Pieces};
use crate::net::exchange::{End, Exchange};
use crate::net::framing::Body;
use crate::reactor::{Moment, Next, Reason, Token};
use crate::token::Fingerprint;

pub(super) enum State {
    /// Its network has as many connections as allowed. The peer is told so at the first dispatch.
    Refused,
    /// Between two requests.
    Idle { since: Moment },
    /// Part of a head has arrived.
    Head { since: Moment },
    /// A head and part of its body have arrived.
    Body { since: Moment, body: Box<Body> },
    /// A worker has the request. Reading pauses.
    Waiting { exchange: Box<Exchange> },
    /// The body of an answer is being made piece by piece.
    Streaming(Box<Streaming>),
    /// A long poll: it is answered when there are events, or when it has waited long enough.
    Parked(Box<Parked>),
    /// Events are sent as they come; on a WebSocket, messages go both ways.
    Live(Box<Live>),
    /// Once the outbox is empty, the connection ends.
    Closing(End),
    /// Our side is shut, and what still comes is discarded. Boxed, since a connection is as large as its largest state.
    Lingering(Box<Lingering>),
}

/// An end that the peer has been told of.
pub(super) struct Lingering {
    pub(super) since: Moment,
    pub(super) reason: Reason,
}

/// An answer whose body is made as the client takes it.
pub(super) struct Streaming {
    pub(super) exchange: Exchange,
    pub(super) pieces: Pieces,
    /// The pieces are chunks; else the end of the connection ends the body.
    pub(super) chunked: bool,
    /// Bytes of the body so far, as sent.
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
    /// When its session has to be checked again.
    pub(super) check_at: Moment,
}

/// What a connection does after a step.
#[derive(Clone, Copy, Debug)]
pub(super) enum Flow {
    /// What its state requires.
    On,
    /// Nothing new: the last request to the loop remains.
    Next(Next),
    /// Our side is to be shut for the peer to see; what still comes is discarded.
    Part,
}

impl From<Next> for Flow {
    fn from(next: Next) -> Self {
        Self::Next(next)
    }
}
