//! The hub, without a server around it. `feeds` tests what remote subscribers get, `progress` what a feed
//! reports about itself, and `balance` that no event is lost without a gap.

mod balance;
mod feeds;
mod progress;
mod waiting;

use std::cell::RefCell;
use std::rc::Rc;

use super::*;
use crate::config::SlowPolicy;
use crate::event::{Audience, Interest, NewEvent};
use crate::websocket;

fn event(id: u64, name: &'static str) -> Event {
    let fact = NewEvent {
        unix_ms: 0,
        name: name.into(),
        sender: "test".into(),
        user_id: None,
        data: serde_json::Value::Null,
    };
    Event { id, fact }
}

fn events(ids: std::ops::RangeInclusive<u64>) -> Vec<Event> {
    ids.map(|id| event(id, "tick")).collect()
}

/// What subscribers receive, in order.
#[derive(Clone, Default)]
struct Heard(Rc<RefCell<Vec<(&'static str, u64)>>>);

impl Heard {
    fn by(&self, who: &'static str, event: &Event) {
        self.0.borrow_mut().push((who, event.id));
    }

    fn take(&self) -> Vec<(&'static str, u64)> {
        self.0.take()
    }
}

#[test]
fn all_receive_in_registration_order_and_one_that_panics_stops_no_other() {
    let (mut hub, heard) = (Hub::default(), Heard::default());
    for who in ["first", "second"] {
        let heard = heard.clone();
        hub.subscribe("*", move |event: &Event| heard.by(who, event));
        if who == "first" {
            hub.subscribe("user.*", |event: &Event| {
                assert_eq!(event.id, 0, "its own fault");
            });
        }
    }
    hub.confirmed(vec![event(1, "user.logged_in"), event(2, "button_clicked")]);
    let missed = Missed {
        id: 1,
        was_error: false,
    };
    assert_eq!(hub.deliver(), (2, vec![missed]));
    assert_eq!(
        heard.take(),
        [("first", 1), ("second", 1), ("first", 2), ("second", 2)]
    );
    assert_eq!(hub.deliver(), (0, vec![]), "nothing is delivered twice");
}

#[test]
fn who_unsubscribes_within_a_delivery_gets_no_more_and_no_other_misses_one() {
    let (mut hub, heard) = (Hub::default(), Heard::default());
    let listener = |who, leaves_at| {
        let heard = heard.clone();
        move |event: &Event| {
            heard.by(who, event);
            if event.id == leaves_at {
                After::Unsubscribe
            } else {
                After::Next
            }
        }
    };
    hub.subscribe("*", listener("first", 1));
    hub.subscribe("*", listener("second", 2));
    let third = hub.subscribe("*", listener("third", u64::MAX));
    hub.confirmed(events(1..=3));
    assert_eq!(hub.deliver(), (3, vec![]));
    assert_eq!(
        heard.take(),
        [
            ("first", 1),
            ("second", 1),
            ("third", 1),
            ("second", 2),
            ("third", 2),
            ("third", 3)
        ]
    );
    hub.unsubscribe(third);
    hub.unsubscribe(third);
    hub.confirmed(events(4..=4));
    hub.deliver();
    assert_eq!(heard.take(), []);
}

#[test]
fn an_object_is_a_subscriber_too() {
    struct Counter(Rc<RefCell<u64>>);
    impl Subscriber for Counter {
        fn receive(&mut self, _: &Event) -> After {
            *self.0.borrow_mut() += 1;
            After::Next
        }
    }
    let (mut hub, count) = (Hub::default(), Rc::default());
    hub.subscribe("tick", Counter(Rc::clone(&count)));
    hub.confirmed(events(1..=3));
    hub.deliver();
    assert_eq!(*count.borrow(), 3);
}

fn owner() -> Token {
    Token::from_u64(1 << 32)
}

/// Writes what waits in a feed, at most `count` bytes; returns it as text.
fn write(hub: &mut Hub, id: FeedId, count: usize) -> String {
    let feed = hub.feed(id).expect("it is there");
    let mut bytes: Vec<u8> = feed.slices().flatten().copied().collect();
    bytes.truncate(count);
    feed.wrote(bytes.len());
    String::from_utf8(bytes).expect("what is written is text")
}

/// The ids in the written lines, and gaps as negative pairs.
fn told(lines: &str) -> Vec<(u64, u64)> {
    lines
        .lines()
        .map(|line| {
            let value: serde_json::Value = serde_json::from_str(line).expect("a line of JSON");
            let number = |value: &serde_json::Value| value.as_u64().expect("a number");
            if value["name"] == "gap" {
                (number(&value["data"]["from"]), number(&value["data"]["to"]))
            } else {
                (number(&value["id"]), 0)
            }
        })
        .collect()
}

/// The length of every line of these tests.
fn line_bytes() -> usize {
    Encoded::new(event(1, "tick"), &Waiting::default())
        .bytes(Encoding::Line)
        .len()
}

fn follow(hub: &mut Hub, lines_max: usize, policy: SlowPolicy) -> FeedId {
    let bytes_max = lines_max * line_bytes();
    let feed = Feed::new(
        Encoding::Line,
        Interest::everything(),
        None,
        bytes_max,
        policy,
    );
    hub.follow(owner(), feed)
}

fn hub_with_feeds(count: usize, lines_max: usize, policy: SlowPolicy) -> Hub {
    let mut hub = Hub::default();
    for _ in 0..count {
        follow(&mut hub, lines_max, policy);
    }
    hub
}

fn balanced(hub: &mut Hub, id: FeedId) -> Balance {
    let balance = hub.feed(id).expect("it is there").balance();
    let Balance {
        published,
        delivered,
        dropped,
        queued,
    } = balance;
    assert_eq!(published, delivered + dropped + queued, "{balance}");
    balance
}

#[test]
fn of_many_events_a_turn_delivers_some() {
    let (mut hub, heard) = (Hub::default(), Heard::default());
    let by = heard.clone();
    hub.subscribe("*", move |event: &Event| by.by("it", event));
    let id = follow(&mut hub, 10_000, SlowPolicy::DropOldest);
    hub.confirmed(events(1..=600));
    let mut counts = Vec::new();
    while hub.has_more() {
        counts.push(hub.deliver().0);
        hub.confirmed(vec![]);
    }
    assert_eq!(counts, [256, 256, 88]);
    let ids: Vec<u64> = heard.take().into_iter().map(|(_, id)| id).collect();
    assert_eq!(ids, (1..=600).collect::<Vec<u64>>());
    assert_eq!(balanced(&mut hub, id).published, 600);
}

#[test]
fn an_owner_is_told_once_of_all_that_is_new() {
    let mut hub = Hub::default();
    follow(&mut hub, 9, SlowPolicy::DropOldest);
    hub.confirmed(events(1..=3));
    hub.deliver();
    assert_eq!(touched(&mut hub), [owner()]);
    assert_eq!(touched(&mut hub), []);
}

#[test]
fn each_transport_has_its_own_frame_of_the_same_json() {
    let event = Encoded::new(event(7, "tick"), &Waiting::default());
    let json = event.json().to_owned();
    assert_eq!(event.bytes(Encoding::Line), format!("{json}\n").as_bytes());
    assert_eq!(
        event.bytes(Encoding::Sse),
        format!("id: 7\nevent: tick\ndata: {json}\n\n").as_bytes()
    );
    let mut frame = Vec::new();
    websocket::encode_text(&json, &mut frame);
    assert_eq!(event.bytes(Encoding::WebSocket), frame);
}

#[test]
#[should_panic(expected = "a pattern is a name, a prefix as in user.*, or *: \"user*\"")]
fn to_subscribe_to_what_is_no_pattern_is_a_mistake_in_the_program() {
    Hub::default().subscribe("user*", |_: &Event| {});
}

#[test]
fn one_subscription_ends_and_the_others_go_on() {
    let (mut hub, heard) = (Hub::default(), Heard::default());
    let ids = ["first", "second", "third"].map(|who| {
        let heard = heard.clone();
        hub.subscribe("*", move |event: &Event| heard.by(who, event))
    });
    hub.unsubscribe(ids[1]);
    hub.confirmed(events(1..=1));
    hub.deliver();
    assert_eq!(heard.take(), [("first", 1), ("third", 1)]);
}

#[test]
fn where_many_follow_a_turn_delivers_fewer_events() {
    let mut hub = hub_with_feeds(1024, 1, SlowPolicy::DropNewest);
    hub.confirmed(events(1..=40));
    assert_eq!([(); 3].map(|()| hub.deliver().0), [16, 16, 8]);
}

/// The sources that are to be flushed.
fn touched(hub: &mut Hub) -> Vec<Token> {
    let mut owners = Vec::new();
    hub.take_touched(|owner| owners.push(owner));
    owners
}

#[test]
fn a_burst_to_many_gathers_until_all_of_it_is_there() {
    let mut hub = hub_with_feeds(4096, 100, SlowPolicy::DropOldest);
    hub.confirmed(events(1..=10));
    for _ in 0..2 {
        assert_eq!(hub.deliver().0, 4);
        assert_eq!(touched(&mut hub), []);
    }
    assert_eq!(hub.deliver().0, 2);
    assert_eq!(touched(&mut hub).len(), 4096, "each once");
    assert_eq!(touched(&mut hub), []);
}

#[test]
fn an_endless_burst_does_not_gather_for_ever() {
    let mut hub = hub_with_feeds(4096, 1000, SlowPolicy::DropOldest);
    hub.confirmed(events(1..=1000));
    while touched(&mut hub).is_empty() {
        hub.deliver();
    }
    assert!(hub.has_more());
    let gathered = hub.waiting().bytes();
    assert!((GATHERED_BYTES_MAX..GATHERED_BYTES_MAX + 1024).contains(&gathered));
}

#[test]
fn the_balance_counts_all_feeds_there_ever_were() {
    let mut hub = Hub::default();
    let ids = [3, 3, 9].map(|lines_max| follow(&mut hub, lines_max, SlowPolicy::DropNewest));
    hub.confirmed(events(1..=5));
    hub.deliver();
    for id in ids {
        write(&mut hub, id, 2 * line_bytes());
    }
    assert_eq!(hub.feeds(), 3);
    // Two of five are delivered to each. The small ones had room for one more, and drop two.
    let before = "published=15 delivered=6 dropped=4 queued=5";
    assert_eq!(hub.balance().to_string(), before);
    hub.unfollow(ids[0]);
    hub.unfollow(ids[2]);
    let after = "published=15 delivered=6 dropped=8 queued=1";
    assert_eq!(hub.balance().to_string(), after);
    assert_eq!(hub.feeds(), 1);
    assert_eq!(hub.balances().count(), 1);
}
