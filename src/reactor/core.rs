//! The parts of the loop that a source may reach, through [`Turn`](super::Turn), while it is dispatched.

use std::collections::VecDeque;

use super::attention::Attention;
use super::clock::{Clock, Moment};
use super::mailbox::Mailbox;
use super::next::Reason;
use super::seams::Seams;
use super::slots::Token;
use super::timers::Timers;
use crate::ledger::{Label, Ledger};

/// Nanoseconds for which a reading of the wall clock is used before it is read again.
const WALL_CLOCK_KEPT_NS: u64 = 1_000_000_000;

/// The parts of the loop that a source may reach, through [`Turn`], while it is dispatched.
pub(super) struct Core<M> {
    pub(super) seams: Seams,
    /// The last reading of the clock.
    pub(super) now: Moment,
    pub(super) wall: Wall,
    pub(super) timers: Timers<Token>,
    pub(super) mailbox: Mailbox<M>,
    /// In the order in which they asked.
    pub(super) again: VecDeque<Token>,
    pub(super) flush: Vec<Token>,
    /// Sources whose flush other sources asked for. They may be many, so only a part is flushed each turn.
    pub(super) flush_of: VecDeque<Token>,
    /// Sources that were to be dispatched in the last readiness phase.
    pub(super) crowd: usize,
    /// The program has more to deliver, or to describe.
    pub(super) events_left: bool,
    /// How closely the program observes the loop.
    pub(super) attention: Attention,
    pub(super) ended: Vec<(Token, Reason)>,
    pub(super) short_of_descriptors: Vec<Token>,
    pub(super) ledger: Ledger,
    pub(super) kinds: Kinds,
    pub(super) stopped: bool,
}

impl<M> Core<M> {
    pub(super) fn new(seams: Seams) -> Self {
        let now = seams.clock.now();
        let mut ledger = Ledger::default();
        let kinds = Kinds {
            program: ledger.label("program"),
            events: ledger.label("events"),
            flush: ledger.label("flush"),
            observe: ledger.label("observe"),
        };
        ledger.observed_by(kinds.observe);
        Self {
            wall: Wall {
                read_at: now,
                unix_ms: seams.clock.unix_ms(),
            },
            seams,
            now,
            timers: Timers::default(),
            mailbox: Mailbox::default(),
            again: VecDeque::new(),
            flush: Vec::new(),
            flush_of: VecDeque::new(),
            crowd: 0,
            events_left: false,
            attention: Attention::None,
            ended: Vec::new(),
            short_of_descriptors: Vec::new(),
            ledger,
            kinds,
            stopped: false,
        }
    }

    /// Reads the clock after a piece of work. Only the ledger needs that: all else uses the turn's first reading.
    #[inline]
    pub(super) fn time(&mut self) {
        if Ledger::IS_KEPT {
            self.read_clock();
        }
    }

    #[inline]
    pub(super) fn read_clock(&mut self) -> Moment {
        self.now = self.seams.clock.now();
        self.now
    }

    pub(super) fn deadlines(&self, count: usize) -> Vec<(Moment, Token)> {
        let nearest = self.timers.nearest(count);
        nearest.map(|(at, token)| (at, *token)).collect()
    }

    /// Whether the loop must not sleep, because a source is still to be asked, told or flushed.
    pub(super) fn has_work(&self) -> bool {
        !self.again.is_empty()
            || !self.flush.is_empty()
            || !self.flush_of.is_empty()
            || !self.mailbox.is_empty()
            || self.events_left
    }
}

/// The ledger's names for work that belongs to no source.
pub(super) struct Kinds {
    pub(super) program: Label,
    pub(super) events: Label,
    pub(super) flush: Label,
    /// The program observes the loop.
    pub(super) observe: Label,
}

/// The wall clock, read once a second and carried forward by the monotonic one.
pub(super) struct Wall {
    pub(super) read_at: Moment,
    pub(super) unix_ms: u64,
}

impl Wall {
    pub(super) fn refresh(&mut self, now: Moment, clock: &dyn Clock) {
        if now.ns_since(self.read_at) >= WALL_CLOCK_KEPT_NS {
            *self = Self {
                read_at: now,
                unix_ms: clock.unix_ms(),
            };
        }
    }

    pub(super) fn unix_ms(&self, now: Moment) -> u64 {
        self.unix_ms + now.ns_since(self.read_at) / 1_000_000
    }
}
