//! Events, as they are told: in answers, as server-sent events, in frames.

use super::answers::{Answer, Frame, frame, take_frame, take_sse};
use super::clients::{Asked, Client, Following, Mode, What};
use super::judge::expect;
use super::truth::Follower;
use super::world::World;

impl World {
    pub(super) fn polled(
        &mut self,
        session: usize,
        since: u64,
        answer: &Answer,
    ) -> Result<(), String> {
        if answer.status == 429 {
            return Ok(());
        }
        expect(answer.status, 200)?;
        let body = answer.json();
        let (Some(events), Some(last)) = (body["events"].as_array(), body["last"].as_u64()) else {
            return Err("no events or no last".into());
        };
        let user = &self.users[self.sessions[session].user];
        let mut follower = Follower::new(user.id, user.admin, "", since);
        for event in events {
            follower.told(&event.to_string(), &self.events)?;
        }
        follower.check(last, &self.events)
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
            prefix,
            websocket,
        } = &asked.what
        else {
            return Err("nothing was to be followed".into());
        };
        if answer.status == 429 {
            self.clients[at].said_all = answer.closes();
            return Ok(());
        }
        expect(answer.status, if *websocket { 101 } else { 200 })?;
        let user = &self.users[self.sessions[*session].user];
        let mut follower = Follower::new(user.id, user.admin, prefix, since.unwrap_or(0));
        if since.is_none() {
            follower.begins_after(self.events.newest());
        }
        self.clients[at].told_end = false; // the stream is the end
        self.clients[at].mode = Mode::Events(Box::new(Following {
            session: *session,
            follower,
            websocket: *websocket,
        }));
        Ok(())
    }

    pub(super) fn take_one_event(&mut self, at: usize) -> Result<bool, String> {
        let Client {
            mode, inbox, wire, ..
        } = &mut self.clients[at];
        let Mode::Events(following) = mode else {
            return Ok(false);
        };
        if !following.websocket {
            let Some(data) = take_sse(inbox) else {
                return Ok(false);
            };
            if !data.is_empty() {
                let wire = *wire;
                self.story.say(|| format!("client {wire} is told {data}"));
                following.follower.told(&data, &self.events)?;
            }
            return Ok(true);
        }
        match take_frame(inbox).map_err(|why| why.to_string())? {
            None => return Ok(false),
            Some(Frame::Text(json)) => {
                let wire = *wire;
                self.story.say(|| format!("client {wire} is told {json}"));
                following.follower.told(&json, &self.events)?;
            }
            Some(Frame::Ping(payload)) => self.network.send(*wire, &frame(10, &payload)),
            Some(Frame::Close(code)) => {
                let wire = *wire;
                self.story
                    .say(|| format!("client {wire} is told goodbye: {code}"));
                self.network.send(wire, &frame(8, &code.to_be_bytes()));
            }
            Some(Frame::Other) => {}
        }
        Ok(true)
    }
}
