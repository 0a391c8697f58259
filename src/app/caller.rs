//! Finds the user that sends a request. Signatures are looked up only here.

use super::sessions::Session;
use super::users::User;
use super::{Context, Reply, Request, cookie};
use crate::http::{Response, Status};
use crate::planted::{Bug, planted};
use crate::token;

/// A request's session, checked.
#[derive(Debug)]
pub(super) struct Caller {
    /// The session's key in the table and in the store.
    pub(super) hash: [u8; 32],
    pub(super) session: Session,
    /// The browser sent the signature by itself, so a page of another site may have caused the request.
    by_cookie: bool,
}

/// The session that the request presents: `Authorization: Bearer`, or else the cookie.
///
/// # Errors
/// The 401 to answer with. Anything unclear (two signatures, a broken header) is no session.
pub(super) fn caller(request: &Request<'_>, cx: &mut Context<'_>) -> Result<Caller, Reply> {
    let (sign, by_cookie) = match cookie::bearer(request.headers("authorization")) {
        cookie::Presented::Token(sign) => (sign, false),
        cookie::Presented::Unclear => return Err(no_session()),
        cookie::Presented::Nothing => match cookie::session_cookie(request.headers("cookie")) {
            cookie::Presented::Token(sign) => (sign, true),
            _ => return Err(no_session()),
        },
    };
    let (hash, now_s) = (token::fingerprint(sign), cx.unix_s());
    match cx.app.sessions.check(&hash, now_s) {
        Some(session) if cx.app.keys.valid(session.key_id, now_s) || planted(Bug::RetiredKey) => {
            cx.app.asker = Some(session.user_id);
            Ok(Caller {
                hash,
                session: *session,
                by_cookie,
            })
        }
        _ => Err(no_session()),
    }
}

/// The same for a request that changes something: one that comes with the cookie must come from
/// this site, since browsers send cookies along with requests that other sites' pages make.
///
/// # Errors
/// The 401 or 403 to answer with.
pub(super) fn caller_who_changes(
    request: &Request<'_>,
    cx: &mut Context<'_>,
) -> Result<Caller, Reply> {
    let caller = caller(request, cx)?;
    if caller.by_cookie && !request.same_origin(&cx.app.config.trust_proxy) {
        return Err(cross_site());
    }
    Ok(caller)
}

/// The same for a request that follows events. It changes nothing, and a page of another site cannot read
/// its answer. But it takes one of the few places that a session has for streams, and such a page could
/// take them all. A request without the fields that describe its page comes from no current browser.
///
/// # Errors
/// The 401 or 403 to answer with.
pub(super) fn caller_who_follows(
    request: &Request<'_>,
    cx: &mut Context<'_>,
) -> Result<Caller, Reply> {
    let caller = caller(request, cx)?;
    if caller.by_cookie && request.from_a_page() && !request.same_origin(&cx.app.config.trust_proxy)
    {
        let detail = "events are followed with the cookie from a page of this site only";
        return Err(Reply::problem(Status::FORBIDDEN, "cross_site", detail));
    }
    Ok(caller)
}

/// The same for a WebSocket that needs no session: a client without one has no user.
///
/// # Errors
/// 401 for a signature that does not hold, 403 for the cookie on another site's page.
pub(super) fn caller_of_socket(
    request: &Request<'_>,
    cx: &mut Context<'_>,
) -> Result<Option<Caller>, Reply> {
    let nothing = |presented| matches!(presented, cookie::Presented::Nothing);
    if nothing(cookie::bearer(request.headers("authorization")))
        && nothing(cookie::session_cookie(request.headers("cookie")))
    {
        return Ok(None);
    }
    caller_who_changes(request, cx).map(Some)
}

/// The user whose session it is.
///
/// # Errors
/// 401 if the user was removed. Their sessions are removed with them, but that alone is not relied upon.
pub(super) fn user_of<'c>(caller: &Caller, cx: &'c Context<'_>) -> Result<&'c User, Reply> {
    cx.app
        .users
        .get(caller.session.user_id)
        .ok_or_else(no_session)
}

/// 401 with the challenge that RFC 9110, section 11.6.1, asks for.
pub(super) fn unauthorized(code: &str, detail: &str) -> Response {
    Response::problem(Status::UNAUTHORIZED, code, detail)
        .with_header("WWW-Authenticate", r#"Bearer realm="loopgate""#)
}

pub(super) fn no_session() -> Reply {
    Reply::Now(session_needed())
}

pub(crate) fn session_needed() -> Response {
    unauthorized(
        "no_session",
        "this needs a session: log in, then send the signature as Authorization: Bearer or as the cookie",
    )
}

pub(super) fn cross_site() -> Reply {
    Reply::problem(
        Status::FORBIDDEN,
        "cross_site",
        "a request that changes something with the cookie must come from a page of this site",
    )
}
