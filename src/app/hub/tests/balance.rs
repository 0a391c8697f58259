//! Publishing, delivering, reading from the store and writing in any order: every event is sent, or is in
//! a gap that is sent in its place, or waits.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::work::Page;

#[derive(Clone, Debug)]
enum Step {
    /// So many events are confirmed, wanted by this feed or not.
    Publish(u64, bool),
    Deliver,
    /// The peer takes so many bytes.
    Write(usize),
    /// The store answers, if it was asked, with at most so many of the rows that it had when it was asked.
    Answer(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => (1_u64..6, prop::bool::weighted(0.8)).prop_map(|(count, wanted)| Step::Publish(count, wanted)),
        2 => Just(Step::Deliver),
        2 => (1_usize..300).prop_map(Step::Write),
        1 => (1_usize..6).prop_map(Step::Answer),
    ];
    vec(step, 1..60)
}

fn policy() -> impl Strategy<Value = SlowPolicy> {
    use SlowPolicy::{Disconnect, DropNewest, DropOldest};
    prop_oneof![Just(DropOldest), Just(DropNewest), Just(Disconnect)]
}

/// A hub with one feed, and a store that keeps everything.
struct World {
    hub: Hub,
    id: FeedId,
    stored: Vec<Event>,
    /// The event after which the feed reads, and the newest event that the store had then.
    asked: Option<(u64, u64)>,
    written: String,
}

impl World {
    fn new(lines_max: usize, policy: SlowPolicy, behind: bool) -> Self {
        let (mut hub, stored) = (Hub::default(), events(1..=5));
        hub.begin_after(5);
        let interest = Interest {
            audience: Audience::Everything,
            patterns: vec![Pattern::Exact("tick".into())].into(),
        };
        let bytes_max = lines_max * line_bytes();
        let feed = Feed::new(
            Encoding::Line,
            interest,
            behind.then_some(2),
            bytes_max,
            policy,
        );
        let id = hub.follow(owner(), feed);
        Self {
            hub,
            id,
            stored,
            asked: None,
            written: String::new(),
        }
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Publish(count, wanted) => {
                let (newest, name) = (self.hub.newest(), if wanted { "tick" } else { "tock" });
                let ids = newest + 1..=newest + count;
                let events: Vec<Event> = ids.map(|id| event(id, name)).collect();
                self.stored.extend(events.iter().cloned());
                self.hub.confirmed(events);
            }
            Step::Deliver => drop(self.hub.deliver()),
            Step::Write(count) => self.written += &write(&mut self.hub, self.id, count),
            Step::Answer(rows) => self.answer(rows),
        }
        if self.asked.is_none() {
            let newest = self.hub.newest();
            let query = self.hub.next_page(self.id);
            self.asked = query.map(|query| (query.since, newest));
        }
        balanced(&mut self.hub, self.id);
    }

    fn answer(&mut self, rows: usize) {
        let Some((since, newest)) = self.asked.take() else {
            return;
        };
        let ids = since + 1..=newest;
        let read = self.stored.iter().filter(|event| ids.contains(&event.id));
        let read: Vec<Event> = read.take(rows).cloned().collect();
        let through = read.last().map_or(newest, |event| event.id);
        let page = Page {
            events: read
                .into_iter()
                .filter(|event| event.fact.name == "tick")
                .collect(),
            through,
            more: through < newest,
            oldest: 1,
        };
        self.hub.page(self.id, Ok(page));
    }

    fn is_over(&mut self) -> bool {
        self.hub.feed(self.id).expect("it is there").is_over()
    }

    /// Everything is delivered, read and written.
    fn finish(&mut self) {
        while self.hub.has_more() {
            self.step(&Step::Deliver);
        }
        for _ in 0..100 {
            self.step(&Step::Answer(100));
            self.step(&Step::Write(usize::MAX));
        }
        let feed = self.hub.feed(self.id).expect("it is there");
        assert!(feed.is_empty() && (feed.is_done() || feed.is_over()));
    }
}

proptest! {
    #[test]
    fn nothing_is_lost_without_a_word(
        lines_max in 1_usize..6,
        policy in policy(),
        behind: bool,
        steps in steps(),
    ) {
        let mut world = World::new(lines_max, policy, behind);
        for step in &steps {
            world.step(step);
        }
        world.finish();
        let (mut last, mut delivered, mut dropped) = (if behind { 2 } else { 5 }, 0, 0);
        let wanted: Vec<u64> = world
            .stored
            .iter()
            .filter(|event| event.fact.name == "tick" && event.id > last)
            .map(|event| event.id)
            .collect();
        let mut told_of = Vec::new();
        for (from, to) in told(&world.written) {
            let ids = from..=to.max(from);
            prop_assert!(from > last, "{} after {}", from, last);
            last = *ids.end();
            let concerned = wanted.iter().copied().filter(|id| ids.contains(id));
            let before = told_of.len();
            told_of.extend(concerned);
            let count = (told_of.len() - before) as u64;
            if to == 0 { delivered += count } else { dropped += count }
        }
        let balance = balanced(&mut world.hub, world.id);
        prop_assert_eq!((balance.delivered, balance.dropped, balance.queued), (delivered, dropped, 0));
        // A reader that was disconnected comes back for the rest.
        if world.is_over() {
            prop_assert!(wanted.starts_with(&told_of));
        } else {
            prop_assert_eq!(told_of, wanted);
        }
    }
}
