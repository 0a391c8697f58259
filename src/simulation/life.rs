//! How servers begin and end in a simulated world: one disk, one key, and one process after the other.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;

use super::truth::SLACK_S;
use super::world::{Signer, User, World};
use crate::app::{Reply, Request};
use crate::config::HashCost;
use crate::http::{Method, Response, Status};
use crate::reactor::Seams;
use crate::reactor::fake::FakeEntropy;
use crate::server::{self, Server};
use crate::token::{Keys, base64url};
use crate::work::password::Argon2id;
use crate::work::{Change, StoreError, Transaction, password};

/// The users that can log in, and their roles. The password is the name; the hash of one of them is cheaper than
/// today's cost.
pub(super) const USERS: [(&str, &str, HashCost); 4] = [
    ("alice", "user", COST),
    ("bob", "user", COST),
    ("root", "admin", COST),
    ("carol", "producer", HashCost::TOKEN),
];

/// Today's cost of a password hash.
pub(super) const COST: HashCost = HashCost {
    memory_kib: 9,
    passes: 1,
    lanes: 1,
};

impl World {
    pub(super) fn add_users(&mut self) -> Result<(), StoreError> {
        let mut store = self.disk.open(u64::MAX)?;
        for (name, role, cost) in USERS {
            let transaction = Transaction {
                changes: vec![Change::AddUser {
                    name: name.into(),
                    role: role.into(),
                    password: password::hash(name.as_bytes(), [7; 16], cost),
                    created_s: 0,
                }],
                ..Transaction::default()
            };
            let commit = store.apply(transaction)?;
            self.users.push(User {
                name,
                id: commit.added_users.first().copied().unwrap_or_default(),
                role,
            });
            self.everywhere.push(0);
        }
        Ok(())
    }

    /// The keys for the server: the key that signs, and those that have not retired for good.
    fn key_file(&self) -> Result<Keys, String> {
        let keys: Vec<_> = self
            .keys
            .iter()
            .rev()
            .map(|key| {
                json!({
                    "kid": format!("{:08x}", key.id),
                    "secret": base64url(&key.secret),
                    "created": 0,
                    "retires": key.retires_s,
                })
            })
            .collect();
        Keys::from_json(&json!({ "keys": keys }).to_string())
    }

    /// Another key signs from now on; signatures of the former key stay valid for a while.
    pub(super) fn rotate_keys(&mut self) {
        let for_s = *self.chance.pick(&[0, 5, 60, 3600]).unwrap_or(&0);
        self.story
            .say(|| format!("another key signs; the former one retires in {for_s} s"));
        let (now_s, step) = (self.clock.unix_s(), self.step);
        let mut secret = [0; 32];
        secret[..8].copy_from_slice(&self.chance.next_number().to_le_bytes());
        if let Some(former) = self.keys.last_mut() {
            former.until_step = Some(step);
            former.retires_s = Some(now_s + for_s);
        }
        self.keys.push(Signer {
            id: self.keys.len() as u32 + 1,
            secret,
            until_step: None,
            retires_s: None,
        });
        if let (Ok(keys), Some(server)) = (self.key_file(), &mut self.server) {
            server.use_keys(keys);
        }
    }

    /// When that key retires, or has.
    pub(super) fn retires_s(&self, key_id: u32) -> Option<i64> {
        let mut keys = self.keys.iter();
        keys.find(|key| key.id == key_id)?.retires_s
    }

    pub(super) fn start(&mut self) -> Result<(), String> {
        self.began_after = self.events.newest();
        let wall = self.wall();
        let retired = self.keys.iter().filter(|key| {
            let retires_s = key.retires_s.unwrap_or(i64::MAX);
            retires_s <= wall.max_s + SLACK_S
        });
        let retired: Vec<u32> = retired.map(|key| key.id).collect();
        for known in &mut self.sessions {
            if retired.contains(&known.key_id) {
                known.forfeits();
            }
        }
        let store = self
            .disk
            .open(&self.config)
            .map_err(|why| why.to_string())?;
        let mut crew = self.crew.clone();
        let place = server::World {
            store,
            keys: self.key_file()?,
            seams: Seams {
                clock: Box::new(self.clock.clone()),
                entropy: Box::new(FakeEntropy::new(self.chance.next_number())),
                selector: Box::new(self.network.selector()),
            },
            crew: &mut crew,
            hasher: Argon2id::shared(),
        };
        let mut server =
            Server::in_world(self.config.clone(), place).map_err(|why| why.to_string())?;
        server.ledger().remember_more(); // so that everything that was done in a turn is shown
        add_routes(&mut server);
        server
            .accept_from(self.network.acceptor())
            .map_err(|why| why.to_string())?;
        self.server = Some(server);
        self.gave_way = 0;
        Ok(())
    }

    /// The process is killed, and another one starts.
    pub(super) fn kill(&mut self) -> Result<(), String> {
        self.story.say(|| "the server is killed".into());
        self.restart(false)
    }

    /// Starts the next server. If the end was orderly, everything is on the disk.
    fn restart(&mut self, orderly: bool) -> Result<(), String> {
        // The workers first, so that they do none of the work that the server's end would give them.
        self.crew.kill();
        self.server = None;
        self.network.break_all();
        for at in 0..self.clients.len() {
            if !self.clients[at].over {
                self.client_leaves(at);
            }
        }
        self.clients.clear();
        self.attempts.forget();
        self.places.forget();
        self.look_at_disk()?;
        let rows = self.disk.look().map_err(|why| why.to_string())?.sessions;
        let rows: BTreeMap<_, _> = rows.iter().map(|row| (row.hash, row.last_used_s)).collect();
        for known in &mut self.sessions {
            let Some(last_used_s) = rows.get(&known.hash).copied() else {
                continue;
            };
            if orderly && !known.was_written(last_used_s) {
                let sid = &known.sid;
                return Err(format!("the last use of session {sid} was never written"));
            }
            known.remembered(last_used_s);
        }
        self.start()?;
        self.story.say(|| "a server starts".into());
        self.check_sessions()
    }

    /// The server is told to shut down, does so, and another one starts.
    pub(super) fn drain(&mut self) -> Result<(), String> {
        self.story.say(|| "the server is told to shut down".into());
        let limit = self.config.limits.drain_timeout + Duration::from_secs(2);
        let Some(server) = &self.server else {
            return Ok(());
        };
        server.handle().drain();
        self.draining = true;
        self.causes.drains += 1;
        for known in &mut self.sessions {
            known.note_use();
        }
        let until_ns = self.now_ns + limit.as_nanos() as u64;
        while !self.server.as_ref().is_none_or(Server::is_over) {
            if self.now_ns > until_ns {
                return Err("the server was told to shut down, and does not".into());
            }
            for at in 0..self.clients.len() {
                self.network.arrive(self.clients[at].wire, 400);
                if !self.clients[at].over {
                    self.client_takes(at, 1000)?;
                }
            }
            self.worker_steps()?;
            self.turn(Duration::from_millis(50))?;
            self.look_around()?;
        }
        for at in 0..self.clients.len() {
            if !self.clients[at].over {
                self.client_takes(at, usize::MAX)?;
            }
        }
        self.draining = false;
        // A server whose clock was set back may not have had time for all its writes.
        self.restart(self.trouble_step < self.step && !self.clock_was_set)
    }
}

/// Adds handlers whose answers can be distinguished, that need a worker, or that panic.
fn add_routes(server: &mut Server) {
    let number = |request: &Request<'_>| request.query("n").unwrap_or_default().into_owned();
    server.on(Method::Get, "/echo", move |request, _| {
        Reply::text(200, number(request))
    });
    server.on(Method::Post, "/echo", |request, _| {
        Reply::text(200, String::from_utf8_lossy(request.body()).into_owned())
    });
    server.on(Method::Get, "/later", move |request, _| {
        let number = number(request);
        Reply::later(
            move || number,
            |number, _| match number {
                Ok(number) => Reply::text(200, number),
                Err(error) => error.into(),
            },
        )
    });
    server.on(Method::Get, "/stream", move |request, _| {
        let line = format!("{}\n", number(request)).into_bytes();
        let pieces = request.query("pieces").and_then(|text| text.parse().ok());
        let pieces = std::iter::repeat_n(line, pieces.unwrap_or(0));
        Reply::stream(Response::text(Status::OK, ""), pieces)
    });
    server.on(Method::Get, "/panic", |_, _| -> Reply {
        std::panic::panic_any(Planned)
    });
    server.on(Method::Get, "/panic-later", |_, _| {
        let job = || std::panic::panic_any(Planned);
        Reply::later(job, |nothing: Result<(), _>, _| match nothing {
            Ok(()) => Reply::empty(204),
            Err(error) => error.into(),
        })
    });
}

/// The payload of panics that belong to the story, which are not printed.
pub(super) struct Planned;
