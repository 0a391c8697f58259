//! Streams last as long as their session and the server, and no longer.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::harness::{Client, Directory, Program, TestServer, config, get, login, request, signed};
use crate::listeners::{Sse, Ws, name_of, poll, publish};

/// One stream of each kind, all of one session.
struct Streams {
    sse: Sse,
    websocket: Ws,
    parked: Client,
}

impl Streams {
    fn open(server: &TestServer, sign: &str) -> Self {
        let mut parked = server.connect();
        parked.send(signed("GET", "/events?pattern=none&wait=60&since=0", sign));
        let streams = Self {
            sse: Sse::open(server.connect(), sign, ""),
            websocket: Ws::open(server.address, sign, "/events"),
            parked,
        };
        // The one that waits is a stream as soon as the store has been asked for what came before. It
        // answers one after the other, so a client that asks later is answered later.
        server.catch_up();
        let asked_later = poll(&mut server.connect(), sign, "pattern=none&since=0&wait=0");
        assert_eq!(asked_later.status, 200);
        streams
    }

    fn hear(&mut self, name: &str) {
        assert_eq!(name_of(&self.sse.event()), name);
        assert_eq!(name_of(&self.websocket.event()), name);
    }

    /// All end, each in its way, after they were told of the event `name`.
    fn end_after(mut self, name: Option<&str>) {
        if let Some(name) = name {
            self.hear(name);
        }
        let last = self.sse.frame().expect("a last event");
        assert_eq!(last.event.as_deref(), Some("session.revoked"));
        assert_eq!(last.id, None, "it is nothing to resume from");
        assert_eq!(self.sse.frame(), None, "the end");
        assert_eq!(self.websocket.close_code(), 4401);
        let answer = self.parked.answer();
        assert_eq!((answer.status, answer.code()), (401, "no_session".into()));
    }
}

#[test]
fn logging_out_ends_the_streams_of_that_session_and_no_others() {
    let server = TestServer::start();
    let mut client = server.connect();
    let [ends, stays, admin] = ["alice", "alice", "admin"].map(|name| client.log_in(name));
    let (ending, mut staying) = (
        Streams::open(&server, &ends),
        Streams::open(&server, &stays),
    );
    let mut watching = Ws::open(server.address, &admin, "/events");
    let confirmed = client.ask(signed("POST", "/logout", &ends)).json();
    assert_eq!(confirmed["streams_closed"], 3);
    ending.end_after(Some("user.logged_out"));
    staying.hear("user.logged_out");
    assert_eq!(name_of(&watching.event()), "user.logged_out");
    // Nothing has happened to the others.
    publish(&mut client, &admin, "tick", &Value::Null);
    let user_id = &confirmed["user_id"];
    let hers = crate::listeners::publication(&admin, &json!({"name": "none", "user_id": user_id}));
    assert_eq!(client.ask(hers).status, 202);
    staying.hear("none");
    assert_eq!(staying.parked.answer().status, 200);
    assert_eq!(name_of(&watching.event()), "tick");
}

#[test]
fn however_a_session_ends_its_streams_end_with_it_and_are_counted() {
    let server = TestServer::start();
    let mut client = server.connect();
    let [first, second, caller] = ["alice"; 3].map(|name| client.log_in(name));
    let streams = [&first, &second].map(|sign| Streams::open(&server, sign));
    let [of_first, of_second] = streams;
    // One by its id, from another session.
    let own = client.ask(signed("GET", "/sessions", &first)).json();
    let sessions = own["sessions"].as_array().expect("a list");
    let id = sessions
        .iter()
        .find(|session| session["current"] == true)
        .and_then(|session| session["id"].as_str())
        .expect("the first session's id");
    let answer = client.ask(signed("DELETE", &format!("/sessions/{id}"), &caller));
    assert_eq!(answer.json()["streams_closed"], 3, "{answer:?}");
    of_first.end_after(Some("session.revoked"));
    // All of the user's; the one that asks has none.
    let answer = client.ask(signed("POST", "/logout?everywhere=true", &caller));
    assert_eq!(answer.json()["streams_closed"], 3, "{answer:?}");
    let mut of_second = of_second;
    of_second.hear("session.revoked");
    of_second.end_after(Some("user.logged_out"));
}

#[test]
fn streams_end_when_their_session_expires_though_events_were_sent_on_them() {
    let mut config = config();
    config.limits.session_idle = Duration::from_secs(1);
    config.limits.session_absolute = Duration::from_secs(60);
    let server = TestServer::with(config, |_| {});
    let sign = server.connect().log_in("alice");
    Streams::open(&server, &sign).end_after(Some("session.expired"));
}

#[test]
fn a_session_has_so_many_streams_and_not_one_more() {
    let mut config = config();
    config.limits.streams_per_session_max = 3;
    let server = TestServer::with(config, |_| {});
    let mut client = server.connect();
    let [sign, other] = ["alice"; 2].map(|name| client.log_in(name));
    let streams = Streams::open(&server, &sign);
    let refused = poll(&mut client, &sign, "since=0&pattern=none&wait=1");
    assert_eq!(
        (refused.status, refused.code()),
        (429, "too_many_streams".into())
    );
    assert_eq!(refused.header("retry-after"), Some("5"));
    assert_eq!(
        Ws::try_open(
            server.address,
            "/events",
            &[
                ("Cookie", &format!("session={sign}")),
                ("Sec-Fetch-Site", "same-origin")
            ]
        )
        .err(),
        Some(429)
    );
    let sse = request(
        "GET",
        "/events",
        &[
            ("Accept", "text/event-stream"),
            ("Cookie", &format!("session={sign}")),
        ],
    );
    assert_eq!(client.ask(sse).status, 429);
    // What needs no stream goes on, and so do other sessions.
    assert_eq!(poll(&mut client, &sign, "since=0").status, 200);
    drop(Ws::open(server.address, &other, "/events"));
    // A place becomes free however a stream ends.
    drop(streams.websocket);
    drop(streams.sse);
    drop(streams.parked);
    server.catch_up();
    drop(Streams::open(&server, &sign));
}

#[test]
fn a_draining_server_tells_its_streams_and_ends_them() {
    let server = TestServer::start();
    let sign = server.connect().log_in("alice");
    let mut streams = Streams::open(&server, &sign);
    let began = Instant::now();
    server.drain();
    streams.hear("server.draining");
    let retry = streams.sse.frame().expect("when to come back").retry;
    let retry_ms: u64 = retry.expect("a number").parse().expect("digits");
    assert!((1000..5000).contains(&retry_ms), "{retry_ms}");
    assert_eq!(streams.sse.frame(), None, "the end");
    assert_eq!(streams.websocket.close_code(), 1001);
    // The one that waited for events has got none, and can ask the next server.
    let answer = streams.parked.answer();
    assert_eq!(answer.json()["events"], json!([]), "{answer:?}");
    assert_eq!(answer.header("connection"), Some("close"));
    drop(streams);
    let ended = server.stop();
    assert_eq!(ended.stopped, loopgate::server::Stopped::Drained);
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "it waited for no client"
    );
}

#[test]
fn a_listener_that_shuts_its_side_is_told_what_there_is_and_then_the_end() {
    let server = TestServer::start();
    let mut client = server.connect();
    let sign = client.log_in("admin");
    let mut half = server.connect();
    let request = signed("GET", "/events?since=0", &sign);
    half.send(request.replacen("\r\n\r\n", "\r\nAccept: text/event-stream\r\n\r\n", 1));
    half.half_close();
    let text = half.rest();
    assert!(text.contains("\nevent: server.started\n"), "{text}");
    assert!(text.contains("\nevent: user.logged_in\n"), "{text}");
    // It has given its place back.
    assert_eq!(
        client.ask(signed("POST", "/logout", &sign)).json()["streams_closed"],
        0
    );
}

#[test]
fn what_a_subscriber_sends_on_its_stream_is_ignored() {
    let server = TestServer::start();
    let mut client = server.connect();
    let sign = client.log_in("admin");
    let mut stream = server.connect();
    let request = signed("GET", "/events?pattern=tick", &sign);
    stream.send(request.replacen("\r\n\r\n", "\r\nAccept: text/event-stream\r\n\r\n", 1));
    let head = stream.answer_to_head();
    // A proxy must not take the end of the stream for anything else than the end of the answer.
    assert_eq!(head.header("connection"), Some("close"));
    assert_eq!(head.header("content-length"), None);
    assert_eq!(head.header("x-accel-buffering"), Some("no"));
    assert_eq!(head.header("cache-control"), Some("no-store"));
    stream.send(get("/healthz"));
    stream.send(login("alice", "password"));
    stream.send(vec![b'x'; 100_000]);
    publish(&mut client, &sign, "tick", &Value::Null);
    client.ask(signed("POST", "/logout", &sign));
    let text = stream.rest();
    assert!(!text.contains("HTTP/1.1"), "{text}");
    assert!(
        text.contains("event: tick\n") && text.ends_with("\n\n"),
        "{text}"
    );
}

#[test]
fn streams_end_with_the_key_that_signed_their_session() {
    let directory = Directory::new();
    directory.add_users();
    let producer = "while sleep 0.1; do echo tick; done";
    let program = Program::start_in(&directory, &["--produce", producer]);
    let sign = program.connect().log_in("admin");
    let mut websocket = Ws::open(program.address, &sign, "/events?pattern=none");
    let mut busy = Sse::open(program.connect(), &sign, "pattern=line");
    assert_eq!(name_of(&busy.event()), "line");
    // Another server's key, as after a theft.
    let other = Directory::new();
    other.add_users();
    drop(Program::start_in(&other, &[]));
    let key = |directory: &Directory| directory.store().with_extension("key");
    std::fs::copy(key(&other), key(&directory)).expect("a key file");
    program.signal(Signal::HUP);
    assert_eq!(websocket.close_code(), 4401);
    while let Some(frame) = busy.frame() {
        let name = frame.event.expect("a name");
        assert!(["line", "session.revoked"].contains(&&*name), "{name}");
    }
}

#[test]
fn streams_end_when_the_key_that_signed_their_session_retires() {
    let program = Program::start(&[]);
    let (sign, mut client) = (program.connect().log_in("admin"), program.connect());
    let mut websocket = Ws::open(program.address, &sign, "/events?pattern=tick");
    let mut sse = Sse::open(program.connect(), &sign, "pattern=tick");
    let rotate = ["key", "rotate", "--retire-after", "2s"];
    let rotated = program.directory().command(&rotate).output();
    assert!(rotated.expect("it runs").status.success());
    program.signal(Signal::HUP);
    // As long as its session holds it may publish.
    let say = json!({"publish": {"name": "tick"}});
    let mut published = 0;
    while let Ok(()) = websocket
        .0
        .send(tungstenite::Message::text(say.to_string()))
    {
        match websocket.0.read() {
            Ok(tungstenite::Message::Text(_)) => published += 1,
            Ok(tungstenite::Message::Close(Some(frame))) => {
                assert_eq!(u16::from(frame.code), 4401);
                break;
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(published > 0, "it was open for a second at least");
    let unauthorized = client.ask(signed("GET", "/session", &sign)).status;
    assert_eq!(unauthorized, 401, "and not longer than its session");
    let last = std::iter::from_fn(|| sse.frame())
        .last()
        .expect("a last event");
    assert_eq!(last.event.as_deref(), Some("session.revoked"));
}

#[test]
fn a_session_that_ends_since_there_are_too_many_takes_its_streams_with_it() {
    let mut config = config();
    config.limits.sessions_per_user_max = 1;
    let server = TestServer::with(config, |_| {});
    let mut client = server.connect();
    let sign = client.log_in("alice");
    let mut streams = Streams::open(&server, &sign);
    client.log_in("alice");
    streams.hear("session.revoked");
    streams.end_after(Some("user.logged_in"));
}
