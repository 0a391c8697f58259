//! The requests of clients, and how they are written.

use serde_json::json;

use super::clients::{Asked, What};
use super::habits::Topic;
use super::odd::ODD;
use super::truth::Guesses;
use super::wish::{FORM, JSON, Wish};
use super::world::World;

/// Seconds for which a poll waits.
pub(super) const POLL_WAIT_S: u64 = 2;

/// Bytes that are not a valid request, and how they must be refused.
const GARBAGE: [(&str, u16); 6] = [
    ("GET / HTTP/1.1\r\n\r\n", 400),
    ("GET /\0 HTTP/1.1\r\nHost: h\r\n\r\n", 400),
    (
        "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    ("GET / HTTP/1.1\r\nHost : h\r\n\r\n", 400),
    (
        "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999\r\n\r\n",
        413,
    ),
    ("GET / HTTP/3.0\r\nHost: h\r\n\r\n", 505),
];

/// Names that no user has.
const STRANGERS: [&str; 3] = ["nobody", "Alice", "ROOT"];

impl World {
    /// A client that may send a request does so, if there is one.
    pub(super) fn client_asks(&mut self) {
        let may: Vec<usize> = (0..self.clients.len())
            .filter(|at| self.clients[*at].may_ask())
            .collect();
        let Some(at) = self.chance.pick(&may).copied() else {
            return;
        };
        let fresh = self.clients[at].asked.is_empty() && self.clients[at].inbox.is_empty();
        if let Some(wish) = self.choose(fresh) {
            self.ask(at, wish);
        }
    }

    pub(super) fn ask(&mut self, at: usize, mut wish: Wish) {
        let reads = matches!(
            wish.what,
            What::Health | What::Session(_) | What::List(_) | What::Verify(_)
        );
        if reads && self.chance.one_in(8) {
            wish.method = "HEAD";
        }
        let head = wish.method == "HEAD";
        let bytes = wish.bytes();
        let what = wish.what;
        for session in what.ends() {
            self.sessions[session].endings += 1;
        }
        if let What::Logout {
            session,
            everywhere: Some(_),
        } = &what
        {
            let user = self.sessions[*session].user;
            self.everywhere[user] = self.step;
        }
        let wall = self.wall();
        let mut alone = None;
        if let Some(session) = what.session() {
            alone = self.sessions[session].is_asked();
            self.sessions[session].may_be_used(wall.max_s);
        }
        let wire = self.clients[at].wire;
        let attempt = self.take_note(&what, wire);
        let place = match &what {
            What::Poll { session, .. } | What::Follow { session, .. } => {
                Some(self.places.begin(*session, self.step))
            }
            _ => None,
        };
        let client = &mut self.clients[at];
        client.drips = what == What::Drip;
        client.said_all = matches!(
            what,
            What::Garbage(_) | What::Drip | What::Follow { .. } | What::Panic | What::PanicLater
        );
        self.story.say(|| format!("client {wire} asks {what}"));
        client.asked.push_back(Asked {
            what,
            sent_ns: self.now_ns,
            step: self.step,
            during: wall,
            head,
            alone,
            attempt,
            place,
            oldest: self.events.oldest(),
            newest: self.events.newest(),
        });
        if self.clients[at].drips {
            self.network.begin_anew(wire);
        }
        self.network.send(wire, &bytes);
    }

    /// Expects the possible effects of a request from now on. Returns its index among the attempts.
    fn take_note(&mut self, what: &What, wire: usize) -> Option<usize> {
        let now = self.now();
        match what {
            What::Login { name, right } => {
                if *right {
                    *self.causes.right.entry(name).or_default() += 1;
                } else {
                    let known = self.users.iter().any(|user| user.name == *name);
                    let guesses = self.causes.wrong.entry(known.then_some(*name));
                    let Guesses { asked, .. } = guesses.or_default();
                    *asked += 1;
                }
                Some(self.attempts.begin(Some((name, wire % 5)), *right, now))
            }
            What::Later(_) => Some(self.attempts.begin(None, true, now)),
            What::PanicLater => {
                self.causes.panics += 1;
                Some(self.attempts.begin(None, true, now))
            }
            What::Panic => {
                self.causes.panics += 1;
                None
            }
            What::Logout {
                session,
                everywhere,
            } => {
                let sid = self.sessions[*session].sid.clone();
                self.causes.logouts.push((sid, everywhere.is_some()));
                None
            }
            What::Revoke {
                session,
                stranger: false,
                ..
            } => {
                let sid = self.sessions[*session].sid.clone();
                self.causes.revocations.push(sid);
                None
            }
            _ => None,
        }
    }

    /// Chooses a request.
    fn choose(&mut self, fresh: bool) -> Option<Wish> {
        self.number += 1;
        let number = self.number;
        let topic = self.habits.topic(&mut self.chance);
        Some(match topic {
            Topic::Health if self.chance.one_in(6) => Wish::get(What::Ready, "/readyz"),
            Topic::Health => Wish::get(What::Health, "/healthz"),
            Topic::Echo if self.chance.one_in(3) => Wish {
                chunk: Some(self.chance.between(1, 4)),
                ..Wish::new(What::Echo(number), "POST", "/echo", String::new())
                    .with_body(number.to_string())
            },
            Topic::Echo => Wish::get(What::Echo(number), format!("/echo?n={number}")),
            Topic::Later => Wish::get(What::Later(number), format!("/later?n={number}")),
            Topic::Stream => {
                let pieces = self.chance.between(1, 300);
                let target = format!("/stream?n={number}&pieces={pieces}");
                Wish::get(What::Stream(number, pieces), target)
            }
            Topic::Panic if self.chance.one_in(2) => Wish::get(What::Panic, "/panic"),
            Topic::Panic => Wish::get(What::PanicLater, "/panic-later"),
            Topic::Garbage => {
                let (text, status) = self.chance.pick(&GARBAGE)?;
                return Some(Wish::raw(What::Garbage(*status), text));
            }
            Topic::Drip if fresh => {
                let head = format!(
                    "GET /healthz HTTP/1.1\r\nHost: h\r\nX: {}",
                    "x".repeat(2000)
                );
                return Some(Wish::raw(What::Drip, &head));
            }
            Topic::Drip => return None,
            Topic::Odd => {
                let odd = self.chance.pick(&ODD)?;
                Wish::new(
                    What::Odd(odd),
                    odd.method,
                    odd.target,
                    odd.fields.to_owned(),
                )
                .with_body(odd.body)
            }
            Topic::Login | Topic::Guess => self.choose_login(topic),
            _ => return self.choose_with_session(topic),
        })
    }

    pub(super) fn choose_login(&mut self, topic: Topic) -> Wish {
        let usual = self.habits.one_user.filter(|_| !self.chance.one_in(8));
        let user = usual.unwrap_or_else(|| self.chance.below(self.users.len()));
        let mut name = self.users[user].name;
        let mut right = topic == Topic::Login && !self.chance.one_in(12);
        if !right && self.chance.one_in(5) {
            // Mostly the same one, so that there are too many in the end.
            let one_of = if self.chance.one_in(2) {
                1
            } else {
                STRANGERS.len()
            };
            name = STRANGERS[self.chance.below(one_of)];
        }
        let lower = name.to_lowercase();
        // An unknown name comes with the password of the user with a similar name.
        let password = if right || lower != name {
            &*lower
        } else {
            "wrong"
        };
        right &= lower == name;
        let page = [
            "",
            "",
            "",
            "Sec-Fetch-Site: same-origin\r\n",
            "Origin: http://h\r\n",
        ];
        let page = *self.chance.pick(&page).unwrap_or(&"");
        let what = What::Login { name, right };
        if self.chance.one_in(2) {
            let body = json!({"username": name, "password": password}).to_string();
            Wish::new(what, "POST", "/login", format!("{JSON}{page}")).with_body(body)
        } else {
            let body = format!("username={name}&password={password}");
            Wish::new(what, "POST", "/login", format!("{FORM}{page}")).with_body(body)
        }
    }
}
