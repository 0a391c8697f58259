//! The deadlines of a connection: what each is for, and how long some of them are.

use std::time::Duration;

use crate::reactor::Moment;

/// How long the rest of a peer's bytes is read and discarded. Without that the system would answer unread
/// bytes with a reset, which may destroy the last answer on its way (RFC 9112, section 9.6).
pub(super) const LINGER: Duration = Duration::from_secs(2);

/// How long a stream is silent before a comment or a ping shows that it is alive: proxies cut streams
/// that are silent for a minute, some after half a minute.
pub(super) const HEARTBEAT: Duration = Duration::from_secs(25);

/// What a connection waits for, and so what to do when the deadline passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expiry {
    /// Nothing is expected from the peer.
    Never,
    /// The peer is to be told that its network has too many connections.
    Refusal,
    /// No handshake came in time.
    Handshake,
    /// No request came in time.
    Idle,
    /// No complete head came in time.
    Head,
    /// No complete body came in time.
    Body,
    /// A request has not arrived completely, and another process waits to take over.
    Restart,
    /// The peer has taken nothing of what waits for it.
    Blocked,
    /// Another process waits to take over, and this connection has taken too long.
    Cut,
    /// The peer has had its time to see that we have shut our side.
    Linger,
    /// A long poll has waited for events for long enough.
    Poll,
    /// The session of a long poll may have ended.
    Session,
    /// A stream has had its time to take its last words.
    Ending,
    /// The server shuts down, and a stream has nothing more to wait for.
    Draining,
    /// No pong came.
    Pong,
    /// A stream has to show that it is alive, and to check its session.
    Beat,
}

/// The earlier of two moments; the first, if they are equal.
#[inline]
pub(super) fn sooner(one: (Moment, Expiry), other: (Moment, Expiry)) -> (Moment, Expiry) {
    if other.0 < one.0 { other } else { one }
}
