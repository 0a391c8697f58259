//! A user with as many sessions as they may have logs in once more: the oldest ends.

use std::sync::mpsc::{self, Receiver};

use loopgate::config::Limits;
use loopgate::event::Event;

use rustix::process::Signal;

use crate::harness::{
    Client, Directory, Hold, PATIENCE, Program, TestServer, config, get, login, signed,
};

/// A server on which a user has so many sessions, that tells what happens to them.
fn server(sessions_max: usize) -> (TestServer, Receiver<Event>, Hold) {
    let mut config = config();
    config.limits.sessions_per_user_max = sessions_max;
    let (heard, events) = mpsc::channel();
    let (hold, prepare) = Hold::new();
    let server = TestServer::with(config, move |server| {
        prepare(server);
        server.subscribe("*", move |event: &Event| drop(heard.send(event.clone())));
    });
    (server, events, hold)
}

fn ended(events: &Receiver<Event>) -> Event {
    let is_end = |event: &Event| event.fact.name == "session.revoked";
    std::iter::from_fn(|| events.recv_timeout(PATIENCE).ok())
        .find(is_end)
        .expect("a session ends")
}

fn id(client: &mut Client, sign: &str) -> String {
    let list = client.ask(signed("GET", "/sessions", sign)).json();
    let sessions = list["sessions"].as_array().unwrap().clone();
    let current = sessions.iter().find(|session| session["current"] == true);
    current.unwrap()["id"].as_str().unwrap().to_owned()
}

fn statuses(client: &mut Client, signs: &[String]) -> Vec<u16> {
    let ask = |sign: &String| client.ask(signed("GET", "/session", sign)).status;
    signs.iter().map(ask).collect()
}

#[test]
fn the_oldest_session_ends_and_is_told() {
    let (server, events, _hold) = server(3);
    let mut client = server.connect();
    let mut signs: Vec<_> = (0..3).map(|_| client.log_in("alice")).collect();
    let others = client.log_in("admin");
    let oldest = id(&mut client, &signs[0]);
    signs.push(client.log_in("alice"));
    assert_eq!(statuses(&mut client, &signs), [401, 200, 200, 200]);
    assert_eq!(statuses(&mut client, &[others]), [200]);
    let event = ended(&events);
    assert_eq!(event.fact.sender, "login");
    assert_eq!(event.fact.data["session_id"], *oldest);
    assert_eq!(event.fact.data["reason"], "too_many_sessions");
    assert_eq!(event.fact.user_id, Some(2));
    // In the same transaction as the login, and told before it.
    let next = events.recv_timeout(PATIENCE).unwrap();
    assert_eq!(
        (next.id, &*next.fact.name),
        (event.id + 1, "user.logged_in")
    );
}

#[test]
fn logins_at_once_leave_no_more_sessions_than_there_may_be() {
    let (server, events, hold) = server(2);
    let mut first = server.connect();
    let old: Vec<_> = (0..2).map(|_| first.log_in("alice")).collect();
    server.connect().send(get("/hold"));
    hold.wait();
    let mut clients: Vec<_> = (0..5).map(|_| server.connect()).collect();
    for client in &mut clients {
        client.send(login("alice", "password"));
        server.catch_up();
    }
    hold.let_go();
    let mut signs = old;
    for client in &mut clients {
        let answer = client.answer();
        assert_eq!(answer.status, 200);
        signs.push(answer.json()["user_sign"].as_str().unwrap().to_owned());
    }
    assert_eq!(
        statuses(&mut first, &signs),
        [401, 401, 401, 401, 401, 200, 200]
    );
    let mut sessions: Vec<_> = (0..5)
        .map(|_| ended(&events).fact.data["session_id"].to_string())
        .collect();
    sessions.sort_unstable();
    sessions.dedup();
    assert_eq!(sessions.len(), 5, "each ends once: {sessions:?}");
}

#[test]
fn a_demo_and_a_server_that_is_told_so_do_not_limit_sessions() {
    let directory = Directory::new();
    directory.add_users();
    let more = Limits::default().sessions_per_user_max + 1;
    for (arguments, name) in [
        (&["--demo"][..], "admin"),
        (&["--sessions-per-user-max", "0"], "alice"),
    ] {
        let program = Program::start_in(&directory, arguments);
        let mut client = program.connect();
        let signs: Vec<_> = (0..more).map(|_| client.log_in(name)).collect();
        assert!(
            statuses(&mut client, &signs)
                .iter()
                .all(|status| *status == 200)
        );
    }
}

#[test]
fn the_limit_holds_for_sessions_that_were_there_at_the_start() {
    let directory = Directory::new();
    directory.add_users();
    let mut program = Program::start_in(&directory, &[]);
    let mut client = program.connect();
    let mut signs: Vec<_> = (0..4).map(|_| client.log_in("alice")).collect();
    program.signal(Signal::TERM);
    program.wait();
    let program = Program::start_in(&directory, &["--sessions-per-user-max", "2"]);
    let mut client = program.connect();
    assert_eq!(statuses(&mut client, &signs), [200; 4]);
    signs.push(client.log_in("alice"));
    // Of the four from before, one is left. The store knows their order by the second only.
    let statuses = statuses(&mut client, &signs);
    let held = statuses.iter().filter(|status| **status == 200).count();
    assert_eq!((held, statuses[4]), (2, 200), "{statuses:?}");
}
