//! A whole server in memory, in which a user has logged in.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use loopgate::config::{Config, HashCost, Limits, OUTBOX_BYTES_FLOOR, SlowPolicy, StorePath};
use loopgate::reactor::fake::{FakeClock, Network, fake_seams};
use loopgate::server::Server;
use loopgate::token::Keys;
use loopgate::work::password::Argon2id;
use loopgate::work::{Change, Store, Threads, Transaction, password};

/// So many of the newest events are kept.
pub const EVENTS_KEPT_MAX: u64 = 12;

pub struct World {
    pub server: RefCell<Server>,
    pub network: Network,
    pub limits: Limits,
    /// Jobs that a worker has.
    pub jobs: Rc<Cell<usize>>,
    pub sign: Vec<u8>,
}

impl World {
    /// `add_handlers` adds what a target needs beside the server's own.
    pub fn new(slow_subscriber: SlowPolicy, add_handlers: fn(&Self)) -> Self {
        let long = Duration::from_secs(100 * 365 * 86_400);
        let limits = Limits {
            target_bytes_max: 64,
            head_bytes_max: 512,
            headers_max: 12,
            body_bytes_max: 200,
            websocket_bytes_max: 100,
            outbox_bytes_max: OUTBOX_BYTES_FLOOR,
            session_idle: long,
            session_absolute: long,
            ..Limits::default()
        };
        let config = Config {
            workers: 1,
            hash_cost: HashCost::TOKEN,
            limits: limits.clone(),
            slow_subscriber,
            ..Config::default()
        };
        let (seams, network) = fake_seams(&FakeClock::default());
        let store = store(config.hash_cost);
        let place = loopgate::server::World {
            store,
            keys: Keys::ephemeral(1, [1; 32], 0),
            seams,
            crew: &mut Threads,
            hasher: Argon2id::shared(),
        };
        let mut server = Server::in_world(config, place).expect("nothing keeps it from starting");
        server
            .accept_from(network.acceptor())
            .expect("there is room");
        let jobs = Rc::new(Cell::new(0));
        let mut world = Self {
            server: server.into(),
            network,
            limits,
            jobs,
            sign: Vec::new(),
        };
        world.network.hold_clock(true); // else it would jump to the end of the session
        world.sign = world.log_in();
        add_handlers(&world);
        let mut server = world.server.borrow_mut();
        server.on_error(|incident| panic!("an incident: {incident:?}"));
        drop(server);
        world
    }

    fn log_in(&self) -> Vec<u8> {
        let body = "username=admin&password=password";
        let length = body.len();
        let peer = self.network.connect();
        peer.send(
            format!(
                "POST /login HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\n\
                 Content-Type: application/x-www-form-urlencoded\r\n\r\n{body}"
            )
            .as_bytes(),
        );
        let mut answer = String::new();
        loop {
            self.turn();
            answer += &String::from_utf8_lossy(&peer.received());
            if let Some(sign) = answer.split("\"user_sign\":\"").nth(1) {
                peer.end();
                return sign.split('"').next().unwrap_or_default().into();
            }
            std::thread::yield_now();
        }
    }

    pub fn turn(&self) {
        let mut server = self.server.borrow_mut();
        server.turn().expect("this selector does not fail");
    }

    /// Turns until no source is ready, and no worker has anything to do.
    pub fn settle(&self) {
        loop {
            let idle = self.network.idle();
            self.turn();
            let slept = self.network.idle() > idle;
            match self.jobs.get() {
                0 if slept => return,
                0 => {}
                _ => std::thread::yield_now(),
            }
        }
    }
}

fn store(cost: HashCost) -> Store {
    let mut store = Store::open(&StorePath::Memory, EVENTS_KEPT_MAX).expect("memory");
    let admin = Change::AddUser {
        name: "admin".into(),
        role: "admin".into(),
        password: password::hash(b"password", [7; 16], cost),
        created_s: 0,
    };
    let transaction = Transaction {
        changes: vec![admin],
        ..Transaction::default()
    };
    store.apply(transaction).expect("memory");
    store
}
