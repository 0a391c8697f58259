//! Streams of events, over connections whose writes are all known.

use super::websockets::{CLOSE, PING, PONG, TEXT, frame, frames, opcodes};
use super::*;
use crate::event::{Event, NewEvent};
use crate::token::fingerprint;

pub(super) const SECOND: Duration = Duration::from_secs(1);

impl World {
    /// Logs in; returns the signature.
    pub(super) fn log_in(&mut self) -> String {
        let peer = self.connect();
        let body = "username=admin&password=password";
        let head = "POST /login HTTP/1.1\r\nHost: h\r\nContent-Type: application/x-www-form-urlencoded\r\n";
        let length = body.len();
        peer.send(format!("{head}Content-Length: {length}\r\n\r\n{body}").as_bytes());
        let mut answer = String::new();
        self.until("the login is answered", |_| {
            answer.push_str(&text(&peer));
            answer.contains("expires_at")
        });
        let (_, sign) = answer.split_once("\"user_sign\":\"").expect("a signature");
        peer.end();
        self.settle();
        sign.split('"').next().unwrap_or_default().to_owned()
    }

    pub(super) fn ask(&mut self, sign: &str, request_line: &str, fields: &str) -> FakePeer {
        let peer = self.connect();
        let head =
            format!("{request_line} HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {sign}\r\n");
        peer.send(format!("{head}{fields}\r\n").as_bytes());
        self.settle();
        peer
    }

    /// Follows server-sent events; returns the peer after it has read the head.
    pub(super) fn sse(&mut self, sign: &str) -> FakePeer {
        let peer = self.ask(sign, "GET /events", "Accept: text/event-stream\r\n");
        assert!(text(&peer).ends_with("retry: 2000\n\n"));
        peer
    }

    /// So many events are confirmed and delivered in one turn.
    pub(super) fn happen(&mut self, count: u64, data: &str) {
        self.confirm(count, data);
        self.settle(); // begins with a wait: no turn has told the program of the new events
        self.settle();
    }

    /// So many events are confirmed, as far as the hub knows: the store does not have them.
    pub(super) fn confirm(&mut self, count: u64, data: &str) {
        let hub = &mut self.reactor.program.app.hub;
        let first = hub.newest() + 1;
        let fact = tick(data);
        let event = |id| Event {
            id,
            fact: fact.clone(),
        };
        hub.confirmed((first..first + count).map(event).collect());
    }

    /// So many events are stored, confirmed and delivered.
    pub(super) fn store(&mut self, count: u64, data: &str) {
        let newest = self.reactor.program.app.hub.newest() + count;
        for _ in 0..count {
            self.reactor.program.app.emit(tick(data));
        }
        self.until("they are delivered", |world| {
            world.reactor.program.app.hub.delivered() == newest
        });
    }
}

fn tick(data: &str) -> NewEvent {
    NewEvent {
        unix_ms: 0,
        name: "tick".into(),
        sender: "test".into(),
        user_id: None,
        data: data.into(),
    }
}

#[test]
fn the_turn_that_confirms_a_logout_ends_the_streams_of_that_session() {
    let mut world = world();
    let [ends, stays] = [(); 2].map(|()| world.log_in());
    let (sse, websocket) = (world.sse(&ends), world.websocket(&ends));
    let newest = world.reactor.program.app.hub.newest();
    let poll = format!("GET /events?since={newest}&wait=60");
    let parked = world.ask(&ends, &poll, "");
    let (other_sse, other_websocket) = (world.sse(&stays), world.websocket(&stays));
    world.until("it has read that there is nothing yet", |world| {
        world.reactor.program.app.hub.feeds() == 5
    });
    let writes = [&sse, &websocket, &other_sse].map(FakePeer::writes);
    let leaves = world.connect();
    let head = format!("POST /logout HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {ends}\r\n\r\n");
    leaves.send(head.as_bytes());
    let mut confirmation = String::new();
    world.until("the logout is confirmed", |_| {
        confirmation = text(&leaves);
        // Not before: the streams of a session that could not be ended on disk continue.
        let early = confirmation.is_empty() && (sse.ended() || websocket.ended());
        assert!(!early, "ended before it was confirmed");
        !confirmation.is_empty()
    });
    // No turn has passed since.
    assert!(
        confirmation.contains("\"streams_closed\":3"),
        "{confirmation}"
    );
    let told = text(&sse);
    assert!(told.contains("\nevent: user.logged_out\n"), "{told}");
    assert!(told.contains("\n\nevent: session.revoked\n"), "{told}");
    assert!(sse.ended());
    let told = frames(&websocket.received());
    assert_eq!(told.len(), 2);
    assert_eq!((told[0].0, told[1].0), (TEXT, CLOSE));
    assert_eq!(told[1].1[..2], 4401_u16.to_be_bytes());
    assert!(websocket.ended());
    assert_eq!(statuses(&parked), ["401"]);
    // The event and the end came in one write, and the others got the event alone.
    assert_eq!(
        [&sse, &websocket, &other_sse].map(FakePeer::writes),
        writes.map(|n| n + 1)
    );
    assert!(text(&other_sse).ends_with("\n\n"));
    assert_eq!(opcodes(&other_websocket), [TEXT]);
    assert!(!other_sse.ended() && !other_websocket.ended());
}

#[test]
fn what_is_emitted_in_one_turn_reaches_each_subscriber_in_one_write() {
    let mut world = world();
    let sign = world.log_in();
    let (sse, websocket) = (world.sse(&sign), world.websocket(&sign));
    let writes = [&sse, &websocket].map(FakePeer::writes);
    world.happen(100, "data");
    assert_eq!(
        [&sse, &websocket].map(FakePeer::writes),
        writes.map(|n| n + 1)
    );
    assert_eq!(text(&sse).matches("\nevent: tick\n").count(), 100);
    assert_eq!(opcodes(&websocket), [TEXT; 100]);
    // Very many are delivered over several turns, between which the loop does not sleep.
    world.happen(3000, "data");
    assert_eq!(opcodes(&websocket), [TEXT; 3000]);
    assert_eq!(text(&sse).matches("\nevent: tick\n").count(), 3000);
    assert_eq!(websocket.writes() - writes[1], 1 + 3000_usize.div_ceil(256));
    assert_eq!(
        world.reactor.program.writer.buffers.spares(),
        1,
        "streams hold no buffers"
    );
}

#[test]
fn a_long_poll_is_answered_with_no_more_than_it_asked_for() {
    let mut world = world();
    let sign = world.log_in();
    let since = world.reactor.program.app.hub.newest();
    let park = |world: &mut World, limit| {
        let since = world.reactor.program.app.hub.newest();
        let line = format!("GET /events?since={since}&wait=60&limit={limit}");
        let peer = world.ask(&sign, &line, "");
        world.until("it waits", |world| {
            world.reactor.program.app.hub.feeds() == 1
        });
        peer
    };
    let first = since + 1;
    let peer = park(&mut world, 2);
    world.store(5, "data");
    let answer = text(&peer);
    assert_eq!(answer.matches("\"tick\"").count(), 2, "{answer}");
    let ends = format!("\"last\":{},\"more\":true}}\n", first + 1);
    assert!(answer.ends_with(&ends), "{answer}");

    // More events in one turn than an outbox holds: the answer has the first ones, and where to continue.
    let peer = park(&mut world, 1000);
    world.happen(200, &"x".repeat(10_000));
    let answer = text(&peer);
    let count = answer.matches("\"tick\"").count() as u64;
    assert!((50..150).contains(&count), "{count}");
    let ends = format!("\"last\":{},\"more\":true}}\n", first + 4 + count);
    assert!(
        answer.ends_with(&ends) && !answer.contains("gap"),
        "{count}"
    );
}

#[test]
fn a_silent_stream_shows_that_it_is_not_dead() {
    let mut world = world();
    let sign = world.log_in();
    let (sse, websocket) = (world.sse(&sign), world.websocket(&sign));
    let ping = frame(0x80 | PONG, b"");
    for _ in 0..10 {
        world.pass(24 * SECOND);
        assert_eq!(text(&sse), "");
        assert!(websocket.received().is_empty());
        world.pass(SECOND);
        assert_eq!(text(&sse), ":\n\n");
        assert_eq!(opcodes(&websocket), [PING]);
        websocket.send(&ping);
        world.settle();
    }
    // A stream that sends events needs no comment. A WebSocket is pinged anyway: only an answer shows that
    // its peer is there.
    world.pass(15 * SECOND);
    world.happen(1, "data");
    assert!(text(&sse).starts_with("id: "));
    assert_eq!(opcodes(&websocket), [TEXT]);
    world.pass(10 * SECOND);
    assert_eq!(text(&sse), "");
    assert_eq!(opcodes(&websocket), [PING]);
}

#[test]
fn who_takes_nothing_of_a_stream_is_cut_in_the_end() {
    let mut world = world();
    let sign = world.log_in();
    let (sse, websocket) = (world.sse(&sign), world.websocket(&sign));
    for peer in [&sse, &websocket] {
        peer.take_only(0);
    }
    world.happen(1, "data");
    world.pass(29 * SECOND);
    assert!(!sse.freed() && !websocket.freed());
    world.happen(1, "something new does not prolong it");
    world.pass(SECOND);
    assert!(sse.freed() && websocket.freed());
    assert_eq!(world.reactor.program.app.hub.feeds(), 0);
}

#[test]
fn a_stream_does_not_outlive_a_session_that_went_unnoticed() {
    let mut world = world();
    let sign = world.log_in();
    let (sse, websocket) = (world.sse(&sign), world.websocket(&sign));
    world
        .reactor
        .program
        .app
        .sessions
        .remove(&fingerprint(sign.as_bytes()));
    world.pass(25 * SECOND);
    assert!(text(&sse).starts_with("event: session.revoked\n"));
    assert_eq!(opcodes(&websocket), [CLOSE]);
    assert!(sse.ended() && websocket.ended());
}

#[test]
fn each_stream_is_told_another_time_to_come_back() {
    let mut world = world();
    let [one, two] = [(); 2].map(|()| world.log_in());
    let streams: Vec<FakePeer> = [&one, &two]
        .into_iter()
        .flat_map(|sign| (0..5).map(|_| world.sse(sign)).collect::<Vec<_>>())
        .collect();
    world.reactor.completer().complete(Completion::Drain);
    world.settle();
    world.until("they are told that it drains", |_| {
        streams.iter().all(|stream| stream.writes() > 1)
    });
    world.pass(Duration::from_millis(250));
    let mut times: Vec<u32> = streams
        .iter()
        .map(|stream| {
            let told = text(stream);
            assert!(told.contains("\nevent: server.draining\n"), "{told}");
            assert!(stream.ended());
            let (before, retry) = told.rsplit_once("retry: ").expect("when to come back");
            assert!(
                before.contains("server.draining"),
                "the event comes first: {told}"
            );
            retry.trim().parse().expect("milliseconds")
        })
        .collect();
    times.sort_unstable();
    times.dedup();
    assert!(times.len() > 5, "{times:?}");
}
