//! Streams: connections on which events are sent for as long as a session lasts.
//!
//! What they share, and server-sent events; `talking` has what a WebSocket does beyond that. A stream
//! writes its outbox, which holds the head of the answer and small things like pings, and its feed,
//! which the hub fills. It ends by saying why, unless the connection just breaks.

use super::expiry::{Expiry, HEARTBEAT, LINGER, sooner};
use super::session::StreamSession;
use super::talk::Talk;
use crate::app::FeedId;
use crate::net::lifecycle::Life;
use crate::reactor::{Moment, Reason, Token};

/// A connection on which events are sent.
pub(super) struct Live {
    /// Whose it is, as the application knows it.
    pub(super) token: Token,
    /// The session with which it ends.
    pub(super) session: Option<StreamSession>,
    /// What is to be sent.
    pub(super) feed: Option<FeedId>,
    /// Since when nothing showed that the stream is not dead.
    pub(super) quiet_since: Moment,
    /// Since when it is about to end, and why.
    pub(super) ending: Option<(Moment, Reason)>,
    /// The peer will send nothing more.
    pub(super) peer_ended: bool,
    pub(super) kind: LiveKind,
}

pub(super) enum LiveKind {
    Sse,
    /// Server-sent events that tell of the loop.
    Watch,
    WebSocket(Box<Talk>),
}

impl Live {
    /// When something has to be done about it, and what.
    pub(super) fn patience(&self, blocked: Option<Moment>, life: &Life) -> (Moment, Expiry) {
        if let Some((since, _)) = self.ending {
            let until = (since + LINGER).min(life.cut_at());
            return match blocked {
                Some(_) => sooner((life.cut_at(), Expiry::Cut), (until, Expiry::Ending)),
                None => (until, Expiry::Ending),
            };
        }
        let cut = blocked.map_or(Moment::NEVER, |_| life.cut_at());
        let end = sooner((cut, Expiry::Cut), (life.streams_until(), Expiry::Draining));
        let session = self.session.as_ref();
        if let Some(ends_at) = session.and_then(StreamSession::ends_at) {
            // Nothing more is said but that, so no heartbeat is due.
            let blocked = (blocked.unwrap_or(Moment::NEVER), Expiry::Blocked);
            return sooner(sooner(end, blocked), (ends_at, Expiry::Beat));
        }
        let beat = (self.quiet_since + HEARTBEAT, Expiry::Beat);
        let due = match (&self.kind, blocked) {
            // A peer that takes nothing is given its time, and cannot answer a ping that is stuck.
            (_, Some(until)) => (until, Expiry::Blocked),
            (LiveKind::Sse | LiveKind::Watch, None) => beat,
            (LiveKind::WebSocket(talk), None) => sooner((talk.pong_due(), Expiry::Pong), beat),
        };
        let look_at = session.map_or(Moment::NEVER, |session| session.look_at);
        sooner(sooner(end, (look_at, Expiry::Beat)), due)
    }

    /// What it is, in a word.
    pub(super) fn name(&self) -> &'static str {
        match self.kind {
            LiveKind::Sse | LiveKind::Watch => "streaming",
            LiveKind::WebSocket(_) => "websocket",
        }
    }

    /// Nothing but events is expected of it.
    pub(super) fn is_at_ease(&self) -> bool {
        self.ending.is_none() && !self.peer_ended
    }

    /// Something was written: a sign of life. A WebSocket is pinged all the same, since only the
    /// answer shows that its peer is there.
    pub(super) fn wrote(&mut self, now: Moment) {
        if !matches!(self.kind, LiveKind::WebSocket(_)) {
            self.quiet_since = now;
        }
    }

    /// The peer will send nothing more. One that asked for events and shut its side gets those that
    /// there are up to now; a WebSocket that ends without a word has broken.
    pub(super) fn peer_ends(&mut self) -> Option<Reason> {
        self.peer_ended = true;
        match self.kind {
            LiveKind::Sse => None,
            LiveKind::Watch => Some(Reason("closed by the peer")),
            LiveKind::WebSocket(_) => Some(Reason("closed by the peer without a close frame")),
        }
    }

    /// Whether what the peer sends may be looked at.
    pub(super) fn listens(&self) -> bool {
        let takes = match &self.kind {
            LiveKind::Sse | LiveKind::Watch => true,
            LiveKind::WebSocket(talk) => talk.takes_messages(),
        };
        takes && self.ending.is_none()
    }
}
