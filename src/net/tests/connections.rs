//! Requests and answers, over connections whose reads and writes are all known.

use std::io;
use std::time::Duration;

use super::*;

#[test]
fn sixteen_pipelined_requests_cost_one_read_and_one_write() {
    let mut world = world();
    let peer = world.connect();
    let (reads, writes) = (peer.reads(), peer.writes());
    peer.send(&HEALTHZ.repeat(16));
    world.settle();
    assert_eq!(statuses(&peer), ["200"; 16]);
    assert_eq!(peer.writes() - writes, 1);
    // With mio's poll(2) backend a second read has to show that nothing is left.
    let confirming = usize::from(!crate::reactor::SHORT_MEANS_DRAINED);
    assert_eq!(peer.reads() - reads, 1 + confirming);
}

#[test]
fn more_than_the_budget_is_answered_over_several_turns_in_order() {
    let mut world = world();
    let peer = world.connect();
    let writes = peer.writes();
    peer.send(&HEALTHZ.repeat(100));
    world.settle();
    assert_eq!(statuses(&peer).len(), 100);
    assert_eq!(peer.writes() - writes, 100_usize.div_ceil(16));
}

#[test]
fn a_request_is_answered_wherever_it_was_cut() {
    let mut world = world();
    let peer = world.connect();
    for cut in 1..HEALTHZ.len() {
        peer.send(&HEALTHZ[..cut]);
        world.settle();
        assert_eq!(text(&peer), "", "answered too early, at {cut}");
        peer.send(&HEALTHZ[cut..]);
        world.settle();
        assert_eq!(statuses(&peer), ["200"], "cut at {cut}");
    }
}

#[test]
fn a_drip_of_bytes_does_not_move_the_head_deadline() {
    let mut world = world();
    let peer = world.connect();
    let mut sent = 0;
    for byte in HEALTHZ.iter().take(11) {
        peer.send(&[*byte]);
        world.settle();
        sent += 1;
        world.pass(Duration::from_secs(1));
        if !statuses(&peer).is_empty() {
            break;
        }
    }
    assert!(peer.ended(), "after {sent} bytes in as many seconds");
    assert_eq!(sent, 10, "cut off before its time");
}

#[test]
fn what_comes_too_late_is_answered_with_408() {
    for (sent, seconds) in [
        (&HEALTHZ[..5], 10),
        (
            b"POST /login HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nab",
            30,
        ),
    ] {
        let mut world = world();
        let peer = world.connect();
        peer.send(sent);
        world.settle();
        world.pass(Duration::from_secs(seconds - 1));
        assert_eq!(text(&peer), "");
        world.pass(Duration::from_secs(1));
        let answer = text(&peer);
        assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
        assert!(answer.contains("\r\nConnection: close\r\n"), "{answer}");
        assert!(peer.ended());
    }
}

#[test]
fn a_silent_connection_is_closed_when_its_patience_ends_and_not_before() {
    let mut world = world();
    let peer = world.connect();
    world.pass(Duration::from_secs(74));
    peer.send(HEALTHZ);
    world.settle();
    assert_eq!(statuses(&peer), ["200"]);
    world.pass(Duration::from_secs(74));
    assert!(!peer.freed(), "the request was not counted");
    world.pass(Duration::from_secs(1));
    assert!(peer.freed());
    assert_eq!(world.reactor.program.clients.open, 0);
}

#[test]
fn a_client_that_reads_nothing_is_cut_and_a_slow_reader_is_not() {
    let mut world = world();
    world.on("/big", || Reply::text(200, "x".repeat(10_000)));
    let (greedy, slow) = (world.connect(), world.connect());
    for peer in [&greedy, &slow] {
        peer.take_only(100);
        peer.send(b"GET /big HTTP/1.1\r\nHost: h\r\n\r\n");
    }
    world.settle();
    for _ in 0..10 {
        world.pass(Duration::from_secs(20));
        slow.take_only(100);
        slow.becomes_writable();
        world.settle();
    }
    assert!(greedy.freed());
    assert!(!slow.freed());
    slow.take_all();
    world.settle();
    assert!(slow.received().len() > 10_000);
}

#[test]
fn who_takes_bytes_of_which_no_edge_tells_is_not_cut() {
    let mut world = world();
    let patience = world.limits().write_timeout;
    let peer = world.connect();
    peer.take_only(10);
    peer.send(HEALTHZ);
    world.settle();
    for _ in 0..5 {
        assert_eq!(peer.received().len(), 10);
        peer.take_only(10); // no edge: not enough of the buffer is free
        world.pass(patience);
        assert!(!peer.freed(), "it takes what it is sent");
    }
    assert_eq!(peer.received().len(), 10);
    world.pass(patience);
    assert!(peer.freed(), "it took nothing");
}

#[test]
fn a_peer_that_does_not_read_its_answers_is_not_read_either() {
    let mut world = world();
    world.on("/big", || Reply::text(200, "x".repeat(10_000)));
    let peer = world.connect();
    peer.take_only(0);
    for _ in 0..50 {
        peer.send(&b"GET /big HTTP/1.1\r\nHost: h\r\n\r\n".repeat(16));
        world.settle();
    }
    let reads = peer.reads();
    assert!(reads <= 4, "{reads} reads: requests pile up behind answers");
    peer.take_all();
    world.settle();
    assert_eq!(statuses(&peer).len(), 50 * 16, "and nothing was lost");
}

#[test]
fn an_answer_is_sent_to_one_who_has_half_closed() {
    let mut world = world();
    let peer = world.connect();
    peer.send(HEALTHZ);
    peer.end();
    world.settle();
    assert_eq!(statuses(&peer), ["200"]);
    assert!(peer.freed());
}

#[test]
fn a_reset_frees_the_connection_and_nothing_else() {
    let mut world = world();
    let (gone, stays) = (world.connect(), world.connect());
    gone.send(&HEALTHZ[..7]);
    world.settle();
    gone.fail(io::ErrorKind::ConnectionReset);
    stays.send(HEALTHZ);
    world.settle();
    assert!(gone.freed());
    assert_eq!(statuses(&stays), ["200"]);
    assert_eq!(world.reactor.program.clients.open, 1);
}

#[test]
fn a_fault_is_answered_once_and_what_follows_is_not() {
    let mut world = world();
    let peer = world.connect();
    peer.send(b"GET / HTTP/1.1\r\nHost : h\r\n\r\nGET /healthz HTTP/1.1\r\nHost: h\r\n\r\n");
    world.settle();
    assert_eq!(statuses(&peer), ["400"]);
    assert!(
        peer.ended() && !peer.freed(),
        "it lingers, so that the answer is not lost"
    );
    peer.send(HEALTHZ);
    world.settle();
    assert_eq!(text(&peer), "");
    world.pass(Duration::from_secs(2));
    assert!(peer.freed());
}

#[test]
fn an_idle_connection_holds_no_buffer() {
    let mut world = world();
    let peers: Vec<FakePeer> = (0..10).map(|_| world.connect()).collect();
    for peer in &peers {
        peer.send(HEALTHZ);
        world.settle();
    }
    // One buffer served all: each was given back before the next was borrowed.
    assert_eq!(world.reactor.program.writer.buffers.spares(), 1);
}

#[test]
fn a_stream_is_made_as_it_is_taken() {
    let mut world = world();
    world.on("/stream", || {
        let pieces = (0..1000).map(|_| vec![b'x'; 10_000]);
        Reply::stream(Response::new(Status::OK), pieces)
    });
    let peer = world.connect();
    peer.take_only(1000);
    peer.send(b"GET /stream HTTP/1.1\r\nHost: h\r\n\r\n");
    world.settle();
    let flushed = |world: &mut World| -> u32 {
        let turns = world.reactor.ledger().turns();
        turns.map(|turn| turn.counts[Phase::Flush as usize]).sum()
    };
    assert!(flushed(&mut world) < 4, "more was made than taken");
    peer.take_all();
    world.settle();
    let answer = text(&peer);
    assert!(answer.ends_with("\r\n0\r\n\r\n"));
    assert!(answer.len() > 10_000_000);
    peer.send(HEALTHZ);
    world.settle();
    assert_eq!(statuses(&peer), ["200"], "the connection goes on");
}

#[test]
fn a_panic_in_a_stream_leaves_the_body_visibly_unfinished() {
    let mut world = world();
    world.on("/broken", || {
        let pieces = (0..3).map(|n| {
            if n < 2 {
                vec![b'x'; 10]
            } else {
                panic!("broken")
            }
        });
        Reply::stream(Response::new(Status::OK), pieces)
    });
    let peer = world.connect();
    peer.send(b"GET /broken HTTP/1.1\r\nHost: h\r\n\r\n");
    world.settle();
    assert!(!text(&peer).ends_with("0\r\n\r\n"));
    assert!(peer.ended());
}

#[test]
fn draining_gives_idle_connections_a_short_grace() {
    let mut world = world();
    let (idle, late) = (world.connect(), world.connect());
    let completer = world.reactor.completer();
    completer.complete(Completion::Drain);
    world.settle();
    assert!(!idle.freed(), "a request may be on its way");
    late.send(HEALTHZ);
    world.settle();
    let answer = text(&late);
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(answer.contains("\r\nConnection: close\r\n"), "{answer}");
    assert!(late.ended(), "it may still be sending, so it is read out");
    world.pass(Duration::from_millis(250));
    assert!(idle.freed() && !late.freed());
    world.pass(Duration::from_secs(2));
    assert!(late.freed());
}
