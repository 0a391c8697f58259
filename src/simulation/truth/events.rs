//! The sequence of events on the disk, and which of them were promised to clients.

use std::collections::BTreeMap;

use crate::event::Event;
use crate::simulation::when;

/// Everything that was ever committed, and which events were promised to a client.
#[derive(Debug, Default)]
pub(in crate::simulation) struct Events {
    all: BTreeMap<u64, Fact>,
    /// The oldest event that the store still has.
    oldest: u64,
    /// Published and confirmed: the id, and the number that was its data.
    promised: Vec<(u64, u64)>,
}

/// The relevant parts of an event.
#[derive(Debug)]
pub(in crate::simulation) struct Fact {
    pub(in crate::simulation) name: String,
    pub(in crate::simulation) sender: String,
    pub(in crate::simulation) user_id: Option<i64>,
    pub(in crate::simulation) time_ms: i64,
    /// The whole event, as subscribers receive it.
    pub(in crate::simulation) json: serde_json::Value,
}

impl Fact {
    /// Made from the columns of the store.
    pub(in crate::simulation) fn of(event: &Event) -> Result<Self, String> {
        let json: serde_json::Value = serde_json::from_str(&event.to_json())
            .map_err(|why| format!("event {} is no JSON: {why}", event.id))?;
        let text = |field: &str| json[field].as_str().unwrap_or_default().to_owned();
        let (name, sender) = (text("name"), text("sender"));
        let time_ms = json["time"].as_str().and_then(when::of_timestamp);
        let columns = event.fact.unix_ms.cast_signed();
        if json["id"].as_u64() != Some(event.id)
            || name != event.fact.name
            || sender != event.fact.sender
            || json["data"] != event.fact.data
            || time_ms != Some(columns)
            || json.as_object().map(serde_json::Map::len) != Some(5)
        {
            return Err(format!(
                "event {} is told otherwise than it is kept: {json}",
                event.id
            ));
        }
        Ok(Self {
            name,
            sender,
            user_id: event.fact.user_id,
            time_ms: columns,
            json,
        })
    }

    pub(in crate::simulation) fn data(&self) -> &serde_json::Value {
        &self.json["data"]
    }
}

impl Events {
    pub(in crate::simulation) fn newest(&self) -> u64 {
        self.all.keys().next_back().copied().unwrap_or(0)
    }

    /// The oldest stored event; if there is none, the id that the next one will get.
    pub(in crate::simulation) fn oldest(&self) -> u64 {
        self.oldest.max(1)
    }

    pub(in crate::simulation) fn get(&self, id: u64) -> Option<&Fact> {
        self.all.get(&id)
    }

    /// The events with an id above `after` and up to `through`.
    pub(in crate::simulation) fn between(
        &self,
        after: u64,
        through: u64,
    ) -> impl Iterator<Item = (u64, &Fact)> {
        let first = after.saturating_add(1);
        let all = self.all.range(first..=through.max(first));
        all.map(|(id, fact)| (*id, fact))
            .filter(move |(id, _)| *id <= through)
    }

    /// A new event is on the disk.
    pub(in crate::simulation) fn add(&mut self, id: u64, fact: Fact) -> Result<(), String> {
        let expected = self.newest() + 1;
        if id != expected {
            return Err(format!(
                "event {id} follows event {}, with a gap in the sequence",
                expected - 1
            ));
        }
        self.all.insert(id, fact);
        Ok(())
    }

    /// The store has the events from `oldest` on, and may keep so many.
    pub(in crate::simulation) fn kept(&mut self, oldest: u64, at_most: u64) -> Result<(), String> {
        let due = (self.newest() + 1).saturating_sub(at_most).max(1);
        if self.newest() > 0 && oldest != due {
            return Err(format!(
                "the oldest event that is kept is {oldest}, and {due} was due: the newest is {}",
                self.newest()
            ));
        }
        self.oldest = oldest;
        Ok(())
    }

    /// A publisher was told that `number` has this id.
    pub(in crate::simulation) fn promise(&mut self, id: u64, number: u64) {
        self.promised.push((id, number));
    }

    /// Checks that all promised events are there.
    pub(in crate::simulation) fn check(&self) -> Result<(), String> {
        for (id, number) in &self.promised {
            let data = self.get(*id).map(|fact| &fact.data()["n"]);
            if data.and_then(serde_json::Value::as_u64) != Some(*number) {
                return Err(format!(
                    "the publisher of {number} was told that it is event {id}, which is {data:?}"
                ));
            }
        }
        Ok(())
    }
}
