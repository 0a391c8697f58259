//! The messages of clients over WebSocket connections, and the expected answers: in order, each once.

use serde_json::{Value, json};

use super::answers::frame;
use super::clients::{Client, Following, Mode};
use super::truth::Published;
use super::verdict::says;
use super::world::World;

/// Most messages of one client that wait for their answers.
const SAID_MAX: usize = 3;
/// A pattern that no event matches, so that subscribing to it changes nothing else.
const NOTHING: &str = "zebra";

/// A message, and the expected answer.
#[derive(Debug)]
pub(super) struct Said {
    number: u64,
    step: u64,
    due: Due,
}

#[derive(Debug)]
enum Due {
    /// The event's id.
    Published,
    /// All present patterns.
    Subscribed(Vec<&'static str>),
    /// An error with this code.
    Error(&'static str),
}

impl World {
    /// A client with a WebSocket sends a message, if there is one.
    pub(super) fn client_says(&mut self) {
        let may = |at: &usize| match &self.clients[*at] {
            Client {
                mode: Mode::Events(following),
                over: false,
                shut: false,
                ..
            } => following.websocket && following.said.len() < SAID_MAX,
            _ => false,
        };
        let may: Vec<usize> = (0..self.clients.len()).filter(may).collect();
        let Some(at) = self.chance.pick(&may).copied() else {
            return;
        };
        self.number += 1;
        let (number, kind) = (self.number, self.chance.below(5));
        let Mode::Events(following) = &mut self.clients[at].mode else {
            return;
        };
        let user = &self.users[self.sessions[following.session].user];
        let (message, due) = match kind {
            0 | 1 => {
                let message = json!({"publish": {"name": "tick", "data": {"n": number}}});
                if user.role == "user" {
                    (message, Due::Error("not_a_producer"))
                } else {
                    let data = json!({ "n": number });
                    let published = Published::new("tick", user.name, user.id, data);
                    self.causes.published.insert(number, published);
                    (message, Due::Published)
                }
            }
            2 => (json!({"subscribe": NOTHING}), following.wants(true)),
            3 => (json!({"unsubscribe": NOTHING}), following.wants(false)),
            _ => (json!({"shout": "x"}), Due::Error("malformed_message")),
        };
        let mut message = message;
        message["ref"] = json!(number);
        let step = self.step;
        following.said.push_back(Said { number, step, due });
        let wire = self.clients[at].wire;
        let text = message.to_string();
        self.story.say(|| format!("client {wire} says {text}"));
        self.network.send(wire, &frame(1, text.as_bytes()));
    }

    /// A client receives something other than an event: the answer to its oldest message.
    pub(super) fn answered_over_socket(&mut self, at: usize, told: &Value) -> Result<(), String> {
        let Mode::Events(following) = &mut self.clients[at].mode else {
            return Ok(());
        };
        let session = following.session;
        let Some(said) = following.said.pop_front() else {
            return Err(format!("{told} answers nothing"));
        };
        if self.sessions[session].had_ended(said.step) {
            return Err(format!("its session had ended, and it is answered {told}"));
        }
        let number = said.number;
        let failed = told["error"]["code"].as_str();
        match said.due {
            Due::Published if failed == Some("store_unavailable") => {
                if self.trouble_step >= said.step {
                    return Ok(());
                }
                Err("the disk works".into())
            }
            Due::Published => {
                let id = told["published"]["id"]
                    .as_u64()
                    .ok_or_else(|| told.to_string())?;
                self.events.promise(id, number);
                says(told, &json!({"published": {"id": id}, "ref": number}))
            }
            Due::Subscribed(patterns) => {
                says(told, &json!({"subscribed": patterns, "ref": number}))
            }
            Due::Error(code) => {
                let detail = &told["error"]["detail"];
                let error = json!({"code": code, "detail": detail});
                says(told, &json!({"error": error, "ref": number}))
            }
        }
    }
}

impl Following {
    /// The expected answer when a client subscribes to one more pattern, or unsubscribes.
    fn wants(&mut self, more: bool) -> Due {
        if !more && !self.wants_more {
            return Due::Error("not_subscribed");
        }
        self.wants_more = more;
        let mut patterns = vec![self.follower.pattern];
        if more {
            patterns.push(NOTHING);
        }
        Due::Subscribed(patterns)
    }
}
