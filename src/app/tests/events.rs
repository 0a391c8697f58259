//! Reading events in pages.

use super::*;
use crate::event::{Event, NewEvent};
use crate::work::Page;

fn events(ids: std::ops::RangeInclusive<u64>) -> Vec<Event> {
    let fact = |id| NewEvent {
        unix_ms: id,
        name: "tick".into(),
        sender: "test".into(),
        user_id: None,
        data: Value::Null,
    };
    ids.map(|id| Event { id, fact: fact(id) }).collect()
}

#[test]
fn a_long_poll_waits_only_where_nothing_was_delivered_after_its_page() {
    let mut world = world();
    let sign = world.log_in(ALICE);
    world.app.hub.confirmed(events(1..=4));
    world.app.hub.deliver();
    let mut reply = world.begin("GET /events?since=3&wait=60", &bearer(&sign), "");
    // The first page is older than the delivered events, and than the client's position.
    for (through, since) in [(2, 3), (3, 3), (4, 3)] {
        let Reply::Later(Later::Read(query, then)) = reply else {
            panic!("it reads: {reply:?}")
        };
        assert_eq!(query.since, since);
        let page = Page {
            events: Vec::new(),
            through,
            more: false,
            oldest: 1,
        };
        reply = world.with_context(|_, cx| then(Ok(page), cx));
    }
    let Reply::Wait(wait) = reply else {
        panic!("it waits: {reply:?}")
    };
    assert_eq!(wait.through, 4);
}
