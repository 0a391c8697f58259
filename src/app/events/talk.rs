//! The WebSocket of `GET /events`: what a client may say, beside listening.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::PATTERNS_MAX;
use super::publish::{Refusal, commit, event_of, may_publish};
use crate::app::{Conversation, Pattern, Reply, Socket};
use crate::http::Status;
use crate::websocket::Message;

/// What a client may say over the WebSocket of `GET /events`.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Said {
    Publish(Map<String, Value>),
    Subscribe(String),
    Unsubscribe(String),
}

pub(super) struct Talk;

impl Conversation for Talk {
    fn heard(&mut self, message: Message, socket: &mut Socket<'_>) {
        let said = match message {
            Message::Text(text) => serde_json::from_str(&text).ok(),
            Message::Binary(_) => None,
        };
        let done = match said {
            Some(Said::Publish(fields)) => publish(fields, socket),
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

fn publish(fields: Map<String, Value>, socket: &mut Socket<'_>) -> Result<(), Refusal> {
    let cx = &socket.cx;
    let user = socket.user_id().and_then(|id| cx.app.users.get(id));
    let user = user.ok_or(Refusal(
        Status::UNAUTHORIZED,
        "no_session",
        "the user of this session is gone",
    ))?;
    may_publish(user)?;
    let event = event_of(fields, user, cx)?;
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
