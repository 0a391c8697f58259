//! What a feed reports about itself while it is written: how far it has come, what must follow, what has room.

use super::*;

fn feed(since: Option<u64>) -> Feed {
    Feed::new(
        Encoding::Line,
        Interest::everything(),
        since,
        1 << 20,
        SlowPolicy::DropOldest,
    )
}

/// A hub with a feed to which these events were delivered.
fn delivered(ids: std::ops::RangeInclusive<u64>, lines_max: usize) -> (Hub, FeedId) {
    let mut hub = Hub::default();
    let id = follow(&mut hub, lines_max, SlowPolicy::DropNewest);
    hub.confirmed(events(ids));
    hub.deliver();
    (hub, id)
}

#[test]
fn a_feed_says_through_which_event_it_has_been_written() {
    let (mut hub, one) = (Hub::default(), line_bytes());
    let id = hub.follow(owner(), feed(Some(7)));
    let through = |hub: &mut Hub| hub.feed(id).expect("it is there").delivered_through();
    assert_eq!(through(&mut hub), 7, "where it was to begin");
    let page = Page {
        events: events(8..=9),
        through: 9,
        more: false,
        oldest: 1,
    };
    hub.next_page(id).expect("behind");
    hub.page(id, Ok(page));
    for (bytes, expected) in [(one - 1, 7), (1, 8), (one, 9)] {
        write(&mut hub, id, bytes);
        assert_eq!(through(&mut hub), expected);
    }
}

#[test]
fn a_feed_is_done_when_it_is_live_and_all_is_written() {
    let (mut hub, id) = delivered(1..=2, 9);
    let feed = hub.feed(id).expect("it is there");
    assert!(!feed.is_empty() && !feed.is_done() && !feed.is_over());
    write(&mut hub, id, usize::MAX);
    let feed = hub.feed(id).expect("it is there");
    assert!(feed.is_empty() && feed.is_done() && !feed.is_over());
    let behind = self::feed(Some(0));
    assert!(behind.is_empty() && !behind.is_done());
}

#[test]
fn a_feed_that_the_store_fails_is_over() {
    let mut hub = Hub::default();
    let id = hub.follow(owner(), feed(Some(0)));
    hub.next_page(id).expect("behind");
    hub.page(id, Err(StoreError::Busy));
    let feed = hub.feed(id).expect("it is there");
    assert!(feed.is_over() && feed.next_page(usize::MAX).is_none());
}

#[test]
fn a_reader_that_has_everything_is_told_only_what_follows() {
    let mut hub = Hub::default();
    let mut feed = feed(Some(3));
    feed.has_all_through(5);
    assert!(feed.next_page(usize::MAX).is_none());
    let id = hub.follow(owner(), feed);
    hub.confirmed(events(5..=7));
    hub.deliver();
    assert_eq!(told(&write(&mut hub, id, usize::MAX)), [(6, 0), (7, 0)]);
}

#[test]
fn the_rest_of_an_event_that_was_written_in_part_must_follow() {
    let (mut hub, id) = delivered(1..=2, 9);
    let one = line_bytes();
    for (bytes, rest) in [(0, 0), (10, one - 10), (one - 12, 2), (2, 0), (5, one - 5)] {
        write(&mut hub, id, bytes);
        let feed = hub.feed(id).expect("it is there");
        assert_eq!(feed.rest_of_item(), rest);
    }
}

#[test]
fn one_piece_is_given_out_as_it_is_and_more_only_as_a_list() {
    let (mut hub, id) = delivered(1..=2, 9);
    let one = line_bytes();
    let sole = |hub: &mut Hub| {
        let feed = hub.feed(id).expect("it is there");
        feed.sole().map(<[u8]>::to_vec)
    };
    assert_eq!(sole(&mut hub), None);
    write(&mut hub, id, one + 1);
    let line = Encoded::new(event(2, "tick"), &Waiting::default())
        .bytes(Encoding::Line)
        .to_vec();
    assert_eq!(sole(&mut hub), Some(line[1..].to_vec()));
    write(&mut hub, id, usize::MAX);
    assert_eq!(sole(&mut hub), None);
}

#[test]
fn what_was_written_makes_room_for_as_much_and_no_more() {
    let (mut hub, id) = delivered(1..=3, 3);
    let one = line_bytes();
    let mut written = write(&mut hub, id, one);
    hub.confirmed(events(4..=5));
    hub.deliver();
    written += &write(&mut hub, id, usize::MAX);
    assert_eq!(told(&written), [(1, 0), (2, 0), (3, 0), (4, 0), (5, 5)]);
}

#[test]
fn a_gap_that_is_being_written_does_not_grow() {
    let (mut hub, id) = delivered(1..=1, 0); // there is room for nothing
    let mut written = write(&mut hub, id, 10);
    hub.confirmed(events(2..=3));
    hub.deliver();
    written += &write(&mut hub, id, usize::MAX);
    assert_eq!(told(&written), [(1, 1), (2, 3)]);
}

#[test]
fn json_is_taken_by_the_piece_and_never_past_a_gap() {
    let (mut hub, id) = delivered(1..=4, 3); // the fourth has no room
    let take = |hub: &mut Hub, most| {
        let feed = hub.feed(id).expect("it is there");
        feed.take_json(most)
    };
    let json = |id| (id, event(id, "tick").to_json());
    assert_eq!(take(&mut hub, 2), [json(1), json(2)]);
    assert_eq!(take(&mut hub, 9), [json(3)]);
    assert_eq!(take(&mut hub, 9), []);
    assert_eq!(told(&write(&mut hub, id, usize::MAX)), [(4, 4)]);
    assert_eq!(balanced(&mut hub, id).delivered, 3);
}
