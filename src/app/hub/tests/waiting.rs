//! The bytes that wait for all subscribers together, and which subscribers get less room when they are too many.

use super::*;

fn hub(bytes_max: usize) -> Hub {
    Hub::new(Waiting::new(bytes_max))
}

fn behind(hub: &mut Hub) -> FeedId {
    let (since, policy) = (Some(0), SlowPolicy::DropOldest);
    let feed = Feed::new(
        Encoding::Line,
        Interest::everything(),
        since,
        1 << 20,
        policy,
    );
    hub.follow(owner(), feed)
}

/// Asks for a page, gives the feed one event in its place, and returns how long the page could have been.
fn asked(hub: &mut Hub, id: FeedId) -> usize {
    let query = hub.next_page(id).expect("it is behind");
    let page = Page {
        events: events(1..=1),
        through: query.since + 1,
        more: true,
        oldest: 1,
    };
    hub.page(id, Ok(page));
    query.bytes_max
}

#[test]
fn a_reader_who_takes_its_pages_at_once_gets_longer_ones_and_a_slow_one_short_ones() {
    let mut hub = hub(usize::MAX);
    let id = behind(&mut hub);
    let mut lengths = Vec::new();
    for blocks in [false, false, false, true, false, false] {
        lengths.push(asked(&mut hub, id));
        if blocks {
            hub.feed(id).expect("it is there").block();
        }
        write(&mut hub, id, usize::MAX);
    }
    assert_eq!(lengths, [8, 16, 32, 32, 8, 16].map(|kib| kib * 1024));
}

#[test]
fn a_page_is_no_longer_than_half_an_outbox_or_than_what_each_subscriber_may_have_waiting() {
    let mut hub = hub(40_000);
    let feed = Feed::new(
        Encoding::Line,
        Interest::everything(),
        Some(0),
        6000,
        SlowPolicy::DropOldest,
    );
    let small = hub.follow(owner(), feed);
    let ids: Vec<_> = (0..9).map(|_| behind(&mut hub)).collect();
    assert_eq!(asked(&mut hub, small), 3000);
    for id in ids {
        assert_eq!(asked(&mut hub, id), 4000);
    }
}

#[test]
fn an_event_counts_once_for_each_form_until_the_last_subscriber_has_taken_it() {
    let mut hub = hub(usize::MAX);
    let ids = [9, 9].map(|lines| follow(&mut hub, lines, SlowPolicy::DropOldest));
    hub.confirmed(events(1..=2));
    hub.deliver();
    assert_eq!(hub.waiting().bytes(), 2 * line_bytes());
    write(&mut hub, ids[0], usize::MAX);
    assert_eq!(hub.waiting().bytes(), 2 * line_bytes());
    write(&mut hub, ids[1], line_bytes());
    assert_eq!(hub.waiting().bytes(), line_bytes());
    for encoding in [Encoding::Sse, Encoding::WebSocket] {
        let policy = SlowPolicy::DropOldest;
        hub.follow(
            owner(),
            Feed::new(encoding, Interest::everything(), None, 1 << 20, policy),
        );
    }
    hub.confirmed(events(3..=3));
    hub.deliver();
    assert!(
        hub.waiting().bytes() > 4 * line_bytes(),
        "three forms of one"
    );
    for id in hub.feeds.iter_mut().map(|(id, _)| id).collect::<Vec<_>>() {
        hub.unfollow(id);
    }
    assert_eq!(hub.waiting().bytes(), 0);
}

#[test]
fn where_too_much_waits_only_those_who_have_not_taken_what_they_had_lose_events() {
    for (policy, left) in [(SlowPolicy::DropOldest, 2), (SlowPolicy::DropNewest, 6)] {
        let one = line_bytes();
        let mut hub = hub(6 * one);
        let hog = follow(&mut hub, 100, SlowPolicy::DropNewest);
        let [slow, quick] = [100, 100].map(|lines| follow(&mut hub, lines, policy));
        hub.confirmed(events(1..=6));
        hub.deliver();
        write(&mut hub, quick, usize::MAX);
        for id in [hog, slow] {
            hub.feed(id).expect("it is there").block();
        }
        write(&mut hub, slow, one);
        // Six wait, as many as may wait: there is still room for one more.
        hub.confirmed(events(7..=7));
        hub.deliver();
        // Seven wait, and of three subscribers each may have two.
        hub.confirmed(events(8..=8));
        hub.deliver();
        assert_eq!(told(&write(&mut hub, quick, usize::MAX)), [(7, 0), (8, 0)]);
        assert_eq!(balanced(&mut hub, hog).dropped, 1);
        assert_eq!(balanced(&mut hub, slow).queued, left, "{policy:?}");
        // It takes everything, and is treated like the other, though the first still holds too much.
        write(&mut hub, slow, usize::MAX);
        hub.confirmed(events(9..=12));
        hub.deliver();
        assert_eq!(balanced(&mut hub, hog).dropped, 5);
        for id in [slow, quick] {
            assert_eq!(told(&write(&mut hub, id, usize::MAX)).len(), 4);
        }
    }
}
