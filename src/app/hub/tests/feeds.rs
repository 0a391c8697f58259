//! Feeds: which events are dropped, what is sent instead, and how a feed catches up.

use super::*;

#[test]
fn the_oldest_are_dropped_and_the_gap_stands_in_their_place() {
    let mut hub = Hub::default();
    let id = follow(&mut hub, 3, SlowPolicy::DropOldest);
    hub.confirmed(events(1..=8));
    hub.deliver();
    assert_eq!(balanced(&mut hub, id).dropped, 5);
    assert_eq!(
        told(&write(&mut hub, id, usize::MAX)),
        [(1, 5), (6, 0), (7, 0), (8, 0)]
    );
    hub.confirmed(events(9..=9));
    hub.deliver();
    assert_eq!(told(&write(&mut hub, id, usize::MAX)), [(9, 0)]);
    assert_eq!(balanced(&mut hub, id).delivered, 4);
}

#[test]
fn what_has_been_written_in_part_is_written_to_its_end() {
    for policy in [SlowPolicy::DropOldest, SlowPolicy::DropNewest] {
        let mut hub = Hub::default();
        let id = follow(&mut hub, 3, policy);
        hub.confirmed(events(1..=3));
        hub.deliver();
        let mut written = write(&mut hub, id, 10);
        hub.confirmed(events(4..=9));
        hub.deliver();
        balanced(&mut hub, id);
        // A gap that is being written does not grow any more.
        while let rest = write(&mut hub, id, 7)
            && !rest.is_empty()
        {
            written.push_str(&rest);
        }
        let expected = match policy {
            SlowPolicy::DropOldest => [(1, 0), (2, 7), (8, 0), (9, 0)],
            _ => [(1, 0), (2, 0), (3, 0), (4, 9)],
        };
        assert_eq!(told(&written), expected);
        assert_eq!(balanced(&mut hub, id).queued, 0);
    }
}

#[test]
fn the_newest_are_dropped_until_there_is_room() {
    let mut hub = Hub::default();
    let id = follow(&mut hub, 2, SlowPolicy::DropNewest);
    hub.confirmed(events(1..=5));
    hub.deliver();
    let one = line_bytes();
    let mut written = write(&mut hub, id, one);
    hub.confirmed(events(6..=7));
    hub.deliver();
    assert_eq!(balanced(&mut hub, id).dropped, 4);
    written += &write(&mut hub, id, usize::MAX);
    assert_eq!(told(&written), [(1, 0), (2, 0), (3, 5), (6, 0), (7, 7)]);
}

#[test]
fn who_is_too_slow_can_be_disconnected_and_keeps_what_it_has() {
    let mut hub = Hub::default();
    let id = follow(&mut hub, 2, SlowPolicy::Disconnect);
    hub.confirmed(events(1..=5));
    hub.deliver();
    assert!(hub.feed(id).expect("it is there").is_over());
    assert_eq!(balanced(&mut hub, id).queued, 2);
    let balance = hub.unfollow(id).expect("it was there");
    assert_eq!(
        (balance.published, balance.dropped, balance.queued),
        (3, 3, 0)
    );
}

#[test]
fn an_event_that_no_outbox_holds_is_a_gap() {
    for policy in [SlowPolicy::DropOldest, SlowPolicy::DropNewest] {
        let mut hub = Hub::default();
        let feed = Feed::new(Encoding::Line, Interest::everything(), None, 10, policy);
        let id = hub.follow(owner(), feed);
        hub.confirmed(events(1..=2));
        hub.deliver();
        assert_eq!(told(&write(&mut hub, id, usize::MAX)), [(1, 2)]);
        assert_eq!(balanced(&mut hub, id).dropped, 2);
    }
}

#[test]
fn an_event_that_no_outbox_holds_leaves_the_others_alone() {
    let mut hub = Hub::default();
    let id = follow(&mut hub, 5, SlowPolicy::DropOldest);
    let mut huge = event(3, "tick");
    huge.fact.data = "x".repeat(10 * line_bytes()).into();
    hub.confirmed([events(1..=2), vec![huge], events(4..=4)].concat());
    hub.deliver();
    let heard = told(&write(&mut hub, id, usize::MAX));
    assert_eq!(heard, [(1, 0), (2, 0), (3, 3), (4, 0)]);
    assert_eq!(balanced(&mut hub, id).dropped, 1);
}

#[test]
fn a_page_chosen_by_former_wishes_is_read_anew() {
    let mut hub = Hub::default();
    let (since, policy) = (Some(0), SlowPolicy::DropOldest);
    let feed = Feed::new(
        Encoding::Line,
        Interest::everything(),
        since,
        1 << 20,
        policy,
    );
    let id = hub.follow(owner(), feed);
    let feed = hub.feed(id).expect("it is there");
    assert!(feed.next_page(usize::MAX).is_some());
    feed.interest_mut()
        .patterns
        .push(Pattern::Exact("tick".into()));
    assert!(feed.next_page(usize::MAX).is_none(), "one at a time");
    hub.page(id, Ok(page(1..=1, false, 1)));
    assert_eq!(write(&mut hub, id, usize::MAX), "");
    let query = hub.next_page(id);
    assert_eq!(query.map(|query| query.since), Some(0));
    hub.page(id, Ok(page(1..=3, false, 1)));
    assert_eq!(
        told(&write(&mut hub, id, usize::MAX)),
        [(1, 0), (2, 0), (3, 0)]
    );
}

#[test]
fn no_last_words_are_the_end_as_well() {
    let mut hub = Hub::default();
    let id = follow(&mut hub, 9, SlowPolicy::DropOldest);
    let feed = hub.feed(id).expect("it is there");
    feed.finish(vec![], false);
    assert!(feed.is_empty() && feed.is_over());
}

fn page(ids: std::ops::RangeInclusive<u64>, more: bool, oldest: u64) -> Page {
    Page {
        through: *ids.end(),
        events: events(ids),
        more,
        oldest,
    }
}

#[test]
fn who_resumes_is_told_everything_once_however_the_pages_come() {
    let mut hub = Hub::default();
    let feed = Feed::new(
        Encoding::Line,
        Interest::everything(),
        Some(10),
        1 << 20,
        SlowPolicy::DropOldest,
    );
    let id = hub.follow(owner(), feed);
    let query = hub.next_page(id).expect("it is behind");
    assert_eq!(query.since, 10);
    assert!(hub.next_page(id).is_none(), "one at a time");
    // Events that are confirmed meanwhile are in the store, and are read from there.
    hub.confirmed(events(21..=22));
    hub.deliver();
    hub.page(id, Ok(page(11..=20, true, 1)));
    assert!(hub.next_page(id).is_none(), "nothing of it is taken yet");
    let mut written = write(&mut hub, id, usize::MAX);
    let query = hub.next_page(id).expect("there is more");
    assert_eq!(query.since, 20);
    // The last page comes in the turn in which its events are confirmed, and new ones too.
    hub.confirmed(events(23..=25));
    hub.page(id, Ok(page(21..=24, false, 1)));
    hub.deliver();
    written += &write(&mut hub, id, usize::MAX);
    let ids: Vec<u64> = told(&written).iter().map(|t| t.0).collect();
    assert_eq!(ids, (11..=25).collect::<Vec<u64>>());
    assert!(hub.feed(id).expect("it is there").is_done());
    assert_eq!(balanced(&mut hub, id).delivered, 15);
}

#[test]
fn what_the_store_no_longer_has_is_a_gap() {
    let mut hub = Hub::default();
    let resume = |hub: &mut Hub, since, page| {
        let feed = Feed::new(
            Encoding::Line,
            Interest::everything(),
            Some(since),
            1 << 20,
            SlowPolicy::DropOldest,
        );
        let id = hub.follow(owner(), feed);
        hub.next_page(id).expect("it is behind");
        hub.page(id, Ok(page));
        told(&write(hub, id, usize::MAX))
    };
    assert_eq!(
        resume(&mut hub, 3, page(7..=8, false, 7)),
        [(4, 6), (7, 0), (8, 0)]
    );
    assert_eq!(resume(&mut hub, 6, page(7..=8, false, 7)), [(7, 0), (8, 0)]);
}

#[test]
fn a_reader_ahead_of_a_restored_store_is_told_and_given_another_place() {
    for since in [9, 99, u64::MAX] {
        let mut hub = Hub::default();
        let (bytes_max, policy) = (3 * line_bytes(), SlowPolicy::DropOldest);
        let feed = Feed::new(
            Encoding::Sse,
            Interest::everything(),
            Some(since),
            bytes_max,
            policy,
        );
        let id = hub.follow(owner(), feed);
        assert!(hub.next_page(id).is_some());
        let nothing = Page {
            events: vec![],
            through: 8,
            more: false,
            oldest: 7,
        };
        hub.page(id, Ok(nothing));
        // The events that are confirmed then do not fit, but the rewind is never dropped for them.
        hub.confirmed(events(9..=20));
        hub.deliver();
        assert!(balanced(&mut hub, id).dropped > 0);
        let written = write(&mut hub, id, usize::MAX);
        let gap = format!(r#"{{"name":"gap","data":{{"from":9,"to":{since},"last":8}}}}"#);
        let begins = format!("id: 8\nevent: gap\ndata: {gap}\n\nevent: gap\ndata: ");
        assert!(written.starts_with(&begins), "{written}");
        assert!(written.contains("id: 20\n"), "{written}");
    }
}

#[test]
fn a_feed_whose_page_ends_before_what_was_delivered_reads_on() {
    let mut hub = Hub::default();
    let feed = Feed::new(
        Encoding::Line,
        Interest::everything(),
        Some(0),
        1 << 20,
        SlowPolicy::DropOldest,
    );
    let id = hub.follow(owner(), feed);
    hub.next_page(id).expect("it is behind");
    hub.confirmed(events(1..=4));
    hub.deliver();
    hub.page(id, Ok(page(1..=2, false, 1)));
    let mut written = write(&mut hub, id, usize::MAX);
    assert!(!hub.feed(id).expect("it is there").is_done());
    let query = hub.next_page(id).expect("the page ended too early");
    assert_eq!(query.since, 2);
    // Events that are confirmed and not delivered yet will be offered: they need not be read.
    hub.confirmed(events(5..=6));
    hub.page(id, Ok(page(3..=4, false, 1)));
    hub.deliver();
    written += &write(&mut hub, id, usize::MAX);
    assert_eq!(
        told(&written),
        (1..=6).map(|id| (id, 0)).collect::<Vec<_>>()
    );
    assert!(hub.feed(id).expect("it is there").is_done());
}

#[test]
fn a_page_older_than_its_reader_takes_no_reader_back() {
    let mut hub = Hub::default();
    hub.begin_after(9);
    let (since, policy) = (Some(8), SlowPolicy::DropOldest);
    let feed = Feed::new(
        Encoding::Line,
        Interest::everything(),
        since,
        1 << 20,
        policy,
    );
    let id = hub.follow(owner(), feed);
    hub.next_page(id).expect("it is behind");
    let nothing = Page {
        events: vec![],
        through: 7,
        more: false,
        oldest: 1,
    };
    hub.page(id, Ok(nothing));
    assert_eq!(
        write(&mut hub, id, usize::MAX),
        "",
        "the store was not restored"
    );
    let query = hub.next_page(id).expect("the page was too old");
    assert_eq!(query.since, 8);
    hub.page(id, Ok(page(9..=9, false, 1)));
    assert_eq!(told(&write(&mut hub, id, usize::MAX)), [(9, 0)]);
}

#[test]
fn a_feed_is_behind_as_long_as_its_reader_is() {
    let mut hub = Hub::default();
    let (bytes_max, since) = (10 * line_bytes(), Some(0));
    let feed = Feed::new(
        Encoding::Line,
        Interest::everything(),
        since,
        bytes_max,
        SlowPolicy::DropOldest,
    );
    let id = hub.follow(owner(), feed);
    hub.next_page(id).expect("it is behind");
    hub.page(id, Ok(page(1..=8, true, 1)));
    write(&mut hub, id, 7 * line_bytes());
    assert!(hub.next_page(id).is_none(), "one event is not taken");
    write(&mut hub, id, line_bytes());
    assert!(hub.next_page(id).is_some());
}

#[test]
fn the_last_words_follow_what_waits_unless_the_reader_takes_nothing() {
    for (blocked, expected) in [(false, "123bye"), (true, "1bye")] {
        let mut hub = Hub::default();
        let id = follow(&mut hub, 9, SlowPolicy::DropOldest);
        hub.confirmed(events(1..=3));
        hub.deliver();
        let mut written = write(&mut hub, id, 5);
        hub.feed(id)
            .expect("it is there")
            .finish(b"bye".to_vec(), blocked);
        hub.confirmed(events(4..=4));
        hub.deliver();
        written += &write(&mut hub, id, usize::MAX);
        let short: String = written
            .lines()
            .map(|line| line.split(['{', ':', ',']).nth(2).unwrap_or(line))
            .collect();
        assert_eq!(short, expected, "{written}");
        assert_eq!(balanced(&mut hub, id).queued, 0);
    }
}

#[test]
fn a_page_that_comes_after_the_last_words_is_too_late() {
    let mut hub = Hub::default();
    let (since, policy) = (Some(0), SlowPolicy::DropOldest);
    let feed = Feed::new(
        Encoding::Line,
        Interest::everything(),
        since,
        1 << 20,
        policy,
    );
    let id = hub.follow(owner(), feed);
    let feed = hub.feed(id).expect("it is there");
    assert!(feed.next_page(usize::MAX).is_some());
    feed.finish(b"bye".to_vec(), false);
    hub.page(id, Ok(page(1..=3, false, 1)));
    assert_eq!(write(&mut hub, id, usize::MAX), "bye");
    assert_eq!(balanced(&mut hub, id), Balance::default());
}
