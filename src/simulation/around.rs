//! The environment of server and clients: the clocks, the disk, the network.

use std::time::Duration;

use super::truth::{At, Fact, Known, Span, expiries};
use super::world::World;
use crate::reactor::Clock as _;
use crate::reactor::fake::Weather;
use crate::work::StoreError;

impl World {
    pub(super) fn advance(&mut self, by: Duration) {
        self.clock.advance(by);
        self.time_moved();
    }

    /// The clock has moved: a request under way may be answered by either time.
    pub(super) fn time_moved(&mut self) {
        self.now_ns = self.clock.now().as_ns();
        let wall = self.wall();
        self.highest_s = self.highest_s.max(wall.max_s);
        for known in &mut self.sessions {
            known.time_moved(wall.max_s);
        }
        for client in &mut self.clients {
            for asked in &mut client.asked {
                asked.during.include(wall);
                if let Some(session) = asked.what.session() {
                    self.sessions[session].may_be_used(wall.max_s);
                }
            }
        }
    }

    /// The time by the monotonic clock.
    pub(super) fn now(&self) -> At {
        At {
            step: self.step,
            s: self.now_ns / 1_000_000_000,
            event: self.events.newest(),
        }
    }

    /// The times that the server may take for the present: it reads the wall clock once a second.
    pub(super) fn wall(&self) -> Span {
        let now_s = self.clock.unix_s();
        Span {
            min_s: now_s + self.believed_s.0,
            max_s: now_s + self.believed_s.1,
        }
    }

    /// The wall clock was set by so many seconds: the loop may still use the time from before.
    pub(super) fn loop_believes(&mut self, set_by_s: i64) {
        let (least_s, most_s) = self.believed_s;
        self.believed_s = ((least_s - set_by_s).min(0), (most_s - set_by_s).max(0));
    }

    /// Takes in what has been committed meanwhile.
    pub(super) fn look_at_disk(&mut self) -> Result<(), String> {
        let newest = self.events.newest();
        let events = self.disk.events(newest).map_err(|why| why.to_string())?;
        if events.is_empty() {
            return Ok(());
        }
        let kept = self.config.limits.events_kept_max as u64;
        if events.len() as u64 >= kept && events[0].id > newest + 1 {
            self.lost_sight = true;
            return Err("more was committed at once than is kept".into());
        }
        for event in events {
            let fact = Fact::of(&event)?;
            self.take_in(event.id, &fact)
                .map_err(|why| format!("event {}: {why}", event.id))?;
            self.events.add(event.id, fact)?;
        }
        let oldest = self.disk.oldest_event().map_err(|why| why.to_string())?;
        self.events.kept(oldest, kept)
    }

    /// Checks that an event on the disk belongs there.
    fn take_in(&mut self, id: u64, fact: &Fact) -> Result<(), String> {
        let Self {
            history,
            causes,
            users,
            ..
        } = self;
        history.happens(id, fact, causes, users)?;
        let wall = self.wall();
        if fact.time_ms.div_euclid(1000) > wall.max_s + 1 && !self.clock_was_set {
            return Err("it comes from the future".into());
        }
        if fact.name == "session.revoked" && fact.sender == "login" {
            self.room_was_made(fact)?;
        }
        if fact.name == "session.expired" {
            let known = self
                .sessions
                .iter()
                .find(|known| fact.data()["session_id"] == *known.sid);
            if known.is_some_and(|known| !known.may_have_expired(self.lasting, wall)) {
                return Err(format!("it cannot have expired in {wall:?}: {known:?}"));
            }
        }
        Ok(())
    }

    /// A session ended because its user logged in again and had as many sessions as allowed.
    fn room_was_made(&mut self, fact: &Fact) -> Result<(), String> {
        let sid = fact.data()["session_id"].as_str().unwrap_or_default();
        let made_room = |known: &&mut Known| known.sid == sid;
        if let Some(known) = self.sessions.iter_mut().find(made_room) {
            known.unless_ended();
        }
        // A login that the disk refused would have ended a session, which stays.
        if self.trouble_step > self.rested_step {
            return Ok(());
        }
        let max = self.config.limits.sessions_per_user_max;
        let expired = expiries(
            &self.sessions,
            self.began_after,
            self.lasting,
            self.wall(),
            self.clock_was_set,
        );
        let user = self.users.iter().find(|user| Some(user.id) == fact.user_id);
        let since = user.and_then(|user| self.attempts.first_under_way(user.name));
        self.history
            .made_room(sid, max, self.began_after, since.unwrap_or(0), expired)
    }

    pub(super) fn change_disk(&mut self) {
        self.disk_trouble = !self.disk_trouble;
        let trouble = self.disk_trouble.then(|| {
            if self.chance.one_in(2) {
                StoreError::Full
            } else {
                StoreError::Sqlite("the disk fails".into())
            }
        });
        self.story.say(|| match &trouble {
            Some(trouble) => format!("trouble with the disk: {trouble}"),
            None => "the disk works again".into(),
        });
        self.disk.fail(trouble);
    }

    pub(super) fn change_weather(&mut self) {
        self.weather = match self.chance.below(4) {
            0 => Weather::default(),
            1 => Weather {
                rough: true,
                no_descriptors: true,
            },
            _ => Weather {
                rough: true,
                no_descriptors: false,
            },
        };
        let weather = self.weather;
        self.story.say(|| format!("the network: {weather:?}"));
        self.network.set_weather(weather);
    }

    /// Everything works, from now on.
    pub(super) fn heal(&mut self) {
        self.weather = Weather::default();
        self.network.set_weather(self.weather);
        if self.disk_trouble {
            self.trouble_step = self.step;
            self.trouble_ns = self.now_ns;
        }
        self.disk_trouble = false;
        self.disk.fail(None);
    }
}
