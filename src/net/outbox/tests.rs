//! The order of writes, how far a flush comes, and what is kept meanwhile.

use std::collections::VecDeque;

use super::*;
use crate::app::{Encoding, FeedId, Hub, Interest};
use crate::config::SlowPolicy;
use crate::event::{Event, NewEvent};
use crate::reactor::Slots;

/// Takes so many bytes, then no more.
struct Narrow(usize);

impl Write for Narrow {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = bytes.len().min(self.0);
        self.0 -= count;
        if count == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(count)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let slices: Vec<&[u8]> = slices.iter().map(|slice| &**slice).collect();
        self.write(&slices.concat())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn what_was_written_is_forgotten_though_a_feed_is_never_empty() {
    let (mut hub, mut buffers) = (Hub::default(), Buffers::default());
    let id = follow(&mut hub);
    let fact = NewEvent {
        unix_ms: 0,
        name: "tick".into(),
        sender: "test".into(),
        user_id: None,
        data: "x".repeat(10_000).into(),
    };
    let events = (1..=90).map(|id| Event {
        id,
        fact: fact.clone(),
    });
    hub.confirmed(events.collect());
    hub.deliver();
    let feed = hub.feed(id).expect("it is there");
    let mut outbox = Outbox::default();
    for _ in 0..5000 {
        outbox.buffer(&mut buffers).extend_from_slice(&[b'p'; 120]);
        let flushed = outbox.flush_with(feed, &mut Narrow(170), &mut buffers);
        assert_eq!(flushed.expect("it takes some"), Flushed::Blocked(170));
        assert!(!feed.is_empty());
        // The rest of an event goes first, so some answers wait, but not all that were ever written.
        assert!(outbox.bytes.len() < 100_000, "{}", outbox.bytes.len());
    }
}

/// The result of one write: so many bytes are taken, or it fails.
type Answer = Result<usize, io::ErrorKind>;

/// Follows a script, then takes everything.
#[derive(Default)]
struct Scripted {
    writes: VecDeque<Answer>,
    flush: Option<io::ErrorKind>,
    taken: Vec<u8>,
    calls: usize,
}

impl Scripted {
    fn new(writes: &[Answer]) -> Self {
        Self {
            writes: writes.iter().copied().collect(),
            ..Self::default()
        }
    }
}

impl Write for Scripted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.calls += 1;
        let count = self.writes.pop_front().unwrap_or(Ok(usize::MAX))?;
        let count = count.min(bytes.len());
        self.taken.extend_from_slice(&bytes[..count]);
        Ok(count)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let slices: Vec<&[u8]> = slices.iter().map(|slice| &**slice).collect();
        self.write(&slices.concat())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.flush.map_or(Ok(()), |kind| Err(kind.into()))
    }
}

const TEN: &[u8] = b"0123456789";

fn outbox(bytes: &[u8], buffers: &mut Buffers) -> Outbox {
    let mut outbox = Outbox::default();
    outbox.buffer(buffers).extend_from_slice(bytes);
    outbox
}

/// A feed of all events.
fn follow(hub: &mut Hub) -> FeedId {
    let (interest, policy) = (Interest::everything(), SlowPolicy::DropOldest);
    let feed = Feed::new(Encoding::Line, interest, None, 1 << 20, policy);
    hub.follow(Slots::default().insert(()), feed)
}

/// A hub with one feed of these events, whose lines are the second part.
fn hub_with_feed(count: u64) -> (Hub, FeedId, Vec<String>) {
    let mut hub = Hub::default();
    let id = follow(&mut hub);
    let event = |id| Event {
        id,
        fact: NewEvent {
            unix_ms: 0,
            name: "tick".into(),
            sender: "test".into(),
            user_id: None,
            data: serde_json::Value::Null,
        },
    };
    let lines = (1..=count).map(|id| event(id).to_json() + "\n").collect();
    hub.confirmed((1..=count).map(event).collect());
    hub.deliver();
    (hub, id, lines)
}

/// Tries both ways of writing: alone, and with a feed in which nothing waits.
fn flush_both_ways(script: &[Answer], check: impl Fn(io::Result<Flushed>, &Outbox, &Scripted)) {
    for with_feed in [false, true] {
        let (mut buffers, mut stream) = (Buffers::default(), Scripted::new(script));
        let mut outbox = outbox(TEN, &mut buffers);
        let flushed = if with_feed {
            let (mut hub, id, _) = hub_with_feed(0);
            let feed = hub.feed(id).expect("it is there");
            outbox.flush_with(feed, &mut stream, &mut buffers)
        } else {
            outbox.flush(&mut stream, &mut buffers)
        };
        check(flushed, &outbox, &stream);
    }
}

#[test]
fn a_flush_says_how_far_it_came_and_keeps_the_rest() {
    use io::ErrorKind::{Interrupted, WouldBlock};
    for (script, flushed, taken) in [
        (&[][..], Flushed::All, 10),
        (&[Err(Interrupted), Ok(10)], Flushed::All, 10),
        (&[Err(WouldBlock)], Flushed::Blocked(0), 0),
        (&[Ok(3), Err(WouldBlock)], Flushed::Blocked(3), 3),
        (&[Ok(9), Err(WouldBlock)], Flushed::Blocked(9), 9),
    ] {
        flush_both_ways(script, |result, outbox, stream| {
            assert_eq!(result.expect("nothing is wrong"), flushed);
            assert_eq!(stream.taken, &TEN[..taken]);
            assert_eq!(outbox.len(), 10 - taken);
            assert_eq!(outbox.is_empty(), taken == 10);
            assert_eq!(outbox.sent(), taken as u64);
        });
    }
}

#[test]
fn an_error_of_the_stream_ends_the_flush() {
    use io::ErrorKind::{ConnectionReset, WriteZero};
    for (script, kind) in [
        (&[Err(ConnectionReset)][..], ConnectionReset),
        (&[Ok(0)], WriteZero),
    ] {
        flush_both_ways(script, |result, _, stream| {
            assert_eq!(result.expect_err("it failed").kind(), kind);
            assert_eq!(stream.calls, 1, "it is not tried again");
        });
    }
}

#[test]
fn a_short_write_is_not_followed_by_one_that_would_block() {
    if !SHORT_MEANS_DRAINED {
        return;
    }
    let script = [Ok(3), Ok(0)];
    flush_both_ways(&script, |result, _, stream| {
        assert_eq!(result.expect("nothing is wrong"), Flushed::Blocked(3));
        assert_eq!(stream.calls, 1);
    });
    for events in [1, 2] {
        let (mut hub, id, _) = hub_with_feed(events);
        let feed = hub.feed(id).expect("it is there");
        let (mut buffers, mut stream) = (Buffers::default(), Scripted::new(&script));
        let flushed = Outbox::default().flush_with(feed, &mut stream, &mut buffers);
        assert_eq!(flushed.expect("nothing is wrong"), Flushed::Blocked(3));
        assert_eq!(stream.calls, 1);
    }
}

#[test]
fn what_the_stream_holds_back_itself_is_not_all_written() {
    for (held_back, kept) in [
        (io::ErrorKind::WouldBlock, Some(Flushed::Blocked(10))),
        (io::ErrorKind::BrokenPipe, None),
    ] {
        let (mut buffers, mut stream) = (Buffers::default(), Scripted::default());
        stream.flush = Some(held_back);
        let flushed = outbox(TEN, &mut buffers).flush(&mut stream, &mut buffers);
        assert_eq!(flushed.ok(), kept);
    }
}

#[test]
fn answers_go_before_events_but_not_into_the_middle_of_one() {
    for begun in [0, 1, 20] {
        let (mut hub, id, lines) = hub_with_feed(3);
        let feed = hub.feed(id).expect("it is there");
        let (mut buffers, mut stream) = (Buffers::default(), Scripted::default());
        stream
            .writes
            .extend([Ok(begun), Err(io::ErrorKind::WouldBlock)]);
        let mut outbox = Outbox::default();
        if begun > 0 {
            let flushed = outbox.flush_with(feed, &mut stream, &mut buffers);
            assert_eq!(flushed.expect("it takes some"), Flushed::Blocked(begun));
        }
        stream.writes.clear();
        outbox.buffer(&mut buffers).extend_from_slice(b"pong\n");
        let flushed = outbox.flush_with(feed, &mut stream, &mut buffers);
        assert_eq!(flushed.expect("it takes all"), Flushed::All);
        let mut expected = lines.clone();
        expected.insert(usize::from(begun > 0), "pong\n".into());
        assert_eq!(String::from_utf8_lossy(&stream.taken), expected.concat());
        assert_eq!(outbox.sent(), stream.taken.len() as u64);
        assert!(outbox.is_empty() && feed.is_empty());
    }
}

#[test]
fn an_event_that_has_begun_is_ended_first_wherever_a_write_ends() {
    let all = hub_with_feed(2).2.concat().len() + 5;
    for next in 1..all - 1 {
        let (mut hub, id, lines) = hub_with_feed(2);
        let feed = hub.feed(id).expect("it is there");
        let (mut buffers, mut stream) = (Buffers::default(), Scripted::default());
        let mut outbox = Outbox::default();
        for (own, count) in [(&b""[..], 1), (b"pong\n", next)] {
            outbox.buffer(&mut buffers).extend_from_slice(own);
            let full = Err(io::ErrorKind::WouldBlock);
            stream.writes = VecDeque::from([Ok(count), full]);
            let flushed = outbox.flush_with(feed, &mut stream, &mut buffers);
            assert_eq!(flushed.expect("it takes some"), Flushed::Blocked(count));
        }
        stream.writes.clear();
        let flushed = outbox.flush_with(feed, &mut stream, &mut buffers);
        assert_eq!(flushed.expect("it takes all"), Flushed::All);
        let expected = format!("{}pong\n{}", lines[0], lines[1]);
        assert_eq!(String::from_utf8_lossy(&stream.taken), expected);
        assert_eq!(outbox.sent(), all as u64);
    }
}

#[test]
fn the_order_holds_wherever_a_write_ends() {
    let all = hub_with_feed(2).2.concat().len() + 5;
    for first in 1..all {
        let (mut hub, id, lines) = hub_with_feed(2);
        let feed = hub.feed(id).expect("it is there");
        let (mut buffers, mut stream) = (Buffers::default(), Scripted::default());
        let mut outbox = outbox(b"pong\n", &mut buffers);
        stream
            .writes
            .extend([Ok(first), Err(io::ErrorKind::WouldBlock)]);
        let flushed = outbox.flush_with(feed, &mut stream, &mut buffers);
        assert_eq!(flushed.expect("it takes some"), Flushed::Blocked(first));
        assert_eq!(outbox.len(), 5_usize.saturating_sub(first));
        stream.writes.clear();
        let flushed = outbox.flush_with(feed, &mut stream, &mut buffers);
        assert_eq!(flushed.expect("it takes all"), Flushed::All);
        let expected = format!("pong\n{}", lines.concat());
        assert_eq!(String::from_utf8_lossy(&stream.taken), expected);
        assert_eq!(outbox.sent(), all as u64);
    }
}

#[test]
fn what_was_written_is_forgotten_though_something_always_waits() {
    let (mut buffers, mut outbox) = (Buffers::default(), Outbox::default());
    for _ in 0..1000 {
        outbox.buffer(&mut buffers).extend_from_slice(&[b'p'; 120]);
        let flushed = outbox.flush(&mut Narrow(100), &mut buffers);
        assert_eq!(flushed.expect("it takes some"), Flushed::Blocked(100));
        assert!(outbox.bytes.len() <= 2 * outbox.len() + 120);
    }
    assert_eq!(outbox.len(), 1000 * 20);
}

#[test]
fn a_buffer_is_borrowed_only_while_bytes_wait() {
    let mut buffers = Buffers::default();
    let mut first = outbox(TEN, &mut buffers);
    assert_eq!(buffers.spares(), 0);
    first.buffer(&mut buffers).extend_from_slice(TEN);
    assert_eq!(first.len(), 20);
    let flushed = first.flush(&mut Scripted::default(), &mut buffers);
    assert_eq!(flushed.expect("it takes all"), Flushed::All);
    assert_eq!(buffers.spares(), 1);
    outbox(TEN, &mut buffers).discard(&mut buffers);
    assert_eq!(buffers.spares(), 1, "the same one again");
}

#[test]
fn what_waits_goes_from_one_outbox_to_another() {
    let mut buffers = Buffers::default();
    let mut old = outbox(TEN, &mut buffers);
    let flushed = old.flush(&mut Narrow(4), &mut buffers);
    assert_eq!(flushed.expect("it takes some"), Flushed::Blocked(4));
    let waiting = old.take(&mut buffers);
    assert_eq!(waiting, &TEN[4..]);
    assert!(old.is_empty());
    let (mut new, mut stream) = (Outbox::default(), Scripted::default());
    new.put(waiting);
    let flushed = new.flush(&mut stream, &mut buffers);
    assert_eq!(flushed.expect("it takes all"), Flushed::All);
    assert_eq!(stream.taken, &TEN[4..]);
}
