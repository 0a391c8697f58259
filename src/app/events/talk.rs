//! The WebSocket of `GET /events`: the messages that a client may send while it receives events.
//!
//! Each message has one answer, and answers come in the order of the messages. A client that does not want to
//! count gives its messages a `ref`, which the answer repeats.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::PATTERNS_MAX;
use super::publish::{Refusal, commit, event_of, may_publish};
use crate::app::{Conversation, Pattern, Reply, Socket};
use crate::http::Status;
use crate::websocket::Message;

/// Longest `ref`, in bytes of JSON: it is kept until its message is answered.
const REF_BYTES_MAX: usize = 128;

/// What a client may send over the WebSocket of `GET /events`, apart from its `ref`.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Said {
    Publish(Map<String, Value>),
    Subscribe(String),
    Unsubscribe(String),
}

/// A message's `ref`: a string, or a number that comes back as it was sent.
type Ref = Option<Value>;

pub(super) struct Talk;

impl Conversation for Talk {
    fn heard(&mut self, message: Message, socket: &mut Socket<'_>) {
        let (own_ref, said) = match message {
            Message::Text(text) => parse(&text),
            Message::Binary(_) => (None, Err(MALFORMED)),
        };
        let done = said.and_then(|said| match said {
            Said::Publish(fields) => publish(fields, own_ref.clone(), socket),
            Said::Subscribe(pattern) => Ok(answer(subscribe(&pattern, socket)?, own_ref.clone())),
            Said::Unsubscribe(pattern) => {
                Ok(answer(unsubscribe(&pattern, socket)?, own_ref.clone()))
            }
        });
        socket.reply(
            done.unwrap_or_else(|Refusal(_, code, detail)| answer(failed(code, detail), own_ref)),
        );
    }
}

const MALFORMED: Refusal = Refusal(
    Status::BAD_REQUEST,
    "malformed_message",
    r#"send {"publish":{"name":"…","data":…}}, {"subscribe":"pattern"} or {"unsubscribe":"pattern"}, with a "ref" if you like"#,
);

const MALFORMED_REF: Refusal = Refusal(
    Status::BAD_REQUEST,
    "malformed_message",
    r#""ref" is a string or a whole number of 64 bits, and 128 bytes of JSON at most"#,
);

/// Parses a message. An invalid `ref` is not repeated.
fn parse(text: &str) -> (Ref, Result<Said, Refusal>) {
    let Ok(mut fields) = serde_json::from_str::<Map<String, Value>>(text) else {
        return (None, Err(MALFORMED));
    };
    let own_ref = fields.remove("ref");
    let fits = |value: &Value| {
        (value.is_string() || value.is_i64() || value.is_u64())
            && value.to_string().len() <= REF_BYTES_MAX
    };
    if !own_ref.as_ref().is_none_or(fits) {
        return (None, Err(MALFORMED_REF));
    }
    let said = serde_json::from_value(Value::Object(fields)).map_err(|_| MALFORMED);
    (own_ref, said)
}

fn answer(mut said: Value, own_ref: Ref) -> Reply {
    if let Some(own_ref) = own_ref {
        said["ref"] = own_ref;
    }
    Reply::json(Status::OK, &said)
}

fn failed(code: &str, detail: &str) -> Value {
    json!({"error": {"code": code, "detail": detail}})
}

fn publish(
    fields: Map<String, Value>,
    own_ref: Ref,
    socket: &Socket<'_>,
) -> Result<Reply, Refusal> {
    let cx = &socket.cx;
    let user = socket.user_id().and_then(|id| cx.app.users.get(id));
    let user = user.ok_or(Refusal(
        Status::UNAUTHORIZED,
        "no_session",
        "the user of this session is gone",
    ))?;
    may_publish(user)?;
    let event = event_of(fields, user, cx)?;
    Ok(commit(event, |committed| {
        let said = match committed {
            Ok(id) => json!({"published": {"id": id}}),
            Err(_) => failed(
                "store_unavailable",
                "the store cannot be written at the moment; nothing was published",
            ),
        };
        answer(said, own_ref)
    }))
}

fn pattern_of(text: &str) -> Result<Pattern, Refusal> {
    Pattern::parse(text).ok_or(Refusal(
        Status::BAD_REQUEST,
        "malformed_pattern",
        "a pattern is a name, a prefix as in user.*, or *; names are letters, digits, and . _ - : / in ASCII",
    ))
}

fn subscribe(text: &str, socket: &mut Socket<'_>) -> Result<Value, Refusal> {
    let pattern = pattern_of(text)?;
    let Some(interest) = socket.interest() else {
        return Ok(subscribed(socket));
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
    Ok(subscribed(socket))
}

fn unsubscribe(text: &str, socket: &mut Socket<'_>) -> Result<Value, Refusal> {
    let unwanted = pattern_of(text)?;
    let Some(interest) = socket.interest() else {
        return Ok(subscribed(socket));
    };
    let before = interest.patterns.len();
    interest.patterns.retain(|pattern| *pattern != unwanted);
    if interest.patterns.len() == before {
        return Err(Refusal(
            Status::BAD_REQUEST,
            "not_subscribed",
            "this socket is not subscribed to that; it begins with *, or what ?pattern= said",
        ));
    }
    Ok(subscribed(socket))
}

fn subscribed(socket: &mut Socket<'_>) -> Value {
    let patterns: Vec<String> = socket
        .interest()
        .into_iter()
        .flat_map(|interest| interest.patterns.iter().map(Pattern::to_string))
        .collect();
    json!({ "subscribed": patterns })
}
