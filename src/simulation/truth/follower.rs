//! What a subscriber must receive, and in which order.

use serde_json::Value;

use super::events::{Events, Fact};
/// Whether that pattern covers that name: `*`, `user.*`, or the name itself.
fn matches(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some("") => true,
        Some(prefix) => name
            .strip_prefix(prefix)
            .is_some_and(|rest| !rest.is_empty()),
        None => pattern == name,
    }
}

/// A client that follows events, and what it has received.
#[derive(Debug)]
pub(in crate::simulation) struct Follower {
    /// The user; only an admin sees events that concern others.
    pub(in crate::simulation) user_id: i64,
    pub(in crate::simulation) admin: bool,
    /// Events of these names.
    pub(in crate::simulation) pattern: &'static str,
    /// Everything after this event is due.
    after: u64,
    /// The last event, or gap, that it received.
    last: u64,
    seen: Vec<u64>,
    gaps: Vec<(u64, u64)>,
}

impl Follower {
    pub(in crate::simulation) fn new(
        user_id: i64,
        admin: bool,
        pattern: &'static str,
        after: u64,
    ) -> Self {
        Self {
            user_id,
            admin,
            pattern,
            after,
            last: after,
            seen: Vec::new(),
            gaps: Vec::new(),
        }
    }

    /// It asked for events from now on, and the server has begun by now: events up to here are not due.
    pub(in crate::simulation) fn begins_after(&mut self, newest: u64) {
        self.after = self.after.max(newest);
    }

    /// The gaps that it received.
    pub(in crate::simulation) fn gaps(&self) -> &[(u64, u64)] {
        &self.gaps
    }

    pub(in crate::simulation) fn last(&self) -> u64 {
        self.last
    }

    fn wants(&self, fact: &Fact) -> bool {
        let concerns = fact.user_id == Some(self.user_id) || fact.name.starts_with("server.");
        (self.admin || concerns) && matches(self.pattern, &fact.name)
    }

    /// It received a message; returns what it was.
    pub(in crate::simulation) fn told(
        &mut self,
        json: &str,
        events: &Events,
    ) -> Result<Value, String> {
        let told: Value =
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
            return Ok(told);
        }
        let Some(id) = told["id"].as_u64() else {
            return Ok(told); // the last message is not an event
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
        Ok(told)
    }

    /// Checks that it received everything that is due up to `through`.
    pub(in crate::simulation) fn check(&self, through: u64, events: &Events) -> Result<(), String> {
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
