//! What a connection's deadlines are about, and how long some of them are.

use std::time::Duration;

use crate::reactor::Moment;

/// How long the rest of what a peer sends is read and thrown away, so that the reset which answers
/// unread bytes does not destroy the last answer on its way (RFC 9112, section 9.6).
pub(super) const LINGER: Duration = Duration::from_secs(2);

/// How long a stream is silent before a comment or a ping shows that it is not dead: proxies cut what
/// says nothing for a minute, some for half of one.
pub(super) const HEARTBEAT: Duration = Duration::from_secs(25);

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
