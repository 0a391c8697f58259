//! `POST /login`: a name and a password become a session.
//!
//! In order: read the form, ask the throttle, take a place, hash on a worker thread, ask the throttle again, commit
//! the session together with its event, answer. Every login with a wrong name or a wrong password costs the same
//! and gets the same answer.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::caller::{cross_site, unauthorized};
use super::session_events::Revoked;
use super::sessions::Session;
use super::throttle::Refused;
use super::{Context, Reply, Request, cookie, friendly, throttle, users};
use crate::event::{Timestamp, rfc3339};
use crate::http::{Response, Status};
use crate::ledger::Limit;
use crate::planted::{Bug, planted};
use crate::token::{self, Claims};
use crate::work::password::{Asked, Checked, Verdict};
use crate::work::{Change, Findings, Transaction};

/// What a client posts, as a form or as JSON.
#[derive(Deserialize)]
pub(super) struct Credentials {
    pub(super) username: String,
    pub(super) password: String,
}

/// An attempt that was admitted, and the client that made it.
struct Attempt {
    username: String,
    address: IpAddr,
    /// The network whose limits it counts against.
    network: Option<u128>,
    user_id: Option<i64>,
    over_tls: bool,
}

pub(super) fn login(request: &Request<'_>, cx: &mut Context<'_>) -> Result<Reply, Reply> {
    // A page of another site could log its visitor in as another user.
    if request.from_a_page() && !request.same_origin(&cx.app.config.trust_proxy) {
        return Err(cross_site());
    }
    let Credentials { username, password } = credentials(request)?;
    // A unix socket has no address; all clients that use it count as one.
    let address = request.client(&cx.app.config.trust_proxy);
    let address = address.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    let network = friendly::limited(request, &cx.app.config.trust_proxy);
    let now_s = cx.now.as_secs();
    cx.app
        .throttle
        .admit(&username, network, now_s)
        .map_err(|refused| too_many(refused, cx))?;
    // Half of the queue: a name that takes it all does not keep others out.
    let places = cx.app.config.limits.hash_jobs_max.div_ceil(2);
    let place = cx.app.throttle.begin(&username, places);
    let place = place.ok_or_else(|| too_many_at_once(cx))?;
    // Many users may share a friendly peer: there each name waits in a line of its own.
    let line = network.unwrap_or_else(|| throttle::name_key(&username));
    let user = cx.app.users.named(&username);
    let stored = user.map_or(&cx.app.decoy, |user| &user.password).clone();
    let attempt = Attempt {
        user_id: user.map(|user| user.id),
        over_tls: request.came_over_tls(&cx.app.config.trust_proxy),
        username,
        address,
        network,
    };
    let (cost, salt) = (cx.app.config.hash_cost, cx.random());
    let (hasher, kinds) = (Arc::clone(&cx.app.hasher), cx.app.users.kinds_of_hashes());
    let job = move |found: &mut Findings| {
        let asked = Asked {
            password: password.as_bytes(),
            phc: &stored,
            kinds: &kinds,
            cost,
            salt,
        };
        hasher.check(asked, found)
    };
    Ok(Reply::later_for(Some(line), job, move |checked, cx| {
        if checked.is_ok() || !planted(Bug::KeptPlace) {
            cx.app.throttle.end(place);
        }
        match checked {
            Err(error) => error.into(),
            Ok(checked) => judge(checked, attempt, cx).into(),
        }
    }))
}

/// The hash is done. Parallel attempts were all admitted before the first of them failed; those that
/// finish after the limit was reached are refused, whether the password was right or not.
fn judge(checked: Checked, attempt: Attempt, cx: &mut Context<'_>) -> Result<Reply, Reply> {
    let Attempt {
        username, network, ..
    } = &attempt;
    let now_s = cx.now.as_secs();
    let admitted = cx.app.throttle.admit(username, *network, now_s);
    if !planted(Bug::ToldAnyway) {
        admitted.map_err(|refused| too_many(refused, cx))?;
    }
    match (checked.verdict, attempt.user_id) {
        (Verdict::Right | Verdict::RightButWeak, Some(user_id)) => {
            cx.app.throttle.succeeded(username);
            Ok(confirm(user_id, checked.rehashed, attempt, cx))
        }
        // No password matches the decoy; even if one did, there is no user to log in.
        (Verdict::Wrong, _) | (_, None) => {
            cx.app.throttle.failed(username, *network, now_s);
            Ok(refuse(attempt, cx))
        }
    }
}

fn refuse(attempt: Attempt, cx: &mut Context<'_>) -> Reply {
    // A name that no user has is not stored: people type passwords into the wrong field.
    let known = attempt.user_id.is_some() || planted(Bug::KeptTypo);
    let username = known.then_some(&*attempt.username);
    let event = cx.login_failed(attempt.user_id, username, attempt.address);
    let transaction = Transaction {
        events: vec![event],
        ..Transaction::default()
    };
    // The answer is the same whether or not the failure could be stored.
    Reply::commit(transaction, |_, _| {
        Reply::Now(unauthorized(
            "invalid_credentials",
            "the user name or the password is wrong",
        ))
    })
}

fn confirm(
    user_id: i64,
    rehashed: Option<String>,
    attempt: Attempt,
    cx: &mut Context<'_>,
) -> Reply {
    let (now_s, sid) = (cx.unix_s(), cx.random::<16>());
    let key = cx.app.keys.current();
    let claims = Claims {
        iss: cx.app.config.issuer.clone(),
        sub: user_id.to_string(),
        sid: token::base64url(&sid),
        iat: now_s,
        exp: now_s
            + cx.app
                .config
                .limits
                .session_absolute
                .as_secs()
                .cast_signed(),
    };
    let sign = token::sign(&claims, key);
    let hash = token::fingerprint(sign.as_bytes());
    let session = Session {
        user_id,
        sid,
        key_id: key.id(),
        issued_s: now_s,
        last_used_s: now_s,
    };
    let max = cx.app.config.limits.sessions_per_user_max;
    let table = (&cx.app.sessions, now_s, max);
    let ended = cx.app.arriving.begin(user_id, (hash, sid), table);
    let mut changes: Vec<Change> = ended
        .iter()
        .map(|(hash, sid)| Change::EndSession {
            hash: *hash,
            event: cx.session_revoked(user_id, sid, Revoked::TooMany),
        })
        .collect();
    changes.push(Change::AddSession(session.row(hash)));
    changes.extend(rehashed.map(|password| Change::SetPassword { user_id, password }));
    let transaction = Transaction {
        changes,
        events: vec![cx.logged_in(user_id, &attempt.username, &sid, attempt.address)],
        ..Transaction::default()
    };
    Reply::commit(transaction, move |committed, cx| {
        cx.app.arriving.end(user_id, &hash);
        if let Err(error) = committed
            && !planted(Bug::ConfirmedAnyway)
        {
            return error.into();
        }
        cx.app.asker = Some(user_id);
        confirmation(&sign, &session, attempt.over_tls, cx)
    })
}

/// The confirmation, and the cookie for browsers.
fn confirmation(sign: &str, session: &Session, over_tls: bool, cx: &Context<'_>) -> Reply {
    #[derive(Serialize)]
    struct Confirmation<'s> {
        message: &'static str,
        user_id: String,
        user_sign: &'s str,
        expires_at: Timestamp,
    }
    let expires_s = cx.app.sessions.expires_s(session);
    let body = Confirmation {
        message: "login confirmed",
        user_id: session.user_id.to_string(),
        user_sign: sign,
        expires_at: rfc3339_s(expires_s),
    };
    let age_s = cx
        .app
        .config
        .limits
        .session_absolute
        .as_secs()
        .cast_signed();
    let cookie = cookie::set_cookie(sign, age_s, over_tls);
    Reply::Now(
        Response::json(Status::OK, &body)
            .with_header("Set-Cookie", cookie)
            .no_store(),
    )
}

/// Whole seconds since 1970 as RFC 3339.
pub(super) fn rfc3339_s(unix_s: i64) -> Timestamp {
    rfc3339(unix_s.max(0).cast_unsigned() * 1000)
}

fn too_many(refused: Refused, cx: &mut Context<'_>) -> Reply {
    cx.ledger.limit_reached(Limit::FailedLogins);
    Reply::Now(
        Response::problem(
            Status::TOO_MANY_REQUESTS,
            "too_many_attempts",
            "too many failed logins; wait as long as Retry-After says, in seconds",
        )
        .with_header("Retry-After", refused.retry_after_s.to_string()),
    )
}

fn too_many_at_once(cx: &mut Context<'_>) -> Reply {
    cx.ledger.limit_reached(Limit::Jobs);
    Reply::Now(
        Response::problem(
            Status::TOO_MANY_REQUESTS,
            "too_many_at_once",
            "too many logins of this user are under way; wait for their answers",
        )
        .with_header("Retry-After", "1"),
    )
}

/// Reads what was posted.
///
/// # Errors
/// 415 for a type that is neither form nor JSON; 400 for a body that is not what its type says,
/// or names and passwords that no user can have.
pub(super) fn credentials(request: &Request<'_>) -> Result<Credentials, Reply> {
    let malformed = |code, detail: &str| Reply::problem(Status::BAD_REQUEST, code, detail);
    let credentials = match request.content_type().as_deref() {
        Some("application/json") => from_json(request.body()).map_err(|why| {
            let detail = format!("expected JSON with the strings username and password: {why}");
            malformed("malformed_json", &detail)
        })?,
        Some("application/x-www-form-urlencoded") => {
            from_form(request.body()).map_err(|detail| malformed("malformed_form", detail))?
        }
        _ => {
            return Err(Reply::Now(
                Response::problem(
                    Status::UNSUPPORTED_MEDIA_TYPE,
                    "unsupported_media_type",
                    "post application/x-www-form-urlencoded or application/json",
                )
                .with_header(
                    "Accept",
                    "application/x-www-form-urlencoded, application/json",
                ),
            ));
        }
    };
    users::check_name(&credentials.username).map_err(|why| malformed("invalid_username", why))?;
    users::check_password(credentials.password.as_bytes())
        .map_err(|why| malformed("invalid_password", why))?;
    Ok(credentials)
}

fn from_json(body: &[u8]) -> Result<Credentials, String> {
    // Serde would also take the fields in an array, by their places.
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Err("not an object".into());
    }
    serde_json::from_slice(body).map_err(|error| error.to_string())
}

fn from_form(body: &[u8]) -> Result<Credentials, &'static str> {
    let (mut username, mut password) = (None, None);
    for (name, value) in form_urlencoded::parse(body) {
        let field = match &*name {
            "username" => &mut username,
            "password" => &mut password,
            _ => continue,
        };
        if value.contains('\u{fffd}') {
            return Err("the form is not UTF-8");
        }
        if field.replace(value.into_owned()).is_some() {
            return Err("username and password must each be there once");
        }
    }
    match (username, password) {
        (Some(username), Some(password)) => Ok(Credentials { username, password }),
        _ => Err("expected the fields username and password"),
    }
}
