//! Clients that watch the loop, over connections whose writes are all known.

use super::*;
use crate::app::monitor::BATCH_EVERY;
use crate::net::Broadcaster;
use crate::net::observers::{WATCHER_BYTES_MAX, WATCHERS_MAX};

/// A world with `/live`, and with a broadcaster that sends what happens.
fn watched() -> World {
    let mut world = world();
    let broadcaster = world.reactor.add(Box::new(Broadcaster::default())).unwrap();
    world.reactor.program.broadcast_by(broadcaster);
    world.reactor.ledger().remember_more();
    world.on("/live", || Reply::Watch(None));
    world
}

impl World {
    fn watch(&mut self) -> FakePeer {
        let peer = self.connect();
        peer.send(b"GET /live HTTP/1.1\r\nHost: h\r\n\r\n");
        self.settle();
        peer
    }
}

#[test]
fn a_watcher_that_reads_nothing_has_a_bounded_outbox_and_delays_no_other() {
    let mut world = watched();
    let (silent, reader, client) = (world.watch(), world.watch(), world.connect());
    assert!(text(&silent).contains("event: hello"));
    silent.take_only(0);
    let mut read = 0;
    // Less than the time after which a client that takes nothing is cut.
    for _ in 0..100 {
        for _ in 0..100 {
            client.send(HEALTHZ);
            world.settle();
        }
        world.pass(BATCH_EVERY);
        read += reader.received().len();
        assert_eq!(text(&client).matches("200 OK").count(), 100);
    }
    assert!(read > 2 * WATCHER_BYTES_MAX, "{read} bytes were told");
    let held = world.reactor.program.app.watch.is_some();
    assert!(held, "both are still there");
    silent.take_all();
    world.settle();
    let late = silent.received();
    assert!(late.len() <= WATCHER_BYTES_MAX, "{} bytes", late.len());
    assert!(late.len() > WATCHER_BYTES_MAX / 2, "it got what was kept");
    // Then it continues: the numbers of the turns show what was left out.
    client.send(HEALTHZ);
    world.pass(BATCH_EVERY);
    assert!(text(&silent).starts_with("event: batch"));
    assert_eq!(text(&reader).matches("event: batch").count(), 1);
}

#[test]
fn watchers_are_limited_and_nothing_is_told_once_they_have_left() {
    let mut world = watched();
    let watchers: Vec<FakePeer> = (0..WATCHERS_MAX).map(|_| world.watch()).collect();
    let one_more = world.watch();
    assert!(text(&one_more).starts_with("HTTP/1.1 503 "));
    for watcher in watchers {
        watcher.end();
    }
    world.settle();
    assert!(world.reactor.program.app.watch.is_none());
    let watcher = world.watch();
    world.pass(BATCH_EVERY);
    assert!(text(&watcher).starts_with("HTTP/1.1 200 "));
    // Nothing happens, so nothing is sent.
    world.pass(20 * BATCH_EVERY);
    assert_eq!(text(&watcher), "");
}
