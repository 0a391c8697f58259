//! The clients of the server and their requests.

use std::collections::VecDeque;

use super::odd::Odd;
use super::talk::Said;
use super::truth::{Follower, Span};
use crate::reactor::fake::WireId;

/// Most requests that one client has under way.
pub(super) const PIPELINED_MAX: usize = 5;

/// A client with a connection.
#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "facts about a peer that hold or not, each by itself"
)]
pub(super) struct Client {
    pub(super) wire: WireId,
    /// Bytes that were taken and not parsed yet.
    pub(super) inbox: Vec<u8>,
    /// Requests that have not been answered, oldest first.
    pub(super) asked: VecDeque<Asked>,
    pub(super) mode: Mode,
    /// It sends no more requests: its last request ends the connection, or turns it into a stream.
    pub(super) said_all: bool,
    /// It was told that the connection ends.
    pub(super) told_end: bool,
    /// It sends a head byte by byte, for ever.
    pub(super) drips: bool,
    pub(super) dripping_since_ns: Option<u64>,
    /// Turns since it should have been refused.
    pub(super) late_turns: u32,
    /// The last answer was made piece by piece, and began before it could say that the connection ends.
    pub(super) streamed: bool,
    /// It has shut its side.
    pub(super) shut: bool,
    /// When it took something last, and whether it ever made the server wait for long.
    pub(super) took_ns: u64,
    pub(super) was_slow: bool,
    /// The connection is over, on both sides.
    pub(super) over: bool,
}

/// The use of a connection.
#[derive(Debug)]
pub(super) enum Mode {
    Http,
    Events(Box<Following>),
}

/// A stream of events.
#[derive(Debug)]
pub(super) struct Following {
    pub(super) session: usize,
    pub(super) place: Option<usize>,
    pub(super) follower: Follower,
    pub(super) websocket: bool,
    /// Messages of the client that have not been answered, oldest first.
    pub(super) said: VecDeque<Said>,
    /// It has subscribed to one more pattern.
    pub(super) wants_more: bool,
}

/// A request under way.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) what: What,
    pub(super) sent_ns: u64,
    /// The step in which it was sent.
    pub(super) step: u64,
    pub(super) during: Span,
    /// The method is HEAD.
    pub(super) head: bool,
    /// The state of its session before, if no other request presented that session at the same time.
    pub(super) alone: Option<(u64, i64)>,
    /// Its index among the attempts, if it needs workers.
    pub(super) attempt: Option<usize>,
    /// Its index among the streams and polls of its session.
    pub(super) place: Option<usize>,
    /// The oldest stored event, and the newest event, when it was sent.
    pub(super) oldest: u64,
    pub(super) newest: u64,
}

/// The content of a request. Sessions and users are named by their indexes in the world's lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum What {
    Health,
    Ready,
    /// To be answered with the number.
    Echo(u64),
    /// The same, through a worker.
    Later(u64),
    /// The same, so many times, piece by piece.
    Stream(u64, usize),
    Panic,
    PanicLater,
    Login {
        /// This name may belong to no user.
        name: &'static str,
        right: bool,
    },
    Session(usize),
    List(usize),
    Verify(usize),
    Logout {
        session: usize,
        /// All sessions that were known when it was sent.
        everywhere: Option<Vec<usize>>,
    },
    Revoke {
        by: usize,
        session: usize,
        /// The session is another user's.
        stranger: bool,
    },
    Publish {
        session: usize,
        number: u64,
        /// Why it cannot be published by any user.
        refusal: Option<(u16, &'static str)>,
    },
    Poll {
        session: usize,
        since: Option<u64>,
        pattern: &'static str,
        limit: Option<usize>,
        waits: bool,
    },
    Follow {
        session: usize,
        since: Option<u64>,
        pattern: &'static str,
        websocket: bool,
    },
    /// A request that presents its session in an invalid way: this is the answer. If it is 403, the session
    /// was checked.
    Refused {
        session: Option<usize>,
        status: u16,
    },
    /// A request that always has the same answer.
    Odd(&'static Odd),
    /// Bytes that are not a valid request, and the status of the refusal.
    Garbage(u16),
    /// A head that never ends.
    Drip,
}

impl What {
    /// The session that the request presents.
    pub(super) fn session(&self) -> Option<usize> {
        match self {
            Self::Session(session)
            | Self::List(session)
            | Self::Verify(session)
            | Self::Logout { session, .. }
            | Self::Publish { session, .. }
            | Self::Poll { session, .. }
            | Self::Follow { session, .. } => Some(*session),
            Self::Revoke { by, .. } => Some(*by),
            Self::Refused { session, .. } => *session,
            _ => None,
        }
    }

    /// The sessions that it may end.
    pub(super) fn ends(&self) -> Vec<usize> {
        match self {
            Self::Logout {
                session,
                everywhere,
            } => everywhere.clone().unwrap_or_else(|| vec![*session]),
            Self::Revoke {
                session,
                stranger: false,
                ..
            } => vec![*session],
            _ => Vec::new(),
        }
    }
}

impl Client {
    pub(super) fn new(wire: WireId, now_ns: u64) -> Self {
        Self {
            wire,
            inbox: Vec::new(),
            asked: VecDeque::new(),
            mode: Mode::Http,
            said_all: false,
            told_end: false,
            drips: false,
            dripping_since_ns: None,
            late_turns: 0,
            took_ns: now_ns,
            was_slow: false,
            streamed: false,
            shut: false,
            over: false,
        }
    }

    pub(super) fn may_ask(&self) -> bool {
        let http = matches!(self.mode, Mode::Http);
        http && !self.said_all && !self.over && self.asked.len() < PIPELINED_MAX
    }
}
