//! The requests that a source may make to the loop while it is called.

use std::io;
use std::time::Duration;

use super::attention::Attention;
use super::clock::Moment;
use super::core::Core;
use super::mailbox::Mail;
use super::next::Next;
use super::seams::{Entropy, Stream};
use super::slots::Token;
use super::timers::Arming;
use crate::ledger::{DispatchRecord, Label, Ledger, Outcome, Phase};

/// The requests that a piece of work may make to the loop while it runs.
pub struct Turn<'t, M> {
    pub(super) core: &'t mut Core<M>,
    pub(super) token: Token,
    pub(super) arming: Arming,
    pub(super) flush: bool,
    pub(super) newcomers: bool,
    pub(super) recorder: Recorder,
}

impl<M> Turn<'_, M> {
    /// The moment at which this dispatch began; does not read the clock.
    #[must_use]
    pub fn now(&self) -> Moment {
        self.core.now
    }

    /// How many sources the turn's readiness phase has to call, including this one: the more there are, the less
    /// each should do.
    #[must_use]
    pub fn crowd(&self) -> usize {
        self.core.crowd
    }

    /// Reads the clock, for work that has to be timed separately, and sets [`Turn::now`] to it.
    pub fn measure(&mut self) -> Moment {
        self.core.read_clock()
    }

    /// Wall-clock time in milliseconds since 1970 (UTC), from the turn's one reading.
    #[must_use]
    pub fn unix_ms(&self) -> u64 {
        self.core.wall.unix_ms(self.core.now)
    }

    /// The moment at which the wall clock will show `unix_s` seconds since 1970, unless it is set meanwhile;
    /// now, if it has shown them before, and [`Moment::NEVER`] for `i64::MAX`.
    #[must_use]
    pub fn moment_of(&self, unix_s: i64) -> Moment {
        if unix_s == i64::MAX {
            return Moment::NEVER;
        }
        let at_ms = unix_s.max(0).cast_unsigned().saturating_mul(1000);
        self.now() + Duration::from_millis(at_ms.saturating_sub(self.unix_ms()))
    }

    /// When the loop will wake at the latest, and for which source: the next entries of its timers. Deadlines are
    /// moved lazily, so a source may turn out to have more time.
    #[must_use]
    pub fn deadlines(&self, count: usize) -> Vec<(Moment, Token)> {
        self.core.deadlines(count)
    }

    /// The token of the source being dispatched; [`Token::PROGRAM`] for the program itself.
    #[must_use]
    pub fn token(&self) -> Token {
        self.token
    }

    /// Moves the deadline of the source being dispatched. [`Moment::NEVER`] removes it.
    pub fn set_deadline(&mut self, at: Moment) {
        self.arming.deadline = at;
    }

    /// Asks for one [`Source::flush`](super::Source::flush) in this turn's flush phase; if called in that phase, in
    /// the next turn's.
    pub fn flush(&mut self) {
        self.flush = true;
    }

    /// Asks for one [`Source::flush`](super::Source::flush) of another source, because its outbox got something. It
    /// happens in this turn's flush phase. If more than [`FLUSHES_PER_TURN`](super::FLUSHES_PER_TURN) are asked for, or
    /// they take longer than [`FLUSH_TIME_PER_TURN`](super::FLUSH_TIME_PER_TURN), the rest are flushed in later turns, in
    /// the order in which they were asked for.
    pub fn flush_of(&mut self, token: Token) {
        self.core.flush_of.push_back(token);
    }

    /// Whether some of them are still to be flushed: a program that asks for more now makes them wait ever
    /// longer.
    #[must_use]
    pub fn has_flushes_left(&self) -> bool {
        !self.core.flush_of.is_empty()
    }

    /// Starts reporting a stream's readiness as that of the source being dispatched, in addition to its
    /// other streams.
    ///
    /// # Errors
    /// When the OS has no room for one more registration.
    pub fn register(&mut self, stream: &mut impl Stream) -> io::Result<()> {
        stream.register(&mut *self.core.seams.selector, self.token)
    }

    /// Stops reporting such a stream.
    pub fn deregister(&mut self, stream: &mut impl Stream) {
        stream.deregister(&mut *self.core.seams.selector);
    }

    /// Says that the source being dispatched has [newcomers](super::Source::newcomers): they are added to the loop as
    /// soon as this dispatch is over.
    pub fn has_newcomers(&mut self) {
        self.newcomers = true;
    }

    /// Sends a message to the source `to`, which gets it in the next completions or events phase. If it
    /// has ended meanwhile, the message is dropped.
    pub fn send(&mut self, to: Token, message: M) {
        self.core.mailbox.post(Mail::To(to, message));
    }

    /// Sends the same message to all sources.
    pub fn broadcast(&mut self, message: fn() -> M) {
        self.core.mailbox.post(Mail::All(message));
    }

    /// Calls the source being dispatched again as soon as another source was freed: for a
    /// listener that waits for descriptors.
    pub fn ask_again_after_reap(&mut self) {
        if !self.core.short_of_descriptors.contains(&self.token) {
            self.core.short_of_descriptors.push(self.token);
        }
    }

    /// Randomness.
    pub fn entropy(&mut self) -> &mut dyn Entropy {
        &mut *self.core.seams.entropy
    }

    /// Randomness and the record together.
    pub fn entropy_and_ledger(&mut self) -> (&mut dyn Entropy, &mut Ledger) {
        (&mut *self.core.seams.entropy, &mut self.core.ledger)
    }

    /// The record of what the loop did.
    pub fn ledger(&mut self) -> &mut Ledger {
        &mut self.core.ledger
    }

    /// Names what this dispatch is about to do. If it did something under another label before, that is
    /// recorded separately, which takes one clock reading, so that each label has its own time.
    pub fn label(&mut self, label: Label) {
        if self.recorder.label != label {
            if self.recorder.label != Label::NONE {
                self.core.time();
                self.recorder.split(self.core.now, &mut self.core.ledger);
            }
            self.recorder.label = label;
            self.core.ledger.does(label);
        }
    }

    /// The last label of this dispatch.
    #[must_use]
    pub fn current_label(&self) -> Label {
        self.recorder.label
    }

    /// Has the program observe the loop at least this closely, from this turn's events phase on.
    pub fn pay_attention(&mut self, attention: Attention) {
        self.core.attention = self.core.attention.max(attention);
    }

    /// Ends the loop after this turn.
    pub fn stop(&mut self) {
        self.core.stopped = true;
    }
}

impl<M> std::fmt::Debug for Turn<'_, M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Turn")
            .field("token", &self.token)
            .finish_non_exhaustive()
    }
}

impl<'t, M> Turn<'t, M> {
    pub(super) fn new(core: &'t mut Core<M>, token: Token, phase: Phase, kind: Label) -> Self {
        core.ledger.does(kind);
        let recorder = Recorder {
            token,
            phase,
            kind,
            label: Label::NONE,
            began: core.now,
        };
        Turn {
            core,
            token,
            arming: Arming::default(),
            flush: false,
            newcomers: false,
            recorder,
        }
    }
}

/// A dispatch that is not over yet.
pub(super) struct Recorder {
    pub(super) token: Token,
    pub(super) phase: Phase,
    pub(super) kind: Label,
    pub(super) label: Label,
    pub(super) began: Moment,
}

impl Recorder {
    /// Records what was done under one label, and continues.
    pub(super) fn split(&mut self, now: Moment, ledger: &mut Ledger) {
        self.record(Outcome::Continued, now, ledger);
        self.began = now;
    }

    pub(super) fn finish(self, next: Next, now: Moment, ledger: &mut Ledger) {
        let outcome = match next {
            Next::Wait => Outcome::Wait,
            Next::Again => Outcome::Again,
            Next::Close(_) => Outcome::Close,
        };
        self.record(outcome, now, ledger);
    }

    #[inline]
    fn record(&self, outcome: Outcome, now: Moment, ledger: &mut Ledger) {
        ledger.dispatched(DispatchRecord {
            token: self.token.as_u64(),
            began_ns: self.began.as_ns(),
            duration_ns: now.ns_since(self.began),
            kind: self.kind,
            label: self.label,
            phase: self.phase,
            outcome,
        });
    }
}
