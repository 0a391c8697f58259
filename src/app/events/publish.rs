//! `POST /events`: which user may publish which event.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::app::caller::{caller_who_changes, user_of};
use crate::app::users::User;
use crate::app::{Context, Reply, Request};
use crate::event::{NewEvent, is_name, is_reserved};
use crate::http::Status;
use crate::planted::{Bug, planted};
use crate::work::Transaction;

/// An event that a client wants to publish.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Publication {
    name: String,
    #[serde(default)]
    data: Value,
    /// The user that it concerns; the publisher by default.
    user_id: Option<String>,
}

/// Why an event is not published: a status, a stable code, a sentence.
pub(super) struct Refusal(
    pub(super) Status,
    pub(super) &'static str,
    pub(super) &'static str,
);

/// `POST /events`: answered when the event is on disk.
pub(in crate::app) fn publish(request: &Request<'_>, cx: &mut Context<'_>) -> Result<Reply, Reply> {
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
    let fields = serde_json::from_slice(request.body()).map_err(|_| problem(MALFORMED))?;
    let event = event_of(fields, user, cx).map_err(problem)?;
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

pub(super) fn may_publish(user: &User) -> Result<(), Refusal> {
    if matches!(user.role.as_str(), "producer" | "admin") {
        return Ok(());
    }
    Err(Refusal(
        Status::FORBIDDEN,
        "not_a_producer",
        "to publish events a user needs the role producer or admin",
    ))
}

/// The event that these fields describe. They come as a map, since serde would accept an array for a struct.
pub(super) fn event_of(
    fields: Map<String, Value>,
    user: &User,
    cx: &Context<'_>,
) -> Result<NewEvent, Refusal> {
    let Publication {
        name,
        data,
        user_id,
    } = serde_json::from_value(Value::Object(fields)).map_err(|_| MALFORMED)?;
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
        user_id: Some(if planted(Bug::ForOneself) {
            user.id
        } else {
            user_id
        }),
        data,
    })
}

pub(super) fn commit(
    event: NewEvent,
    then: impl FnOnce(Result<u64, Reply>) -> Reply + 'static,
) -> Reply {
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
