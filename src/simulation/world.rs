//! The world around one server, and its steps: each is one thing that happens, chosen by the seed.

use std::collections::BTreeMap;
use std::time::Duration;

use super::chance::Chance;
use super::clients::{Client, FAVOURITES};
use super::network::{Cause, Network, SimClock, Simulated, Weather, WireId};
use super::story::Story;
use super::truth::{Events, Known, Lasting, Span};
use crate::app::{Reply, Request};
use crate::config::{Config, HashCost, Limits, SessionTimes, SlowPolicy, StorePath};
use crate::http::{Method, Response, Status};
use crate::ledger::Phase;
use crate::reactor::Clock as _;
use crate::reactor::fake::FakeEntropy;
use crate::server::{self, Server};
use crate::token::Keys;
use crate::work::fake::{FakeCrew, FakeDisk, Step};
use crate::work::{Change, StoreError, Transaction, password};

/// Connections at the same time.
const CLIENTS_MAX: usize = 14;

/// For so long the loop believes its last look at the wall clock; and a moment more.
const WALL_CLOCK_KEPT_NS: u64 = 1_100_000_000;

/// What is usual in a story. Were all stories alike, what takes many of the same would never happen
/// (Groce and others, Swarm Testing, ISSTA 2012).
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Habits {
    /// Half of all requests are one of these.
    pub(super) favourite: Option<(usize, usize)>,
    /// Some clients take nothing.
    deaf: bool,
    /// People come and go.
    restless: bool,
    /// Workers take their time.
    slow_workers: bool,
}

impl Habits {
    fn new(chance: &mut Chance) -> Self {
        let favourite = chance.one_in(2).then(|| chance.pick(&FAVOURITES).copied());
        Self {
            favourite: favourite.flatten(),
            deaf: chance.one_in(3),
            restless: chance.one_in(3),
            slow_workers: chance.one_in(3),
        }
    }
}

/// What a story comes to: a hash of all that clients got, of every turn and when it was (FNV-1a).
#[derive(Clone, Copy, Debug)]
pub(super) struct Digest(pub(super) u64);

impl Default for Digest {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Digest {
    pub(super) fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

/// Who can log in; the name is the password.
#[derive(Debug)]
pub(super) struct User {
    pub(super) name: &'static str,
    pub(super) id: i64,
    pub(super) admin: bool,
}

/// One server, those who use it, and all that may go wrong.
#[derive(Debug)]
pub(super) struct World {
    pub(super) chance: Chance,
    pub(super) clock: SimClock,
    pub(super) network: Network,
    pub(super) crew: FakeCrew,
    pub(super) disk: FakeDisk,
    pub(super) server: Option<Server<Simulated>>,
    keys: Keys,
    pub(super) config: Config,
    pub(super) users: Vec<User>,
    pub(super) clients: Vec<Client>,
    pub(super) sessions: Vec<Known>,
    pub(super) events: Events,
    pub(super) lasting: Lasting,
    /// For each user the last step in which all their sessions may have been ended.
    pub(super) everywhere: Vec<u64>,
    /// Counts requests, so that each has a number of its own.
    pub(super) number: u64,
    pub(super) step: u64,
    pub(super) turns: u64,
    pub(super) now_ns: u64,
    pub(super) digest: Digest,
    pub(super) story: Story,
    pub(super) habits: Habits,
    weather: Weather,
    disk_trouble: bool,
    /// By how many seconds the wall clock was set, and until when the loop may not have noticed.
    set_by_s: i64,
    set_until_ns: u64,
    /// The server was told to shut down, and has not yet.
    pub(super) draining: bool,
}

impl World {
    pub(super) fn new(seed: u64, story: Story) -> Result<Self, String> {
        let mut chance = Chance::new(seed);
        let clock = SimClock::default();
        let network = Network::new(clock.clone(), chance.fork());
        let idle_s = *chance.pick(&[20, 300, 1800]).unwrap_or(&300);
        let absolute_s = *chance.pick(&[90, 3600, 86_400]).unwrap_or(&3600);
        let policies = [
            SlowPolicy::DropOldest,
            SlowPolicy::DropNewest,
            SlowPolicy::Disconnect,
        ];
        let config = Config {
            store: StorePath::Memory,
            workers: chance.between(1, 3),
            hash_cost: HashCost::TOKEN,
            sessions: SessionTimes {
                idle: Duration::from_secs(idle_s),
                absolute: Duration::from_secs(absolute_s),
            },
            slow_subscriber: *chance.pick(&policies).unwrap_or(&SlowPolicy::DropOldest),
            limits: Limits {
                hash_jobs_max: chance.between(1, 12),
                outbox_bytes_max: chance.between(4096, 8192),
                connections_per_address_max: chance.between(2, 8),
                connections_max: chance.between(6, 20),
                ..Limits::default()
            },
            ..Config::default()
        };
        let keys = Keys::ephemeral(1, [7; 32], clock.unix_s());
        let mut world = Self {
            lasting: Lasting {
                idle_s: idle_s.cast_signed(),
                absolute_s: absolute_s.cast_signed(),
            },
            disk: FakeDisk::new().map_err(|why| why.to_string())?,
            crew: FakeCrew::default(),
            server: None,
            users: Vec::new(),
            clients: Vec::new(),
            sessions: Vec::new(),
            events: Events::default(),
            everywhere: Vec::new(),
            number: 0,
            step: 0,
            turns: 0,
            now_ns: 0,
            digest: Digest::default(),
            habits: Habits::new(&mut chance),
            weather: Weather::default(),
            disk_trouble: false,
            set_by_s: 0,
            set_until_ns: 0,
            draining: false,
            chance,
            clock,
            network,
            keys,
            config,
            story,
        };
        world.add_users().map_err(|why| why.to_string())?;
        world.start()?;
        Ok(world)
    }

    fn add_users(&mut self) -> Result<(), StoreError> {
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

    fn start(&mut self) -> Result<(), String> {
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
        };
        let mut server =
            Server::in_world(self.config.clone(), place).map_err(|why| why.to_string())?;
        add_routes(&mut server);
        server
            .accept_from(self.network.acceptor())
            .map_err(|why| why.to_string())?;
        self.server = Some(server);
        Ok(())
    }

    /// One thing happens.
    pub(super) fn take_step(&mut self) -> Result<(), String> {
        self.step += 1;
        if self.habits.restless && self.chance.one_in(20) {
            match self.somebody() {
                Some(at) if self.chance.one_in(2) => self.client_leaves(at),
                _ => self.connect(),
            }
        }
        match self.chance.below(1000) {
            0..400 => {
                let sleeps = [0, 1, 100, 10_000, 1_000_000];
                let us = *self.chance.pick(&sleeps).unwrap_or(&0);
                self.turn(Duration::from_micros(us))?;
            }
            400..550 => {
                if let Some(at) = self.somebody_who(|network, wire| network.has_under_way(wire)) {
                    let count = self.chance.between(1, 400);
                    let wire = self.clients[at].wire;
                    let count = if self.clients[at].drips { 1 } else { count };
                    let arrived = self.network.arrive(wire, count);
                    if arrived > 0 {
                        self.story
                            .say(|| format!("{arrived} bytes of client {wire} arrive"));
                    }
                }
            }
            550..690 => self.somebody_asks(),
            690..820 if self.habits.slow_workers && !self.chance.one_in(5) => {}
            690..820 => drop(self.worker_steps()?),
            820..920 => {
                if let Some(at) = self.somebody_who(|network, wire| network.has_to_take(wire)) {
                    let count = *self.chance.pick(&[1, 100, 1000, 100_000]).unwrap_or(&1);
                    let deaf = self.habits.deaf && self.clients[at].wire % 3 == 0;
                    if !deaf {
                        self.client_takes(at, count)?;
                    }
                }
            }
            920..950 => self.connect(),
            950..954 => {
                if let Some(at) = self.somebody() {
                    self.client_leaves(at);
                }
            }
            954..958 => {
                if let Some(at) = self.somebody() {
                    let wire = self.clients[at].wire;
                    self.story.say(|| format!("client {wire} shuts its side"));
                    self.clients[at].said_all = true;
                    self.clients[at].shut = true;
                    self.network.end(wire);
                }
            }
            958..983 => {
                let lengths = [1, 20, 300, 1000, 1000, 3000, 11_000, 40_000];
                let ms = *self.chance.pick(&lengths).unwrap_or(&1);
                self.story.say(|| format!("{ms} ms pass"));
                self.advance(Duration::from_millis(ms));
            }
            983..985 => {
                let jumps = [-7_200_000, -5000, 1500, 60_000];
                let ms = *self.chance.pick(&jumps).unwrap_or(&0);
                self.story
                    .say(|| format!("the wall clock is set by {ms} ms"));
                self.clock.jump(ms);
                self.set_by_s += ms.div_euclid(1000);
                self.set_until_ns = self.now_ns + WALL_CLOCK_KEPT_NS;
                self.time_moved();
            }
            985..990 => self.change_disk(),
            990..996 => self.change_weather(),
            996..998 => self.kill()?,
            998 => self.drain()?,
            _ => self.come_to_rest()?,
        }
        self.look_around()
    }

    fn somebody(&mut self) -> Option<usize> {
        self.somebody_who(|_, _| true)
    }

    fn somebody_who(&mut self, is: impl Fn(&Network, WireId) -> bool) -> Option<usize> {
        let clients = self.clients.iter().enumerate();
        let those = clients.filter(|(_, client)| !client.over && is(&self.network, client.wire));
        let those: Vec<usize> = those.map(|(at, _)| at).collect();
        self.chance.pick(&those).copied()
    }

    fn connect(&mut self) {
        self.clients.retain(|client| !client.over);
        if self.clients.len() < CLIENTS_MAX {
            let room = *self.chance.pick(&[64, 500, 5000, 200_000]).unwrap_or(&500);
            let wire = self.network.connect(room);
            self.story
                .say(|| format!("client {wire} connects; {room} bytes fit in between"));
            self.clients.push(Client::new(wire, self.now_ns));
        }
    }

    /// It is gone, without a word.
    pub(super) fn client_leaves(&mut self, at: usize) {
        let client = &mut self.clients[at];
        let wire = client.wire;
        client.over = true;
        let asked = std::mem::take(&mut client.asked);
        self.story.say(|| format!("client {wire} is gone"));
        self.network.reset(wire);
        for asked in &asked {
            self.never_answered(asked);
        }
    }

    pub(super) fn advance(&mut self, by: Duration) {
        self.clock.advance(by);
        self.time_moved();
    }

    /// The clock shows something else: who waits for an answer may get it by either time.
    pub(super) fn time_moved(&mut self) {
        self.now_ns = self.clock.now().as_ns();
        let wall = self.wall();
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

    /// What the server may take for the time of day: it looks once a second.
    pub(super) fn wall(&self) -> Span {
        let now_s = self.clock.unix_s();
        let mut wall = Span::at(now_s);
        wall.include(Span::at(now_s - self.set_by_s));
        wall
    }

    /// The loop turns once, and sleeps so long at most.
    pub(super) fn turn(&mut self, sleeps: Duration) -> Result<(), String> {
        let Some(server) = &mut self.server else {
            return Ok(());
        };
        self.network.let_sleep(sleeps);
        let began_ns = self.clock.now().as_ns();
        server.turn().map_err(|why| why.to_string())?;
        self.turns += 1;
        self.time_moved();
        self.digest.add(&self.now_ns.to_le_bytes());
        for (token, ..) in self.network.last_wait().ready {
            self.digest.add(&token.as_u64().to_le_bytes());
        }
        if began_ns > self.set_until_ns {
            self.set_by_s = 0;
        }
        if self.story.is_told() {
            self.tell_turn();
        }
        self.keep_deadlines(began_ns)
    }

    /// A worker takes what waits, or finishes what it has.
    pub(super) fn worker_steps(&mut self) -> Result<bool, String> {
        let wanted = self.crew.wanted();
        let Some(place) = self.chance.pick(&wanted).copied() else {
            return Ok(false);
        };
        let step = self.crew.step(place);
        let crew = &self.crew;
        self.story.say(|| {
            let done = if step == Some(Step::Took) {
                "takes what waits for it"
            } else {
                "has finished"
            };
            format!("{} {done}", crew.name(place))
        });
        self.look_at_disk()?;
        Ok(true)
    }

    /// What has been committed meanwhile.
    pub(super) fn look_at_disk(&mut self) -> Result<(), String> {
        let newest = self.events.newest();
        let events = self.disk.events(newest).map_err(|why| why.to_string())?;
        self.events.committed(events)
    }

    fn change_disk(&mut self) {
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

    fn change_weather(&mut self) {
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
        self.disk_trouble = false;
        self.disk.fail(None);
    }

    /// The process is killed, and another one starts.
    fn kill(&mut self) -> Result<(), String> {
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
    fn drain(&mut self) -> Result<(), String> {
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

    /// Says which source was ready, what it did, and what was done for others.
    fn tell_turn(&mut self) {
        let wait = self.network.last_wait();
        let Some(server) = &mut self.server else {
            return;
        };
        let ledger = server.ledger();
        let Some(turn) = ledger.turns().next_back().copied() else {
            return;
        };
        let did: Vec<_> = ledger
            .dispatches()
            .rev()
            .take_while(|dispatch| dispatch.began_ns >= turn.began_ns)
            .copied()
            .collect();
        let network = &self.network;
        let who = |token: u64| {
            let token = crate::reactor::Token::from_u64(token);
            network
                .of_token(token)
                .map_or(String::new(), |wire| format!(" of client {wire}"))
        };
        let mut lines = Vec::new();
        let ready: Vec<String> = wait
            .ready
            .iter()
            .map(|(token, readiness, cause)| {
                let cause = match cause {
                    Cause::Edge => "",
                    Cause::Spurious => ", for no reason",
                    Cause::Stale => ", which has ended",
                };
                let who = who(token.as_u64());
                let who = if who.is_empty() {
                    " another"
                } else {
                    &who[3..]
                };
                format!("{} ({readiness:?}{cause})", who.trim())
            })
            .collect();
        let why = match (wait.slept, &*ready, wait.woken) {
            (_, [], true) => "woken by a worker".into(),
            (slept, [], false) => format!("slept {slept:?}, nobody is ready"),
            (_, ready, _) => format!("ready: {}", ready.join(", ")),
        };
        lines.push(format!("turn {}: {why}", turn.number));
        for dispatch in did.iter().rev() {
            let label = ledger.name(dispatch.label);
            let label = if label.is_empty() {
                String::new()
            } else {
                format!(" does {label}")
            };
            lines.push(format!(
                "  {}: the {}{}{label}, then {}",
                dispatch.phase.name(),
                ledger.name(dispatch.kind),
                who(dispatch.token),
                match dispatch.outcome {
                    crate::ledger::Outcome::Wait => "waits",
                    crate::ledger::Outcome::Again => "has more to do",
                    crate::ledger::Outcome::Close => "ends",
                    crate::ledger::Outcome::Continued => "goes on",
                }
            ));
        }
        for phase in [Phase::Events, Phase::Flush, Phase::Reap] {
            let count = turn.counts[phase as usize];
            if count > 0 {
                let what = match phase {
                    Phase::Events => "told",
                    Phase::Flush => "flushed",
                    _ => "freed",
                };
                lines.push(format!("  {}: {count} {what}", phase.name()));
            }
        }
        self.story.say(|| lines.join("\n"));
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
