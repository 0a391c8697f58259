//! `GET /session`, `GET /sessions`, `GET /verify`: who is logged in.

use std::fmt::Write as _;

use serde::Serialize;

use super::caller::{Caller, caller, user_of};
use super::login::rfc3339_s;
use super::{Context, Reply, Request};
use crate::http::{Response, Status};
use crate::token;

#[derive(Serialize)]
struct Shown<'s> {
    user_id: String,
    username: &'s str,
    role: &'s str,
    issued_at: String,
    expires_at: String,
}

pub(super) fn show(request: &Request<'_>, cx: &mut Context<'_>) -> Result<Reply, Reply> {
    let caller = caller(request, cx)?;
    let user = user_of(&caller, cx)?;
    Ok(private(&Shown {
        user_id: user.id.to_string(),
        username: &user.name,
        role: &user.role,
        issued_at: rfc3339_s(caller.session.issued_s),
        expires_at: rfc3339_s(cx.app.sessions.expires_s(&caller.session)),
    }))
}

/// Sessions that one answer lists: an account that has very many must not hold the loop.
const LISTED_MAX: usize = 100;

#[derive(Serialize)]
struct Listed {
    id: String,
    issued_at: String,
    last_used_at: String,
    expires_at: String,
    /// The one that asks.
    current: bool,
}

#[derive(Serialize)]
struct List {
    /// The newest [`LISTED_MAX`].
    sessions: Vec<Listed>,
    /// How many there are.
    total: usize,
}

pub(super) fn list(request: &Request<'_>, cx: &mut Context<'_>) -> Result<Reply, Reply> {
    let Caller {
        hash: own, session, ..
    } = caller(request, cx)?;
    let (sessions, now_s) = (&cx.app.sessions, cx.unix_s());
    let keys = &cx.app.keys;
    let live = sessions.of_user(session.user_id).filter(|(_, session)| {
        sessions.expires_s(session) > now_s && keys.valid(session.key_id, now_s)
    });
    let mut list = List {
        sessions: Vec::new(),
        total: 0,
    };
    for (hash, session) in live {
        list.total += 1;
        if list.total <= LISTED_MAX {
            list.sessions.push(Listed {
                id: token::base64url(&session.sid),
                issued_at: rfc3339_s(session.issued_s),
                last_used_at: rfc3339_s(session.last_used_s),
                expires_at: rfc3339_s(sessions.expires_s(session)),
                current: *hash == own,
            });
        }
    }
    Ok(private(&list))
}

/// For reverse proxies: may the request that you hold go through, and whose is it?
pub(super) fn verify(request: &Request<'_>, cx: &mut Context<'_>) -> Result<Reply, Reply> {
    let caller = caller(request, cx)?;
    let user = user_of(&caller, cx)?;
    Ok(Reply::Now(
        Response::new(Status::NO_CONTENT)
            .with_header("X-User-Id", user.id.to_string())
            .with_header("X-User-Name", field_value(&user.name))
            .with_header("X-User-Role", field_value(&user.role))
            .with_header("Cache-Control", "no-store"),
    ))
}

/// JSON that no cache may keep: it is one user's.
fn private(body: &impl Serialize) -> Reply {
    Reply::Now(Response::json(Status::OK, body).with_header("Cache-Control", "no-store"))
}

/// A name as a header field's value, which is ASCII only: what is not, and `%` itself, is
/// percent-encoded as UTF-8.
fn field_value(text: &str) -> String {
    let mut value = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b' '..=b'~' if byte != b'%' => value.push(byte as char),
            _ => {
                let _ = write!(value, "%{byte:02X}");
            }
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_safe_field_value() {
        for (name, value) in [
            ("alice", "alice"),
            ("a b:c", "a b:c"),
            ("100%", "100%25"),
            ("Ærø", "%C3%86r%C3%B8"),
            ("a\r\nSet-Cookie: x", "a%0D%0ASet-Cookie: x"),
        ] {
            assert_eq!(field_value(name), value);
        }
    }
}
