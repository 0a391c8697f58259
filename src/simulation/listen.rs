//! Checks the events that clients receive: in answers, as server-sent events, in frames.

use std::collections::VecDeque;

use serde_json::{Value, json};

use super::answers::{Answer, Frame, frame, take_frame, take_sse};
use super::asking::POLL_WAIT_S;
use super::clients::{Asked, Client, Following, Mode, What};
use super::truth::{Follower, Must};
use super::verdict::{expect, says};
use super::world::World;
use crate::config::SlowPolicy;

/// Events in one JSON answer, if the client does not set a limit.
const LIMIT: usize = 100;

impl World {
    pub(super) fn polled(
        &mut self,
        at: usize,
        asked: &Asked,
        answer: &Answer,
    ) -> Result<(), String> {
        let What::Poll {
            session,
            since,
            pattern,
            limit,
            waits,
        } = asked.what
        else {
            return Err("no poll was asked for".into());
        };
        expect(answer.status, 200)?;
        let body = answer.json();
        says(&body, &json!({"events": null, "last": null, "more": null}))?;
        let events = body["events"].as_array().ok_or("no events")?;
        let last = body["last"].as_u64().ok_or("no last")?;
        let more = body["more"].as_bool().ok_or("no more")?;
        let gap = events.first().filter(|event| event["name"] == "gap");
        self.check_gap(gap, since, asked)?;
        let limit = limit.unwrap_or(LIMIT) + usize::from(gap.is_some());
        if events.len() > limit {
            return Err(format!(
                "{} events, and {limit} were asked for",
                events.len()
            ));
        }
        if more && !waits && events.len() + usize::from(gap.is_some()) < limit {
            return Err("there is more, and there was room for it".into());
        }
        if !more && last < asked.newest || last > self.events.newest() {
            let newest = self.events.newest();
            return Err(format!(
                "{last} is said to be the last, and there are {newest}"
            ));
        }
        let waited_ns = self.now_ns - asked.sent_ns;
        let client = &self.clients[at];
        let in_time = waited_ns >= POLL_WAIT_S * 1_000_000_000 || client.shut || self.draining;
        if waits && events.is_empty() && !in_time {
            return Err(format!("it did not wait, but for {waited_ns} ns"));
        }
        let user = &self.users[self.sessions[session].user];
        let begin = since.unwrap_or(self.events.oldest() - 1);
        let admin = user.role == "admin";
        let mut follower = Follower::new(user.id, admin, pattern, since.unwrap_or(0));
        follower.begins_after(begin);
        for event in events {
            follower.told(&event.to_string(), &self.events)?;
        }
        follower.check(last, &self.events)
    }

    /// Checks that a poll learns which events the store no longer has, and that nothing else is missing.
    fn check_gap(
        &self,
        gap: Option<&Value>,
        since: Option<u64>,
        asked: &Asked,
    ) -> Result<(), String> {
        let first = since.map(|since| since + 1);
        match (gap, first) {
            (None, Some(first)) if first < asked.oldest => Err(format!(
                "events from {first} to {} are not kept, and it is not told",
                asked.oldest - 1
            )),
            (None, _) => Ok(()),
            (Some(gap), Some(first)) => {
                let missing = asked.oldest - 1..self.events.oldest();
                let to = gap["data"]["to"].as_u64().unwrap_or_default();
                if missing.contains(&to) && gap["data"]["from"] == first {
                    return Ok(());
                }
                Err(format!("{gap} is told, and {missing:?} are not kept"))
            }
            (Some(gap), None) => Err(format!("{gap} is told, who asked for all")),
        }
    }

    pub(super) fn followed(
        &mut self,
        at: usize,
        asked: &Asked,
        answer: &Answer,
    ) -> Result<(), String> {
        let What::Follow {
            session,
            since,
            pattern,
            websocket,
        } = asked.what
        else {
            return Err("nothing was to be followed".into());
        };
        expect(answer.status, if websocket { 101 } else { 200 })?;
        if asked.head {
            return Ok(());
        }
        let open = |client: &&Client| {
            let theirs = matches!(&client.mode, Mode::Events(one) if one.session == session);
            theirs && !client.over && !self.network.is_ending(client.wire)
        };
        let most = self.config.limits.streams_per_session_max;
        if self.clients.iter().filter(open).count() >= most {
            return Err(format!("its session has {most} streams already"));
        }
        let user = &self.users[self.sessions[session].user];
        let admin = user.role == "admin";
        let mut follower = Follower::new(user.id, admin, pattern, since.unwrap_or(0));
        if since.is_none() {
            follower.begins_after(self.events.newest());
        }
        self.clients[at].told_end = false; // the stream is the end
        self.clients[at].mode = Mode::Events(Box::new(Following {
            session,
            place: asked.place,
            follower,
            websocket,
            said: VecDeque::new(),
            wants_more: false,
        }));
        Ok(())
    }

    /// Checks that a subscriber misses only what may be missing: if no event was dropped because it was too slow, only
    /// events that the store no longer has.
    pub(super) fn check_gaps(&self, follower: &Follower) -> Result<(), String> {
        if self.config.slow_subscriber != SlowPolicy::Disconnect {
            return Ok(());
        }
        let oldest = self.events.oldest();
        match follower.gaps().iter().find(|(_, to)| *to >= oldest) {
            Some((from, to)) => Err(format!(
                "{from} to {to} are said to be missing, and are kept"
            )),
            None => Ok(()),
        }
    }

    pub(super) fn take_one_event(&mut self, at: usize) -> Result<bool, String> {
        let Client {
            mode, inbox, wire, ..
        } = &mut self.clients[at];
        let (Mode::Events(following), wire) = (mode, *wire) else {
            return Ok(false);
        };
        let session = following.session;
        if !following.websocket {
            let Some(sse) = take_sse(inbox).map_err(|why| why.to_string())? else {
                return Ok(false);
            };
            if !sse.data.is_empty() {
                let data = &sse.data;
                self.story.say(|| format!("client {wire} is told {data}"));
                let told = following.follower.told(data, &self.events)?;
                let id = told["id"].as_u64().map(|id| id.to_string());
                if sse.name != told["name"] || sse.id != id {
                    return Err(format!("{sse:?} says otherwise than its data"));
                }
                if sse.name == "session.revoked" && id.is_none() {
                    self.check_goodbye(session)?;
                }
            }
            return Ok(true);
        }
        match take_frame(inbox).map_err(|why| why.to_string())? {
            None => return Ok(false),
            Some(Frame::Text(json)) => {
                self.story.say(|| format!("client {wire} is told {json}"));
                let told = following.follower.told(&json, &self.events)?;
                if told["id"].is_null() && told["name"] != "gap" {
                    self.answered_over_socket(at, &told)?;
                }
            }
            Some(Frame::Ping(payload)) => self.network.send(wire, &frame(10, &payload)),
            Some(Frame::Close(code)) => {
                self.story
                    .say(|| format!("client {wire} is told goodbye: {code}"));
                self.network.send(wire, &frame(8, &code.to_be_bytes()));
                let too_slow = self.config.slow_subscriber == SlowPolicy::Disconnect;
                let well = match code {
                    4401 => return self.check_goodbye(session).map(|()| true),
                    1001 => self.draining,
                    1013 => too_slow || self.trouble_step > 0,
                    _ => false,
                };
                if !well {
                    return Err(format!("it is closed with {code}, without a reason"));
                }
            }
            Some(Frame::Other) => {}
        }
        Ok(true)
    }

    /// A stream was told that its session has ended.
    fn check_goodbye(&self, session: usize) -> Result<(), String> {
        let known = &self.sessions[session];
        let (mut wall, retires_s) = (self.wall(), self.retires_s(known.key_id));
        // The message was sent at some earlier time, so it is right even if the clock was set back since.
        wall.max_s = self.highest_s;
        match known.must(self.lasting, self.step, wall, retires_s, None) {
            Must::Hold => Err("its session is said to have ended, and holds".into()),
            _ => Ok(()),
        }
    }
}
