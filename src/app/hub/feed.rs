//! What one remote subscriber is still to receive: its position in the sequence, and a bounded queue.
//!
//! A feed begins live, or by catching up: it then takes pages from the store, one at a time and only
//! while there is room, until it has reached the present. A live feed is offered every event. A reader
//! that is too slow for that loses some events by its [`Policy`], and a `gap` in the place of the missing
//! events tells it which. At any time
//!
//! ```text
//! published = delivered + dropped + queued
//! ```
//!
//! The queue is bounded in bytes, not in events: feeds share their events, but what a reader has not
//! taken must still be bounded.

use std::collections::VecDeque;
use std::rc::Rc;

use super::balance::Balance;
use super::encoded::{Encoded, Encoding};
use super::item::{Gap, Item};
use super::waiting::Waiting;
use crate::config::SlowPolicy;
use crate::event::{Audience, Interest, Pattern};
use crate::planted::{Bug, planted};
use crate::work::{Page, Query};

/// Most events in a page.
const PAGE_EVENTS_MAX: usize = 256;
/// Bytes of the first page, and of the next page for a reader that did not take the last one at once. Each page
/// that the reader takes at once makes the next twice as long.
const PAGE_BYTES_MIN: u32 = 8 * 1024;
/// Most bytes of a page. A page has at least one event, and ends with the first event that exceeds this.
const PAGE_BYTES_MAX: u32 = 32 * 1024;
/// Most items for which an empty queue keeps memory, so that events that come one by one allocate nothing.
const QUEUE_KEPT: usize = 4;

/// One remote subscriber's queue.
#[derive(Debug)]
pub struct Feed {
    encoding: Encoding,
    interest: Interest,
    bytes_max: u32,
    policy: SlowPolicy,
    place: Place,
    queue: VecDeque<Item>,
    /// Bytes of the events in the queue: no more than fit into `bytes_max`, or into a page.
    bytes: u32,
    /// Bytes of the first item that have been written.
    written: u32,
    /// The reader has not taken all that it was offered.
    blocked: bool,
    /// Events in the queue.
    queued: u32,
    /// What became of its events, as in its [`Balance`].
    published: u64,
    delivered: u64,
    dropped: u64,
    /// The last event that was delivered; before the first, the event after which the feed began.
    through: u64,
    over: bool,
    /// The feed is on the hub's list of feeds that have something new.
    pub(super) touched: bool,
}

/// Where a feed is in the sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Events after this one are still to be read from the store, in pages: the next of so many bytes at most.
    Behind {
        since: u64,
        reading: Reading,
        page_bytes: u32,
    },
    /// Every event is offered as it is confirmed; the events up to this one came from the store.
    Live { since: u64 },
}

/// Whether a page is on its way from the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reading {
    No,
    Yes,
    /// The page was selected by the subscriber's former interest, and is read again.
    Stale,
}

impl Feed {
    /// A feed of events that are confirmed from now on or, if `since` is given, of all events after
    /// that one.
    #[must_use]
    pub fn new(
        encoding: Encoding,
        interest: Interest,
        since: Option<u64>,
        bytes_max: usize,
        policy: SlowPolicy,
    ) -> Self {
        Self {
            encoding,
            interest,
            bytes_max: u32::try_from(bytes_max).unwrap_or(u32::MAX),
            policy,
            place: match since {
                Some(since) => Place::Behind {
                    since,
                    reading: Reading::No,
                    page_bytes: PAGE_BYTES_MIN,
                },
                None => Place::Live { since: 0 },
            },
            queue: VecDeque::new(),
            bytes: 0,
            written: 0,
            blocked: false,
            queued: 0,
            published: 0,
            delivered: 0,
            dropped: 0,
            through: since.unwrap_or(0),
            over: false,
            touched: false,
        }
    }

    /// The reader already has everything up to and including `through`: nothing is to be read.
    pub fn has_all_through(&mut self, through: u64) {
        self.place = Place::Live { since: through };
    }

    /// What the subscriber wants, to be changed.
    pub fn interest_mut(&mut self) -> &mut Interest {
        if let Place::Behind { reading, .. } = &mut self.place
            && *reading == Reading::Yes
        {
            *reading = Reading::Stale;
        }
        &mut self.interest
    }

    /// The session that allowed this user to follow has expired: from now on they receive only that event.
    pub fn narrow_to_expiry(&mut self, user_id: i64) {
        const EXPIRED: &str = "session.expired";
        let interest = self.interest_mut();
        let wants_it = interest.patterns.match_name(EXPIRED);
        interest.audience = Audience::User(user_id);
        let only = wants_it.then(|| Pattern::Exact(EXPIRED.into()));
        interest.patterns = only.into_iter().collect::<Vec<_>>().into();
    }

    /// The balance of its events so far.
    #[must_use]
    pub fn balance(&self) -> Balance {
        Balance {
            published: self.published,
            delivered: self.delivered,
            dropped: self.dropped,
            queued: u64::from(self.queued),
        }
    }

    /// The last event that was delivered; before the first, the event after which the feed began.
    #[must_use]
    pub fn delivered_through(&self) -> u64 {
        self.through
    }

    /// Whether nothing waits to be written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Whether the feed has reached the present, and everything was written.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.is_empty() && matches!(self.place, Place::Live { .. })
    }

    /// Whether the feed cannot continue: the reader was too slow and is to be disconnected, or the store failed.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.over
    }

    /// Bytes of the first item that must be written next, since a part of it has been written.
    #[must_use]
    pub fn rest_of_item(&mut self) -> usize {
        let (encoding, written) = (self.encoding, self.written as usize);
        match self.queue.front_mut() {
            Some(item) if written > 0 => item.bytes(encoding).len() - written,
            _ => 0,
        }
    }

    fn is_within_item(&self) -> bool {
        self.written > 0
    }

    /// What to read from the store next, if this feed is behind and its reader has taken what it had. So less waits
    /// for a reader that is slow, or that has no more than a `share` of what may wait for all.
    pub(super) fn next_page(&mut self, share: usize) -> Option<Query> {
        let Place::Behind {
            since,
            reading,
            page_bytes,
        } = &mut self.place
        else {
            return None;
        };
        if *reading != Reading::No || self.over || !self.queue.is_empty() {
            return None;
        }
        *reading = Reading::Yes;
        let bytes_max = (*page_bytes).min(self.bytes_max / 2) as usize;
        *page_bytes = (*page_bytes * 2).min(PAGE_BYTES_MAX);
        Some(Query {
            since: *since,
            events_max: PAGE_EVENTS_MAX,
            bytes_max: bytes_max.min(share),
            wanted: self.interest.clone(),
        })
    }

    /// Takes a page from the store. The feed stays behind until it has read everything up to `delivered`, the last
    /// event that live feeds were offered.
    pub(super) fn page(&mut self, mut page: Page, delivered: u64, waiting: &Waiting) {
        let Place::Behind { since, reading, .. } = &mut self.place else {
            return;
        };
        if self.over {
            return; // nothing follows the last words
        }
        if std::mem::replace(reading, Reading::No) == Reading::Stale {
            return;
        }
        if let Some(missing) = page.catch_up(*since, delivered) {
            self.queue.push_back(Item::missing(self.encoding, missing));
        }
        for event in page.events {
            self.published += 1;
            self.push(Rc::new(Encoded::for_one(event, self.encoding, waiting)));
        }
        let through = page.through;
        match &mut self.place {
            Place::Behind { since, reading, .. } if page.more => {
                (*since, *reading) = (through, Reading::No);
            }
            place => *place = Place::Live { since: through },
        }
    }

    /// The store could not be read.
    pub(super) fn fail(&mut self) {
        self.over = true;
    }

    /// Offers an event that was confirmed just now; returns whether that changed anything. A reader that has not taken
    /// all it was offered may have no more than `room` bytes waiting.
    pub(super) fn offer(&mut self, event: &Rc<Encoded>, room: usize) -> bool {
        let Place::Live { since } = self.place else {
            return false; // it is in the store, and will be read from there
        };
        let behind = since.saturating_sub(u64::from(planted(Bug::ToldTwice)));
        if event.event.id <= behind || self.over || !self.interest.covers_event(&event.event.fact) {
            return false;
        }
        self.published += 1;
        let needed = event.bytes(self.encoding).len();
        let mut bytes_max = self.bytes_max as usize;
        if self.blocked {
            bytes_max = bytes_max.min(room);
        }
        // An event that is too long for any outbox drops no other.
        if self.bytes() + needed > bytes_max && needed <= bytes_max {
            match self.policy {
                SlowPolicy::DropOldest => self.make_room(needed, bytes_max),
                SlowPolicy::DropNewest => {}
                SlowPolicy::Disconnect => self.over = true,
            }
        }
        if self.bytes() + needed > bytes_max || self.over {
            self.drop_newest(event.event.id);
        } else {
            self.push(Rc::clone(event));
        }
        true
    }

    fn bytes(&self) -> usize {
        self.bytes as usize
    }

    fn push(&mut self, event: Rc<Encoded>) {
        self.bytes += event.bytes(self.encoding).len() as u32;
        self.queued += 1;
        self.queue.push_back(Item::Event(event));
    }

    /// Drops the oldest events until `needed` more bytes fit. An item that has been written in part stays: the
    /// rest of it must follow.
    fn make_room(&mut self, needed: usize, bytes_max: usize) {
        let stays = matches!(self.queue.front(), Some(Item::Rewind(_))) || self.is_within_item();
        let first = usize::from(stays);
        while self.bytes() + needed > bytes_max {
            // The event behind a gap is dropped next, and the gap grows over it.
            let grows = matches!(self.queue.get(first), Some(Item::Gap(_)));
            let oldest = first + usize::from(grows);
            let Some(item) = self.queue.get_mut(oldest) else {
                return;
            };
            let gap = match item {
                Item::Event(event) => {
                    self.bytes -= event.bytes(self.encoding).len() as u32;
                    self.queued -= 1;
                    self.dropped += 1;
                    Box::new(Gap::of(event.event.id))
                }
                Item::Gap(gap) => Box::new(Gap::of(gap.to)),
                Item::Rewind(_) | Item::Last(_) => return,
            };
            if let Some(Item::Gap(before)) = self.queue.get_mut(first)
                && grows
            {
                before.grow(gap.to);
                self.queue.remove(oldest);
            } else if planted(Bug::SilentGap) {
                self.queue.remove(oldest);
            } else {
                self.queue[oldest] = Item::Gap(gap);
            }
        }
    }

    fn drop_newest(&mut self, id: u64) {
        self.dropped += 1;
        let begun = self.is_within_item() && self.queue.len() == 1;
        match self.queue.back_mut() {
            _ if planted(Bug::SilentGap) => {}
            Some(Item::Gap(gap)) if !begun => gap.grow(id),
            _ => self.queue.push_back(Item::Gap(Box::new(Gap::of(id)))),
        }
    }

    /// Ends the feed with these last words. If the reader takes nothing at the moment, what waits is
    /// dropped, so that it does not delay the end.
    pub fn finish(&mut self, last: Vec<u8>, blocked: bool) {
        if blocked {
            self.stop();
        }
        if !last.is_empty() {
            self.queue.push_back(Item::Last(last.into()));
        }
        self.over = true;
    }

    /// Ends the feed at once: drops what waits, except the rest of an item that was written in part.
    pub fn stop(&mut self) {
        self.over = true;
        for item in self.queue.drain(usize::from(self.written > 0)..) {
            if let Item::Event(event) = item {
                self.bytes -= event.bytes(self.encoding).len() as u32;
                self.queued -= 1;
                self.dropped += u64::from(!planted(Bug::OffBalance));
            }
        }
    }

    /// Drops everything that waits, for good.
    pub(super) fn close(&mut self) {
        self.written = 0;
        self.stop();
    }

    /// What waits, in the order in which it is to be written.
    pub fn slices(&mut self) -> impl Iterator<Item = &[u8]> {
        let encoding = self.encoding;
        let mut written = self.written as usize;
        self.queue.iter_mut().map(move |item| {
            let bytes = item.bytes(encoding);
            &bytes[std::mem::take(&mut written)..]
        })
    }

    /// What waits, if that is one piece.
    pub fn sole(&mut self) -> Option<&[u8]> {
        if self.queue.len() > 1 {
            return None;
        }
        let item = self.queue.front_mut()?;
        Some(&item.bytes(self.encoding)[self.written as usize..])
    }

    /// The reader takes no more at the moment.
    pub fn block(&mut self) {
        self.blocked = !self.queue.is_empty();
        if let Place::Behind { page_bytes, .. } = &mut self.place {
            *page_bytes = PAGE_BYTES_MIN;
        }
    }

    /// Takes note that `count` bytes of them were written.
    ///
    /// # Panics
    /// If fewer bytes were waiting.
    pub fn wrote(&mut self, count: usize) {
        self.written += count as u32; // a system call moves less than 2 GiB
        while self.written > 0 {
            let item = self.queue.front_mut().expect("only what waits is written");
            let length = item.bytes(self.encoding).len() as u32;
            if self.written < length {
                return;
            }
            self.written -= length;
            if let Some(Item::Event(event)) = self.queue.pop_front() {
                self.through = event.event.id;
                self.bytes -= length;
                self.queued -= 1;
                self.delivered += 1;
            }
        }
        if self.queue.is_empty() {
            self.blocked = false;
            if self.queue.capacity() > QUEUE_KEPT {
                self.queue = VecDeque::new();
            }
        }
    }

    /// Takes out the first waiting events as JSON, for a reader that gets them in one piece: at most `most`,
    /// and none behind a gap.
    pub fn take_json(&mut self, most: usize) -> Vec<(u64, String)> {
        let mut taken = Vec::new();
        while taken.len() < most
            && let Some(Item::Event(event)) = self.queue.front()
        {
            taken.push((event.event.id, event.json().to_owned()));
            self.wrote(event.bytes(self.encoding).len());
        }
        taken
    }
}
