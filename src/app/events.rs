//! `GET /events` and `POST /events`: one path, four transports, one sequence.
//!
//! GET answers with what the client asks for: a WebSocket on `Upgrade`, server-sent events on
//! `Accept: text/event-stream`, else JSON, at once or after waiting. Who leaves one of them goes on in
//! another from the same id.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use super::caller::{caller, caller_who_changes, user_of};
use super::reply::{Follow, Upgrade, Wait};
use super::socket::{Conversation, Socket, handshake, is_asked_for};
use super::users::User;
use super::{Audience, Context, Interest, Pattern, Reply, Request};
use crate::config::EVENT_MESSAGE_BYTES_MAX;
use crate::event::{NewEvent, is_name, is_reserved};
use crate::http::{Response, Status};
use crate::reactor::Moment;
use crate::token::Fingerprint;
use crate::websocket::Message;
use crate::work::{Page, Query, Transaction};

/// Events in one JSON answer, where the client does not say.
const LIMIT_DEFAULT: usize = 100;
/// Most events in one JSON answer.
const LIMIT_MAX: usize = 1000;
/// A JSON answer is not made longer, in bytes, once it has so many.
const ANSWER_BYTES_MAX: usize = 512 * 1024;
/// Longest wait for events, in seconds: most proxies give up a request after a minute.
const WAIT_S_MAX: u64 = 60;
/// Most patterns that one subscriber may have.
const PATTERNS_MAX: usize = 64;
/// Milliseconds after which a browser comes back when its stream broke.
const RETRY_MS: u32 = 2_000;

/// Who is told what: the part of the request that all transports share.
struct Asked {
    interest: Interest,
    since: Option<u64>,
    session: Fingerprint,
}

pub(super) fn follow(request: &Request<'_>, cx: &mut Context<'_>) -> Result<Reply, Reply> {
    if is_asked_for(request) {
        let head = handshake(request)?;
        // Any page can open a WebSocket to any site, and read it: the cookie alone proves nothing.
        let caller = caller_who_changes(request, cx)?;
        let asked = asked(request, user_of(&caller, cx)?, caller.hash)?;
        return Ok(Reply::WebSocket(Upgrade {
            head,
            conversation: Box::new(OverWebSocket),
            message_bytes_max: EVENT_MESSAGE_BYTES_MAX,
            caller: Some((caller.session.user_id, caller.hash)),
            events: Some((asked.interest, asked.since)),
        }));
    }
    let caller = caller(request, cx)?;
    let asked = asked(request, user_of(&caller, cx)?, caller.hash)?;
    if wants_stream(request) {
        // A proxy that collects answers would hold every event back (X-Accel-Buffering is nginx's).
        let head = Response::text(Status::OK, format!("retry: {RETRY_MS}\n\n"))
            .with_header("Content-Type", "text/event-stream")
            .with_header("Cache-Control", "no-store")
            .with_header("X-Accel-Buffering", "no");
        return Ok(Reply::Events(Follow {
            head,
            interest: asked.interest,
            since: asked.since,
            session: asked.session,
        }));
    }
    let limit = number(request, "limit", LIMIT_DEFAULT as u64, 1, LIMIT_MAX as u64)?;
    let wait = number(request, "wait", 0, 0, WAIT_S_MAX)?;
    let poll = Poll {
        limit: limit as usize,
        until: (wait > 0).then(|| cx.now + Duration::from_secs(wait)),
        since: asked.since.unwrap_or(0),
        asked,
        found: Vec::new(),
        bytes: 0,
    };
    Ok(poll.read())
}

/// What a request says about who is asking for what.
fn asked(request: &Request<'_>, user: &User, session: Fingerprint) -> Result<Asked, Reply> {
    // A browser that reconnects asks the same URL again: what it adds about its place is newer.
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
        let detail =
            "pattern must be a name, a prefix as in user.*, or *; several with commas, 64 at most";
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
        interest: Interest { audience, patterns },
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
    request.headers("accept").any(|value| {
        value.split(|byte| *byte == b',').any(|item| {
            let media = item.split(|byte| *byte == b';').next().unwrap_or_default();
            media
                .trim_ascii()
                .eq_ignore_ascii_case(b"text/event-stream")
        })
    })
}

/// A JSON answer in the making.
struct Poll {
    asked: Asked,
    since: u64,
    limit: usize,
    /// If there is nothing yet, it may wait until then.
    until: Option<Moment>,
    found: Vec<String>,
    bytes: usize,
}

impl Poll {
    /// Reads the next page of what is kept.
    fn read(self) -> Reply {
        let interest = self.asked.interest.clone();
        let query = Query {
            since: self.since,
            events_max: self.limit - self.found.len(),
            bytes_max: ANSWER_BYTES_MAX - self.bytes,
            wanted: Box::new(move |name, user_id| interest.covers(name, user_id)),
        };
        Reply::read(query, |page, _| match page {
            Ok(page) => self.take(page),
            Err(error) => error.into(),
        })
    }

    fn take(mut self, page: Page) -> Reply {
        if self.since + 1 < page.oldest {
            self.found
                .push(super::gap_json(self.since + 1, page.oldest - 1));
        }
        for event in page.events {
            let json = event.to_json();
            self.bytes += json.len();
            self.found.push(json);
        }
        self.since = page.through;
        let full = self.found.len() >= self.limit || self.bytes >= ANSWER_BYTES_MAX;
        if page.more && !full {
            return self.read();
        }
        match self.until {
            Some(until) if self.found.is_empty() => Reply::Wait(Wait {
                interest: self.asked.interest,
                through: self.since,
                until,
                session: self.asked.session,
            }),
            _ => Reply::Now(polled(&self.found, self.since, page.more)),
        }
    }
}

/// Events as one JSON answer; `last` is where to go on from.
#[must_use]
pub fn polled(events: &[String], last: u64, more: bool) -> Response {
    let events = events.join(",");
    let body = format!("{{\"events\":[{events}],\"last\":{last},\"more\":{more}}}\n");
    Response::text(Status::OK, body)
        .with_header("Content-Type", "application/json")
        .with_header("Cache-Control", "no-store")
}

/// What somebody wants to publish.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Publication {
    name: String,
    #[serde(default)]
    data: Value,
    /// Whom it concerns; the publisher, unless said otherwise.
    user_id: Option<String>,
}

/// Why something is not published: a status, a stable code, a sentence.
struct Refusal(Status, &'static str, &'static str);

/// `POST /events`: answered when the event is on disk.
pub(super) fn publish(request: &Request<'_>, cx: &mut Context<'_>) -> Result<Reply, Reply> {
    let caller = caller_who_changes(request, cx)?;
    let user = user_of(&caller, cx)?;
    let problem = |Refusal(status, code, detail)| Reply::problem(status, code, detail);
    may_publish(user).map_err(problem)?;
    if request.content_type().as_deref() != Some("application/json") {
        let detail = "send the event as JSON, with Content-Type: application/json";
        return Err(Reply::problem(
            Status::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_media_type",
            detail,
        ));
    }
    let publication = serde_json::from_slice(request.body()).map_err(|_| problem(MALFORMED))?;
    let event = event_of(publication, user, cx).map_err(problem)?;
    Ok(commit(event, |committed| match committed {
        Ok(id) => Reply::json(Status::ACCEPTED, &json!({ "id": id })),
        Err(reply) => reply,
    }))
}

const MALFORMED: Refusal = Refusal(
    Status::BAD_REQUEST,
    "malformed_event",
    r#"an event is {"name":"…"}, with "data" of any kind and "user_id" as you like, and nothing else"#,
);

fn may_publish(user: &User) -> Result<(), Refusal> {
    if matches!(user.role.as_str(), "producer" | "admin") {
        return Ok(());
    }
    Err(Refusal(
        Status::FORBIDDEN,
        "not_a_producer",
        "to publish events a user needs the role producer or admin",
    ))
}

fn event_of(publication: Publication, user: &User, cx: &Context<'_>) -> Result<NewEvent, Refusal> {
    let Publication {
        name,
        data,
        user_id,
    } = publication;
    if !is_name(&name) {
        return Err(Refusal(
            Status::BAD_REQUEST,
            "malformed_event",
            "a name is 1 to 128 letters, digits, and . _ - : / in ASCII",
        ));
    }
    if is_reserved(&name) {
        return Err(Refusal(
            Status::BAD_REQUEST,
            "reserved_name",
            "user.*, session.*, server.*, error and gap are the server's own; choose another name",
        ));
    }
    let user_id = match user_id {
        None => user.id,
        Some(id) => id
            .parse()
            .ok()
            .filter(|id| cx.app.users.get(*id).is_some())
            .ok_or(Refusal(
                Status::BAD_REQUEST,
                "no_such_user",
                "there is no user of this user_id, which is a number in a string",
            ))?,
    };
    Ok(NewEvent {
        unix_ms: cx.unix_ms,
        name: name.into(),
        sender: user.name.clone().into(),
        user_id: Some(user_id),
        data,
    })
}

fn commit(event: NewEvent, then: impl FnOnce(Result<u64, Reply>) -> Reply + 'static) -> Reply {
    let transaction = Transaction {
        events: vec![event],
        ..Transaction::default()
    };
    Reply::commit(transaction, move |committed, _| {
        then(match committed {
            Ok(commit) => Ok(commit.last_event_id),
            Err(error) => Err(error.into()),
        })
    })
}

/// What a client may say over the WebSocket of `GET /events`.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Said {
    Publish(Publication),
    Subscribe(String),
    Unsubscribe(String),
}

struct OverWebSocket;

impl Conversation for OverWebSocket {
    fn heard(&mut self, message: Message, socket: &mut Socket<'_>) {
        let said = match message {
            Message::Text(text) => serde_json::from_str(&text).ok(),
            Message::Binary(_) => None,
        };
        let done = match said {
            Some(Said::Publish(publication)) => publish_over(publication, socket),
            Some(Said::Subscribe(pattern)) => subscribe(&pattern, socket),
            Some(Said::Unsubscribe(pattern)) => unsubscribe(&pattern, socket),
            None => Err(Refusal(
                Status::BAD_REQUEST,
                "malformed_message",
                r#"send {"publish":{"name":"…","data":…}}, {"subscribe":"pattern"} or {"unsubscribe":"pattern"}"#,
            )),
        };
        if let Err(Refusal(_, code, detail)) = done {
            socket.send_json(&failed(code, detail));
        }
    }
}

fn failed(code: &str, detail: &str) -> Value {
    json!({"error": {"code": code, "detail": detail}})
}

fn publish_over(publication: Publication, socket: &mut Socket<'_>) -> Result<(), Refusal> {
    let cx = &socket.cx;
    let user = socket.user_id().and_then(|id| cx.app.users.get(id));
    let user = user.ok_or(Refusal(
        Status::UNAUTHORIZED,
        "no_session",
        "the user of this session is gone",
    ))?;
    may_publish(user)?;
    let event = event_of(publication, user, cx)?;
    socket.reply(commit(event, |committed| {
        let said = match committed {
            Ok(id) => json!({"published": {"id": id}}),
            Err(_) => failed(
                "store_unavailable",
                "the store cannot be written at the moment; nothing was published",
            ),
        };
        Reply::json(Status::OK, &said)
    }));
    Ok(())
}

fn subscribe(text: &str, socket: &mut Socket<'_>) -> Result<(), Refusal> {
    let pattern = Pattern::parse(text).ok_or(Refusal(
        Status::BAD_REQUEST,
        "malformed_pattern",
        "a pattern is a name, a prefix as in user.*, or *",
    ))?;
    let Some(interest) = socket.interest() else {
        return Ok(());
    };
    if interest.patterns.len() >= PATTERNS_MAX {
        return Err(Refusal(
            Status::BAD_REQUEST,
            "too_many_patterns",
            "64 patterns are as many as there may be; unsubscribe from one",
        ));
    }
    if !interest.patterns.contains(&pattern) {
        interest.patterns.push(pattern);
    }
    tell_patterns(socket);
    Ok(())
}

fn unsubscribe(text: &str, socket: &mut Socket<'_>) -> Result<(), Refusal> {
    let Some(interest) = socket.interest() else {
        return Ok(());
    };
    let before = interest.patterns.len();
    interest
        .patterns
        .retain(|pattern| pattern.to_string() != text);
    if interest.patterns.len() == before {
        return Err(Refusal(
            Status::BAD_REQUEST,
            "not_subscribed",
            "this socket is not subscribed to that; it begins with *, or what ?pattern= said",
        ));
    }
    tell_patterns(socket);
    Ok(())
}

fn tell_patterns(socket: &mut Socket<'_>) {
    let patterns: Vec<String> = socket
        .interest()
        .into_iter()
        .flat_map(|interest| interest.patterns.iter().map(Pattern::to_string))
        .collect();
    socket.send_json(&json!({ "subscribed": patterns }));
}
