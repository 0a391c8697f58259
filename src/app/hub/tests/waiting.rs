//! What waits for all subscribers together, and who has less of it when it is too much.

use super::*;

fn hub(bytes_max: usize) -> Hub {
    Hub::new(Waiting::new(bytes_max))
}

fn behind(hub: &mut Hub) -> FeedId {
    let (since, policy) = (Some(0), SlowPolicy::DropOldest);
    let feed = Feed::new(Wire::Line, everything(), since, 1 << 20, policy);
    hub.follow(owner(), feed)
}

/// Asks for a page, gives the feed one event in its place, and says how long the page might have been.
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
fn a_page_is_no_longer_than_what_each_subscriber_may_have_waiting() {
    let mut hub = hub(40_000);
    let ids: Vec<_> = (0..10).map(|_| behind(&mut hub)).collect();
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
    hub.unfollow(ids[1]);
    assert_eq!(hub.waiting().bytes(), 0);
}

#[test]
fn where_too_much_waits_only_those_who_have_not_taken_what_they_had_lose_events() {
    for (policy, left) in [(SlowPolicy::DropOldest, 4), (SlowPolicy::DropNewest, 9)] {
        let one = line_bytes();
        let mut hub = hub(7 * one);
        let [slow, quick] = [100, 100].map(|lines| follow(&mut hub, lines, policy));
        hub.confirmed(events(1..=8));
        hub.deliver();
        write(&mut hub, quick, usize::MAX);
        hub.feed(slow).expect("it is there").block();
        // Eight wait, and seven may. Of two subscribers, each may have three.
        hub.confirmed(events(9..=9));
        hub.deliver();
        assert_eq!(told(&write(&mut hub, quick, usize::MAX)), [(9, 0)]);
        let balance = balanced(&mut hub, slow);
        assert_eq!(balance.queued + balance.dropped, 9, "{policy:?}");
        // A gap is one of the lines.
        assert_eq!(told(&write(&mut hub, slow, usize::MAX)).len(), left);
        // It has taken everything, and is as good as the other.
        hub.confirmed(events(10..=20));
        hub.deliver();
        for id in [slow, quick] {
            assert_eq!(told(&write(&mut hub, id, usize::MAX)).len(), 11);
        }
    }
}
