//! `POST /logout` and `DELETE /sessions/{id}`: sessions end.
//!
//! First the rows are deleted, in one transaction with the event; only then the sessions leave the
//! table in memory and the client hears of it. Whoever is killed in between has confirmed nothing.

use serde::Serialize;
use serde_json::json;

use super::caller::{caller_who_changes, no_session, user_of};
use super::cookie;
use super::{Context, Reply, Request};
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
    Ok(end(hashes, event, no_session, move |revoked| {
        let message = "logout confirmed";
        let body = Confirmation {
            message,
            user_id: user_id.to_string(),
            revoked,
            streams_closed: 0,
        };
        Response::json(Status::OK, &body).with_header("Set-Cookie", cookie::clear_cookie())
    }))
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
    let gone = if own { no_session } else { no_such_session };
    let data = json!({
        "user_id": user_id.to_string(),
        "session_id": request.parameter("id"),
    });
    let event = cx.event("session.revoked", "logout", Some(user_id), data);
    Ok(end(vec![hash], event, gone, move |revoked| {
        let message = "session revoked";
        let body = Confirmation {
            message,
            user_id: user_id.to_string(),
            revoked,
            streams_closed: 0,
        };
        let response = Response::json(Status::OK, &body);
        if own {
            response.with_header("Set-Cookie", cookie::clear_cookie())
        } else {
            response
        }
    }))
}

fn no_such_session() -> Reply {
    let detail = "you have no session of this id; GET /sessions lists yours";
    Reply::problem(Status::NOT_FOUND, "no_such_session", detail)
}

/// Ends these sessions, on disk first. Where none was left to end, somebody else was faster: there
/// is no event, and the answer is `gone`.
fn end(
    hashes: Vec<[u8; 32]>,
    event: crate::event::NewEvent,
    gone: fn() -> Reply,
    confirmation: impl FnOnce(usize) -> Response + 'static,
) -> Reply {
    let transaction = Transaction {
        changes: vec![Change::RemoveSessions(hashes.clone())],
        events: vec![event],
        events_only_if_changed: true,
    };
    Reply::commit(transaction, move |committed, cx| match committed {
        Err(error) => error.into(),
        Ok(commit) => {
            for hash in &hashes {
                cx.app.sessions.remove(hash);
            }
            if commit.rows == 0 {
                return gone();
            }
            Reply::Now(confirmation(commit.rows).with_header("Cache-Control", "no-store"))
        }
    })
}
