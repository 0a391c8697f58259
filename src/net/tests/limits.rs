//! The limits on what one peer may take of shared resources.

use std::net::SocketAddr;
use std::time::Duration;

use super::*;
use crate::app::{Hub, Waiting};
use crate::ledger::Limit;
use crate::reactor::{FLUSHES_PER_TURN, Peer};

fn from(address: &str) -> Peer {
    Peer::Ip(SocketAddr::new(address.parse().unwrap(), 50_000))
}

#[test]
fn one_address_does_not_get_all_connections() {
    let mut world = world();
    world.limits().connections_per_address_max = 2;
    let network = world.network.clone();
    let mut connect = |address: &str| {
        let peer = network.connect_from(from(address));
        world.settle();
        peer
    };
    let (first, second) = (connect("192.0.2.1"), connect("192.0.2.1"));
    for _ in 0..3 {
        let third = connect("192.0.2.1");
        assert_eq!(statuses(&third), ["429"]);
        assert!(third.ended());
    }
    let refused = text(&connect("192.0.2.1"));
    assert!(refused.contains("\"code\":\"too_many_connections\""));
    assert!(refused.contains("Retry-After: 1\r\n") && refused.contains("Connection: close\r\n"));
    let others: Vec<_> = [
        "192.0.2.2",
        "2001:db8::1",
        "127.0.0.1",
        "127.0.0.1",
        "127.0.0.1",
    ]
    .into_iter()
    .map(&mut connect)
    .collect();
    for peer in [&first, &second].into_iter().chain(&others) {
        peer.send(HEALTHZ);
    }
    world.settle();
    for peer in [&first, &second].into_iter().chain(&others) {
        assert_eq!(statuses(peer), ["200"]);
    }
    let refusals = world
        .reactor
        .ledger()
        .refusals(Limit::ConnectionsPerAddress);
    assert_eq!(refusals, 4);
    // The place of an ended connection is free again.
    first.end();
    world.settle();
    let again = world.network.connect_from(from("192.0.2.1"));
    again.send(HEALTHZ);
    world.settle();
    assert_eq!(statuses(&again), ["200"]);
}

#[test]
fn a_request_in_one_piece_is_served_when_no_room_is_left_for_pieces() {
    let mut world = world();
    world.limits().unfinished_bytes_max = 100_000;
    let body = "x".repeat(20_000);
    let part = format!("POST /login HTTP/1.1\r\nHost: h\r\nContent-Length: 40000\r\n\r\n{body}");
    let slow: Vec<_> = (0..10)
        .map(|_| {
            let peer = world.connect();
            peer.send(part.as_bytes());
            world.settle();
            peer
        })
        .collect();
    let (refused, kept): (Vec<_>, Vec<_>) =
        slow.into_iter().partition(|peer| statuses(peer) == ["503"]);
    assert!(
        (5..10).contains(&refused.len()),
        "{} were refused",
        refused.len()
    );
    assert!(world.reactor.program.clients.unfinished_bytes <= 100_000);
    let whole = world.connect();
    whole.send(HEALTHZ);
    world.settle();
    assert_eq!(statuses(&whole), ["200"]);
    // The first clients may finish what they began, and then there is room again.
    for peer in &kept {
        peer.send(body.as_bytes());
    }
    world.settle();
    for peer in &kept {
        assert_eq!(statuses(peer), ["415"]);
    }
    world.pass(Duration::from_secs(2)); // the refused connections have ended
    assert_eq!(world.reactor.program.clients.unfinished_bytes, 0);
    let late = world.connect();
    late.send(&HEALTHZ[..10]);
    world.settle();
    late.send(&HEALTHZ[10..]);
    world.settle();
    assert_eq!(statuses(&late), ["200"]);
}

#[test]
fn where_too_many_answers_wait_only_connections_with_much_of_it_end() {
    const BIG: &[u8] = b"GET /big HTTP/1.1\r\nHost: h\r\n\r\n";
    fn ask(world: &mut World, request: &[u8]) -> FakePeer {
        let peer = world.connect();
        peer.take_only(10);
        peer.send(request);
        world.settle();
        peer
    }
    let mut world = world();
    world.on("/big", || Reply::text(200, "x".repeat(10_000)));
    world.reactor.program.app.hub = Hub::new(Waiting::new(30_000));
    let first = [BIG, BIG].map(|request| ask(&mut world, request));
    let waiting = world.reactor.program.held().waiting_bytes;
    assert!((20_000..30_000).contains(&waiting), "{waiting}");
    // With the third, more waits than allowed; it alone has more than its share, which is a third.
    let refused = ask(&mut world, BIG);
    let small = [HEALTHZ, HEALTHZ].map(|request| ask(&mut world, request));
    assert!(refused.ended());
    for peer in first.iter().chain(&small) {
        assert!(!peer.ended());
        peer.take_all();
    }
    assert_eq!(world.reactor.ledger().refusals(Limit::WaitingBytes), 1);
    world.settle();
    for peer in first.iter().chain(&small) {
        assert_eq!(statuses(peer), ["200"]);
    }
    assert_eq!(world.reactor.program.held().waiting_bytes, 0);
}

#[test]
fn what_was_held_is_not_counted_any_longer_however_a_connection_ends() {
    let mut world = world();
    let part: &[u8] = b"POST /login HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nabc";
    let peers = [part, part, &HEALTHZ[..9], &HEALTHZ[..9]].map(|bytes| {
        let peer = world.connect();
        peer.send(bytes);
        peer
    });
    world.settle();
    assert!(world.reactor.program.clients.unfinished_bytes > 0);
    peers[0].end();
    peers[2].end();
    world.settle();
    assert!(world.reactor.program.clients.unfinished_bytes > 0);
    world.pass(Duration::from_secs(10));
    world.pass(Duration::from_secs(20));
    world.pass(Duration::from_secs(2));
    assert_eq!(statuses(&peers[1]), ["408"]);
    assert_eq!(statuses(&peers[3]), ["408"]);
    assert_eq!(world.reactor.program.clients.unfinished_bytes, 0);
    assert_eq!(world.reactor.ledger().refusals(Limit::RequestTime), 2);
}

#[test]
fn news_for_thousands_do_not_delay_an_answer() {
    const STREAMS: usize = 3 * FLUSHES_PER_TURN;
    let mut world = world();
    let sign = world.log_in();
    world.limits().streams_per_session_max = STREAMS;
    world.reactor.program.clients.open_max = 2 * STREAMS;
    let streams: Vec<_> = (0..STREAMS).map(|_| world.sse(&sign)).collect();
    let asking = world.connect();
    let writes: Vec<usize> = streams.iter().map(FakePeer::writes).collect();
    let told = || {
        let pairs = streams.iter().zip(&writes);
        pairs
            .filter(|(peer, before)| peer.writes() > **before)
            .count()
    };
    world.confirm(1, "news");
    asking.send(HEALTHZ);
    world.until("some have the news", |_| told() > 0);
    assert_eq!(told(), FLUSHES_PER_TURN);
    world.reactor.turn().unwrap();
    assert_eq!(statuses(&asking), ["200"], "it waited for all of them");
    world.settle();
    for peer in &streams {
        assert!(text(peer).contains("news"));
    }
}

#[test]
fn who_has_one_question_does_not_wait_for_a_crowd_with_many() {
    let mut world = world();
    let crowd: Vec<_> = (0..500).map(|_| world.connect()).collect();
    let light = world.connect();
    for peer in &crowd {
        peer.send(&HEALTHZ.repeat(100));
    }
    let (mut answered, mut turns) = (0, 0);
    while answered < crowd.len() * 100 {
        light.send(HEALTHZ);
        world.reactor.turn().unwrap();
        assert_eq!(statuses(&light), ["200"], "in the turn in which it asks");
        let of_turn: usize = crowd.iter().map(|peer| statuses(peer).len()).sum();
        assert!(of_turn <= 64 * 16, "{of_turn} answers in one turn");
        answered += of_turn;
        turns += 1;
        assert!(turns < 1000, "the crowd is served as well");
    }
    assert_eq!(answered, crowd.len() * 100);
}
