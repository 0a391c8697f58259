//! Streams: connections on which events are sent for as long as a session lasts.
//!
//! This file has what all streams share, and server-sent events; `talking` has what a WebSocket does beyond that.
//! A stream writes its outbox, which holds the head of the answer and small messages like pings, and its feed,
//! which the hub fills. Its last message says why it ends, unless the connection breaks.

use super::expiry::{Expiry, HEARTBEAT, LINGER, sooner};
use super::session::StreamSession;
use super::talk::Talk;
use crate::app::FeedId;
use crate::net::lifecycle::Lifecycle;
use crate::reactor::{Moment, Reason, Token};

/// A connection on which events are sent.
pub(super) struct Live {
    /// The token of its connection, by which the application knows the stream.
    pub(super) token: Token,
    /// The session with which it ends.
    pub(super) session: Option<StreamSession>,
    /// The session has expired. Until it is to be checked again, the stream waits for the event that reports that.
    pub(super) has_expired: bool,
    /// The queue of the events that it sends.
    pub(super) feed: Option<FeedId>,
    /// Since when the stream has shown no sign of life.
    pub(super) quiet_since: Moment,
    /// Since when it has been ending, and why. Boxed, since few streams are ending at any time.
    pub(super) ending: Option<Box<(Moment, Reason)>>,
    /// The peer will send nothing more.
    pub(super) peer_ended: bool,
    pub(super) kind: LiveKind,
}

pub(super) enum LiveKind {
    Sse,
    /// Server-sent events that describe the loop.
    Watch,
    WebSocket(Box<Talk>),
}

impl Live {
    /// When something has to be done for the stream, and what.
    pub(super) fn patience(&self, blocked: Option<Moment>, life: &Lifecycle) -> (Moment, Expiry) {
        if let Some(ending) = &self.ending {
            let until = (ending.0 + LINGER).min(life.cut_at());
            return match blocked {
                Some(_) => sooner((life.cut_at(), Expiry::Cut), (until, Expiry::Ending)),
                None => (until, Expiry::Ending),
            };
        }
        let cut = blocked.map_or(Moment::NEVER, |_| life.cut_at());
        let end = sooner((cut, Expiry::Cut), (life.streams_until(), Expiry::Draining));
        let session = self.session.as_ref();
        let check_at = session.map_or(Moment::NEVER, |session| session.check_at);
        if self.has_expired {
            // Nothing but the last message follows, so no heartbeat is due.
            let blocked = (blocked.unwrap_or(Moment::NEVER), Expiry::Blocked);
            return sooner(sooner(end, blocked), (check_at, Expiry::Beat));
        }
        let beat = (self.quiet_since + HEARTBEAT, Expiry::Beat);
        let due = match (&self.kind, blocked) {
            // A peer that takes nothing has its time to do so, and cannot answer a ping that it has not received.
            (_, Some(until)) => (until, Expiry::Blocked),
            (LiveKind::Sse | LiveKind::Watch, None) => beat,
            (LiveKind::WebSocket(talk), None) => sooner((talk.pong_due(), Expiry::Pong), beat),
        };
        sooner(sooner(end, (check_at, Expiry::Beat)), due)
    }

    /// The name of its kind.
    pub(super) fn name(&self) -> &'static str {
        match self.kind {
            LiveKind::Sse | LiveKind::Watch => "streaming",
            LiveKind::WebSocket(_) => "websocket",
        }
    }

    /// Whether neither side has begun to end it.
    pub(super) fn is_at_ease(&self) -> bool {
        self.ending.is_none() && !self.peer_ended
    }

    /// Something was written: a sign of life. A WebSocket is pinged anyway, since only the
    /// answer shows that its peer is there.
    pub(super) fn wrote(&mut self, now: Moment) {
        if !matches!(self.kind, LiveKind::WebSocket(_)) {
            self.quiet_since = now;
        }
    }

    /// The peer will send nothing more. A client of server-sent events that has shut its side gets the events
    /// up to now; a WebSocket that ends without a close frame is broken.
    pub(super) fn peer_ends(&mut self) -> Option<Reason> {
        self.peer_ended = true;
        match self.kind {
            LiveKind::Sse => None,
            LiveKind::Watch => Some(Reason("closed by the peer")),
            LiveKind::WebSocket(_) => Some(Reason("closed by the peer without a close frame")),
        }
    }

    /// Whether the peer's bytes may be handled now.
    pub(super) fn listens(&self) -> bool {
        let takes = match &self.kind {
            LiveKind::Sse | LiveKind::Watch => true,
            LiveKind::WebSocket(talk) => talk.takes_messages(),
        };
        takes && self.ending.is_none()
    }
}

// As with connections: each stream has one of these, and malloc adds eight bytes and rounds to sixteen.
#[cfg(target_pointer_width = "64")]
const _: () = assert!(size_of::<Live>() <= 104);
