//! What the events on the disk say about sessions, and which events there may be at all: each needs a cause.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::events::Fact;
use super::sessions::{Known, Lasting};
use super::{SLACK_S, Span};
use crate::simulation::world::User;

/// The requests of clients that may become events.
#[derive(Debug, Default)]
pub(in crate::simulation) struct Causes {
    /// The sessions that asked for a logout, and whether it was for all sessions of the user.
    pub(in crate::simulation) logouts: Vec<(String, bool)>,
    /// The sessions that were to be ended by another session of their user, or by themselves.
    pub(in crate::simulation) revocations: Vec<String>,
    /// Published events, by the number in their data.
    pub(in crate::simulation) published: BTreeMap<u64, Published>,
    /// Logins of each name with the right password.
    pub(in crate::simulation) right: BTreeMap<&'static str, usize>,
    /// Logins of each name with a wrong password; `None` for names that no user has.
    pub(in crate::simulation) wrong: BTreeMap<Option<&'static str>, Guesses>,
    /// Handlers and jobs that were to panic.
    pub(in crate::simulation) panics: usize,
    /// How often a server was told to shut down.
    pub(in crate::simulation) drains: usize,
}

/// Logins that fail.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::simulation) struct Guesses {
    pub(in crate::simulation) asked: usize,
    /// Logins whose failure must have been stored.
    pub(in crate::simulation) certain: usize,
    /// Failures that were stored.
    written: usize,
}

/// An event that a client wants to publish.
#[derive(Debug)]
pub(in crate::simulation) struct Published {
    pub(in crate::simulation) name: &'static str,
    pub(in crate::simulation) sender: &'static str,
    pub(in crate::simulation) user_id: i64,
    pub(in crate::simulation) data: Value,
    /// Its event.
    id: Option<u64>,
}

impl Published {
    pub(in crate::simulation) fn new(
        name: &'static str,
        sender: &'static str,
        user_id: i64,
        data: Value,
    ) -> Self {
        Self {
            name,
            sender,
            user_id,
            data,
            id: None,
        }
    }
}

/// How a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::simulation) enum End {
    LoggedOut,
    /// Together with all others of its user.
    Swept,
    Revoked,
    Expired,
    /// The user logged in again and had as many sessions as allowed.
    MadeRoom,
}

/// The life of a session, by its events.
#[derive(Debug)]
pub(in crate::simulation) struct SessionLife {
    pub(in crate::simulation) user_id: i64,
    /// The event of its login.
    pub(in crate::simulation) began: u64,
    pub(in crate::simulation) began_s: i64,
    pub(in crate::simulation) address: String,
    pub(in crate::simulation) ended: Option<(u64, End)>,
    /// The event of a logout everywhere with which it may have ended.
    swept: Option<u64>,
}

impl SessionLife {
    /// The order of sessions by age, the oldest first. For sessions from before `restarted`, the event after which a
    /// server began, only the second in which they began is known.
    pub(in crate::simulation) fn age(&self, restarted: u64) -> (u8, i64) {
        if self.began > restarted {
            (1, self.began.cast_signed())
        } else {
            (0, self.began_s)
        }
    }
}

/// Which sessions may have expired by then, although no event says so. The server began after the event `restarted`.
pub(in crate::simulation) fn expiries(
    sessions: &[Known],
    restarted: u64,
    lasting: Lasting,
    by: Span,
    clock_was_set: bool,
) -> impl Fn(&str, &SessionLife) -> bool {
    move |sid, life| {
        if let Some(known) = sessions.iter().find(|known| known.sid == sid) {
            return known.may_have_expired(lasting, by);
        }
        // Its login was never answered, so its key is unknown: it may have retired when the server began.
        let first_end_s = life.began_s + lasting.idle_s.min(lasting.absolute_s);
        let is_over = by.max_s >= first_end_s - SLACK_S;
        is_over || life.began <= restarted || clock_was_set
    }
}

/// A logout of all sessions of a user.
#[derive(Clone, Copy, Debug)]
pub(in crate::simulation) struct Sweep {
    pub(in crate::simulation) event: u64,
    /// The session that asked for it had ended before, so the list of sessions to end was made at another
    /// time.
    late: bool,
}

/// The lives of all sessions, by their ids.
#[derive(Debug, Default)]
pub(in crate::simulation) struct History {
    lives: BTreeMap<String, SessionLife>,
    /// Logouts everywhere, by the session that asked for it.
    everywhere: BTreeMap<String, Sweep>,
    logins: BTreeMap<i64, usize>,
    panics: usize,
    drains: usize,
}

fn check(holds: bool, why: &str, fact: &Fact) -> Result<(), String> {
    if holds {
        return Ok(());
    }
    Err(format!("{why}: {} {:?}", fact.json, fact.user_id))
}

impl History {
    pub(in crate::simulation) fn life(&self, sid: &str) -> Option<&SessionLife> {
        self.lives.get(sid)
    }

    /// An event is on the disk.
    #[expect(
        clippy::too_many_lines,
        reason = "a table: one arm for each name of an event"
    )]
    pub(in crate::simulation) fn happens(
        &mut self,
        id: u64,
        fact: &Fact,
        causes: &mut Causes,
        users: &[User],
    ) -> Result<(), String> {
        let user = users.iter().find(|user| Some(user.id) == fact.user_id);
        let sid = fact.data()["session_id"].as_str().unwrap_or_default();
        let of_user = |user: &User, more: Value| {
            let mut due = json!({"user_id": user.id.to_string()});
            if let (Value::Object(due), Value::Object(more)) = (&mut due, more) {
                due.extend(more);
            }
            due == *fact.data()
        };
        match (&*fact.name, user) {
            ("user.logged_in", Some(user)) => {
                let address = fact.data()["address"].as_str().unwrap_or_default();
                let due = json!({"username": user.name, "session_id": sid, "address": address});
                let well = of_user(user, due) && fact.sender == "login";
                check(well, "not what a login is", fact)?;
                let logins = self.logins.entry(user.id).or_default();
                *logins += 1;
                let asked = causes.right.get(user.name).copied().unwrap_or(0);
                check(*logins <= asked, "no client asked for this login", fact)?;
                let life = SessionLife {
                    user_id: user.id,
                    began: id,
                    began_s: fact.time_ms.div_euclid(1000),
                    address: address.to_owned(),
                    ended: None,
                    swept: None,
                };
                let former = self.lives.insert(sid.to_owned(), life);
                check(former.is_none(), "a session begins twice", fact)
            }
            ("user.login_failed", user) => {
                let name = user.map(|user| user.name);
                let address = &fact.data()["address"];
                let due = json!({"username": name, "address": address});
                let well = due == *fact.data() && fact.sender == "login" && address.is_string();
                check(well, "not what a failed login is", fact)?;
                let guesses = causes.wrong.entry(name).or_default();
                guesses.written += 1;
                let written = guesses.written <= guesses.asked;
                check(written, "no login failed that explains it", fact)
            }
            ("user.logged_out", Some(user)) => {
                let everywhere = fact.data()["everywhere"] == true;
                let due =
                    json!({"username": user.name, "session_id": sid, "everywhere": everywhere});
                let well = of_user(user, due) && fact.sender == "logout";
                check(well, "not what a logout is", fact)?;
                let asked = causes.logouts.iter();
                let mut asked = asked.filter(|(by, all)| by == sid && *all == everywhere);
                check(
                    asked.next().is_some(),
                    "no client asked for this logout",
                    fact,
                )?;
                if !everywhere {
                    return self.ends(id, sid, user, End::LoggedOut, fact);
                }
                let own = self.lives.get(sid);
                let asked = causes.logouts.iter();
                let times = asked.filter(|(by, all)| by == sid && *all).count();
                // Nor can it be known which of several logouts this is.
                let late = times > 1 || own.is_none_or(|life| life.ended.is_some());
                self.everywhere
                    .insert(sid.to_owned(), Sweep { event: id, late });
                let mut any = false;
                for (other, life) in &mut self.lives {
                    if life.user_id == user.id && life.ended.is_none() {
                        any = true;
                        life.swept = life.swept.or(Some(id));
                        if other == sid {
                            life.ended = Some((id, End::LoggedOut));
                        }
                    }
                }
                check(any, "no session was left to end", fact)
            }
            ("session.revoked", Some(user)) if fact.sender == "login" => {
                let due = json!({"session_id": sid, "reason": "too_many_sessions"});
                check(of_user(user, due), "not what makes room", fact)?;
                self.ends(id, sid, user, End::MadeRoom, fact)
            }
            ("session.revoked", Some(user)) => {
                let well = of_user(user, json!({"session_id": sid})) && fact.sender == "logout";
                check(well, "not what a revocation is", fact)?;
                let asked = causes.revocations.iter().any(|asked| asked == sid);
                check(asked, "no client asked for this revocation", fact)?;
                self.ends(id, sid, user, End::Revoked, fact)
            }
            ("session.expired", Some(user)) => {
                let well = of_user(user, json!({"session_id": sid})) && fact.sender == "sessions";
                check(well, "not what an expiry is", fact)?;
                self.ends(id, sid, user, End::Expired, fact)
            }
            ("server.draining", None) => {
                self.drains += 1;
                let well = *fact.data() == json!({"restarting": false});
                let well = well && fact.sender == "loopgate" && self.drains <= causes.drains;
                check(well, "the server does not shut down", fact)
            }
            ("error", None) => {
                self.panics += 1;
                let code = fact.data()["code"].as_str().unwrap_or_default();
                let known = matches!(code, "handler_panicked" | "job_panicked");
                let well = known && fact.sender == "loopgate" && self.panics <= causes.panics;
                check(well, "nothing went wrong inside", fact)
            }
            (_, user) => {
                let number = fact.data()["n"].as_u64().unwrap_or(0);
                let published = causes.published.get_mut(&number);
                let Some(published) = published.filter(|published| published.id.is_none()) else {
                    return check(false, "no client published this, or once only", fact);
                };
                published.id = Some(id);
                let well = published.name == fact.name
                    && published.sender == fact.sender
                    && user.is_some_and(|user| user.id == published.user_id)
                    && published.data == *fact.data();
                check(well, "it was published otherwise", fact)
            }
        }
    }

    /// A session ends whose row was there until now.
    fn ends(
        &mut self,
        id: u64,
        sid: &str,
        user: &User,
        how: End,
        fact: &Fact,
    ) -> Result<(), String> {
        let life = self.lives.get_mut(sid);
        let Some(life) = life.filter(|life| life.user_id == user.id) else {
            return check(false, "there is no such session", fact);
        };
        let once = life.ended.is_none();
        life.ended = Some((id, how));
        check(once, "the session had ended", fact)
    }

    /// A session was told that all sessions of its user have ended; those for which `may_have_expired` is true may
    /// have expired before. Returns the event, and how many sessions ended by it and by nothing else.
    pub(in crate::simulation) fn swept_by(
        &mut self,
        sid: &str,
        may_have_expired: impl Fn(&str, &SessionLife) -> bool,
    ) -> Option<(u64, usize)> {
        let Sweep { event, late } = *self.everywhere.get(sid)?;
        let user_id = self.lives.get(sid)?.user_id;
        let lives = &self.lives;
        let of_user = |sid: &String| lives.get(sid).is_some_and(|life| life.user_id == user_id);
        let later = |(sid, other): (&String, &Sweep)| other.event > event && of_user(sid);
        let is_last = !self.everywhere.iter().any(later);
        // Other sessions of this user may have asked for the end of all before: then those had gone already.
        let earlier = |(sid, other): (&String, &Sweep)| {
            (other.event < event && of_user(sid)).then_some(other.event)
        };
        let earlier: Vec<u64> = self.everywhere.iter().filter_map(earlier).collect();
        let mut sure = 0;
        for (other, life) in &mut self.lives {
            if life.user_id != user_id || life.began >= event {
                continue;
            }
            if life.ended == Some((event, End::LoggedOut)) {
                let may_have_gone = earlier.iter().any(|other| life.began < *other);
                sure += usize::from(!late && !may_have_gone);
            } else if life.ended.is_none() && !late && !may_have_expired(other, life) {
                life.ended = Some((event, End::Swept));
                // If other requests wanted to end it as well, one of them may have been first.
                sure += usize::from(life.swept == Some(event) && is_last);
            }
        }
        Some((event, sure))
    }

    /// A session ended to make room for another one, when each user may have `max`: checks that there were so many,
    /// and that it was the oldest of those that had not expired. Sessions that ended after `since` count, too: their
    /// ends may have been under way when room was made.
    pub(in crate::simulation) fn made_room(
        &self,
        sid: &str,
        max: usize,
        restarted: u64,
        since: u64,
        may_have_expired: impl Fn(&str, &SessionLife) -> bool,
    ) -> Result<(), String> {
        let Some(victim) = self.lives.get(sid) else {
            return Ok(());
        };
        let counts = |life: &SessionLife| life.ended.is_none_or(|(event, _)| event > since);
        let lives = self.lives.iter();
        let theirs = lives.filter(|(_, life)| life.user_id == victim.user_id && counts(life));
        let mut count = 1;
        for (other, life) in theirs {
            count += 1;
            let is_there = life.ended.is_none() && life.swept.is_none();
            let spared = is_there && life.age(restarted) < victim.age(restarted);
            if spared && !may_have_expired(other, life) {
                return Err(format!("session {sid} made room, and {other} is older"));
            }
        }
        if max == 0 || count < max {
            return Err(format!("session {sid} made room, and there were {count}"));
        }
        Ok(())
    }

    /// Sessions of that user that may have existed before or during that event.
    pub(in crate::simulation) fn alive_at(&self, user_id: i64, event: u64) -> usize {
        let alive = |life: &&SessionLife| {
            let ended = life.ended.filter(|(_, how)| *how != End::Swept);
            life.user_id == user_id
                && life.began < event
                && ended.is_none_or(|(ended, _)| ended >= event)
        };
        self.lives.values().filter(alive).count()
    }

    /// The disk is at rest, and these sessions are on it.
    pub(in crate::simulation) fn check<'s>(
        &mut self,
        mut on_disk: impl FnMut(&str) -> Option<&'s crate::work::SessionRow>,
        rows: usize,
    ) -> Result<(), String> {
        let mut explained = 0;
        for (sid, life) in &mut self.lives {
            let row = on_disk(sid);
            explained += usize::from(row.is_some());
            match (row, life.ended, life.swept.take()) {
                (Some(_), Some((event, how)), _) => {
                    return Err(format!(
                        "session {sid} ended with event {event} ({how:?}), and is on the disk"
                    ));
                }
                (None, None, None) => {
                    return Err(format!("session {sid} is gone, and no event says why"));
                }
                (None, None, Some(event)) => life.ended = Some((event, End::Swept)),
                (Some(row), None, _) => {
                    let well = row.user_id == life.user_id && row.issued_s == life.began_s;
                    if !well || row.last_used_s < row.issued_s {
                        return Err(format!("session {sid} is {row:?}, and began as {life:?}"));
                    }
                }
                (None, Some(_), _) => {}
            }
        }
        if explained != rows {
            return Err(format!(
                "{rows} sessions are on the disk, and {explained} have begun"
            ));
        }
        Ok(())
    }
}

impl Causes {
    /// Checks that all failures are stored that must be.
    pub(in crate::simulation) fn check(&self) -> Result<(), String> {
        for (name, guesses) in &self.wrong {
            let Guesses {
                certain, written, ..
            } = guesses;
            if written < certain {
                return Err(format!(
                    "{certain} logins of {name:?} were told to have failed, and {written} are written down"
                ));
            }
        }
        Ok(())
    }
}
