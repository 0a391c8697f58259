//! The requests that clients make with a session.

use std::fmt::Write as _;

use serde_json::json;

use super::asking::POLL_WAIT_S;
use super::clients::What;
use super::habits::Topic;
use super::presented::Purpose;
use super::truth::Published;
use super::wish::{JSON, Wish};
use super::world::World;

/// Names of published events; some nearly match a pattern.
const NAMES: [&str; 4] = ["tick", "tick2", "user", "usersx"];

impl World {
    /// Mostly one of the last few sessions, so that requests meet.
    fn some_session(&mut self) -> Option<usize> {
        let sessions = self.sessions.len();
        let last = sessions.checked_sub(1)?;
        Some(last - self.chance.below(sessions.min(8)))
    }

    pub(super) fn choose_with_session(&mut self, topic: Topic) -> Option<Wish> {
        let mut session = self.some_session()?;
        if topic == Topic::Publish && !self.chance.one_in(8) {
            let may = |at: &usize| self.users[self.sessions[*at].user].role != "user";
            let those: Vec<usize> = (0..self.sessions.len()).filter(may).collect();
            session = self.chance.pick(&those).copied().unwrap_or(session);
        }
        let (mut wish, purpose) = match topic {
            Topic::Session => (
                Wish::get(What::Session(session), "/session"),
                Purpose::Reads,
            ),
            Topic::List => (Wish::get(What::List(session), "/sessions"), Purpose::Reads),
            Topic::Verify => {
                // Proxies use the method of the request that they hold.
                let methods = ["GET", "GET", "GET", "OPTIONS", "POST", "DELETE"];
                let method = *self.chance.pick(&methods)?;
                let what = What::Verify(session);
                let wish = Wish::new(what, method, "/verify", String::new());
                (wish, Purpose::Reads)
            }
            Topic::Logout | Topic::Everywhere => {
                (self.choose_logout(session, topic), Purpose::Changes)
            }
            Topic::Revoke => (self.choose_revocation(session)?, Purpose::Changes),
            Topic::Publish => (self.choose_publication(session), Purpose::Changes),
            Topic::Poll => (self.choose_poll(session)?, Purpose::Follows),
            _ => return self.choose_stream(session),
        };
        let presented = self.present(session, purpose);
        wish.fields.push_str(&presented.fields);
        if let Some((status, looked_at)) = presented.refused {
            let session = looked_at.then_some(session);
            wish.what = What::Refused { session, status };
        } else if let What::Publish {
            session,
            number,
            refusal: None,
        } = wish.what
        {
            self.expect_publication(session, number, &wish.body);
        }
        Some(wish)
    }

    fn choose_logout(&mut self, session: usize, topic: Topic) -> Wish {
        let user = self.sessions[session].user;
        let of_user = (0..self.sessions.len()).filter(|at| self.sessions[*at].user == user);
        let everywhere = (topic == Topic::Everywhere).then(|| of_user.collect());
        let target = match &everywhere {
            Some(_) => *self
                .chance
                .pick(&[
                    "/logout?everywhere=true",
                    "/logout?everywhere",
                    "/logout?everywhere=1",
                ])
                .unwrap_or(&""),
            None => *self
                .chance
                .pick(&["/logout", "/logout", "/logout?everywhere=false"])
                .unwrap_or(&""),
        };
        let what = What::Logout {
            session,
            everywhere,
        };
        Wish::new(what, "POST", target, String::new())
    }

    fn choose_revocation(&mut self, by: usize) -> Option<Wish> {
        let user = self.sessions[by].user;
        let strangers = self.chance.one_in(4);
        let those: Vec<usize> = (0..self.sessions.len())
            .filter(|at| (self.sessions[*at].user != user) == strangers)
            .collect();
        let session = *self.chance.pick(&those)?;
        let target = format!("/sessions/{}", self.sessions[session].sid);
        let what = What::Revoke {
            by,
            session,
            stranger: strangers,
        };
        Some(Wish::new(what, "DELETE", target, String::new()))
    }

    fn choose_publication(&mut self, session: usize) -> Wish {
        let number = self.number;
        let name = NAMES[self.chance.below(NAMES.len())];
        let long = "x".repeat(self.chance.below(2000));
        let mut body = json!({"name": name, "data": {"n": number, "long": long}});
        let whose = self.users[self.chance.below(self.users.len())].id;
        if self.chance.one_in(2) {
            body["user_id"] = json!(whose.to_string());
        }
        let mut refusal = None;
        match self.chance.below(48) {
            0 => {
                body["name"] = json!("user.logged_in");
                refusal = Some((400, "reserved_name"));
            }
            1 => {
                body["user_id"] = json!("4711");
                refusal = Some((400, "no_such_user"));
            }
            2 => {
                body["more"] = json!(1);
                refusal = Some((400, "malformed_event"));
            }
            _ => {}
        }
        let what = What::Publish {
            session,
            number,
            refusal,
        };
        Wish::new(what, "POST", "/events", JSON.to_owned()).with_body(body.to_string())
    }

    fn expect_publication(&mut self, session: usize, number: u64, body: &str) {
        let user = &self.users[self.sessions[session].user];
        if user.role == "user" {
            return;
        }
        let mut body: serde_json::Value = serde_json::from_str(body).unwrap_or_default();
        let named = body["user_id"].as_str().and_then(|id| id.parse().ok());
        let name = NAMES.into_iter().find(|name| body["name"] == *name);
        let data = body["data"].take();
        let user_id = named.unwrap_or(user.id);
        let published = Published::new(name.unwrap_or_default(), user.name, user_id, data);
        self.causes.published.insert(number, published);
    }

    /// Mostly an event that is stored, or was until lately.
    fn some_event(&mut self) -> u64 {
        let newest = self.events.newest() as usize;
        let oldest = (self.events.oldest() as usize)
            .saturating_sub(3)
            .min(newest);
        let first = if self.chance.one_in(3) { 0 } else { oldest };
        self.chance.between(first, newest) as u64
    }

    fn choose_poll(&mut self, session: usize) -> Option<Wish> {
        let since = (!self.chance.one_in(5)).then(|| self.some_event());
        let waits = self.chance.one_in(2);
        let limit = self.chance.one_in(3).then(|| self.chance.between(1, 5));
        let pattern = *self.chance.pick(self.habits.theme.patterns)?;
        let mut target = format!("/events?pattern={pattern}");
        if let Some(since) = since {
            let _ = write!(target, "&since={since}");
        }
        if let Some(limit) = limit {
            let _ = write!(target, "&limit={limit}");
        }
        if waits {
            let _ = write!(target, "&wait={POLL_WAIT_S}");
        }
        let what = What::Poll {
            session,
            since,
            pattern,
            limit,
            waits,
        };
        Some(Wish::get(what, target))
    }

    fn choose_stream(&mut self, session: usize) -> Option<Wish> {
        let pattern = *self.chance.pick(self.habits.theme.patterns)?;
        let since = self.chance.one_in(2).then(|| self.some_event());
        let websocket = self.chance.one_in(2);
        let purpose = if websocket {
            Purpose::Changes
        } else {
            Purpose::Follows
        };
        let presented = self.present(session, purpose);
        let mut target = format!("/events?pattern={pattern}");
        let mut fields = presented.fields;
        match since {
            // The position that a browser adds is newer than the one in its URL.
            Some(since) if self.chance.one_in(4) => {
                let _ = write!(target, "&since=0");
                let _ = write!(fields, "Last-Event-ID: {since}\r\n");
            }
            Some(since) => {
                let _ = write!(target, "&since={since}");
            }
            None => {}
        }
        if websocket {
            fields.push_str(
                "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                 Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
            );
        } else {
            fields.push_str("Accept: text/event-stream\r\n");
        }
        let what = match presented.refused {
            Some((status, looked_at)) => What::Refused {
                session: looked_at.then_some(session),
                status,
            },
            None => What::Follow {
                session,
                since,
                pattern,
                websocket,
            },
        };
        let head = !websocket && self.chance.one_in(8);
        let method = if head { "HEAD" } else { "GET" };
        Some(Wish::new(what, method, target, fields))
    }
}
