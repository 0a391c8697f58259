//! Much of the same at once: maintenance must not keep clients waiting.

use std::sync::mpsc;

use loopgate::event::Event;
use loopgate::server::Stopped;
use loopgate::work::{Change, SessionRow, Transaction};

use crate::harness::{Hold, PATIENCE, TestServer, config, get, login, signed};
use crate::login::login_with;
use crate::stored::Stored;

/// Adds sessions of the user 1 that began at `issued_s`.
fn add_sessions(stored: &Stored, count: u32, issued_s: i64) {
    let rows = (0..count).map(|number| {
        let mut hash = [0; 32];
        hash[..4].copy_from_slice(&number.to_be_bytes());
        let mut sid = [0; 16];
        sid[..4].copy_from_slice(&number.to_be_bytes());
        Change::AddSession(SessionRow {
            hash,
            sid,
            user_id: 1,
            key_id: 0,
            issued_s,
            last_used_s: issued_s,
        })
    });
    let transaction = Transaction {
        changes: rows.collect(),
        ..Transaction::default()
    };
    stored.open().apply(transaction).unwrap();
}

#[test]
fn many_sessions_that_expired_at_once_are_removed_without_delaying_logins() {
    const SESSIONS: u32 = 10_000;
    let stored = Stored::new();
    add_sessions(&stored, SESSIONS, 1);
    let (heard, events) = mpsc::channel();
    let server = TestServer::with(stored.config(), |server| {
        server.subscribe("session.expired", move |event: &Event| {
            let _ = heard.send(event.id);
        });
    });
    let mut client = server.connect();
    for _ in 0..20 {
        assert_eq!(client.ask(login("alice", "password")).status, 200);
    }
    for number in 0..SESSIONS {
        let heard = events.recv_timeout(PATIENCE);
        assert!(heard.is_ok(), "only {number} of {SESSIONS} were told");
    }
    assert_eq!(server.stop().stopped, Stopped::Drained);
    assert_eq!(stored.snapshot().sessions.len(), 20);
}

#[test]
fn a_subscriber_that_panics_over_every_event_causes_no_endless_errors() {
    let (heard, events) = mpsc::channel();
    let server = TestServer::with(config(), |server| {
        server.subscribe("*", |event: &Event| {
            assert_eq!(event.id, 0, "belongs to the test");
        });
        server.subscribe("*", move |event: &Event| {
            let _ = heard.send(event.fact.name.to_string());
        });
    });
    assert_eq!(server.connect().ask(login("alice", "password")).status, 200);
    // It drains, so nothing is under way for ever.
    assert_eq!(server.stop().stopped, Stopped::Drained);
    let names: Vec<String> = events.iter().collect();
    let errors = names.iter().filter(|name| *name == "error").count();
    assert!(errors <= names.len() - errors, "{names:?}");
}

#[test]
fn good_logins_at_once_are_all_good() {
    let (server, hold) = TestServer::held(config());
    let mut clients: Vec<_> = (0..30).map(|_| server.connect()).collect();
    for client in &mut clients {
        client.send(login("alice", "password"));
    }
    server.catch_up();
    hold.let_go();
    for client in &mut clients {
        assert_eq!(client.answer().status, 200);
    }
}

#[test]
fn one_account_with_a_good_password_does_not_keep_others_out() {
    let mut config = config();
    config.limits.hash_jobs_max = 10;
    let (server, hold) = TestServer::held(config);
    let mut flood: Vec<_> = (0..20).map(|_| server.connect()).collect();
    let (first, rest) = flood.split_at_mut(5);
    for clients in [first, rest] {
        for client in clients {
            client.send(login("alice", "password"));
        }
        server.catch_up();
    }
    // Half of the places are hers; the rest of her attempts are answered at once.
    let mut other = server.connect();
    other.send(login("admin", "password"));
    for client in &mut flood[5..] {
        let answer = client.answer();
        assert_eq!(
            (answer.status, answer.code()),
            (429, "too_many_at_once".into())
        );
        assert_eq!(answer.header("retry-after"), Some("1"));
    }
    hold.let_go();
    assert_eq!(other.answer().status, 200);
    for client in &mut flood[..5] {
        assert_eq!(client.answer().status, 200);
    }
    // Places are given back.
    for client in &mut flood {
        assert_eq!(client.ask(login("alice", "password")).status, 200);
    }
}

/// A login that a proxy forwards for this address.
fn login_from(address: &str, name: &str) -> String {
    login_with(name, "password", &[("X-Forwarded-For", address)])
}

#[test]
fn addresses_with_good_passwords_do_not_keep_others_out() {
    const PLACES: usize = 8;
    let mut config = config();
    config.limits.hash_jobs_max = PLACES;
    config.trust_proxy = vec![[127, 0, 0, 1].into()];
    let (server, hold) = TestServer::held(config);
    // Four addresses with an account each have all the places, and more attempts than those.
    let mut flood: Vec<_> = (0..4 * PLACES).map(|_| server.connect()).collect();
    for (number, client) in flood.iter_mut().enumerate() {
        let (address, name) = (format!("192.0.2.{}", number % 4), number % 4);
        client.send(login_from(&address, &format!("user{name}")));
        server.catch_up();
    }
    // All of a /64 count as one, and each of these comes for the first time.
    let newcomers = ["198.51.100.1", "198.51.100.2", "2001:db8::1"];
    let mut others = newcomers.map(|address| {
        let mut other = server.connect();
        other.send(login_from(address, "alice"));
        server.catch_up();
        other
    });
    let mut neighbour = server.connect();
    neighbour.send(login_from("2001:db8::2", "admin"));
    let refused = neighbour.answer();
    assert_eq!((refused.status, &*refused.code()), (503, "busy"));
    hold.let_go();
    for other in &mut others {
        assert_eq!(other.answer().status, 200);
    }
    let statuses: Vec<u16> = flood
        .iter_mut()
        .map(|client| client.answer().status)
        .collect();
    // No user has these names: those that were tried are 401. Each address kept at least one place.
    let tried = statuses.iter().filter(|status| **status == 401).count();
    assert_eq!(tried, PLACES - others.len(), "{statuses:?}");
    assert_eq!(statuses[..4], [401; 4]);
    // The name of one place is given back, too: a login that gave way counts for nothing.
    for client in &mut flood {
        let answer = client.ask(login_from("203.0.113.1", "alice"));
        assert_eq!(answer.status, 200);
    }
}

#[test]
fn a_login_that_gives_way_is_told_when_to_come_again() {
    let mut config = config();
    config.limits.hash_jobs_max = 4;
    config.trust_proxy = vec![[127, 0, 0, 1].into()];
    let (server, hold) = TestServer::held(config);
    let mut flood: Vec<_> = (0..4).map(|_| server.connect()).collect();
    for (number, client) in flood.iter_mut().enumerate() {
        client.send(login_from("192.0.2.1", &format!("user{number}")));
        server.catch_up();
    }
    let mut other = server.connect();
    other.send(login_from("192.0.2.2", "alice"));
    // It is answered before any hash has begun.
    let newest = flood.pop().unwrap().answer();
    assert_eq!((newest.status, &*newest.code()), (503, "busy"));
    assert_eq!(newest.header("retry-after"), Some("1"));
    hold.let_go();
    assert_eq!(other.answer().status, 200);
}

#[test]
fn addresses_are_served_in_turn() {
    let mut config = config();
    config.trust_proxy = vec![[127, 0, 0, 1].into()];
    let (heard, told) = mpsc::channel();
    let (hold, prepare) = Hold::new();
    let server = TestServer::with(config, move |server| {
        prepare(server);
        server.subscribe("user.*", move |event: &Event| {
            let address = event.fact.data["address"].as_str().unwrap().to_owned();
            let _ = heard.send(address);
        });
    });
    server.connect().send(get("/hold"));
    hold.wait();
    let mut clients = Vec::new();
    for address in ["192.0.2.1", "192.0.2.1", "192.0.2.1", "192.0.2.2"] {
        let mut client = server.connect();
        client.send(login_from(address, "alice"));
        server.catch_up();
        clients.push(client);
    }
    hold.let_go();
    for client in &mut clients {
        assert_eq!(client.answer().status, 200);
    }
    let order: Vec<String> = told.iter().take(4).collect();
    assert_eq!(order, ["192.0.2.1", "192.0.2.2", "192.0.2.1", "192.0.2.1"]);
}

#[test]
fn guessing_in_parallel_learns_no_more_than_guessing_one_by_one() {
    let (server, hold) = TestServer::held(config());
    let mut clients: Vec<_> = (0..30).map(|_| server.connect()).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        // The right one comes too late to be told.
        let password = if number == 29 { "password" } else { "wrong" };
        client.send(login("alice", password));
        server.catch_up();
    }
    hold.let_go();
    let answers: Vec<u16> = clients
        .iter_mut()
        .map(|client| client.answer().status)
        .collect();
    assert_eq!(answers[..5], [401; 5]);
    assert_eq!(answers[5..], [429; 25]);
}

#[test]
fn an_account_with_very_many_sessions_gets_the_newest() {
    let mut config = config();
    config.limits.sessions_per_user_max = 0;
    let server = TestServer::with(config, |_| {});
    let mut client = server.connect();
    let mut sign = String::new();
    for _ in 0..120 {
        sign = client.log_in("alice");
    }
    let list = client.ask(signed("GET", "/sessions", &sign)).json();
    assert_eq!(list["total"], 120);
    let sessions = list["sessions"].as_array().unwrap();
    assert_eq!(sessions.len(), 100);
    assert_eq!(
        sessions
            .iter()
            .filter(|session| session["current"] == true)
            .count(),
        1
    );
}
