//! `GET /session`, `GET /sessions`, `GET /verify`: the user that is logged in.

use std::fmt::{self, Write as _};

use serde::{Serialize, Serializer};

use super::caller::{Caller, caller, user_of};
use super::login::rfc3339_s;
use super::{Context, Reply, Request};
use crate::event::Timestamp;
use crate::http::{Response, Status};
use crate::planted::{Bug, planted};
use crate::token;

#[derive(Serialize)]
struct Shown<'s> {
    user_id: Decimal,
    username: &'s str,
    role: &'s str,
    issued_at: Timestamp,
    expires_at: Timestamp,
}

pub(super) fn show(request: &Request<'_>, cx: &mut Context<'_>) -> Result<Reply, Reply> {
    let (caller, blank) = (caller(request, cx)?, cx.blank());
    let user = user_of(&caller, cx)?;
    let shown = Shown {
        user_id: Decimal(user.id),
        username: &user.name,
        role: &user.role,
        issued_at: rfc3339_s(caller.session.issued_s),
        expires_at: rfc3339_s(cx.app.sessions.expires_s(&caller.session)),
    };
    Ok(Response::json_reusing(blank, Status::OK, &shown)
        .no_store()
        .into())
}

/// An id as a JSON string: not every JSON parser keeps 64 bits of a number.
struct Decimal(i64);

impl Serialize for Decimal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// Sessions that one answer lists: an account with very many must not block the loop.
const LISTED_MAX: usize = 100;

#[derive(Serialize)]
struct Listed {
    id: String,
    issued_at: Timestamp,
    last_used_at: Timestamp,
    expires_at: Timestamp,
    /// The session of this request.
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
        let valid = keys.valid(session.key_id, now_s) || planted(Bug::ListsRetired);
        sessions.expires_s(session) > now_s && valid
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
    Ok(Response::json(Status::OK, &list).no_store().into())
}

/// For reverse proxies: whether the request that the proxy holds may pass, and which user sent it.
pub(super) fn verify(request: &Request<'_>, cx: &mut Context<'_>) -> Result<Reply, Reply> {
    let (caller, blank) = (caller(request, cx)?, cx.blank());
    let user = user_of(&caller, cx)?;
    Ok(Reply::Now(
        Response::reusing(blank, Status::NO_CONTENT)
            .with_header("X-User-Id", user.id)
            .with_header("X-User-Name", FieldValue(&user.name))
            .with_header("X-User-Role", FieldValue(&user.role))
            .no_store(),
    ))
}

/// A name as a header field's value, which is ASCII only: other characters, and `%` itself, are
/// percent-encoded as UTF-8.
struct FieldValue<'n>(&'n str);

impl fmt::Display for FieldValue<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_plain = |byte: u8| matches!(byte, b' '..=b'~' if byte != b'%');
        if self.0.bytes().all(is_plain) {
            return f.write_str(self.0);
        }
        self.0.bytes().try_for_each(|byte| match byte {
            byte if is_plain(byte) => f.write_char(char::from(byte)),
            byte => write!(f, "%{byte:02X}"),
        })
    }
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
            assert_eq!(FieldValue(name).to_string(), value);
        }
    }
}
