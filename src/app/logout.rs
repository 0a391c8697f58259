//! `POST /logout` and `DELETE /sessions/{id}`: sessions end.
//!
//! First the rows are deleted, in one transaction with the event; only then the sessions leave the
//! table in memory and the client hears of it. Whoever is killed in between has confirmed nothing.

use serde::Serialize;
use serde_json::json;

use super::caller::{caller_who_changes, no_session, user_of};
use super::cookie;
use super::{Context, Reply, Request};
use crate::event::NewEvent;
use crate::http::{Response, Status};
use crate::token;
use crate::work::{Change, Transaction};

#[derive(Serialize)]
struct Confirmation {
    message: &'static str,
    user_id: String,
    revoked: usize,
    streams_closed: usize,
}

pub(super) fn logout(request: &Request<'_>, cx: &mut Context<'_>) -> Result<Reply, Reply> {
    let everywhere = match request.query("everywhere").as_deref() {
        None | Some("false" | "0") => false,
        Some("true" | "1" | "") => true,
        Some(_) => {
            let detail = "everywhere must be true or false";
            return Err(Reply::problem(
                Status::BAD_REQUEST,
                "malformed_query",
                detail,
            ));
        }
    };
    let caller = caller_who_changes(request, cx)?;
    let user_id = caller.session.user_id;
    let hashes: Vec<[u8; 32]> = if everywhere {
        cx.app
            .sessions
            .of_user(user_id)
            .map(|(hash, _)| *hash)
            .collect()
    } else {
        vec![caller.hash]
    };
    let username = user_of(&caller, cx)?.name.clone();
    let data = json!({
        "user_id": user_id.to_string(),
        "username": username,
        "session_id": token::base64url(&caller.session.sid),
        "everywhere": everywhere,
    });
    let event = cx.event("user.logged_out", "logout", Some(user_id), data);
    Ok(end("logout confirmed", hashes, event, user_id, true))
}

pub(super) fn revoke(request: &Request<'_>, cx: &mut Context<'_>) -> Result<Reply, Reply> {
    let caller = caller_who_changes(request, cx)?;
    let user_id = caller.session.user_id;
    // A stranger's session and one that never was are the same to the caller.
    let id = request.parameter("id").and_then(token::from_base64url);
    let found = id.and_then(|sid| cx.app.sessions.find_of_user(user_id, &sid));
    let Some(hash) = found.map(|(hash, _)| *hash) else {
        return Err(no_such_session());
    };
    let own = hash == caller.hash;
    let data = json!({
        "user_id": user_id.to_string(),
        "session_id": request.parameter("id"),
    });
    let event = cx.event("session.revoked", "logout", Some(user_id), data);
    Ok(end("session revoked", vec![hash], event, user_id, own))
}

fn no_such_session() -> Reply {
    let detail = "you have no session of this id; GET /sessions lists yours";
    Reply::problem(Status::NOT_FOUND, "no_such_session", detail)
}

/// Ends these sessions, on disk first. Where none was left to end, somebody else was faster, and there
/// is no event. `own` says that the caller's is among them: their cookie goes too.
fn end(
    message: &'static str,
    hashes: Vec<[u8; 32]>,
    event: NewEvent,
    user_id: i64,
    own: bool,
) -> Reply {
    let transaction = Transaction {
        changes: vec![Change::RemoveSessions(hashes.clone())],
        events: vec![event],
        events_only_if_changed: true,
    };
    Reply::commit(transaction, move |committed, cx| {
        let revoked = match committed {
            Err(error) => return error.into(),
            Ok(commit) => commit.rows,
        };
        let mut streams_closed = 0;
        for hash in &hashes {
            cx.app.sessions.remove(hash);
            streams_closed += cx.app.streams.end(hash);
        }
        if revoked == 0 {
            return if own { no_session() } else { no_such_session() };
        }
        let confirmation = Confirmation {
            message,
            user_id: user_id.to_string(),
            revoked,
            streams_closed,
        };
        let mut response = Response::json(Status::OK, &confirmation);
        if own {
            response = response.with_header("Set-Cookie", cookie::clear_cookie());
        }
        Reply::Now(response.no_store())
    })
}
