//! What must be true of sessions and events, kept apart from the server: from what clients were told,
//! and from what is on the disk.

use std::collections::BTreeMap;

use crate::event::{Event, is_public};
use crate::token::{self, Fingerprint};

/// Seconds by which the server and the world may see the same second differently.
const SLACK_S: i64 = 2;

/// The wall clock while something was under way, in seconds since 1970.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    pub(super) min_s: i64,
    pub(super) max_s: i64,
}

impl Span {
    pub(super) fn at(now_s: i64) -> Self {
        Self {
            min_s: now_s,
            max_s: now_s,
        }
    }

    pub(super) fn include(&mut self, other: Self) {
        self.min_s = self.min_s.min(other.min_s);
        self.max_s = self.max_s.max(other.max_s);
    }
}

/// What is known of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Its login was confirmed, and nobody was asked to end it.
    Holds,
    /// Somebody may have ended it, without having been told so.
    Unsure,
    /// Its end was confirmed.
    Ended {
        /// In this step.
        step: u64,
    },
}

/// A session that some client was told of.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) sign: String,
    pub(super) hash: Fingerprint,
    pub(super) sid: String,
    pub(super) user: usize,
    pub(super) standing: Standing,
    /// Requests under way that may end it.
    pub(super) endings: usize,
    /// The last time of which it is certain that it counted as a use.
    used_s: i64,
    /// The last time at which it may have been used.
    maybe_used_s: i64,
    issued: Span,
    /// The latest that the wall clock has shown since then: at that time it may have expired.
    latest_s: i64,
}

/// What a client must be told of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Must {
    Hold,
    BeGone,
    BeEither,
}

/// How long sessions last, in seconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lasting {
    pub(super) idle_s: i64,
    pub(super) absolute_s: i64,
}

impl Known {
    pub(super) fn new(sign: String, sid: String, user: usize, during: Span) -> Self {
        Self {
            hash: token::fingerprint(sign.as_bytes()),
            sign,
            sid,
            user,
            standing: Standing::Holds,
            endings: 0,
            used_s: during.min_s,
            maybe_used_s: during.max_s,
            issued: during,
            latest_s: during.max_s,
        }
    }

    /// What a request must find that was made in that step and answered within that time.
    pub(super) fn must(&self, lasting: Lasting, asked_step: u64, during: Span) -> Must {
        let last_end_s =
            (self.maybe_used_s + lasting.idle_s).min(self.issued.max_s + lasting.absolute_s);
        if self.had_ended(asked_step) || during.min_s > last_end_s + SLACK_S {
            Must::BeGone
        } else if self.standing == Standing::Holds
            && self.endings == 0
            && !self.may_have_expired(lasting, during)
        {
            Must::Hold
        } else {
            Must::BeEither
        }
    }

    /// Whether it may have expired by then.
    pub(super) fn may_have_expired(&self, lasting: Lasting, during: Span) -> bool {
        let first_end_s =
            (self.used_s + lasting.idle_s).min(self.issued.min_s + lasting.absolute_s);
        during.max_s.max(self.latest_s) >= first_end_s - SLACK_S
    }

    /// Its end was confirmed before that step.
    pub(super) fn had_ended(&self, step: u64) -> bool {
        matches!(self.standing, Standing::Ended { step: ended } if ended < step)
    }

    /// Somebody may have ended it.
    pub(super) fn unless_ended(&mut self) {
        if self.standing == Standing::Holds {
            self.standing = Standing::Unsure;
        }
    }

    /// Nothing is under way that concerns it, and this is how it is.
    pub(super) fn turns_out(&mut self, exists: bool, step: u64, now_s: i64) {
        self.maybe_used_s = self.maybe_used_s.min(now_s);
        if self.standing == Standing::Unsure {
            self.standing = if exists {
                Standing::Holds
            } else {
                Standing::Ended { step }
            };
        }
    }

    /// A request that presents it is under way: it may count as a use at any moment.
    pub(super) fn may_be_used(&mut self, now_s: i64) {
        self.maybe_used_s = self.maybe_used_s.max(now_s);
    }

    /// It was used within that time. Also when the clock was set back: the last use counts, not the latest.
    pub(super) fn was_used(&mut self, during: Span) {
        self.used_s = during.min_s;
        self.latest_s = during.max_s;
    }

    /// The wall clock shows this.
    pub(super) fn time_moved(&mut self, now_s: i64) {
        self.latest_s = self.latest_s.max(now_s);
    }

    /// The server was killed: what it remembers of the last use is what it had written.
    pub(super) fn remembered(&mut self, last_used_s: i64) {
        self.used_s = self.used_s.min(last_used_s);
    }
}

/// Everything that was ever committed, and what of it was promised to somebody.
#[derive(Debug, Default)]
pub(super) struct Events {
    all: BTreeMap<u64, Fact>,
    /// Published and confirmed: the id, and the number that was its data.
    promised: Vec<(u64, u64)>,
}

/// What matters of an event.
#[derive(Debug)]
pub(super) struct Fact {
    pub(super) name: String,
    pub(super) user_id: Option<i64>,
    pub(super) json: serde_json::Value,
}

impl Events {
    pub(super) fn newest(&self) -> u64 {
        self.all.keys().next_back().copied().unwrap_or(0)
    }

    pub(super) fn get(&self, id: u64) -> Option<&Fact> {
        self.all.get(&id)
    }

    /// Those with an id from `after` to `through`, the first not included.
    pub(super) fn between(&self, after: u64, through: u64) -> impl Iterator<Item = (u64, &Fact)> {
        let range = after.saturating_add(1)..=through.max(after.saturating_add(1));
        let all = self.all.range(range);
        all.map(|(id, fact)| (*id, fact))
            .filter(move |(id, _)| *id <= through)
    }

    /// New ones are on the disk.
    pub(super) fn committed(&mut self, events: Vec<Event>) -> Result<(), String> {
        for event in events {
            let expected = self.newest() + 1;
            if event.id != expected {
                return Err(format!(
                    "event {} follows event {}, with a gap in the sequence",
                    event.id,
                    expected - 1
                ));
            }
            let json = serde_json::from_str(&event.to_json())
                .map_err(|why| format!("event {} is no JSON: {why}", event.id))?;
            let fact = Fact {
                name: event.fact.name.to_string(),
                user_id: event.fact.user_id,
                json,
            };
            self.all.insert(event.id, fact);
        }
        Ok(())
    }

    /// A publisher was told that `number` has this id.
    pub(super) fn promise(&mut self, id: u64, number: u64) {
        self.promised.push((id, number));
    }

    /// Whether all that was promised is there, and each login's event once.
    pub(super) fn check(&self, logins: &[&str]) -> Result<(), String> {
        for (id, number) in &self.promised {
            let data = self.get(*id).map(|fact| &fact.json["data"]["n"]);
            if data.and_then(serde_json::Value::as_u64) != Some(*number) {
                return Err(format!(
                    "the publisher of {number} was told that it is event {id}, which is {data:?}"
                ));
            }
        }
        for sid in logins {
            let of_login = |fact: &&Fact| {
                fact.name == "user.logged_in" && fact.json["data"]["session_id"] == *sid
            };
            let times = self.all.values().filter(of_login).count();
            if times != 1 {
                return Err(format!(
                    "the confirmed login of session {sid} has {times} events, not one"
                ));
            }
        }
        Ok(())
    }
}

/// Somebody who follows events, and what they have been told.
#[derive(Debug)]
pub(super) struct Follower {
    /// Nobody but an admin sees what concerns others.
    pub(super) user_id: i64,
    pub(super) admin: bool,
    /// All names that begin so.
    pub(super) prefix: &'static str,
    /// Everything after this event is due.
    after: u64,
    /// The last event, or gap, that was told.
    last: u64,
    seen: Vec<u64>,
    gaps: Vec<(u64, u64)>,
}

impl Follower {
    pub(super) fn new(user_id: i64, admin: bool, prefix: &'static str, after: u64) -> Self {
        Self {
            user_id,
            admin,
            prefix,
            after,
            last: after,
            seen: Vec::new(),
            gaps: Vec::new(),
        }
    }

    /// It asked for what comes from now on, and that has begun at the latest: nothing up to here is due.
    pub(super) fn begins_after(&mut self, newest: u64) {
        self.after = self.after.max(newest);
    }

    pub(super) fn last(&self) -> u64 {
        self.last
    }

    fn wants(&self, fact: &Fact) -> bool {
        let sees = self.admin || fact.user_id == Some(self.user_id) || is_public(&fact.name);
        sees && fact.name.starts_with(self.prefix)
    }

    /// It was told something.
    pub(super) fn told(&mut self, json: &str, events: &Events) -> Result<(), String> {
        let told: serde_json::Value =
            serde_json::from_str(json).map_err(|why| format!("told what is no JSON: {why}"))?;
        if told["name"] == "gap" {
            let (from, to) = (&told["data"]["from"], &told["data"]["to"]);
            let (Some(from), Some(to)) = (from.as_u64(), to.as_u64()) else {
                return Err(format!("a gap without ends: {json}"));
            };
            if from <= self.last || to < from {
                return Err(format!("a gap {from}–{to} behind event {}", self.last));
            }
            self.last = to;
            self.gaps.push((from, to));
            return Ok(());
        }
        let Some(id) = told["id"].as_u64() else {
            return Ok(()); // last words are no event
        };
        if id <= self.last {
            return Err(format!("event {id} was told after event {}", self.last));
        }
        let Some(fact) = events.get(id) else {
            return Err(format!("event {id} was told and is not on the disk"));
        };
        if fact.json != told {
            return Err(format!(
                "event {id} was told as {json}, and is {}",
                fact.json
            ));
        }
        if !self.wants(fact) {
            return Err(format!("event {id} is none of this follower's business"));
        }
        self.last = id;
        self.seen.push(id);
        Ok(())
    }

    /// Whether it was told everything that is due up to `through`.
    pub(super) fn check(&self, through: u64, events: &Events) -> Result<(), String> {
        for (id, fact) in events.between(self.after, through) {
            let told = self.seen.binary_search(&id).is_ok();
            let in_gap = self
                .gaps
                .iter()
                .any(|(from, to)| (*from..=*to).contains(&id));
            if self.wants(fact) && !told && !in_gap {
                return Err(format!(
                    "event {id} ({}) was never told, nor that it is missing; told were {:?}",
                    fact.name, self.seen
                ));
            }
        }
        Ok(())
    }
}
