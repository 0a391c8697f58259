//! Those who use the server: what they ask, and how.

use std::collections::VecDeque;
use std::fmt::Write as _;

use super::network::WireId;
use super::truth::{Follower, Span};
use super::world::World;

/// Requests that one client has under way at most.
pub(super) const PIPELINED_MAX: usize = 5;
/// Seconds for which a poll waits.
pub(super) const POLL_WAIT_S: u64 = 2;

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
    pub(super) follower: Follower,
    pub(super) websocket: bool,
}

/// A request under way.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) what: What,
    pub(super) sent_ns: u64,
    /// The step in which it was sent.
    pub(super) step: u64,
    pub(super) during: Span,
}

/// What is asked. Sessions and users are named by their places in the world's lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum What {
    Health,
    /// To be answered with the number.
    Echo(u64),
    /// The same, by way of a worker.
    Later(u64),
    /// The same, so many times, piece by piece.
    Stream(u64, usize),
    Panic,
    PanicLater,
    Login {
        user: usize,
        right: bool,
    },
    Session(usize),
    Verify(usize),
    Logout {
        session: usize,
        /// All that were known when it was asked.
        everywhere: Option<Vec<usize>>,
    },
    Revoke {
        by: usize,
        session: usize,
    },
    Publish {
        session: usize,
        number: u64,
    },
    Poll {
        session: usize,
        since: u64,
        waits: bool,
    },
    Follow {
        session: usize,
        since: Option<u64>,
        prefix: &'static str,
        websocket: bool,
    },
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
            | Self::Verify(session)
            | Self::Logout { session, .. }
            | Self::Publish { session, .. }
            | Self::Poll { session, .. }
            | Self::Follow { session, .. } => Some(*session),
            Self::Revoke { by, .. } => Some(*by),
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
            Self::Revoke { session, .. } => vec![*session],
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

fn request(method: &str, target: &str, fields: &str, body: &str) -> Vec<u8> {
    let length = if body.is_empty() {
        String::new()
    } else {
        format!("Content-Length: {}\r\n", body.len())
    };
    format!("{method} {target} HTTP/1.1\r\nHost: h\r\n{fields}{length}\r\n{body}").into_bytes()
}

/// A body in chunks of that many bytes.
fn chunked(method: &str, target: &str, body: &str, size: usize) -> Vec<u8> {
    let mut bytes =
        format!("{method} {target} HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
    for chunk in body.as_bytes().chunks(size.max(1)) {
        let text = String::from_utf8_lossy(chunk);
        let _ = write!(bytes, "{:x}\r\n{text}\r\n", chunk.len());
    }
    bytes.push_str("0\r\n\r\n");
    bytes.into_bytes()
}

/// What is no request, and how it is to be refused.
const GARBAGE: [(&str, u16); 6] = [
    ("GET / HTTP/1.1\r\n\r\n", 400),
    ("GET /\0 HTTP/1.1\r\nHost: h\r\n\r\n", 400),
    (
        "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    ("GET / HTTP/1.1\r\nHost : h\r\n\r\n", 400),
    (
        "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999\r\n\r\n",
        413,
    ),
    ("GET / HTTP/3.0\r\nHost: h\r\n\r\n", 505),
];

/// What may be asked for most of the time, as [`World::choose`] counts: answers piece by piece, logins,
/// sessions and their ends, events that are published, streams.
pub(super) const FAVOURITES: [(usize, usize); 5] =
    [(18, 27), (37, 53), (54, 73), (74, 83), (84, 98)];

/// Names of events that followers ask for begin so; the pattern that says it.
const PREFIXES: [(&str, &str); 3] = [("", "*"), ("user.", "user.*"), ("tick", "tick")];

impl World {
    /// Some client asks for something, if one may.
    pub(super) fn somebody_asks(&mut self) {
        let may: Vec<usize> = (0..self.clients.len())
            .filter(|at| self.clients[*at].may_ask())
            .collect();
        let Some(at) = self.chance.pick(&may).copied() else {
            return;
        };
        let fresh = self.clients[at].asked.is_empty() && self.clients[at].inbox.is_empty();
        let Some((what, bytes)) = self.choose(fresh) else {
            return;
        };
        self.ask(at, what, &bytes);
    }

    fn ask(&mut self, at: usize, what: What, bytes: &[u8]) {
        for session in what.ends() {
            self.sessions[session].endings += 1;
        }
        if let What::Logout {
            session,
            everywhere: Some(_),
        } = &what
        {
            let user = self.sessions[*session].user;
            self.everywhere[user] = self.step;
        }
        let wall = self.wall();
        if let Some(session) = what.session() {
            self.sessions[session].may_be_used(wall.max_s);
        }
        let client = &mut self.clients[at];
        client.drips = what == What::Drip;
        client.said_all = matches!(
            what,
            What::Garbage(_) | What::Drip | What::Follow { .. } | What::Panic | What::PanicLater
        );
        let wire = client.wire;
        self.story.say(|| format!("client {wire} asks {what}"));
        client.asked.push_back(Asked {
            what,
            sent_ns: self.now_ns,
            step: self.step,
            during: wall,
        });
        if self.clients[at].drips {
            self.network.begin_anew(wire);
        }
        self.network.send(wire, bytes);
    }

    /// What to ask, and its bytes.
    fn choose(&mut self, fresh: bool) -> Option<(What, Vec<u8>)> {
        self.number += 1;
        let number = self.number;
        let sessions = self.sessions.len();
        // Mostly one of the last few, so that they meet.
        let session = sessions
            .checked_sub(1)
            .map(|last| last - self.chance.below(sessions.min(8)));
        let choice = match self.habits.favourite {
            Some((first, last)) if self.chance.one_in(2) => self.chance.between(first, last),
            _ => self.chance.below(100),
        };
        let simple = |what, target: &str| Some((what, request("GET", target, "", "")));
        match choice {
            0..8 => simple(What::Health, "/healthz"),
            8..18 => simple(What::Echo(number), &format!("/echo?n={number}")),
            18..24 => simple(What::Later(number), &format!("/later?n={number}")),
            24..28 => {
                let pieces = self.chance.between(1, 300);
                let target = format!("/stream?n={number}&pieces={pieces}");
                simple(What::Stream(number, pieces), &target)
            }
            28..32 => {
                let body = number.to_string();
                let size = self.chance.between(1, 4);
                let bytes = chunked("POST", "/echo", &body, size);
                Some((What::Echo(number), bytes))
            }
            32 => simple(What::Panic, "/panic"),
            33 => simple(What::PanicLater, "/panic-later"),
            34..36 => {
                let (text, status) = self.chance.pick(&GARBAGE)?;
                Some((What::Garbage(*status), text.as_bytes().to_vec()))
            }
            36 if fresh => Some((
                What::Drip,
                format!(
                    "GET /healthz HTTP/1.1\r\nHost: h\r\nX: {}",
                    "x".repeat(2000)
                )
                .into(),
            )),
            37..54 => {
                let user = self.chance.below(self.users.len());
                let right = !self.chance.one_in(8);
                let name = self.users[user].name;
                let password = if right { name } else { "wrong" };
                let fields = "Content-Type: application/x-www-form-urlencoded\r\n";
                let body = format!("username={name}&password={password}");
                let bytes = request("POST", "/login", fields, &body);
                Some((What::Login { user, right }, bytes))
            }
            74..84 => {
                let of_admins = |at: &usize| self.users[self.sessions[*at].user].admin;
                let admins: Vec<usize> = (0..sessions).filter(of_admins).collect();
                let session = self.chance.pick(&admins).copied().or(session);
                self.choose_with_session(session?, choice)
            }
            54..99 => self.choose_with_session(session?, choice),
            _ => None,
        }
    }

    fn choose_with_session(&mut self, session: usize, choice: usize) -> Option<(What, Vec<u8>)> {
        let known = &self.sessions[session];
        let user = known.user;
        let bearer = format!("Authorization: Bearer {}\r\n", known.sign);
        let number = self.number;
        let newest = self.events.newest() as usize;
        Some(match choice {
            54..62 => (
                What::Session(session),
                request("GET", "/session", &bearer, ""),
            ),
            62..65 => (
                What::Verify(session),
                request("GET", "/verify", &bearer, ""),
            ),
            65..71 => (
                What::Logout {
                    session,
                    everywhere: None,
                },
                request("POST", "/logout", &bearer, ""),
            ),
            71 => {
                let of_user = (0..self.sessions.len()).filter(|at| self.sessions[*at].user == user);
                let everywhere = Some(of_user.collect());
                (
                    What::Logout {
                        session,
                        everywhere,
                    },
                    request("POST", "/logout?everywhere=true", &bearer, ""),
                )
            }
            72..74 => {
                let of_user: Vec<usize> = (0..self.sessions.len())
                    .filter(|at| self.sessions[*at].user == user)
                    .collect();
                let other = *self.chance.pick(&of_user)?;
                let target = format!("/sessions/{}", self.sessions[other].sid);
                (
                    What::Revoke {
                        by: session,
                        session: other,
                    },
                    request("DELETE", &target, &bearer, ""),
                )
            }
            74..84 => {
                let whose = self.users[self.chance.below(self.users.len())].id;
                let long = "x".repeat(self.chance.below(2000));
                let data = format!(r#"{{"n":{number},"long":"{long}"}}"#);
                let body = format!(r#"{{"name":"tick","data":{data},"user_id":"{whose}"}}"#);
                let fields = format!("{bearer}Content-Type: application/json\r\n");
                (
                    What::Publish { session, number },
                    request("POST", "/events", &fields, &body),
                )
            }
            84..89 => {
                let since = self.chance.between(0, newest) as u64;
                let waits = self.chance.one_in(2);
                let wait = if waits { POLL_WAIT_S } else { 0 };
                let target = format!("/events?since={since}&wait={wait}");
                (
                    What::Poll {
                        session,
                        since,
                        waits,
                    },
                    request("GET", &target, &bearer, ""),
                )
            }
            _ => {
                let (prefix, pattern) = *self.chance.pick(&PREFIXES)?;
                let resumes = self.chance.one_in(2);
                let since = resumes.then(|| self.chance.between(0, newest) as u64);
                let place = since.map_or(String::new(), |since| format!("&since={since}"));
                let target = format!("/events?pattern={pattern}{place}");
                let websocket = self.chance.one_in(2);
                let fields = if websocket {
                    format!(
                        "{bearer}Connection: Upgrade\r\nUpgrade: websocket\r\n\
                         Sec-WebSocket-Version: 13\r\n\
                         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                    )
                } else {
                    format!("{bearer}Accept: text/event-stream\r\n")
                };
                (
                    What::Follow {
                        session,
                        since,
                        prefix,
                        websocket,
                    },
                    request("GET", &target, &fields, ""),
                )
            }
        })
    }
}
