//! What only a disk that fails at one certain moment brings about: in a written world.

use std::time::Duration;

use loopgate::config::{Config, HashCost};
use loopgate::event::Event;
use loopgate::reactor::fake::{FakeClock, Network, fake_seams};
use loopgate::server::{Server, World};
use loopgate::token::Keys;
use loopgate::work::fake::{FakeCrew, FakeDisk, Step};
use loopgate::work::password::Argon2id;
use loopgate::work::{Change, StoreError, Transaction, password};

struct Written {
    server: Server,
    network: Network,
    crew: FakeCrew,
    disk: FakeDisk,
    clock: FakeClock,
}

impl Written {
    fn new() -> Self {
        Self::with_sessions(100)
    }

    /// A user may have so many sessions.
    fn with_sessions(max: usize) -> Self {
        let disk = FakeDisk::new().expect("memory");
        let mut store = disk.open(1000).expect("memory");
        let alice = Change::AddUser {
            name: "alice".into(),
            role: "user".into(),
            password: password::hash(b"alice", [7; 16], HashCost::TOKEN),
            created_s: 0,
        };
        let transaction = Transaction {
            changes: vec![alice],
            ..Transaction::default()
        };
        store.apply(transaction).expect("memory");
        drop(store);
        Self::begin(disk, FakeClock::default(), max)
    }

    /// A server begins on that disk, as after a restart.
    fn begin(disk: FakeDisk, clock: FakeClock, sessions_max: usize) -> Self {
        let store = disk.open(1000).expect("memory");
        let crew = FakeCrew::default();
        let mut config = Config {
            hash_cost: HashCost::TOKEN,
            workers: 1,
            ..Config::default()
        };
        config.limits.sessions_per_user_max = sessions_max;
        let (seams, network) = fake_seams(&clock);
        network.hold_clock(true);
        let world = World {
            store,
            keys: Keys::ephemeral(1, [1; 32], 0),
            seams,
            crew: &mut crew.clone(),
            hasher: Argon2id::shared(),
        };
        let mut server = Server::in_world(config, world).expect("it starts");
        server.accept_from(network.acceptor()).expect("room");
        Self {
            server,
            network,
            crew,
            disk,
            clock,
        }
    }

    fn turn(&mut self) {
        for _ in 0..4 {
            self.server.turn().expect("memory does not fail");
        }
    }

    /// Each worker that has something to do takes it and finishes it.
    fn work(&mut self) {
        for worker in self.crew.wanted() {
            let _took = self.crew.step(worker);
            let _finished = self.crew.step(worker);
        }
    }

    /// Sends a request; what waits for workers is still to be done.
    fn ask(&mut self, request: &str) -> impl Fn() -> String + use<> {
        let peer = self.network.connect();
        peer.send(request.as_bytes());
        self.turn();
        move || String::from_utf8(peer.received()).expect("text")
    }

    fn ask_with(&mut self, sign: &str, line: &str) -> impl Fn() -> String + use<> {
        self.ask(&format!(
            "{line} HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {sign}\r\n\r\n"
        ))
    }

    fn asks_for_its_session(&mut self, sign: &str, status: &str) {
        let answer = self.ask_with(sign, "GET /session")();
        let due = format!("HTTP/1.1 {status} ");
        assert!(answer.starts_with(&due), "{answer}");
    }

    /// A login whose password is still to be checked.
    fn login(&mut self) -> impl Fn() -> String + use<> {
        self.ask(
            "POST /login HTTP/1.1\r\nHost: h\r\nContent-Type: application/x-www-form-urlencoded\r\n\
             Content-Length: 29\r\n\r\nusername=alice&password=alice",
        )
    }

    /// A login, up to where its session is to be stored.
    fn login_to_be_stored(&mut self) -> impl Fn() -> String + use<> {
        let answer = self.login();
        self.work();
        self.turn();
        answer
    }
}

fn sign_of(answer: &str) -> String {
    let (_, sign) = answer.split_once("\"user_sign\":\"").expect("a login");
    sign.split('"').next().unwrap_or_default().to_owned()
}

#[test]
fn a_logout_that_ended_some_sessions_and_not_all_says_so() {
    let mut world = Written::new();
    let early = world.login_to_be_stored();
    world.work();
    world.turn();
    let early = sign_of(&early());
    // The next login is on its way to the disk when all sessions are to end: it is one of them, and is
    // found when those that were known have ended.
    let late = world.login_to_be_stored();
    let logout = world.ask_with(&early, "POST /logout?everywhere=true");
    world.work();
    world.disk.fail(Some(StoreError::Full));
    world.turn();
    world.work();
    world.turn();
    let answer = logout();
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert!(
        answer.contains("\"code\":\"logout_incomplete\""),
        "{answer}"
    );
    assert!(answer.contains("Set-Cookie: session=;"), "{answer}");
    let late = sign_of(&late());
    for (sign, status) in [(&early, "401"), (&late, "200")] {
        world.asks_for_its_session(sign, status);
    }
    // What it says helps.
    world.disk.fail(None);
    let logout = world.ask_with(&late, "POST /logout?everywhere=true");
    world.work();
    world.turn();
    assert!(logout().contains("\"revoked\":1"));
}

#[test]
fn a_session_that_was_logged_out_while_it_expired_does_not_come_back() {
    let mut world = Written::new();
    let answer = world.login_to_be_stored();
    world.work();
    world.turn();
    let sign = sign_of(&answer());
    let logout = world.ask_with(&sign, "POST /logout");
    let store = world.crew.wanted()[0];
    assert_eq!(world.crew.step(store), Some(Step::Took));
    // While the logout is on its way to the disk, the session expires; that its row is to go, too, meets a
    // full disk.
    world.clock.advance(Duration::from_secs(31 * 60));
    world.turn();
    assert_eq!(world.crew.step(store), Some(Step::Finished));
    world.disk.fail(Some(StoreError::Full));
    world.work();
    world.turn();
    assert!(logout().contains("logout confirmed"));
    // The table has nothing that a clock that is set back could bring to life.
    assert_eq!(world.server.session_hashes().count(), 0);
    assert_eq!(world.server.unremoved_sessions().count(), 1);
    // It is tried again, and finds nothing to do.
    world.disk.fail(None);
    world.clock.advance(Duration::from_secs(61));
    world.turn();
    world.work();
    world.turn();
    assert_eq!(world.server.unremoved_sessions().count(), 0);
}

#[test]
fn a_last_use_that_the_store_could_not_write_is_written_later() {
    let mut world = Written::new();
    let answer = world.login_to_be_stored();
    world.work();
    world.turn();
    let sign = sign_of(&answer());
    let row = |world: &mut Written| world.disk.look().expect("memory").sessions[0].clone();
    let issued_s = row(&mut world).issued_s;
    world.clock.advance(Duration::from_secs(100));
    world.disk.fail(Some(StoreError::Full));
    let answer = world.ask_with(&sign, "GET /session")();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    world.work();
    world.turn();
    assert_eq!(row(&mut world).last_used_s, issued_s, "the disk is full");
    // No client uses the session again, and the disk works.
    world.disk.fail(None);
    world.clock.advance(Duration::from_secs(61));
    world.turn();
    world.work();
    world.turn();
    assert_eq!(row(&mut world).last_used_s, issued_s + 100);
}

#[test]
fn after_a_restart_the_newest_session_is_listed_first() {
    let mut world = Written::new();
    let mut signs = Vec::new();
    for _ in 0..8 {
        let answer = world.login_to_be_stored();
        world.work();
        world.turn();
        signs.push(sign_of(&answer()));
        world.clock.advance(Duration::from_secs(1));
    }
    let list = |world: &mut Written| {
        let answer = world.ask_with(&signs[7], "GET /sessions")();
        let ids = answer.split("\"id\":\"").skip(1);
        let ids: Vec<String> = ids.map(|id| id[..22].to_owned()).collect();
        ids
    };
    let before = list(&mut world);
    assert_eq!(before.len(), 8);
    let Written {
        server,
        crew,
        disk,
        clock,
        ..
    } = world;
    crew.kill();
    drop(server);
    let mut world = Written::begin(disk, clock, 100);
    assert_eq!(list(&mut world), before);
}

#[test]
fn a_logout_of_all_sessions_that_finds_only_a_new_one_has_its_event() {
    let mut world = Written::new();
    let early = world.login_to_be_stored();
    world.work();
    world.turn();
    let early = sign_of(&early());
    // The session that asks is ended by another request first; the next login is confirmed meanwhile.
    let _late = world.login_to_be_stored();
    let out = world.ask_with(&early, "POST /logout");
    let all = world.ask_with(&early, "POST /logout?everywhere=true");
    for _ in 0..2 {
        world.work();
        world.turn();
    }
    for answer in [out(), all()] {
        assert!(answer.contains("\"revoked\":1"), "{answer}");
    }
    assert_eq!(world.server.session_hashes().count(), 0);
    let events = world.disk.events(0).expect("memory");
    let everywhere = |event: &&Event| event.fact.data["everywhere"] == true;
    assert_eq!(events.iter().filter(everywhere).count(), 1, "{events:?}");
}

#[test]
fn a_login_that_the_disk_refused_leaves_no_session_too_many_beside_the_next_one() {
    let mut world = Written::with_sessions(1);
    let early = world.login_to_be_stored();
    world.work();
    world.turn();
    let early = sign_of(&early());
    // The second is to end the session of the first, and the third the second's: the disk refuses the second.
    let refused = world.login_to_be_stored();
    let late = world.login();
    world.disk.fail(Some(StoreError::Full));
    world.work();
    world.disk.fail(None);
    world.turn();
    assert!(refused().starts_with("HTTP/1.1 503 "), "{}", refused());
    world.work();
    world.turn();
    let late = sign_of(&late());
    for (sign, status) in [(&early, "401"), (&late, "200")] {
        world.asks_for_its_session(sign, status);
    }
}
