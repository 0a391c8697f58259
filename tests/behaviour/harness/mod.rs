//! Servers to talk to, in a thread of the test or as the real program, and a client that sees bytes.

mod client;
mod program;
mod server;

use std::net::SocketAddr;
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use loopgate::config::{Config, HashCost, ListenAddr};
use loopgate::server::raise_descriptor_limit;
use loopgate::work::{Change, Store, Transaction, password};

pub(crate) use client::{Answer, Client, get, login, post, post_chunked, request, signed};
pub(crate) use program::{Directory, Program};
pub(crate) use server::{Hold, TestServer};

/// How long anything may take before the test says that it never happened.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A configuration for tests: loopback, port 0, hashes that cost nothing.
pub(crate) fn config() -> Config {
    Config {
        listen: vec![ListenAddr::Tcp(SocketAddr::from(([127, 0, 0, 1], 0)))],
        hash_cost: HashCost::TOKEN,
        workers: 1,
        ..Config::default()
    }
}

/// A store with the users `admin` (role admin), `alice`, and `button` (role producer), all with the
/// password `password`.
pub(crate) fn store(config: &Config) -> Store {
    let mut store = Store::open(&config.store, config).expect("the store opens");
    if store.load().expect("the store loads").users.is_empty() {
        let users = [
            ("admin", "admin"),
            ("alice", "user"),
            ("button", "producer"),
        ];
        let changes = users.map(|(name, role)| Change::AddUser {
            name: name.into(),
            role: role.into(),
            password: password::hash(b"password", [7; 16], config.hash_cost),
            created_s: 0,
        });
        let transaction = Transaction {
            changes: changes.into(),
            ..Transaction::default()
        };
        store.apply(transaction).expect("users are added");
    }
    store
}

/// How many descriptors all tests of this process may have open together, as far as it may be raised. Both ends of a
/// connection to a [`TestServer`] are in it, and some systems begin with 256.
pub(crate) fn descriptors() -> Option<u64> {
    static LIMIT: OnceLock<Option<u64>> = OnceLock::new();
    *LIMIT.get_or_init(raise_descriptor_limit)
}

/// Asks until there is an answer: for what cannot be waited for in any other way.
pub(crate) fn wait_until<T>(what: &str, mut answer: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = answer() {
            return answer;
        }
        assert!(Instant::now() < deadline, "never happened: {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

/// A new client is accepted behind all that came before. Its first answer may come before others that are ready in the
/// same turn have been read, since answers are written at once; its second comes in a later turn.
fn catch_up(address: SocketAddr) {
    let mut client = Client::connect(address);
    for _ in 0..2 {
        assert_eq!(client.ask(get("/healthz")).status, 200);
    }
}
