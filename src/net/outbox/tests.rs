//! What is written in which order, how far a flush comes, and what is kept meanwhile.

use super::*;
use crate::app::{Audience, Hub, Interest, Pattern, Wire};
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
    let interest = Interest {
        audience: Audience::Everything,
        patterns: vec![Pattern::All],
    };
    let (mut hub, mut buffers) = (Hub::default(), Buffers::default());
    let feed = Feed::new(Wire::Line, interest, None, 1 << 20, SlowPolicy::DropOldest);
    let id = hub.follow(Slots::default().insert(()), feed);
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
        // The rest of an event goes first, so some wait; but not all that ever were.
        assert!(outbox.bytes.len() < 100_000, "{}", outbox.bytes.len());
    }
}
