//! `GET /events` and `POST /events`: one path, four transports, one sequence.
//!
//! GET answers with what the client asks for: a WebSocket on `Upgrade`, server-sent events on
//! `Accept: text/event-stream`, else JSON, at once or after waiting. A client that leaves one transport continues
//! with another from the same id.
//!
//! This file decides which events a client may see, and implements the JSON transport; `publish` is POST, `talk`
//! handles what a client sends over a WebSocket.

mod publish;
mod talk;

use std::time::Duration;

pub(super) use publish::publish;

use super::caller::{caller_who_changes, caller_who_follows, no_session, user_of};
use super::handshake::{handshake, is_asked_for};
use super::reply::{Follow, Upgrade, Wait};
use super::users::User;
use super::{Audience, Context, Interest, Pattern, Reply, Request};
use crate::http::{Response, Status};
use crate::planted::{Bug, planted};
use crate::reactor::Moment;
use crate::token::Fingerprint;
use crate::work::{Page, Query};
use talk::Talk;

/// Events in one JSON answer, if the client does not set a limit.
const LIMIT_DEFAULT: usize = 100;
/// Most events in one JSON answer.
const LIMIT_MAX: usize = 1000;
/// Bytes at which a JSON answer gets no further event.
const ANSWER_BYTES_MAX: usize = 512 * 1024;
/// Longest wait for events, in seconds: most proxies give up a request after a minute.
const WAIT_S_MAX: u64 = 60;
/// Most patterns that one subscriber may have.
const PATTERNS_MAX: usize = 64;
/// Milliseconds after which a browser reconnects when its stream broke.
const RETRY_MS: u32 = 2_000;

/// Which user asks for which events: the part of the request that all transports share.
struct Asked {
    interest: Interest,
    since: Option<u64>,
    session: Fingerprint,
}

pub(super) fn follow(request: &Request<'_>, cx: &mut Context<'_>) -> Result<Reply, Reply> {
    if is_asked_for(request) {
        let head = handshake(request)?;
        // Any page can open a WebSocket to any site and read it, so the cookie alone proves nothing.
        let caller = caller_who_changes(request, cx)?;
        let asked = asked(request, user_of(&caller, cx)?, caller.hash)?;
        let limits = &cx.app.config.limits;
        return Ok(Reply::WebSocket(Box::new(Upgrade {
            head,
            conversation: Box::new(Talk),
            message_bytes_max: limits
                .event_message_bytes_max
                .min(limits.websocket_bytes_max),
            caller: Some((caller.session.user_id, caller.hash)),
            events: Some((asked.interest, asked.since)),
        })));
    }
    let caller = caller_who_follows(request, cx)?;
    let asked = asked(request, user_of(&caller, cx)?, caller.hash)?;
    if wants_stream(request) {
        // A buffering proxy would hold every event back (X-Accel-Buffering is for nginx).
        let head = Response::text(Status::OK, format!("retry: {RETRY_MS}\n\n"))
            .with_header("Content-Type", "text/event-stream")
            .no_store()
            .with_header("X-Accel-Buffering", "no");
        return Ok(Reply::Events(Box::new(Follow {
            head,
            interest: asked.interest,
            since: asked.since,
            caller: (caller.session.user_id, asked.session),
        })));
    }
    let limit = number(request, "limit", LIMIT_DEFAULT as u64, 1, LIMIT_MAX as u64)?;
    let wait = number(request, "wait", 0, 0, WAIT_S_MAX)?;
    let poll = Poll {
        limit: limit as usize,
        until: (wait > 0).then(|| cx.now + Duration::from_secs(wait)),
        since: asked.since,
        asked,
        found: Vec::new(),
        bytes: 0,
    };
    cx.begin_reading(poll.asked.session)?;
    Ok(poll.read())
}

/// Reads from a request which events its user asks for.
fn asked(request: &Request<'_>, user: &User, session: Fingerprint) -> Result<Asked, Reply> {
    // A browser that reconnects requests the same URL again; the position in the field it adds is newer.
    let since = match request.header("last-event-id") {
        Some(id) => Some(std::str::from_utf8(id).ok().and_then(event_id)),
        None => request.query("since").map(|id| event_id(&id)),
    };
    let since = match since {
        Some(None) => {
            let detail = "since and Last-Event-ID must be the id of an event: a number, from 0";
            return Err(Reply::problem(
                Status::BAD_REQUEST,
                "malformed_query",
                detail,
            ));
        }
        Some(id) => id,
        None => None,
    };
    let patterns = match request.query("pattern") {
        None => Some(vec![Pattern::All]),
        Some(list) => list
            .split(',')
            .map(|text| Pattern::parse(text.trim()))
            .collect(),
    };
    let Some(patterns) = patterns.filter(|patterns| patterns.len() <= PATTERNS_MAX) else {
        let detail = "pattern must be a name, a prefix as in user.*, or *; several with commas, 64 at most; names are \
             letters, digits, and . _ - : / in ASCII";
        return Err(Reply::problem(
            Status::BAD_REQUEST,
            "malformed_query",
            detail,
        ));
    };
    let audience = if user.role == "admin" {
        Audience::Everything
    } else {
        Audience::User(user.id)
    };
    Ok(Asked {
        interest: Interest {
            audience,
            patterns: patterns.into(),
        },
        since,
        session,
    })
}

fn event_id(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok())?
}

fn number(
    request: &Request<'_>,
    name: &str,
    default: u64,
    least: u64,
    most: u64,
) -> Result<u64, Reply> {
    let Some(text) = request.query(name) else {
        return Ok(default);
    };
    event_id(&text)
        .filter(|value| (least..=most).contains(value))
        .ok_or_else(|| {
            let detail = format!("{name} must be a number from {least} to {most}");
            Reply::problem(Status::BAD_REQUEST, "malformed_query", &detail)
        })
}

fn wants_stream(request: &Request<'_>) -> bool {
    request.list("accept").any(|item| {
        let media = item.split(|byte| *byte == b';').next().unwrap_or_default();
        media
            .trim_ascii()
            .eq_ignore_ascii_case(b"text/event-stream")
    })
}

/// A JSON answer in the making.
struct Poll {
    asked: Asked,
    /// The event after which it continues; none at first, if it begins with the oldest stored event.
    since: Option<u64>,
    limit: usize,
    /// The moment until which it may wait if there is no event yet.
    until: Option<Moment>,
    found: Vec<String>,
    bytes: usize,
}

impl Poll {
    /// Reads the next page of stored events.
    fn read(self) -> Reply {
        let query = Query {
            since: self.since.unwrap_or(0),
            events_max: self.limit - self.found.len(),
            bytes_max: ANSWER_BYTES_MAX - self.bytes,
            wanted: self.asked.interest.clone(),
        };
        Reply::read(query, |page, cx| {
            let session = self.asked.session;
            let refusal = match page {
                Err(error) => error.into(),
                Ok(page) if cx.app.session_holds(&session, cx.unix_s()) => {
                    return self.take(page, cx);
                }
                // The session ended while the store was being read, and the page may be newer than that.
                Ok(_) => no_session(),
            };
            cx.app.streams.end_reading(&session);
            refusal
        })
    }

    fn take(mut self, mut page: Page, cx: &mut Context<'_>) -> Reply {
        // A client that waits from the page's end on does not get events that were delivered before.
        let missing = page.catch_up(self.since.unwrap_or(0), cx.app.hub.delivered());
        if let (Some(missing), Some(_)) = (missing, self.since) {
            self.found.push(super::gap_json(missing));
        }
        for event in page.events {
            let json = event.to_json();
            self.bytes += json.len();
            self.found.push(json);
        }
        self.since = Some(page.through);
        if planted(Bug::SkippedRest) {
            page.through = cx.app.hub.newest();
        }
        let full = self.found.len() >= self.limit || self.bytes >= ANSWER_BYTES_MAX;
        if page.more && !full {
            return self.read();
        }
        cx.app.streams.end_reading(&self.asked.session);
        match self.until {
            Some(until) if self.found.is_empty() => Reply::Wait(Box::new(Wait {
                interest: self.asked.interest,
                through: page.through,
                limit: self.limit,
                until,
                session: self.asked.session,
            })),
            _ => Reply::Now(polled(&self.found, page.through, page.more)),
        }
    }
}

/// Events as one JSON answer; `last` is the id from which to continue.
#[must_use]
pub fn polled(events: &[String], last: u64, more: bool) -> Response {
    let events = events.join(",");
    let body = format!("{{\"events\":[{events}],\"last\":{last},\"more\":{more}}}\n");
    Response::text(Status::OK, body)
        .with_header("Content-Type", "application/json")
        .no_store()
}
