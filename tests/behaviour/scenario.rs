//! The scenario that must always work: log in, be known, log out, be forgotten.

use std::sync::mpsc;

use loopgate::event::Event;

use crate::harness::{PATIENCE, TestServer, config, get, login, post, signed};

#[test]
fn a_user_logs_in_is_known_and_logs_out() {
    let (heard, events) = mpsc::channel();
    let server = TestServer::with(config(), |server| {
        server.subscribe("user.*", move |event: &Event| {
            let _ = heard.send((event.id, event.fact.name.to_string()));
        });
    });
    let mut client = server.connect();
    let confirmed = client.ask(login("alice", "password"));
    assert_eq!(confirmed.status, 200, "{confirmed:?}");
    let confirmation = confirmed.json();
    assert_eq!(confirmation["message"], "login confirmed");
    let (id, sign) = (
        &confirmation["user_id"],
        confirmation["user_sign"].as_str().unwrap(),
    );

    let session = client.ask(signed("GET", "/session", sign));
    assert_eq!(session.status, 200);
    assert_eq!(
        (
            &session.json()["user_id"],
            session.json()["username"].as_str()
        ),
        (id, Some("alice"))
    );

    let out = client.ask(signed("POST", "/logout", sign)).json();
    assert_eq!(out["message"], "logout confirmed");
    assert_eq!((&out["user_id"], out["revoked"].as_u64()), (id, Some(1)));

    // The old signature, not only the cookie: that is what logging out means.
    assert_eq!(
        client.ask(signed("GET", "/session", sign)).code(),
        "no_session"
    );
    let names: Vec<_> = (0..2)
        .map(|_| events.recv_timeout(PATIENCE).unwrap())
        .collect();
    assert_eq!(names[0].1, "user.logged_in");
    assert_eq!(names[1], (names[0].0 + 1, "user.logged_out".into()));
}

#[test]
fn a_form_logs_in_like_json() {
    let server = TestServer::start();
    let form = "username=alice&password=password";
    let answer = server
        .connect()
        .ask(post("/login", "application/x-www-form-urlencoded", form));
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(server.connect().ask(get("/session")).status, 401);
}
