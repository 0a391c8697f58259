//! Much of the same at once: what is done without being asked must not stand in anybody's way.

use std::sync::mpsc;

use loopgate::event::Event;
use loopgate::server::Stopped;
use loopgate::work::{Change, SessionRow, Transaction};

use crate::harness::{PATIENCE, TestServer, config, login, signed};
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
fn a_nights_worth_of_expired_sessions_goes_without_a_login_waiting_for_it() {
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
fn a_subscriber_that_panics_over_everything_is_not_told_about_that_for_ever() {
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

#[test]
fn of_guesses_at_once_no_more_are_told_than_of_guesses_in_turn() {
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
    let server = TestServer::start();
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
