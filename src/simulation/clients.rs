//! The clients of the server: what they ask, and how.

use std::collections::VecDeque;

use super::odd::Odd;
use super::talk::Said;
use super::truth::{Follower, Span};
use crate::reactor::fake::WireId;

/// Requests that one client has under way at most.
pub(super) const PIPELINED_MAX: usize = 5;

/// Somebody with a connection.
#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "facts about a peer that hold or not, each by itself"
)]
pub(super) struct Client {
    pub(super) wire: WireId,
    /// Bytes that were taken and not understood yet.
    pub(super) inbox: Vec<u8>,
    /// What has not been answered, oldest first.
    pub(super) asked: VecDeque<Asked>,
    pub(super) mode: Mode,
    /// It will ask nothing more: what it asked last ends the connection, or turns it into something else.
    pub(super) said_all: bool,
    /// It was told that the connection ends.
    pub(super) told_end: bool,
    /// It sends a head byte by byte, for ever; since when the server has had the first.
    pub(super) drips: bool,
    pub(super) dripping_since_ns: Option<u64>,
    /// Turns since it should have been told to stop.
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

/// What a connection is for.
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
    /// What the client said and was not answered, oldest first.
    pub(super) said: VecDeque<Said>,
    /// It has subscribed to one pattern more.
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
    /// It was asked by HEAD.
    pub(super) head: bool,
    /// What its session was before, if no other request presented it at the same time.
    pub(super) alone: Option<(u64, i64)>,
    /// Its place among the attempts, if workers are needed for it.
    pub(super) attempt: Option<usize>,
    /// Its place among the streams and polls of its session.
    pub(super) place: Option<usize>,
    /// The oldest event that was kept when it was asked, and the newest that there was.
    pub(super) oldest: u64,
    pub(super) newest: u64,
}

/// What is asked. Sessions and users are named by their places in the world's lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum What {
    Health,
    Ready,
    /// To be answered with the number.
    Echo(u64),
    /// The same, by way of a worker.
    Later(u64),
    /// The same, so many times, piece by piece.
    Stream(u64, usize),
    Panic,
    PanicLater,
    Login {
        /// Which may be no session's.
        name: &'static str,
        right: bool,
    },
    Session(usize),
    List(usize),
    Verify(usize),
    Logout {
        session: usize,
        /// All that were known when it was asked.
        everywhere: Option<Vec<usize>>,
    },
    Revoke {
        by: usize,
        session: usize,
        /// It is another user's.
        stranger: bool,
    },
    Publish {
        session: usize,
        number: u64,
        /// Why it cannot be published, whoever asks.
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
    /// Something for which a session is shown in a way that does not do: this is the answer. If it is 403,
    /// that session was looked at.
    Refused {
        session: Option<usize>,
        status: u16,
    },
    /// What is always answered alike.
    Odd(&'static Odd),
    /// What is no request, and the status that says so.
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
