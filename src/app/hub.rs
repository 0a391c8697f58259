//! Who receives events.
//!
//! An event reaches the hub when the transaction that contains it has been committed, and its
//! subscribers in the events phase of that same turn: in registration order, one event after the
//! other. A subscriber that panics misses that one event; the others do not notice.

use std::collections::VecDeque;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::event::Event;

/// Receives events, on the loop: it must not block.
pub trait Subscriber {
    /// An event that matched the subscriber's pattern.
    fn receive(&mut self, event: &Event);
}

impl<F: FnMut(&Event)> Subscriber for F {
    fn receive(&mut self, event: &Event) {
        self(event);
    }
}

/// Which events a subscriber wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// `*`: all of them.
    All,
    /// `user.*`: those whose name begins with `user.`.
    Prefix(String),
    /// `user.logged_in`: those of that name.
    Exact(String),
}

impl From<&str> for Pattern {
    fn from(text: &str) -> Self {
        match text.strip_suffix('*') {
            Some("") => Self::All,
            Some(prefix) if prefix.ends_with('.') => Self::Prefix(prefix.to_owned()),
            _ => Self::Exact(text.to_owned()),
        }
    }
}

impl Pattern {
    /// Whether an event of that name matches.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Prefix(prefix) => name.len() > prefix.len() && name.starts_with(prefix),
            Self::Exact(exact) => name == exact,
        }
    }
}

/// An event that a subscriber did not get, because it panicked over it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Missed {
    /// The event's id.
    pub id: u64,
    /// The event was an `error` itself: to emit another one about it might never end.
    pub was_error: bool,
}

/// The subscribers, and what was confirmed in this turn.
#[derive(Default)]
pub struct Hub {
    subscribers: Vec<(Pattern, Box<dyn Subscriber>)>,
    confirmed: VecDeque<Event>,
}

impl Hub {
    /// Adds a subscriber behind those that are there.
    pub fn subscribe(
        &mut self,
        pattern: impl Into<Pattern>,
        subscriber: impl Subscriber + 'static,
    ) {
        self.subscribers
            .push((pattern.into(), Box::new(subscriber)));
    }

    /// Takes note of events that were committed, in the order of their ids.
    pub fn confirmed(&mut self, events: Vec<Event>) {
        self.confirmed.extend(events);
    }

    /// Delivers what was confirmed. How many events that were, and what subscribers missed by
    /// panicking.
    pub fn deliver(&mut self) -> (usize, Vec<Missed>) {
        let (count, mut missed) = (self.confirmed.len(), Vec::new());
        for event in self.confirmed.drain(..) {
            for (_, subscriber) in self
                .subscribers
                .iter_mut()
                .filter(|(pattern, _)| pattern.matches(&event.fact.name))
            {
                if catch_unwind(AssertUnwindSafe(|| subscriber.receive(&event))).is_err() {
                    missed.push(Missed {
                        id: event.id,
                        was_error: event.fact.name == "error",
                    });
                }
            }
        }
        (count, missed)
    }
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.subscribers.iter().map(|(pattern, _)| pattern))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::NewEvent;
    use std::cell::RefCell;
    use std::rc::Rc;

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

    #[test]
    fn patterns_match_whole_names_whole_prefixes_or_all() {
        for (pattern, name, matches) in [
            ("user.logged_in", "user.logged_in", true),
            ("user.logged_in", "user.logged_in2", false),
            ("user.*", "user.logged_in", true),
            ("user.*", "username", false),
            ("user.*", "user.", false),
            ("*", "anything", true),
            ("user*", "user.logged_in", false),
            ("", "user", false),
        ] {
            assert_eq!(
                Pattern::from(pattern).matches(name),
                matches,
                "{pattern} on {name}"
            );
        }
    }

    #[test]
    fn all_receive_in_registration_order_and_one_that_panics_stops_nobody() {
        let (mut hub, heard) = (Hub::default(), Rc::new(RefCell::new(Vec::new())));
        for who in ["first", "second"] {
            let heard = Rc::clone(&heard);
            hub.subscribe("*", move |event: &Event| {
                heard.borrow_mut().push((who, event.id));
            });
            if who == "first" {
                hub.subscribe("user.*", |_: &Event| panic!("a subscriber's own fault"));
            }
        }
        hub.confirmed(vec![event(1, "user.logged_in"), event(2, "button_clicked")]);
        let missed = Missed {
            id: 1,
            was_error: false,
        };
        assert_eq!(hub.deliver(), (2, vec![missed]));
        assert_eq!(
            *heard.borrow(),
            [("first", 1), ("second", 1), ("first", 2), ("second", 2)]
        );
        assert_eq!(hub.deliver(), (0, vec![]), "nothing is delivered twice");
    }
}
