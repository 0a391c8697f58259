//! How servers begin and end in a simulated world: one disk, one key, and one process after the other.

use std::collections::BTreeMap;
use std::time::Duration;

use super::network::Simulated;
use super::world::{User, World};
use crate::app::{Reply, Request};
use crate::config::HashCost;
use crate::http::{Method, Response, Status};
use crate::reactor::fake::FakeEntropy;
use crate::server::{self, Server};
use crate::work::password::Argon2id;
use crate::work::{Change, StoreError, Transaction, password};

impl World {
    pub(super) fn add_users(&mut self) -> Result<(), StoreError> {
        let mut store = self.disk.open(u64::MAX)?;
        for (name, role) in [("alice", "user"), ("bob", "user"), ("root", "admin")] {
            let transaction = Transaction {
                changes: vec![Change::AddUser {
                    name: name.into(),
                    role: role.into(),
                    password: password::hash(name.as_bytes(), [7; 16], HashCost::TOKEN),
                    created_s: 0,
                }],
                ..Transaction::default()
            };
            let commit = store.apply(transaction)?;
            self.users.push(User {
                name,
                id: commit.added_user.unwrap_or_default(),
                admin: role == "admin",
            });
            self.everywhere.push(0);
        }
        Ok(())
    }

    pub(super) fn start(&mut self) -> Result<(), String> {
        let store = self
            .disk
            .open(self.config.events_kept_max)
            .map_err(|why| why.to_string())?;
        let mut crew = self.crew.clone();
        let place = server::World {
            store,
            keys: self.keys.clone(),
            clock: self.clock.clone(),
            entropy: FakeEntropy::new(self.chance.next()),
            selector: self.network.selector(),
            crew: &mut crew,
            hasher: Argon2id::shared(),
        };
        let mut server =
            Server::in_world(self.config.clone(), place).map_err(|why| why.to_string())?;
        server.ledger().remember_more(); // of a turn, all that was done in it is told
        add_routes(&mut server);
        server
            .accept_from(self.network.acceptor())
            .map_err(|why| why.to_string())?;
        self.server = Some(server);
        Ok(())
    }

    /// The process is killed, and another one starts.
    pub(super) fn kill(&mut self) -> Result<(), String> {
        self.story.say(|| "the server is killed".into());
        self.restart()
    }

    fn restart(&mut self) -> Result<(), String> {
        // The workers first: what the server's end would have them do is not done.
        self.crew.kill();
        self.server = None;
        self.network.break_all();
        for at in 0..self.clients.len() {
            if !self.clients[at].over {
                self.client_leaves(at);
            }
        }
        self.clients.clear();
        self.look_at_disk()?;
        let rows = self.disk.look().map_err(|why| why.to_string())?.sessions;
        let rows: BTreeMap<_, _> = rows.iter().map(|row| (row.hash, row.last_used_s)).collect();
        for known in &mut self.sessions {
            if let Some(last_used_s) = rows.get(&known.hash) {
                known.remembered(*last_used_s);
            }
        }
        self.start()?;
        self.story.say(|| "a server starts".into());
        self.check_sessions()
    }

    /// The server is told to shut down, does, and another one starts.
    pub(super) fn drain(&mut self) -> Result<(), String> {
        self.story.say(|| "the server is told to shut down".into());
        let limit = self.config.limits.drain_timeout + Duration::from_secs(2);
        let Some(server) = &self.server else {
            return Ok(());
        };
        server.handle().drain();
        self.draining = true;
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
        self.restart()
    }
}

/// Beside the server's own: handlers whose answers can be told apart, that need a worker, or that panic.
fn add_routes(server: &mut Server<Simulated>) {
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

/// The payload of panics that belong to the story: nobody needs to read of them.
pub(super) struct Planned;
