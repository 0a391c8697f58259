//! Streams and polls end with their session, in every way in which a session can end.

use std::sync::mpsc;

use super::streams::SECOND;
use super::websockets::{CLOSE, TEXT, frame, frames};
use super::*;
use crate::event::Interest;
use crate::reactor::Clock as _;
use crate::token::fingerprint;
use crate::work::Query;

const PUBLISH: &[u8] = br#"{"publish":{"name":"mine"}}"#;

impl World {
    /// From now on sessions end after so many seconds without use.
    fn sessions_last(&mut self, idle: Duration) {
        self.reactor.program.app.sessions = Sessions::new(&Limits {
            session_idle: idle,
            session_absolute: Duration::from_secs(3600),
            ..Limits::default()
        });
    }

    /// A new key signs, as after SIGHUP, and the previous one retires after so many seconds.
    fn rotate_keys(&mut self, retire_after_s: i64) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        let now_s = (self.clock.unix_ms() / 1000).cast_signed();
        let mut keys = Keys::create(&path, 1, [1; 32], now_s).unwrap();
        keys.rotate(&path, 2, [2; 32], now_s, retire_after_s)
            .unwrap();
        self.reactor.program.app.change_keys(keys);
        self.settle();
        self.settle();
    }

    /// A long poll that waits for the event after the newest one.
    fn park(&mut self, sign: &str) -> FakePeer {
        let since = self.reactor.program.app.hub.newest();
        let feeds = self.reactor.program.app.hub.feeds();
        let peer = self.ask(sign, &format!("GET /events?since={since}&wait=60"), "");
        self.until("it waits", |world| {
            world.reactor.program.app.hub.feeds() == feeds + 1
        });
        peer
    }

    /// `GET /hold`: the store reads, and is not done before it is released.
    fn hold_store(&mut self) -> mpsc::Sender<()> {
        let (_begun, let_go) = self.reads.next();
        self.on("/hold", || {
            let query = Query {
                since: 0,
                events_max: 1,
                bytes_max: 1,
                wanted: Interest::everything(),
            };
            Reply::read(query, |_, _| Reply::empty(204))
        });
        let peer = self.connect();
        peer.send(b"GET /hold HTTP/1.1\r\nHost: h\r\n\r\n");
        self.settle();
        let_go
    }
}

fn texts(peer: &FakePeer) -> (Vec<String>, bool) {
    let frames = frames(&peer.received());
    let closed = frames
        .iter()
        .any(|(opcode, payload)| *opcode == CLOSE && payload[..2] == 4401_u16.to_be_bytes());
    let texts = frames.into_iter().filter(|(opcode, _)| *opcode == TEXT);
    let texts = texts.map(|(_, payload)| String::from_utf8(payload).unwrap());
    (texts.collect(), closed)
}

#[test]
fn streams_end_in_the_second_in_which_their_key_retires() {
    let mut world = world();
    let sign = world.log_in();
    let (sse, websocket) = (world.sse(&sign), world.websocket(&sign));
    let parked = world.park(&sign);
    // This key was the current one when the streams were opened.
    world.rotate_keys(20);
    world.pass(19 * SECOND);
    world.store(1, "before");
    assert!(text(&sse).contains("before"));
    assert_eq!(statuses(&parked), ["200"]);
    let parked = world.park(&sign);
    world.confirm(1, "after");
    websocket.send(&frame(0x80 | TEXT, PUBLISH));
    world.pass(SECOND);
    let told = text(&sse);
    assert!(told.starts_with("event: session.revoked\n"), "{told}");
    let (told, closed) = texts(&websocket);
    assert!(
        closed && told.iter().all(|text| text.contains("before")),
        "{told:?}"
    );
    assert_eq!(statuses(&parked), ["401"]);
    assert!(sse.ended() && websocket.ended());
    assert_eq!(
        world.reactor.program.app.hub.newest(),
        3,
        "nothing was published"
    );
}

#[test]
fn what_was_opened_before_a_key_was_taken_away_ends_at_once() {
    let mut world = world();
    let sign = world.log_in();
    let (sse, websocket) = (world.sse(&sign), world.websocket(&sign));
    let parked = world.park(&sign);
    world
        .reactor
        .program
        .app
        .change_keys(Keys::ephemeral(7, [7; 32], 0));
    world.settle();
    world.settle();
    assert!(sse.ended() && websocket.ended());
    assert_eq!(statuses(&parked), ["401"]);
}

#[test]
fn from_the_second_in_which_their_session_expires_streams_are_told_only_that() {
    let mut world = world();
    world.sessions_last(10 * SECOND);
    let sign = world.log_in();
    let (sse, websocket) = (world.sse(&sign), world.websocket(&sign));
    let parked = world.park(&sign);
    world.pass(9 * SECOND);
    assert!(!sse.ended() && !websocket.ended());
    world.confirm(1, "after");
    websocket.send(&frame(0x80 | TEXT, PUBLISH));
    world.clock.advance(SECOND);
    world.until("they end", |_| sse.ended() && websocket.ended());
    let told = text(&sse);
    assert!(!told.contains("after"), "{told}");
    assert!(told.contains("\nevent: session.expired\n"), "{told}");
    assert!(told.contains("\n\nevent: session.revoked\n"), "{told}");
    let (told, closed) = texts(&websocket);
    assert!(closed && told.len() == 1, "{told:?}");
    assert!(told[0].contains("session.expired"), "{told:?}");
    assert_eq!(statuses(&parked), ["401"]);
}

#[test]
fn a_stream_ends_with_its_session_although_the_store_cannot_remove_that() {
    let mut world = world();
    world.sessions_last(10 * SECOND);
    let sign = world.log_in();
    let (sse, websocket) = (world.sse(&sign), world.websocket(&sign));
    let parked = world.park(&sign);
    let let_go = world.hold_store();
    world.pass(10 * SECOND);
    assert_eq!(statuses(&parked), ["401"], "it has nothing to wait for");
    world.happen(1, "after");
    assert!(!sse.ended() && !websocket.ended());
    world.pass(2 * SECOND);
    assert!(sse.ended() && websocket.ended());
    assert!(!text(&sse).contains("after"));
    assert_eq!(texts(&websocket), (Vec::new(), true));
    let_go.send(()).unwrap();
}

/// A heartbeat was due in that time, too: if the stream waited for it, the loop would turn without a pause.
#[test]
fn while_a_quiet_stream_waits_for_its_sessions_end_the_loop_sleeps() {
    let mut world = world();
    world.sessions_last(30 * SECOND);
    let sign = world.log_in();
    let sse = world.sse(&sign);
    let let_go = world.hold_store();
    world.pass(30 * SECOND); // which fails if nothing sleeps
    assert!(!sse.ended());
    world.pass(2 * SECOND);
    assert!(sse.ended());
    let_go.send(()).unwrap();
}

#[test]
fn use_keeps_a_session_and_its_streams_alive() {
    let mut world = world();
    world.sessions_last(10 * SECOND);
    let sign = world.log_in();
    let sse = world.sse(&sign);
    for _ in 0..4 {
        world.pass(6 * SECOND);
        assert_eq!(statuses(&world.ask(&sign, "GET /session", "")), ["200"]);
    }
    world.happen(1, "still");
    assert!(text(&sse).contains("still") && !sse.ended());
}

#[test]
fn a_reading_that_is_overtaken_by_its_sessions_end_tells_nothing() {
    let mut world = world();
    let [ends, stays] = [(); 2].map(|()| world.log_in());
    let let_go = world.hold_store();
    let line = "GET /events?since=0";
    let [ending, staying] = [&ends, &stays].map(|sign| world.ask(sign, line, ""));
    world
        .reactor
        .program
        .app
        .sessions
        .remove(&fingerprint(ends.as_bytes()));
    let_go.send(()).unwrap();
    let mut answers = [String::new(), String::new()];
    world.until("both are answered", |_| {
        answers[0].push_str(&text(&ending));
        answers[1].push_str(&text(&staying));
        answers.iter().all(|answer| !answer.is_empty())
    });
    assert!(answers[0].starts_with("HTTP/1.1 401 "), "{}", answers[0]);
    assert!(!answers[0].contains("user.logged_in"), "{}", answers[0]);
    assert!(answers[1].starts_with("HTTP/1.1 200 "), "{}", answers[1]);
    assert_eq!(world.reactor.program.held().streams, 0);
}

#[test]
fn messages_are_answered_in_their_order_although_some_wait_for_the_disk() {
    let mut world = world();
    let sign = world.log_in();
    let websocket = world.websocket(&sign);
    let let_go = world.hold_store();
    for message in [
        &br#"{"ref":"first","publish":{"name":"tick"}}"#[..],
        br#"{"ref":2,"publish":{"name":"not a name"}}"#,
        br#"{"ref":-3,"subscribe":"tick"}"#,
        br#"{"publish":{"name":"tick"}}"#,
        br#"{"ref":[5],"publish":{"name":"tick"}}"#,
        br"no JSON",
    ] {
        websocket.send(&frame(0x80 | TEXT, message));
    }
    world.settle();
    assert_eq!(
        texts(&websocket).0,
        [""; 0],
        "the first waits, and so do the others"
    );
    let_go.send(()).unwrap();
    let mut answers = Vec::new();
    world.until("all are answered", |_| {
        let told = texts(&websocket).0.into_iter();
        answers.extend(told.filter(|text| !text.contains("\"id\":") || text.contains("published")));
        answers.len() == 6
    });
    let answers: Vec<serde_json::Value> = answers
        .iter()
        .map(|text| serde_json::from_str(text).unwrap())
        .collect();
    let what = |answer: &serde_json::Value| {
        let keys = answer.as_object().unwrap().keys();
        keys.filter(|key| *key != "ref")
            .cloned()
            .collect::<String>()
    };
    let said: Vec<_> = answers
        .iter()
        .map(|answer| (what(answer), answer["ref"].to_string()))
        .collect();
    let expected = [
        ("published", "\"first\""),
        ("error", "2"),
        ("subscribed", "-3"),
        ("published", "null"),
        ("error", "null"),
        ("error", "null"),
    ];
    let expected = expected.map(|(what, own_ref)| (what.to_owned(), own_ref.to_owned()));
    assert_eq!(said, expected, "{answers:?}");
}
