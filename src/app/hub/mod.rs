//! The subscribers of events, and how each event reaches them.
//!
//! An event reaches the hub when its transaction has been committed, and its subscribers in the events phase
//! of the same turn, or of the next turns if many events come at once: first the functions and objects, in
//! registration order, one event after the other; then the [`Feed`]s of remote subscribers, whose bytes leave
//! in the flush phase. A subscriber that panics misses that one event; the others do not notice.
//!
//! `encoded` is an event as bytes, `feed` the bounded queue of one remote subscriber, `item` an entry of that
//! queue, and `waiting` the sum of the bytes that wait for all.

use crate::planted::{Bug, planted};

mod balance;
mod encoded;
mod feed;
mod item;
#[cfg(test)]
mod tests;
mod waiting;

use std::collections::VecDeque;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

pub use balance::Balance;
pub(crate) use encoded::Encoded;
pub use encoded::{Encoding, gap_json};
pub use feed::Feed;
pub use waiting::Waiting;

use crate::event::{Event, Pattern};
use crate::reactor::{Slots, Token};
use crate::work::{Page, Query, StoreError};

/// Most events that are delivered in one turn.
const EVENTS_PER_TURN: usize = 256;
/// Deliveries to remote subscribers after which no further event is taken in the same turn; they take about a
/// millisecond.
const DELIVERIES_PER_TURN: usize = 16 * 1024;
/// Bytes of events that gather in each feed before all feeds are flushed, if more events are confirmed than one turn
/// delivers: a write costs as much as a hundred deliveries to feeds, and a reader that is not slow must have room for them.
const GATHERED_BYTES_MAX: usize = 32 * 1024;

/// Receives events, on the loop: it must not block.
pub trait Subscriber {
    /// An event that matched the subscriber's pattern.
    fn receive(&mut self, event: &Event) -> After;
}

/// What a subscriber wants after an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// The next one.
    Next,
    /// No more: this was the last.
    Unsubscribe,
}

/// A function that returns nothing wants the next event.
impl From<()> for After {
    fn from((): ()) -> Self {
        Self::Next
    }
}

impl<F: FnMut(&Event) -> A, A: Into<After>> Subscriber for F {
    fn receive(&mut self, event: &Event) -> After {
        self(event).into()
    }
}

/// The name of a subscription, until it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubscriptionId(u64);

/// The name of a feed, until it ends.
pub type FeedId = Token;

/// An event that a subscriber did not get, because it panicked over it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Missed {
    /// The event's id.
    pub id: u64,
    /// The event itself was an `error`: emitting another `error` about it might never end.
    pub was_error: bool,
}

/// The subscribers, and what was confirmed in this turn.
#[derive(Default)]
pub struct Hub {
    subscribers: Vec<Subscription>,
    subscriptions: u64,
    feeds: Slots<OwnedFeed>,
    /// Feeds that have something new for their owners.
    touched: Vec<FeedId>,
    /// Bytes of the events that were delivered to feeds since these were last taken.
    gathered_bytes: usize,
    confirmed: VecDeque<Event>,
    /// The newest event there is.
    newest: u64,
    /// The last event that was delivered to all that are live.
    delivered: u64,
    /// What became of the events of feeds that have ended.
    ended: Balance,
    /// Bytes that wait for all peers.
    waiting: Waiting,
}

struct Subscription {
    id: SubscriptionId,
    pattern: Pattern,
    subscriber: Box<dyn Subscriber>,
}

/// A feed, and the source that writes it.
struct OwnedFeed {
    feed: Feed,
    owner: Token,
}

impl Hub {
    /// A hub without subscribers. The bytes that wait for remote subscribers are added to this sum.
    #[must_use]
    pub fn new(waiting: Waiting) -> Self {
        Self {
            waiting,
            ..Self::default()
        }
    }

    /// Bytes that wait for all peers.
    #[must_use]
    pub fn waiting(&self) -> &Waiting {
        &self.waiting
    }

    /// Adds a subscriber, last in the order of delivery.
    ///
    /// # Panics
    /// If [`Pattern::parse`] rejects `pattern`: no event could ever match it.
    pub fn subscribe(
        &mut self,
        pattern: &str,
        subscriber: impl Subscriber + 'static,
    ) -> SubscriptionId {
        let Some(pattern) = Pattern::parse(pattern) else {
            panic!("a pattern is a name, a prefix as in user.*, or *: {pattern:?}");
        };
        self.subscriptions += 1;
        let id = SubscriptionId(self.subscriptions);
        self.subscribers.push(Subscription {
            id,
            pattern,
            subscriber: Box::new(subscriber),
        });
        id
    }

    /// Removes a subscriber; does nothing if it is gone already.
    pub fn unsubscribe(&mut self, id: SubscriptionId) {
        self.subscribers
            .retain(|subscription| subscription.id != id);
    }

    /// Adds the feed of a remote subscriber, which the source `owner` writes.
    pub fn follow(&mut self, owner: Token, feed: Feed) -> FeedId {
        self.feeds.insert(OwnedFeed { feed, owner })
    }

    /// The feed of that name, if it has not ended.
    #[must_use]
    pub fn feed(&mut self, id: FeedId) -> Option<&mut Feed> {
        self.feeds.get_mut(id).map(|entry| &mut entry.feed)
    }

    /// Ends a feed. What was left in it counts as dropped.
    pub fn unfollow(&mut self, id: FeedId) -> Option<Balance> {
        let mut entry = self.feeds.remove(id)?;
        if planted(Bug::DeafHub) {
            self.confirmed.clear();
        }
        entry.feed.close();
        let balance = entry.feed.balance();
        self.ended.add(balance);
        Some(balance)
    }

    /// The number of feeds.
    #[must_use]
    pub fn feeds(&self) -> usize {
        self.feeds.len()
    }

    /// The balance of each feed.
    pub fn balances(&mut self) -> impl Iterator<Item = Balance> {
        self.feeds.iter_mut().map(|(_, entry)| entry.feed.balance())
    }

    /// The balance of all feeds there ever were.
    pub fn balance(&mut self) -> Balance {
        let mut sum = self.ended;
        for balance in self.balances() {
            sum.add(balance);
        }
        sum
    }

    /// The newest event that was ever confirmed.
    #[must_use]
    pub fn newest(&self) -> u64 {
        self.newest
    }

    /// The last event that was delivered to all live feeds; before the first, the newest event of earlier runs.
    ///
    /// A reader that has read from the store up to here, or further, misses nothing from now on.
    #[must_use]
    pub fn delivered(&self) -> u64 {
        self.delivered
    }

    /// Takes note of the newest event of earlier runs.
    pub fn begin_after(&mut self, newest: u64) {
        (self.newest, self.delivered) = (newest, newest);
    }

    /// Takes note of events that were committed, in the order of their ids.
    pub fn confirmed(&mut self, events: Vec<Event>) {
        self.newest = events.last().map_or(self.newest, |event| event.id);
        self.confirmed.extend(events);
    }

    /// What to read from the store for a feed that is behind, if its reader has taken what it had. Give the result
    /// to [`page`](Self::page).
    pub fn next_page(&mut self, id: FeedId) -> Option<Query> {
        let share = self.waiting.share(self.feeds.len());
        self.feed(id)?.next_page(share)
    }

    /// Gives a feed what the store had for it.
    pub fn page(&mut self, id: FeedId, page: Result<Page, StoreError>) {
        let Some(OwnedFeed { feed, .. }) = self.feeds.get_mut(id) else {
            return;
        };
        match page {
            Ok(page) => feed.page(page, self.delivered, &self.waiting),
            // A busy store recovers soon, but a feed that asks again and again keeps it busy.
            Err(_) => feed.fail(),
        }
        // Even an empty page touches the feed: the next one has to be requested.
        touch(&mut self.touched, id, feed);
    }

    /// Delivers confirmed events, at most 256. Returns how many it delivered, and which events
    /// subscribers missed by panicking.
    pub fn deliver(&mut self) -> (usize, Vec<Missed>) {
        let (mut count, mut missed) = (0, Vec::new());
        while count < EVENTS_PER_TURN && count * self.feeds.len() < DELIVERIES_PER_TURN {
            let Some(event) = self.confirmed.pop_front() else {
                break;
            };
            count += 1;
            self.delivered = event.id;
            self.deliver_here(&event, &mut missed);
            if self.feeds.is_empty() {
                continue;
            }
            let event = Rc::new(Encoded::new(event, &self.waiting));
            let room = self.waiting.room(self.feeds.len());
            for (id, OwnedFeed { feed, .. }) in self.feeds.iter_mut() {
                if feed.offer(&event, room) {
                    touch(&mut self.touched, id, feed);
                }
            }
            self.gathered_bytes += event.encoded_bytes();
        }
        (count, missed)
    }

    /// Whether there is more to deliver, in the next turn.
    #[must_use]
    pub fn has_more(&self) -> bool {
        !self.confirmed.is_empty()
    }

    fn deliver_here(&mut self, event: &Event, missed: &mut Vec<Missed>) {
        self.subscribers.retain_mut(|subscription| {
            if !subscription.pattern.matches(&event.fact.name) {
                return true;
            }
            let receive = AssertUnwindSafe(|| subscription.subscriber.receive(event));
            let after = catch_unwind(receive).unwrap_or_else(|_| {
                missed.push(Missed {
                    id: event.id,
                    was_error: event.fact.name == "error",
                });
                After::Next
            });
            after == After::Next
        });
    }

    /// Calls `flush` with the owner of each feed that has something new since the last call. While a burst is being
    /// delivered to many feeds it first gathers in them, so that each has much of it in one write.
    pub fn take_touched(&mut self, mut flush: impl FnMut(Token)) {
        if self.has_more() && (1..GATHERED_BYTES_MAX).contains(&self.gathered_bytes) {
            return;
        }
        self.gathered_bytes = 0;
        for id in self.touched.drain(..) {
            if let Some(OwnedFeed { feed, owner }) = self.feeds.get_mut(id) {
                feed.touched = false;
                flush(*owner);
            }
        }
    }
}

// There may be one for each of ten thousand streams.
#[cfg(target_pointer_width = "64")]
const _: () = assert!(size_of::<OwnedFeed>() <= 144);

fn touch(touched: &mut Vec<FeedId>, id: FeedId, feed: &mut Feed) {
    if !std::mem::replace(&mut feed.touched, true) {
        touched.push(id);
    }
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub")
            .field("subscribers", &self.subscribers.len())
            .field("feeds", &self.feeds.len())
            .finish_non_exhaustive()
    }
}
