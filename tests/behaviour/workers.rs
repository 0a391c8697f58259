//! What blocks is done elsewhere: the loop serves others meanwhile, and refuses what is too much.

use std::sync::mpsc;

use loopgate::app::Reply;
use loopgate::event::Event;
use loopgate::http::Method;
use loopgate::server::Stopped;

use crate::harness::{Hold, PATIENCE, TestServer, config, get, login, signed};

#[test]
fn others_are_served_while_a_password_is_hashed() {
    let (hold, prepare) = Hold::new();
    let server = TestServer::with(config(), prepare);
    let (mut holder, mut alice, mut bob) = (server.connect(), server.connect(), server.connect());
    holder.send(get("/hold"));
    hold.wait();
    alice.send(login("alice", "password"));
    assert_eq!(bob.ask(get("/healthz")).status, 200); // alice's hash has not even started
    assert_eq!(bob.ask(get("/session")).status, 401);
    hold.let_go();
    assert_eq!(alice.answer().status, 200);
    assert_eq!(holder.answer().body, "let go");
}

#[test]
fn a_login_too_many_is_told_when_to_try_again() {
    let (hold, prepare) = Hold::new();
    let mut config = config();
    config.limits.hash_jobs_max = 1;
    let server = TestServer::with(config, prepare);
    let (mut holder, mut queued) = (server.connect(), server.connect());
    holder.send(get("/hold"));
    hold.wait();
    queued.send(login("alice", "password"));
    server.catch_up();
    for _ in 0..10 {
        let mut refused = server.connect();
        // At once: the worker is still held. Another user, since one user does not get all places.
        let answer = refused.ask(login("admin", "password"));
        assert_eq!((answer.status, &*answer.code()), (503, "busy"));
        let seconds: u64 = answer.header("retry-after").unwrap().parse().unwrap();
        assert!(seconds > 0);
        assert_eq!(refused.ask(get("/healthz")).status, 200);
    }
    hold.let_go();
    assert_eq!(queued.answer().status, 200);
    // Being refused was no failed attempt: the throttle lets a user in who knows the password.
    server.connect().log_in("alice");
}

#[test]
fn a_job_that_panics_costs_one_answer() {
    let (tell, incidents) = mpsc::channel();
    let server = TestServer::with(config(), |server| {
        server.on(Method::Get, "/broken", |_, _| {
            let job = || panic!("this panic belongs to the test");
            Reply::later(job, |done: Result<(), _>, _| match done {
                Ok(()) => Reply::empty(204),
                Err(error) => error.into(),
            })
        });
        server.on_error(move |incident| {
            let _ = tell.send(incident.code);
        });
    });
    let mut client = server.connect();
    let answer = client.ask(get("/broken"));
    assert_eq!((answer.status, &*answer.code()), (500, "internal_error"));
    assert_eq!(incidents.recv_timeout(PATIENCE), Ok("job_panicked"));
    // The only worker lives.
    server.connect().log_in("alice");
    assert_eq!(server.stop().stopped, Stopped::Drained);
}

#[test]
fn a_continuation_that_panics_costs_one_answer() {
    let (tell, incidents) = mpsc::channel();
    let server = TestServer::with(config(), |server| {
        server.on(Method::Get, "/broken", |_, _| {
            Reply::later(|| (), |_, _| panic!("this panic belongs to the test"))
        });
        server.on_error(move |incident| {
            let _ = tell.send(incident.code);
        });
    });
    let mut client = server.connect();
    assert_eq!(client.ask(get("/broken")).status, 500);
    assert_eq!(incidents.recv_timeout(PATIENCE), Ok("handler_panicked"));
    server.connect().log_in("alice");
    assert_eq!(server.stop().stopped, Stopped::Drained);
}

#[test]
fn one_job_may_lead_to_the_next() {
    let server = TestServer::with(config(), |server| {
        server.on(Method::Get, "/twice", |_, _| {
            Reply::later(
                || 20,
                |first, _| {
                    let first = first.unwrap_or(0);
                    Reply::later(
                        move || first + 1,
                        |second: Result<i32, _>, _| Reply::text(200, format!("{second:?}")),
                    )
                },
            )
        });
    });
    assert_eq!(server.connect().ask(get("/twice")).body, "Ok(21)");
}

#[test]
fn a_login_counts_although_its_client_has_gone() {
    let (heard, events) = mpsc::channel();
    let (hold, prepare) = Hold::new();
    let server = TestServer::with(config(), |server| {
        prepare(server);
        server.subscribe("user.logged_in", move |event: &Event| {
            let _ = heard.send(event.id);
        });
    });
    let (mut holder, mut alice) = (server.connect(), server.connect());
    holder.send(get("/hold"));
    hold.wait();
    alice.send(login("alice", "password"));
    server.catch_up();
    alice.reset();
    server.catch_up();
    hold.let_go();
    events.recv_timeout(PATIENCE).expect("it was committed");

    let mut again = server.connect();
    let sign = again.log_in("alice");
    let sessions = again.ask(signed("GET", "/sessions", &sign)).json();
    let list = sessions.as_array().or(sessions["sessions"].as_array());
    assert_eq!(list.map(Vec::len), Some(2), "{sessions}");
    let out = again.ask(signed("POST", "/logout?everywhere=true", &sign));
    assert_eq!(out.json()["revoked"], 2);
}
