//! `POST /logout` and `DELETE /sessions/{id}`: sessions end.
//!
//! First the rows are deleted, in one transaction with the event. Only then are the sessions removed from the
//! table in memory, in `replica`, and the client gets its answer. A server that is killed in between has
//! confirmed nothing.

use serde::Serialize;

use super::caller::{caller_who_changes, no_session, user_of};
use super::cookie;
use super::session_events::Revoked;
use super::{Context, Reply, Request};
use crate::event::NewEvent;
use crate::http::{Response, Status};
use crate::planted::{Bug, planted};
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
    if planted(Bug::EndedEarly) {
        cx.app.sessions.remove(&caller.hash);
    }
    let event = cx.logged_out(user_id, &username, &caller.session.sid, everywhere);
    let ending = Ending::new("logout confirmed", user_id, true);
    Ok(end(
        hashes,
        vec![event],
        Ending {
            everywhere,
            ..ending
        },
    ))
}

pub(super) fn revoke(request: &Request<'_>, cx: &mut Context<'_>) -> Result<Reply, Reply> {
    let caller = caller_who_changes(request, cx)?;
    let user_id = caller.session.user_id;
    // The caller cannot tell another user's session from one that never existed.
    let id = request.parameter("id").and_then(token::from_base64url);
    let found = id.and_then(|sid| cx.app.sessions.find_of_user(user_id, &sid));
    let Some((hash, sid)) = found.map(|(hash, session)| (*hash, session.sid)) else {
        return Err(no_such_session());
    };
    let own = hash == caller.hash;
    let event = cx.session_revoked(user_id, &sid, Revoked::ById);
    let ending = Ending::new("session revoked", user_id, own);
    Ok(end(vec![hash], vec![event], ending))
}

fn no_such_session() -> Reply {
    let detail = "you have no session of this id; GET /sessions lists yours";
    Reply::problem(Status::NOT_FOUND, "no_such_session", detail)
}

/// Which sessions are to end, and how many have ended so far.
struct Ending {
    message: &'static str,
    user_id: i64,
    /// The caller's own session is among them: their cookie goes too.
    own: bool,
    /// Sessions of the user that were confirmed meanwhile end as well.
    everywhere: bool,
    revoked: usize,
    streams_closed: usize,
}

impl Ending {
    fn new(message: &'static str, user_id: i64, own: bool) -> Self {
        Self {
            message,
            user_id,
            own,
            everywhere: false,
            revoked: 0,
            streams_closed: 0,
        }
    }

    /// The store failed when some sessions had ended already. The caller's own session is one of them, so the
    /// caller cannot simply ask again.
    fn incomplete() -> Reply {
        let detail = "the sessions that there were have ended; some that began meanwhile could not be ended: \
                      log in, and try again";
        let response = Response::problem(Status::SERVICE_UNAVAILABLE, "logout_incomplete", detail)
            .with_header("Retry-After", "5")
            .with_header("Set-Cookie", cookie::clear_cookie());
        Reply::Now(response.no_store())
    }

    fn answer(self) -> Reply {
        if self.revoked == 0 {
            return if self.own {
                no_session()
            } else {
                no_such_session()
            };
        }
        let confirmation = Confirmation {
            message: self.message,
            user_id: self.user_id.to_string(),
            revoked: self.revoked,
            streams_closed: self.streams_closed,
        };
        let mut response = Response::json(Status::OK, &confirmation);
        if self.own && !planted(Bug::CookieStays) {
            response = response.with_header("Set-Cookie", cookie::clear_cookie());
        }
        Reply::Now(response.no_store())
    }
}

/// Ends these sessions, on disk first. If none was left to end, another request was faster, and there
/// is no event.
fn end(hashes: Vec<[u8; 32]>, events: Vec<NewEvent>, mut ending: Ending) -> Reply {
    let unsaid = if ending.everywhere {
        events.clone()
    } else {
        Vec::new()
    };
    let transaction = Transaction {
        changes: vec![Change::RemoveSessions(hashes)],
        events,
        events_only_if_changed: true,
    };
    Reply::commit(transaction, move |committed, cx| {
        match committed {
            Err(_) if ending.revoked > 0 => return Ending::incomplete(),
            Err(error) => return error.into(),
            Ok(confirmed) => {
                ending.revoked += confirmed.rows;
                ending.streams_closed += confirmed.streams_closed;
            }
        }
        if ending.everywhere && !planted(Bug::LateLoginsStay) {
            // Commits come back in their order: these logins were confirmed before this logout.
            let late = cx.app.sessions.of_user(ending.user_id);
            let late: Vec<[u8; 32]> = late.map(|(hash, _)| *hash).collect();
            if !late.is_empty() {
                // If other requests ended all of them, no event reports this logout yet. Then the next round
                // reports it, and one more follows, for logins that are confirmed before that.
                let said = ending.revoked > 0;
                ending.everywhere = !said;
                return end(late, if said { Vec::new() } else { unsaid }, ending);
            }
        }
        ending.answer()
    })
}
