//! Checks the contents of an answer against the truth.

use serde_json::{Value, json};

use super::answers::Answer;
use super::clients::{Asked, What};
use super::truth::{Guesses, LoginOutcome, Must};
use super::when;
use super::world::World;

/// Seconds since 1970 of a time in an answer, which has no fraction.
pub(super) fn time_s(value: &Value) -> Option<i64> {
    let ms = when::of_timestamp(value.as_str()?)?;
    (ms % 1000 == 0).then_some(ms / 1000)
}

/// Checks that `said` is an object with these fields and no others; a field that is null in `due` may be anything.
pub(super) fn says(said: &Value, due: &Value) -> Result<(), String> {
    let (Some(fields), Some(due)) = (said.as_object(), due.as_object()) else {
        return Err(format!("it is no object: {said}"));
    };
    if let Some((name, value)) = due.iter().find(|(name, value)| {
        !fields.contains_key(*name) || !value.is_null() && said[*name] != **value
    }) {
        return Err(format!("{name} should be {value}, and is {}", said[name]));
    }
    if fields.len() == due.len() {
        return Ok(());
    }
    Err(format!("it says more than {:?}", due.keys()))
}

pub(super) fn expect(status: u16, expected: u16) -> Result<(), String> {
    if status == expected {
        Ok(())
    } else {
        Err(format!("{expected} was due"))
    }
}

fn expect_code(code: &str, expected: &str) -> Result<(), String> {
    if code == expected {
        Ok(())
    } else {
        Err(format!("{expected} was due"))
    }
}

impl World {
    /// Checks an answer.
    pub(super) fn judge(
        &mut self,
        at: usize,
        asked: &Asked,
        answer: &Answer,
    ) -> Result<(), String> {
        for session in asked.what.ends() {
            self.sessions[session].endings -= 1;
        }
        if let Some(session) = asked.what.session() {
            self.sessions[session].is_answered();
        }
        let status = answer.status;
        self.check_fields(asked, answer)?;
        let code = if status >= 400 && !asked.head {
            Self::check_problem(answer)?
        } else {
            String::new()
        };
        if let Some(place) = asked.place
            && (asked.head || !matches!((&asked.what, status), (What::Follow { .. }, 101 | 200)))
        {
            self.places.end(place, self.step);
        }
        Self::check_patience(answer, &code)?;
        self.judge_attempt(asked, answer, &code)?;
        if status == 503 {
            return self.unavailable(asked, &code);
        }
        if status == 429 {
            return self.too_many(asked, &code);
        }
        if let Some(session) = asked.what.session() {
            let known = &self.sessions[session];
            let retires_s = self.retires_s(known.key_id);
            let must = known.must(
                self.lasting,
                asked.step,
                asked.during,
                retires_s,
                asked.alone,
            );
            if status == 401 {
                if must == Must::Hold {
                    return Err("the session holds".into());
                }
                // If it has expired, setting the clock back may bring it back.
                self.sessions[session].unless_ended();
                return if asked.head {
                    Ok(())
                } else {
                    expect_code(&code, "no_session")
                };
            }
            if must == Must::BeGone {
                return Err("the session has ended".into());
            }
            self.sessions[session].was_used(asked.during, self.step);
        }
        self.judge_content(at, asked, answer, &code)
    }

    fn judge_content(
        &mut self,
        at: usize,
        asked: &Asked,
        answer: &Answer,
        code: &str,
    ) -> Result<(), String> {
        let status = answer.status;
        match &asked.what {
            What::Health | What::Ready => {
                expect(status, 200)?;
                let word = if asked.what == What::Health {
                    "ok"
                } else {
                    "ready"
                };
                Self::says(asked, answer, &json!({ "status": word }))
            }
            What::Echo(number) | What::Later(number) => {
                expect(status, 200)?;
                if answer.text() != number.to_string() {
                    return Err("it is the answer to something else".into());
                }
                Ok(())
            }
            What::Stream(number, pieces) => {
                expect(status, 200)?;
                if answer.text() != format!("{number}\n").repeat(*pieces) {
                    return Err("it is not what was streamed".into());
                }
                Ok(())
            }
            What::Panic | What::PanicLater => {
                expect(status, 500)?;
                expect_code(code, "internal_error")
            }
            What::Garbage(refusal) => expect(status, *refusal),
            What::Drip => expect(status, 408),
            What::Odd(odd) => {
                expect(status, odd.status)?;
                expect_code(code, odd.code)
            }
            What::Refused {
                session,
                status: due,
            } => {
                expect(status, *due)?;
                if asked.head {
                    return Ok(());
                }
                expect_code(
                    code,
                    if session.is_some() {
                        "cross_site"
                    } else {
                        "no_session"
                    },
                )
            }
            What::Login { name, right } => self.logged_in(at, name, *right, asked, answer, code),
            What::Session(session) => self.shown(*session, asked, answer),
            What::List(session) => self.listed(*session, asked, answer),
            What::Verify(_) => expect(status, 204),
            What::Logout { .. } => self.logged_out(asked, answer),
            What::Revoke { .. } => self.revoked(asked, answer, code),
            What::Publish {
                session,
                number,
                refusal,
            } => {
                if self.users[self.sessions[*session].user].role == "user" {
                    expect(status, 403)?;
                    return expect_code(code, "not_a_producer");
                }
                if let Some((refused, why)) = refusal {
                    expect(status, *refused)?;
                    return expect_code(code, why);
                }
                expect(status, 202)?;
                let body = answer.json();
                let id = body["id"].as_u64().ok_or("no id")?;
                says(&body, &json!({ "id": id }))?;
                self.events.promise(id, *number);
                Ok(())
            }
            What::Poll { .. } => self.polled(at, asked, answer),
            What::Follow { .. } => self.followed(at, asked, answer),
        }
    }

    /// Checks a body; an answer to HEAD has none.
    pub(super) fn says(asked: &Asked, answer: &Answer, due: &Value) -> Result<(), String> {
        if asked.head {
            return Ok(());
        }
        says(&answer.json(), due)
    }

    /// Checks how long a client is told to wait.
    fn check_patience(answer: &Answer, code: &str) -> Result<(), String> {
        let due = match code {
            "busy" | "too_many_at_once" => &["1"][..],
            "too_many_streams" => &["1", "5"],
            "store_unavailable" | "logout_incomplete" => &["5"],
            _ => return Ok(()),
        };
        let said = answer.field("retry-after").unwrap_or_default();
        if due.contains(&said) {
            return Ok(());
        }
        Err(format!("the client is told to wait for {said} s"))
    }

    /// Compares the throttle's decision with the model's.
    fn judge_attempt(&mut self, asked: &Asked, answer: &Answer, code: &str) -> Result<(), String> {
        let Some(number) = asked.attempt else {
            return Ok(());
        };
        let limits = &self.config.limits;
        let healthy = self.trouble_step < asked.step;
        let outcome = match (&asked.what, answer.status) {
            (What::Login { .. }, 200) => LoginOutcome::Right,
            (What::Login { .. }, 503) if code == "store_unavailable" => LoginOutcome::Right,
            (What::Login { name, .. }, 401) => {
                let known = self.users.iter().any(|user| user.name == *name);
                let guesses = self.causes.wrong.entry(known.then_some(*name));
                let Guesses { certain, .. } = guesses.or_default();
                *certain += usize::from(healthy);
                LoginOutcome::Failed
            }
            (_, 429) if code == "too_many_attempts" => {
                let left_s = answer
                    .field("retry-after")
                    .and_then(|text| text.parse().ok());
                LoginOutcome::Refused(left_s.unwrap_or(0))
            }
            (_, 429) => {
                let places = limits.hash_jobs_max.div_ceil(2);
                if !self.attempts.may_be_too_many(number, places) {
                    return Err("the name has not so many under way".into());
                }
                LoginOutcome::Unseen
            }
            (_, 503) => {
                if !self.attempts.may_be_full(number, limits.hash_jobs_max) {
                    return Err("there are not so many jobs".into());
                }
                LoginOutcome::Unseen
            }
            _ => LoginOutcome::Unseen,
        };
        self.attempts.ended(number, outcome, self.now())
    }

    /// Nothing was done, because there was no room or the disk failed.
    fn unavailable(&mut self, asked: &Asked, code: &str) -> Result<(), String> {
        let trouble = self.trouble_step >= asked.step;
        let well = match (&asked.what, code) {
            (What::Ready, "draining") => self.draining,
            (What::Login { .. } | What::Later(_) | What::PanicLater, "busy") => true,
            (
                What::Login { right: true, .. }
                | What::Logout { .. }
                | What::Revoke { .. }
                | What::Publish { .. }
                | What::Poll { .. },
                "store_unavailable",
            ) => trouble,
            (
                What::Logout {
                    everywhere: Some(_),
                    ..
                },
                "logout_incomplete",
            ) => {
                self.incompletely_logged_out(asked);
                trouble
            }
            _ => false,
        };
        if well {
            return Ok(());
        }
        Err("it could be done".into())
    }

    /// Too many of the same kind are under way, or have failed.
    fn too_many(&mut self, asked: &Asked, code: &str) -> Result<(), String> {
        let well = match (&asked.what, code) {
            (What::Login { .. }, "too_many_attempts" | "too_many_at_once") => true,
            (What::Poll { session, .. } | What::Follow { session, .. }, code)
                // An answer to HEAD has no body, and so no code.
                if code == "too_many_streams" || asked.head =>
            {
                let since = asked.place.map_or(0, |place| self.places.began(place));
                let open = self.places.open(*session, since, asked.place);
                open >= self.config.limits.streams_per_session_max
            }
            _ => false,
        };
        if well {
            return Ok(());
        }
        Err("there are not too many".into())
    }
}
