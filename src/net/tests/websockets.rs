//! What a WebSocket does beyond what every stream does: frames, pings, closes.

use super::streams::SECOND;
use super::*;

const WS_KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

impl World {
    /// Opens a WebSocket; returns the peer after it has read the answer.
    pub(super) fn websocket(&mut self, sign: &str) -> FakePeer {
        let fields = format!(
            "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {WS_KEY}\r\n"
        );
        let peer = self.ask(sign, "GET /events", &fields);
        assert!(text(&peer).starts_with("HTTP/1.1 101 "));
        peer
    }
}

/// A frame from a client, masked with zeros.
pub(super) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).expect("short");
    [&[first, 0x80 | length, 0, 0, 0, 0][..], payload].concat()
}

/// The frames that a server sent: opcode and payload.
pub(super) fn frames(bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let (mut rest, mut frames) = (bytes, Vec::new());
    while let [first, short, ..] = *rest {
        assert_eq!(
            (first & 0x80, short & 0x80),
            (0x80, 0),
            "whole, and not masked"
        );
        let (at, length) = match short {
            126 => (4, usize::from(u16::from_be_bytes([rest[2], rest[3]]))),
            127 => panic!("too long for a test"),
            _ => (2, usize::from(short)),
        };
        frames.push((first & 0x0f, rest[at..at + length].to_vec()));
        rest = &rest[at + length..];
    }
    assert!(rest.is_empty(), "cut short");
    frames
}

pub(super) const TEXT: u8 = 1;
pub(super) const CLOSE: u8 = 8;
pub(super) const PING: u8 = 9;
pub(super) const PONG: u8 = 10;

pub(super) fn opcodes(peer: &FakePeer) -> Vec<u8> {
    let frames = frames(&peer.received());
    frames.into_iter().map(|(opcode, _)| opcode).collect()
}

#[test]
fn a_websocket_whose_peer_does_not_answer_a_ping_is_closed() {
    let mut world = world();
    let sign = world.log_in();
    let (silent, talks) = (world.websocket(&sign), world.websocket(&sign));
    world.pass(25 * SECOND);
    assert_eq!(opcodes(&silent), [PING]);
    for _ in 0..9 {
        // A message is a sign of life, but not a pong.
        talks.send(&frame(0x80 | TEXT, b"?"));
        world.pass(SECOND);
    }
    assert!(!silent.freed());
    talks.send(&frame(0x80 | PONG, b""));
    world.pass(SECOND);
    assert!(silent.freed());
    assert!(!talks.freed());
    assert_eq!(world.reactor.program.app.hub.feeds(), 1);
}

#[test]
fn control_frames_pass_a_full_outbox() {
    let mut world = world();
    let sign = world.log_in();
    let peer = world.websocket(&sign);
    peer.take_only(10);
    world.happen(1000, &"x".repeat(10_000));
    let begun = peer.received();
    assert_eq!(begun.len(), 10);
    peer.send(&frame(0x80 | PING, b"there?"));
    world.settle();
    // The peer cannot answer a ping that has not reached it, and is given the time to take its bytes.
    for _ in 0..20 {
        world.pass(20 * SECOND);
        peer.take_only(1);
        peer.becomes_writable();
        world.settle();
        assert!(!peer.freed());
    }
    peer.take_all();
    world.settle();
    let told = frames(&[begun, peer.received()].concat());
    let place = told
        .iter()
        .position(|(opcode, payload)| *opcode == PONG && payload == b"there?");
    assert_eq!(
        place,
        Some(1),
        "after the frame that had begun, before all others"
    );
    let texts: Vec<String> = told
        .into_iter()
        .filter(|(opcode, _)| *opcode == TEXT)
        .map(|(_, payload)| String::from_utf8(payload).unwrap())
        .collect();
    assert!(
        texts.iter().any(|text| text.contains("\"name\":\"gap\"")),
        "some were dropped"
    );
    assert!(texts.len() < 200, "its outbox is bounded");
}

#[test]
fn a_close_is_answered_and_nothing_follows_it() {
    let mut world = world();
    let sign = world.log_in();
    let peer = world.websocket(&sign);
    let close = frame(
        0x80 | CLOSE,
        &[&1000_u16.to_be_bytes()[..], b"bye"].concat(),
    );
    peer.send(&[&close[..], &frame(0x80 | TEXT, b"late")].concat());
    let hub = &mut world.reactor.program.app.hub;
    assert_eq!(hub.feeds(), 1);
    world.settle();
    let told = frames(&peer.received());
    assert_eq!(told.len(), 1);
    assert_eq!(
        (told[0].0, &told[0].1[..2]),
        (CLOSE, &1000_u16.to_be_bytes()[..])
    );
    assert!(peer.ended());
    world.happen(1, "data");
    assert_eq!(peer.received(), b"");
    peer.end();
    world.settle();
    assert!(peer.freed());
    assert_eq!(world.reactor.program.app.hub.feeds(), 0);
}

#[test]
fn no_event_follows_a_close_frame_that_has_to_wait() {
    let mut world = world();
    let sign = world.log_in();
    let peer = world.websocket(&sign);
    peer.take_only(10);
    world.happen(3, "data");
    peer.send(&frame(0x83, b"no such opcode"));
    world.settle();
    world.happen(3, "data");
    peer.take_all();
    world.settle();
    let told = opcodes(&peer);
    assert_eq!(told, [TEXT, CLOSE], "the frame that had begun, and the end");
    assert!(peer.ended());
}

#[test]
fn messages_behind_many_pings_are_heard_without_another_edge() {
    let mut world = world();
    let sign = world.log_in();
    let peer = world.websocket(&sign);
    // One read takes exactly all of its bytes, and the answers are as many as an outbox may hold before the
    // peer is read again; what follows is in the socket, and no edge will report it.
    let mut bytes = frame(0x80 | TEXT, b"?").repeat(14);
    bytes.extend(frame(0x80 | PING, &[b'x'; 125]).repeat(505));
    bytes.extend(frame(0x80 | TEXT, br#"{"subscribe":"last"}"#));
    peer.send(&bytes);
    world.settle();
    let told = frames(&peer.received());
    assert_eq!(told.len(), 14 + 505 + 1);
    let last = told
        .last()
        .map(|(opcode, payload)| (*opcode, payload.clone()));
    assert_eq!(
        last,
        Some((TEXT, br#"{"subscribed":["*","last"]}"#.to_vec()))
    );
}

#[test]
fn what_was_answered_before_a_websocket_breaks_is_written_first() {
    let mut world = world();
    let sign = world.log_in();
    let peer = world.connect();
    peer.take_only(10);
    peer.send(HEALTHZ);
    peer.send(
        format!(
            "GET /events HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {sign}\r\nConnection: Upgrade\r\n\
             Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {WS_KEY}\r\n\r\n"
        )
        .as_bytes(),
    );
    peer.end();
    world.settle();
    peer.take_all();
    world.settle();
    assert_eq!(statuses(&peer), ["200", "101"]);
    assert!(peer.ended());
    assert_eq!(world.reactor.program.app.hub.feeds(), 0);
    assert!(world.reactor.program.app.streams.is_empty());
}
