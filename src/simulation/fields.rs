//! Checks the head of an answer: every field that is due is there once, and there is no other field.

use std::borrow::Cow;

use super::answers::Answer;
use super::clients::{Asked, What};
use super::when;
use super::world::World;

/// The answer to the key in clients' handshakes (RFC 6455, section 1.3).
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
/// The cookie that makes a browser forget the signature.
const CLEARED: &str = "session=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax";

/// What a field must say.
enum Due {
    This(Cow<'static, str>),
    /// A time while the request was under way.
    Date,
    /// A number of seconds, whose value is checked elsewhere.
    Seconds,
    /// As many bytes as the body has, or would have.
    Length,
}

fn this(text: &'static str) -> Due {
    Due::This(Cow::Borrowed(text))
}

impl World {
    /// Checks that the head has the right fields, and no others.
    pub(super) fn check_fields(&self, asked: &Asked, answer: &Answer) -> Result<(), String> {
        let due = self.due_fields(asked, answer);
        let mut seen = 0_u32;
        for (name, value) in answer.fields() {
            if name.eq_ignore_ascii_case("connection") {
                self.check_connection(asked, answer, value)?;
                continue;
            }
            let at = due
                .iter()
                .position(|(due, _)| due.eq_ignore_ascii_case(name));
            let Some(at) = at.filter(|at| seen & 1 << at == 0) else {
                return Err(format!("the field {name}: {value} does not belong there"));
            };
            seen |= 1 << at;
            let well = match &due[at].1 {
                Due::This(text) => text == value,
                Due::Date => when::of_date(value).is_some_and(|time_s| asked.during.has(time_s)),
                Due::Seconds => value
                    .parse::<u64>()
                    .is_ok_and(|count_s| (1..=900).contains(&count_s)),
                // For other answers the parser has used it as the end of the body.
                Due::Length => value.parse::<usize>().is_ok_and(|length| {
                    asked.head && length > 0 || !asked.head && length == answer.body.len()
                }),
            };
            if !well {
                let during = asked.during;
                return Err(format!("the field {name} is {value:?} in {during:?}"));
            }
        }
        match due.iter().enumerate().find(|(at, _)| seen & 1 << at == 0) {
            Some((_, (name, _))) => Err(format!("there is no field {name}")),
            None => Ok(()),
        }
    }

    fn due_fields(&self, asked: &Asked, answer: &Answer) -> Vec<(&'static str, Due)> {
        let mut due = vec![("Date", Due::Date)];
        let status = answer.status;
        let own = match &asked.what {
            What::Revoke { by, session, .. } => by == session,
            What::Logout { .. } => true,
            _ => false,
        };
        match status {
            101 => due.extend([
                ("Upgrade", this("websocket")),
                ("Sec-WebSocket-Accept", this(ACCEPT)),
            ]),
            204 => {}
            200 if matches!(asked.what, What::Follow { .. }) => due.extend([
                ("Content-Type", this("text/event-stream")),
                ("X-Accel-Buffering", this("no")),
            ]),
            200 if matches!(asked.what, What::Stream(..)) => due.extend([
                ("Content-Type", this("text/plain; charset=utf-8")),
                ("Transfer-Encoding", this("chunked")),
            ]),
            200 if matches!(asked.what, What::Echo(_) | What::Later(_)) => due.extend([
                ("Content-Type", this("text/plain; charset=utf-8")),
                ("Content-Length", Due::Length),
            ]),
            400.. => due.extend([
                ("Content-Type", this("application/problem+json")),
                ("Content-Length", Due::Length),
            ]),
            _ => due.extend([
                ("Content-Type", this("application/json")),
                ("Content-Length", Due::Length),
            ]),
        }
        if due.iter().any(|(name, _)| *name == "Content-Type") {
            due.push(("X-Content-Type-Options", this("nosniff")));
        }
        let is_private = match &asked.what {
            What::Login { .. }
            | What::Session(_)
            | What::List(_)
            | What::Verify(_)
            | What::Poll { .. }
            | What::Logout { .. }
            | What::Revoke { .. } => status < 300,
            What::Follow { .. } => status == 200,
            _ => false,
        };
        let incomplete = status == 503 && answer.text().contains("logout_incomplete");
        if is_private || incomplete {
            due.push(("Cache-Control", this("no-store")));
        }
        if (own && status == 200) || incomplete {
            due.push(("Set-Cookie", this(CLEARED)));
        }
        match &asked.what {
            What::Login { .. } if status == 200 => {
                let sign = answer.json()["user_sign"]
                    .as_str()
                    .unwrap_or_default()
                    .to_owned();
                let age_s = self.lasting.absolute_s;
                let cookie =
                    format!("session={sign}; Path=/; Max-Age={age_s}; HttpOnly; SameSite=Lax");
                due.push(("Set-Cookie", Due::This(cookie.into())));
            }
            What::Verify(session) if status == 204 => {
                let user = &self.users[self.sessions[*session].user];
                due.extend([
                    ("X-User-Id", Due::This(user.id.to_string().into())),
                    ("X-User-Name", this(user.name)),
                    ("X-User-Role", this(user.role)),
                ]);
            }
            What::Odd(odd) => {
                if !odd.allow.is_empty() {
                    due.push(("Allow", this(odd.allow)));
                }
                if status == 415 {
                    let types = "application/x-www-form-urlencoded, application/json";
                    due.push(("Accept", this(types)));
                }
            }
            _ => {}
        }
        match status {
            401 => due.push(("WWW-Authenticate", this(r#"Bearer realm="loopgate""#))),
            429 => due.push(("Retry-After", Due::Seconds)),
            // A server that shuts down does not know when another one will be there.
            503 if !answer.text().contains("\"draining\"") => {
                due.push(("Retry-After", Due::Seconds));
            }
            _ => {}
        }
        due
    }

    /// Checks that a connection is kept unless there is a reason for its end.
    fn check_connection(&self, asked: &Asked, answer: &Answer, value: &str) -> Result<(), String> {
        let upgrades = answer.status == 101;
        let ends = match asked.what {
            What::Garbage(_) | What::Drip | What::Panic | What::PanicLater => true,
            What::Follow { .. } => answer.status == 200,
            _ => false,
        };
        let well = match value {
            "Upgrade" => upgrades,
            "close" => ends || self.draining || answer.status >= 400,
            _ => false,
        };
        if well {
            return Ok(());
        }
        Err(format!("the connection is said to be {value:?}"))
    }

    /// Checks that an error is complete (RFC 9457); returns its code.
    pub(super) fn check_problem(answer: &Answer) -> Result<String, String> {
        let problem = answer.json();
        let code = problem["code"].as_str().unwrap_or_default().to_owned();
        let title = match answer.status {
            400 => "Bad Request",
            401 => "Unauthorized",
            403 => "Forbidden",
            404 => "Not Found",
            405 => "Method Not Allowed",
            408 => "Request Timeout",
            413 => "Content Too Large",
            415 => "Unsupported Media Type",
            429 => "Too Many Requests",
            500 => "Internal Server Error",
            503 => "Service Unavailable",
            505 => "HTTP Version Not Supported",
            _ => return Err("an error that is none of those that there are".into()),
        };
        let due = serde_json::json!({
            "type": format!("urn:loopgate:problem:{code}"),
            "title": title,
            "status": answer.status,
            "detail": problem["detail"],
            "code": code,
        });
        let said = problem["detail"]
            .as_str()
            .is_some_and(|detail| !detail.is_empty());
        if said && problem == due {
            return Ok(code);
        }
        Err(format!("not what an error says: {problem}"))
    }
}
