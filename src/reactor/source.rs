//! What runs on the loop: sources, and the program that they share.
//!
//! A source is called when there is something for it, does what it can without blocking, and
//! *answers* what it wants next. It never reaches into the loop: what it may ask of it, it asks of
//! the [`Turn`] that it is handed.

use std::io;
use std::time::Duration;

use super::clock::Moment;
use super::core::Core;
use super::dispatch::Recorder;
use super::mailbox::Mail;
use super::seams::{Entropy, Peer, Readiness, Selector, Stream};
use super::slots::Token;
use super::timers::Arming;
use super::view::{Attention, View};
use crate::ledger::{Label, Ledger};

/// What a source wants next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Next {
    /// Drained. Wake me when the descriptor is ready again.
    Wait,
    /// Budget spent, work left: no new edge will come, so ask me again next turn.
    Again,
    /// I have ended. Free me when this turn is over.
    Close(Reason),
}

/// Why a source ended, in a few words for the log and the counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reason(pub &'static str);

/// What a source says of itself to those who watch the loop.
#[derive(Clone, Debug, Default)]
pub struct Description {
    /// Who is at the other end.
    pub peer: Option<Peer>,
    /// What it is doing, in a word; empty if there is nothing to say.
    pub state: &'static str,
    /// What it was asked for last, or is doing now.
    pub label: Label,
    /// Since when it is there.
    pub opened: Moment,
    /// Since when nothing is expected of it, if nothing is.
    pub idle_since: Option<Moment>,
    /// Bytes that were read.
    pub bytes_in: u64,
    /// Bytes that were written.
    pub bytes_out: u64,
    /// Bytes that wait to be written.
    pub outbox: usize,
}

/// What a source is, for the ledger and for those who watch the loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    /// A word: `connection`, `listener`.
    pub name: &'static str,
    /// Sources of this kind belong to those who watch the loop: what they do is not the server's own work, and marked
    /// so.
    pub observes: bool,
}

impl Kind {
    /// One that does the program's own work.
    #[must_use]
    pub const fn of(name: &'static str) -> Self {
        let observes = false;
        Self { name, observes }
    }

    /// One that belongs to those who watch the loop.
    #[must_use]
    pub const fn observer(name: &'static str) -> Self {
        let observes = true;
        Self { name, observes }
    }
}

/// One thing worth waiting for: a descriptor, or only a deadline, and the state that goes with it.
pub trait Source<P: Program> {
    /// What this is.
    fn kind(&self) -> Kind;

    /// Registers its descriptor, if it has one, under its name.
    ///
    /// # Errors
    /// When the OS has no room; the source is then freed without having been called.
    fn register(&mut self, _selector: &mut dyn Selector, _token: Token) -> io::Result<()> {
        Ok(())
    }

    /// Takes the registration back, before the source is freed.
    fn deregister(&mut self, _selector: &mut dyn Selector) {}

    /// When it wants to be woken first, whatever its descriptor does. Asked once, when it is put
    /// on the loop.
    fn first_deadline(&mut self, _program: &P, _now: Moment) -> Moment {
        Moment::NEVER
    }

    /// The descriptor became ready, or the source asked to be asked again ([`Readiness::NONE`]).
    fn ready(
        &mut self,
        readiness: Readiness,
        program: &mut P,
        turn: &mut Turn<'_, P::Message>,
    ) -> Next;

    /// What it says of itself.
    fn describe(&self) -> Description {
        Description::default()
    }

    /// Its deadline has come.
    fn due(&mut self, _program: &mut P, _turn: &mut Turn<'_, P::Message>) -> Next {
        Next::Wait
    }

    /// Somebody on the loop told it something.
    fn message(
        &mut self,
        _message: P::Message,
        _program: &mut P,
        _turn: &mut Turn<'_, P::Message>,
    ) -> Next {
        Next::Wait
    }

    /// Writes what its outbox holds, once. Called in the flush phase of a turn in which it asked
    /// for that with [`Turn::flush`].
    fn flush(&mut self, _program: &mut P, _turn: &mut Turn<'_, P::Message>) -> Next {
        Next::Wait
    }

    /// New sources, which are for the loop; asked for after a call in which it said that it
    /// [has some](Turn::has_newcomers).
    fn newcomers(&mut self) -> Vec<Box<dyn Source<P>>> {
        Vec::new()
    }

    /// It has ended and is about to be freed: the last chance to give back what it borrowed.
    fn ended(&mut self, _reason: Reason, _program: &mut P) {}
}

/// What all sources of a loop share, and what they may tell each other.
pub trait Program: Sized + 'static {
    /// What one source can be told by another.
    type Message;
    /// What comes back from worker threads.
    type Completion: Send + 'static;

    /// A worker finished something. Completions phase.
    fn complete(&mut self, _completion: Self::Completion, _turn: &mut Turn<'_, Self::Message>) {}

    /// Looks at the loop, and says how much of its turning it wants to look at from now on. Called only while it pays
    /// [attention](Turn::pay_attention).
    fn observe(&mut self, _view: &mut View<'_, Self::Message>) -> Attention {
        Attention::None
    }

    /// Hands out what was emitted in this turn. Events phase.
    fn deliver_events(&mut self, _turn: &mut Turn<'_, Self::Message>) -> Delivered {
        Delivered::default()
    }
}

/// What came of a delivery.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Delivered {
    /// Events that were handed out.
    pub count: usize,
    /// There are more, for the next turn: the loop will not sleep.
    pub more: bool,
}

/// The smallest program: sources that share nothing and tell each other nothing.
impl Program for () {
    type Message = ();
    type Completion = ();
}

/// What a piece of work may ask of the loop while it runs.
pub struct Turn<'t, M> {
    pub(super) core: &'t mut Core<M>,
    pub(super) token: Token,
    pub(super) arming: Arming,
    pub(super) flush: bool,
    pub(super) newcomers: bool,
    pub(super) recorder: Recorder,
}

impl<M> Turn<'_, M> {
    /// The moment at which this dispatch began; no clock is read.
    #[must_use]
    pub fn now(&self) -> Moment {
        self.core.now
    }

    /// How many sources the turn's readiness phase has to ask, with this one: the more there are, the less
    /// each should do.
    #[must_use]
    pub fn crowd(&self) -> usize {
        self.core.crowd
    }

    /// Reads the clock, for what has to be timed on its own, and moves [`Turn::now`] to it.
    pub fn measure(&mut self) -> Moment {
        self.core.now = self.core.seams.clock.now();
        self.core.now
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

    /// When the loop will wake in any case, and for which source: the next so many entries of its timers. Deadlines
    /// are moved lazily, so a source may turn out to have more time.
    #[must_use]
    pub fn deadlines(&self, count: usize) -> Vec<(Moment, Token)> {
        self.core.deadlines(count)
    }

    /// The name of the source being dispatched; [`Token::PROGRAM`] for the program itself.
    #[must_use]
    pub fn token(&self) -> Token {
        self.token
    }

    /// Moves the deadline of the source being dispatched. [`Moment::NEVER`] lifts it.
    pub fn set_deadline(&mut self, at: Moment) {
        self.arming.deadline = at;
    }

    /// Asks for one [`Source::flush`] in this turn's flush phase; from there, in the next turn's.
    pub fn flush(&mut self) {
        self.flush = true;
    }

    /// Asks for one [`Source::flush`] of another source: its outbox got something. That is in this turn's
    /// flush phase, unless more than [`FLUSHES_PER_TURN`](super::FLUSHES_PER_TURN) are asked for: they are
    /// flushed in turns to come, in the order in which they were asked for.
    pub fn flush_of(&mut self, token: Token) {
        self.core.flush_of.push_back(token);
    }

    /// Whether some of them are still to be flushed: who goes on asking for more now has them wait ever
    /// longer.
    #[must_use]
    pub fn has_flushes_left(&self) -> bool {
        !self.core.flush_of.is_empty()
    }

    /// Starts reporting a stream's readiness as that of the source being dispatched, beside those that
    /// are reported already.
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

    /// Says that the source being dispatched has [newcomers](Source::newcomers): they are put on the loop as soon as
    /// this dispatch is over.
    pub fn has_newcomers(&mut self) {
        self.newcomers = true;
    }

    /// Tells the source that `to` names something, in the completions or events phase that comes
    /// next. If it has ended meanwhile, the message is dropped.
    pub fn tell(&mut self, to: Token, message: M) {
        self.core.mailbox.post(Mail::To(to, message));
    }

    /// Tells all sources the same.
    pub fn tell_all(&mut self, message: fn() -> M) {
        self.core.mailbox.post(Mail::All(message));
    }

    /// Asks the source being dispatched again as soon as some other source was freed: for a
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

    /// Names what this dispatch is about to do. Where it did something of another name before,
    /// that is recorded on its own: one clock reading, so that each name has its own time.
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

    /// What this dispatch was named last.
    #[must_use]
    pub fn current_label(&self) -> Label {
        self.recorder.label
    }

    /// Has the program look at so much of the loop's turning at least, from this turn's events phase on.
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
