//! Takes answers and assigns each to its request, and decides whether a connection may end without one.
//! `verdict` decides whether an answer is right.

use super::answers::{Follows, take_answer};
use super::clients::{Asked, Mode, What};
use super::world::World;
use crate::ledger::Limit;

/// Nanoseconds after which a connection that is cut within a request may have run into a deadline.
const PATIENCE_NS: u64 = 5_000_000_000;

/// Nanoseconds after which a stream whose session has ended is cut, with all that its client has not
/// taken yet.
const LINGER_NS: u64 = 1_900_000_000;

impl World {
    /// The client takes up to so many bytes of what it was sent, and parses them.
    pub(super) fn client_takes(&mut self, at: usize, at_most: usize) -> Result<usize, String> {
        let wire = self.clients[at].wire;
        let bytes = self.network.take(wire, at_most);
        let count = bytes.len();
        self.digest.add(&bytes);
        if count > 0 || self.network.is_over(wire) {
            let took_ns = std::mem::replace(&mut self.clients[at].took_ns, self.now_ns);
            self.clients[at].was_slow |= self.now_ns - took_ns > PATIENCE_NS;
        }
        self.clients[at].inbox.extend_from_slice(&bytes);
        if count > 0 {
            self.story
                .say(|| format!("client {wire} takes {count} bytes"));
        }
        let understood = self.understand(at);
        understood.map_err(|why| format!("client {wire}: {why}"))?;
        if !self.clients[at].over && self.network.is_over(wire) {
            self.connection_ended(at)
                .map_err(|why| format!("client {wire}: {why}"))?;
        }
        Ok(count)
    }

    fn understand(&mut self, at: usize) -> Result<(), String> {
        loop {
            let client = &mut self.clients[at];
            let understood = match &client.mode {
                Mode::Http => self.take_one_answer(at)?,
                Mode::Events(_) => self.take_one_event(at)?,
            };
            if !understood {
                return Ok(());
            }
        }
    }

    fn take_one_answer(&mut self, at: usize) -> Result<bool, String> {
        let client = &mut self.clients[at];
        if client.inbox.is_empty() {
            return Ok(false);
        }
        let follows = match client.asked.front() {
            Some(asked) if asked.head => Follows::Nothing,
            Some(asked) if matches!(asked.what, What::Follow { .. }) => Follows::Stream,
            _ => Follows::Body,
        };
        let answer = take_answer(&mut client.inbox, follows).map_err(|why| why.to_string())?;
        let Some(answer) = answer else {
            return Ok(false);
        };
        let wire = client.wire;
        self.story.say(|| {
            let text = answer.text();
            let text: String = text.trim_end().chars().take(100).collect();
            format!("client {wire} is answered {} {text}", answer.status)
        });
        if self.clients[at].told_end {
            return Err(format!("an answer after the last: {answer:?}"));
        }
        self.clients[at].told_end = answer.closes();
        let code = match answer.status {
            400.. => answer.json()["code"].as_str().map(str::to_owned),
            _ => None,
        };
        let cut = matches!(
            code.as_deref(),
            Some("too_many_connections" | "restarting" | "overloaded")
        );
        let Some(asked) = self.clients[at].asked.pop_front() else {
            if cut || answer.status == 408 {
                return Ok(true);
            }
            return Err(format!(
                "an answer that the client did not ask for: {answer:?}"
            ));
        };
        if cut {
            self.never_answered(&asked);
            return Ok(true);
        }
        let waited_ns = self.now_ns - asked.sent_ns;
        if answer.status == 408 {
            if waited_ns < PATIENCE_NS {
                return Err(format!(
                    "who asked {} is timed out after {waited_ns} ns",
                    asked.what
                ));
            }
            self.never_answered(&asked);
            return Ok(true);
        }
        self.clients[at].streamed = matches!(asked.what, What::Stream(..));
        let what = asked.what.clone();
        self.judge(at, &asked, &answer).map_err(|why| {
            let text = answer.text();
            format!("it asked {what}, and {} came: {why}. {text}", answer.status)
        })?;
        Ok(true)
    }

    /// Whether a connection on which so many bytes of an answer came may have been ended because too much waited for
    /// all clients: the server counts the connections that it ends for that.
    fn gave_way(&mut self, bytes: usize) -> bool {
        let ended = self
            .server
            .as_mut()
            .map_or(0, |server| server.ledger().refusals(Limit::WaitingBytes));
        let may_be = bytes > 0 && ended > self.gave_way;
        self.gave_way += u64::from(may_be);
        may_be
    }

    /// The server has ended its side, and there is nothing more to take.
    fn connection_ended(&mut self, at: usize) -> Result<(), String> {
        let client = &mut self.clients[at];
        client.over = true;
        let wire = client.wire;
        let asked = std::mem::take(&mut client.asked);
        let (told_end, was_slow, shut) = (client.told_end, client.was_slow, client.shut);
        let (streamed, draining) = (client.streamed, self.draining);
        let leftover = client.inbox.len();
        let is_http = matches!(client.mode, Mode::Http);
        let hurried = |asked: &Asked| {
            matches!(asked.what, What::Follow { .. }) && self.now_ns - asked.sent_ns > LINGER_NS
        };
        let was_slow = was_slow || asked.iter().any(hurried) || self.gave_way(leftover);
        self.network.reset(wire);
        self.story
            .say(|| format!("client {wire} sees the end of its connection"));
        if let Mode::Events(following) = &self.clients[at].mode {
            if let Some(place) = following.place {
                self.places.abandon(place);
            }
            let follower = &following.follower;
            // From the second in which its session expires it receives only that event.
            let known = &self.sessions[following.session];
            if !known.may_have_expired(self.lasting, self.wall()) {
                follower.check(follower.last(), &self.events)?;
            }
        }
        if let Some(first) = asked.front()
            && !told_end
            && !was_slow
            && !(streamed && draining)
            && first.what != What::Drip
            // A WebSocket does not survive the end of one side.
            && !(shut && matches!(first.what, What::Follow { websocket: true, .. }))
            && self.now_ns - first.sent_ns < PATIENCE_NS
        {
            return Err(format!(
                "the connection ended without an answer to who asked {}",
                first.what
            ));
        }
        if is_http && leftover > 0 && !told_end && !was_slow {
            return Err("the connection ended within an answer".into());
        }
        for asked in &asked {
            self.never_answered(asked);
        }
        Ok(())
    }

    /// The client will never learn the result of the request.
    pub(super) fn never_answered(&mut self, asked: &Asked) {
        if let Some(attempt) = asked.attempt {
            self.attempts.abandon(attempt);
        }
        if let Some(place) = asked.place {
            self.places.abandon(place);
        }
        for session in asked.what.ends() {
            let known = &mut self.sessions[session];
            known.endings -= 1;
            known.unless_ended();
        }
        if let Some(session) = asked.what.session() {
            self.sessions[session].is_answered();
            // The server may read it at any time, and count it as a use then.
            self.sessions[session].may_be_used(i64::MAX / 2);
        }
        if let What::Logout {
            session,
            everywhere: Some(_),
        } = &asked.what
        {
            let user = self.sessions[*session].user;
            self.everywhere[user] = u64::MAX;
            for known in self.sessions.iter_mut().filter(|known| known.user == user) {
                known.unless_ended();
            }
        }
    }
}
