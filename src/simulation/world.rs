//! The world around one server, and its steps: each is one thing that happens, chosen by the seed.

use std::time::Duration;

use super::clients::{Client, Mode};
use super::habits::{Digest, Habits, Topic};
use super::life::{COST, USERS};
use super::story::Story;
use super::truth::{Attempts, Causes, Events, History, Known, Lasting, Places};
use crate::config::{Config, Limits, SlowPolicy, StorePath};
use crate::planted::{Bug, planted};
use crate::reactor::Clock as _;
use crate::reactor::fake::{Backend, Chance, FakeClock, Network, Weather, WireId};
use crate::server::Server;
use crate::work::fake::{FakeCrew, FakeDisk, Step};

/// Most connections at the same time.
pub(super) const CLIENTS_MAX: usize = 14;

/// Nanoseconds that reading the clock takes, as on a real machine.
const LOOK_NS: u64 = 100;

/// Nanoseconds for which the loop uses its last reading of the wall clock, and a little more.
const WALL_CLOCK_KEPT_NS: u64 = 1_100_000_000;

/// A user that can log in; the password is the name.
#[derive(Debug)]
pub(super) struct User {
    pub(super) name: &'static str,
    pub(super) id: i64,
    pub(super) role: &'static str,
}

/// A key that signs, or has signed.
#[derive(Debug)]
pub(super) struct Signer {
    pub(super) id: u32,
    pub(super) secret: [u8; 32],
    /// The step in which the next key took its place.
    pub(super) until_step: Option<u64>,
    pub(super) retires_s: Option<i64>,
}

/// One server, its clients, and everything that may go wrong.
#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "facts about a story that hold or not, each by itself"
)]
pub(super) struct World {
    pub(super) chance: Chance,
    pub(super) clock: FakeClock,
    pub(super) network: Network,
    pub(super) crew: FakeCrew,
    pub(super) disk: FakeDisk,
    pub(super) server: Option<Server>,
    pub(super) keys: Vec<Signer>,
    pub(super) config: Config,
    pub(super) users: Vec<User>,
    pub(super) clients: Vec<Client>,
    pub(super) sessions: Vec<Known>,
    pub(super) events: Events,
    pub(super) history: History,
    pub(super) causes: Causes,
    pub(super) attempts: Attempts,
    pub(super) places: Places,
    pub(super) lasting: Lasting,
    /// For each user the last step in which all their sessions may have been ended.
    pub(super) everywhere: Vec<u64>,
    /// The newest event when the server began.
    pub(super) began_after: u64,
    /// Counts requests, so that each has a number of its own.
    pub(super) number: u64,
    pub(super) step: u64,
    pub(super) turns: u64,
    pub(super) now_ns: u64,
    pub(super) digest: Digest,
    pub(super) story: Story,
    pub(super) habits: Habits,
    pub(super) weather: Weather,
    pub(super) disk_trouble: bool,
    /// The last step in which the disk did not work.
    pub(super) trouble_step: u64,
    pub(super) trouble_ns: u64,
    /// The last step in which everything had come to rest.
    pub(super) rested_step: u64,
    /// The latest time that the wall clock has ever shown.
    pub(super) highest_s: i64,
    /// The wall clock was set at some time.
    pub(super) clock_was_set: bool,
    /// By how many seconds the loop's time may be wrong since the wall clock was set, and until when the loop may
    /// not have noticed.
    pub(super) believed_s: (i64, i64),
    set_until_ns: u64,
    /// The server was told to shut down, and has not yet.
    pub(super) draining: bool,
    /// More was committed at once than is kept: what it was cannot be known any more, and the story ends.
    pub(super) lost_sight: bool,
    /// Connections of this server that are known to have ended because too much waited for all clients.
    pub(super) gave_way: u64,
}

impl World {
    pub(super) fn new(seed: u64, backend: Backend, story: Story) -> Result<Self, String> {
        let mut chance = Chance::new(seed);
        let clock = FakeClock::moved_by_looks(LOOK_NS);
        let network = Network::new(clock.clone(), chance.fork());
        network.report_as(backend);
        network.forget_generations(planted(Bug::ReusedToken));
        let habits = Habits::new(&mut chance, USERS.len());
        let theme = habits.theme;
        let idle_s = *chance.pick(theme.idle_s).unwrap_or(&300);
        let absolute_s = *chance.pick(theme.absolute_s).unwrap_or(&3600);
        let policies = [
            SlowPolicy::DropOldest,
            SlowPolicy::DropNewest,
            SlowPolicy::Disconnect,
        ];
        let mut config = Config {
            store: StorePath::Memory,
            workers: chance.between(1, 3),
            hash_cost: COST,
            slow_subscriber: *chance.pick(&policies).unwrap_or(&SlowPolicy::DropOldest),
            limits: Limits {
                hash_jobs_max: chance.between(1, 12),
                outbox_bytes_max: chance.between(4096, 8192),
                connections_per_address_max: chance.between(2, 8),
                connections_max: chance.between(6, 20),
                sessions_per_user_max: chance.pick(theme.sessions_max).copied().unwrap_or(0),
                session_idle: Duration::from_secs(idle_s),
                session_absolute: Duration::from_secs(absolute_s),
                events_kept_max: *chance.pick(theme.events_kept).unwrap_or(&100_000),
                ..Limits::default()
            },
            ..Config::default()
        };
        let limits = &mut config.limits;
        if limits.outbox_bytes_max.is_multiple_of(3) {
            limits.waiting_bytes_max = 16_384; // a few subscribers have more
        }
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
            history: History::default(),
            causes: Causes::default(),
            attempts: Attempts::default(),
            places: Places::default(),
            everywhere: Vec::new(),
            began_after: 0,
            number: 0,
            step: 0,
            turns: 0,
            now_ns: 0,
            digest: Digest::default(),
            habits,
            weather: Weather::default(),
            disk_trouble: false,
            trouble_step: 0,
            trouble_ns: 0,
            rested_step: 0,
            highest_s: 0,
            clock_was_set: false,
            believed_s: (0, 0),
            set_until_ns: 0,
            draining: false,
            lost_sight: false,
            gave_way: 0,
            chance,
            clock,
            network,
            keys: vec![Signer {
                id: 1,
                secret: [7; 32],
                until_step: None,
                retires_s: None,
            }],
            config,
            story,
        };
        world.add_users().map_err(|why| why.to_string())?;
        world.start()?;
        Ok(world)
    }

    /// Takes so many steps; then all comes to rest, and all clients leave.
    pub(super) fn tell(&mut self, steps: u64) -> Result<(), String> {
        match self.play(steps) {
            Err(_) if self.lost_sight => Ok(()),
            told => told,
        }
    }

    fn play(&mut self, steps: u64) -> Result<(), String> {
        self.log_some_in()?;
        for _ in 0..steps {
            self.take_step()?;
        }
        self.end()
    }

    /// Some clients have logged in when the story begins.
    fn log_some_in(&mut self) -> Result<(), String> {
        for at in 0..self.habits.logged_in {
            self.connect();
            let wish = self.choose_login(Topic::Login);
            self.ask(at, wish);
        }
        if self.habits.logged_in > 0 {
            self.come_to_rest()?;
        }
        Ok(())
    }

    /// One thing happens.
    pub(super) fn take_step(&mut self) -> Result<(), String> {
        self.step += 1;
        if self.disk_trouble {
            self.trouble_step = self.step;
            self.trouble_ns = self.now_ns;
        }
        if self.habits.restless && self.chance.one_in(20) {
            match self.some_client() {
                Some(at) if self.chance.one_in(2) => self.client_leaves(at),
                _ => self.connect(),
            }
        }
        match self.chance.below(1000) {
            0..8 if self.habits.theme.swift => self.come_to_rest()?,
            8..200 if self.habits.theme.swift => drop(self.round()?),
            0..400 => {
                let sleeps = [0, 1, 100, 10_000, 1_000_000];
                let us = *self.chance.pick(&sleeps).unwrap_or(&0);
                self.turn(Duration::from_micros(us))?;
            }
            400..550 => {
                if let Some(at) = self.client_that(Network::has_under_way) {
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
            550..680 => self.client_asks(),
            680..690 => self.client_says(),
            690..820 if self.habits.slow_workers && !self.chance.one_in(5) => {}
            690..820 => drop(self.worker_steps()?),
            820..920 => {
                if let Some(at) = self.client_that(Network::has_to_take) {
                    let count = *self.chance.pick(&[1, 100, 1000, 100_000]).unwrap_or(&1);
                    let deaf = self.habits.deaf && self.clients[at].wire.is_multiple_of(3);
                    if !deaf {
                        self.client_takes(at, count)?;
                    }
                }
            }
            920..950 => self.connect(),
            950..954 => {
                if let Some(at) = self.some_client() {
                    self.client_leaves(at);
                }
            }
            954..958 => {
                if let Some(at) = self.some_client() {
                    let wire = self.clients[at].wire;
                    self.story.say(|| format!("client {wire} shuts its side"));
                    self.clients[at].said_all = true;
                    self.clients[at].shut = true;
                    self.network.end(wire);
                }
            }
            958..983 => {
                let pauses_ms = self.habits.theme.pauses_ms;
                let mut ms = *self.chance.pick(pauses_ms).unwrap_or(&1);
                if self.habits.patient && self.chance.one_in(4) {
                    ms = *self
                        .chance
                        .pick(&[70_000, 130_000, 1_000_000])
                        .unwrap_or(&1);
                }
                self.story.say(|| format!("{ms} ms pass"));
                self.advance(Duration::from_millis(ms));
            }
            983..985 => {
                let jumps = [-7_200_000, -5000, 1500, 60_000];
                let ms = *self.chance.pick(&jumps).unwrap_or(&0);
                self.story
                    .say(|| format!("the wall clock is set by {ms} ms"));
                self.clock.jump(ms);
                self.clock_was_set = true;
                self.loop_believes(ms.div_euclid(1000));
                self.set_until_ns = self.now_ns + WALL_CLOCK_KEPT_NS;
                self.time_moved();
            }
            985..990 => self.change_disk(),
            990..993 if self.habits.rotates => self.rotate_keys(),
            990..996 => self.change_weather(),
            996..998 => self.kill()?,
            998 => self.drain()?,
            _ => self.come_to_rest()?,
        }
        self.look_around()
    }

    fn some_client(&mut self) -> Option<usize> {
        self.client_that(|_, _| true)
    }

    fn client_that(&mut self, is: impl Fn(&Network, WireId) -> bool) -> Option<usize> {
        let clients = self.clients.iter().enumerate();
        let those = clients.filter(|(_, client)| !client.over && is(&self.network, client.wire));
        let those: Vec<usize> = those.map(|(at, _)| at).collect();
        self.chance.pick(&those).copied()
    }

    fn connect(&mut self) {
        self.clients.retain(|client| !client.over);
        if self.clients.len() < CLIENTS_MAX {
            let room = *self.chance.pick(self.habits.theme.rooms).unwrap_or(&500);
            let wire = self.network.connect_with_room(room);
            self.story
                .say(|| format!("client {wire} connects; {room} bytes fit in between"));
            self.clients.push(Client::new(wire, self.now_ns));
        }
    }

    /// The client is gone without notice.
    pub(super) fn client_leaves(&mut self, at: usize) {
        let client = &mut self.clients[at];
        let wire = client.wire;
        client.over = true;
        let asked = std::mem::take(&mut client.asked);
        if let Mode::Events(following) = &client.mode
            && let Some(place) = following.place
        {
            self.places.abandon(place);
        }
        self.story.say(|| format!("client {wire} is gone"));
        self.network.reset(wire);
        for asked in &asked {
            self.never_answered(asked);
        }
    }

    /// The loop turns once, and sleeps at most so long.
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
            self.believed_s = (0, 0);
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
}
