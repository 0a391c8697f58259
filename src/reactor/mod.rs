//! The event loop. Start reading here.
//!
//! One thread, one loop, seven phases:
//!
//! ```text
//! wait → readiness → completions → timers → events → flush → reap
//! ```
//!
//! A [`Reactor`] owns a [`Program`] and the [`Source`]s that run in it. [`Reactor::turn`] goes
//! through the phases once. In each, sources are *dispatched*: called with what happened, and
//! answering with the [`Next`] thing that they want. Nothing here knows HTTP; `docs/examples/echo.rs`
//! is a whole server on this module alone.
//!
//! What is deliberately absent: callbacks that change the loop while it runs (a source answers, and
//! asks through [`Turn`]), reference counting, locks, and any second place that sleeps.
//!
//! Reading order: this file, then `source` and `next` (what runs, and what it answers), `turn` and `core` (what a
//! source may ask for), `dispatch` (what happens around each call), `slots` (how sources are named), `timers` (how they
//! are woken), `completions` (how workers answer), `mailbox` (how sources send each other messages). `listener` and
//! `signals` are two sources. `seams` are the traits through which the world enters; `clock` and `os` are the real
//! world, `fake` is one in memory, and `tls` (with `records`) is a stream on top of another. Last, how a program
//! observes its loop: `attention`, `observing`, `view`, `description`.

mod attention;
mod clock;
mod completions;
mod core;
mod description;
mod dispatch;
pub mod fake;
mod listener;
mod mailbox;
mod next;
mod observing;
mod os;
#[cfg(feature = "tls")]
mod records;
mod seams;
mod signals;
mod slots;
mod source;
#[cfg(test)]
mod tests;
mod timers;
#[cfg(feature = "tls")]
mod tls;
mod turn;
mod view;

use std::io;
use std::time::Duration;

pub use attention::{Attention, Occasion};
pub use clock::{Clock, Moment, OsClock};
pub use completions::Completer;
pub use description::{Description, Kind, SourceInfo};
pub use listener::{Accept, Listener};
pub use next::{Next, Reason};
pub use os::{
    OsAcceptor, OsEntropy, OsSelector, OsStream, SHORT_MEANS_DRAINED, socket_pair, spawn,
};
pub use seams::{
    Acceptor, Entropy, Peer, Readiness, Ready, Received, Seams, Selector, Stream, Wake, random,
};
pub use signals::{Arrivals, Signal, SignalSource};
pub use slots::{Slots, Token};
pub use source::{Delivered, Program, Source};
pub use timers::{Arming, Due, Timers};
pub use turn::Turn;
pub use view::View;

/// Sources that continue their remaining work in one turn, the longest waiting first. A source with little work is
/// always called at once, and does not wait for all sources that have much.
pub const AGAINS_PER_TURN: usize = 64;
/// Sources that are flushed in one turn because other sources asked for it: each costs a write, which takes some
/// microseconds.
pub const FLUSHES_PER_TURN: usize = 1024;
/// How long a turn's flush phase goes on with them. What is left follows in later turns, between which all other sources
/// are served.
pub const FLUSH_TIME_PER_TURN: Duration = Duration::from_millis(1);
/// Flushes between two readings of the clock. So many are done in any turn, or a loop that is always late would never
/// do the last.
pub const FLUSHES_PER_READING: usize = 16;
#[cfg(feature = "tls")]
pub use tls::{Credentials, Identity, TlsError};

use self::completions::Completions;
use self::core::Core;
use crate::ledger::{Label, Ledger, Phase};

/// The loop, its sources, and the program that they share.
pub struct Reactor<P: Program> {
    /// What the sources share.
    pub program: P,
    sources: Slots<Entry<P>>,
    core: Core<P::Message>,
    completer: Completer<P::Completion>,
    completions: Completions<P::Completion>,
    /// New sources from the source being dispatched, until the dispatch is over.
    newcomers: Vec<Box<dyn Source<P>>>,
    // Each of these is filled and emptied within a turn, and kept to reuse its memory.
    ready: Vec<Ready>,
    asked: Vec<Token>,
    completed: Vec<P::Completion>,
    due: Vec<(Moment, Token)>,
}

/// A source and what the loop knows about it.
struct Entry<P: Program> {
    source: Box<dyn Source<P>>,
    /// Its kind's name in the ledger.
    kind: Label,
    arming: Arming,
    again: Again,
    /// The index of its report in this turn; valid only if the report there has its token.
    report: u16,
    /// It is already on the flush queue.
    flush: bool,
    /// It has ended and waits for `reap`; nothing more is dispatched to it.
    ended: bool,
}

/// When a source that had more to do is asked again.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Again {
    /// It has no more to do.
    No,
    /// In the next turn, or after sources that have waited longer: it is on the queue.
    Queued,
    /// In this turn, unless readiness causes a call before.
    ThisTurn,
}

impl<P: Program> Reactor<P> {
    /// A loop in the real world.
    ///
    /// # Errors
    /// When the OS gives no descriptor for the selector.
    pub fn new(program: P) -> io::Result<Self> {
        Self::with_seams(Seams::of_os(OsClock::default())?, |_| Ok(program))
    }

    /// A loop in any world. The program is made last, since its workers need the handle with which they
    /// return their completions.
    ///
    /// # Errors
    /// Those of `program`.
    pub fn with_seams<E>(
        seams: Seams,
        program: impl FnOnce(Completer<P::Completion>) -> Result<P, E>,
    ) -> Result<Self, E> {
        let (completer, completions) = completions::channel(seams.selector.waker());
        let program = program(completer.clone())?;
        let core = Core::new(seams);
        Ok(Self {
            program,
            sources: Slots::default(),
            core,
            completer,
            completions,
            newcomers: Vec::new(),
            ready: Vec::new(),
            asked: Vec::new(),
            completed: Vec::new(),
            due: Vec::new(),
        })
    }

    /// Adds a source to the loop and returns its token.
    ///
    /// # Errors
    /// When the OS has no room for one more registration.
    ///
    /// # Panics
    /// With 2³² − 1 sources.
    pub fn add(&mut self, mut source: Box<dyn Source<P>>) -> io::Result<Token> {
        let deadline = source.first_deadline(&self.program, self.core.now);
        let arming = Arming::until(deadline);
        let Kind { name, observes } = source.kind();
        let kind = self.core.ledger.label(name);
        if observes {
            self.core.ledger.observed_by(kind);
        }
        let token = self.sources.insert(Entry {
            source,
            kind,
            arming,
            again: Again::No,
            report: 0,
            flush: false,
            ended: false,
        });
        let entry = self
            .sources
            .get_mut(token)
            .expect("it was inserted just now");
        if let Err(error) = entry.source.register(&mut *self.core.seams.selector, token) {
            if let Some(mut entry) = self.sources.remove(token) {
                entry
                    .source
                    .ended(Reason("the system has no room for it"), &mut self.program);
            }
            return Err(error);
        }
        self.core.timers.arm(token, &mut entry.arming);
        Ok(token)
    }

    /// Turns until a source stops the loop.
    ///
    /// # Errors
    /// Those of [`Reactor::turn`].
    pub fn run(&mut self) -> io::Result<()> {
        while !self.core.stopped {
            self.turn()?;
        }
        Ok(())
    }

    /// Sleeps until something is due, then does everything that is.
    ///
    /// The order is a contract: a source that ends in this turn keeps its slot until `reap`, so no
    /// step meets a reused token, and what is emitted in a turn is delivered in it.
    ///
    /// # Errors
    /// Only when the OS selector fails. Nothing that a peer does makes this return `Err`.
    pub fn turn(&mut self) -> io::Result<()> {
        self.wait()?; // the only place where this thread sleeps
        self.dispatch_readiness();
        self.dispatch_completions();
        self.dispatch_timers();
        self.deliver_events();
        self.flush_outboxes();
        self.reap();
        Ok(())
    }

    /// Zero if some source still has work, else until the nearest deadline, else for ever.
    fn wait(&mut self) -> io::Result<()> {
        self.begin_phase(Phase::Wait);
        let core = &mut self.core;
        let slept_from = core.now;
        let timeout = if core.has_work() || self.completions.waiting() {
            Some(Duration::ZERO)
        } else {
            // `now` is as old as the last piece of work. So a deadline may fire that much late, which does
            // not matter, and the clock need not be read.
            core.timers.next().map(|at| at - core.now)
        };
        core.seams.selector.select(timeout, &mut self.ready)?;
        if self.ready.len() > 1 && core.seams.selector.reports_apart() {
            self.join_reports();
        }
        let core = &mut self.core;
        core.now = core.seams.clock.now();
        core.wall.refresh(core.now, &*core.seams.clock);
        core.ledger.begin_turn(
            slept_from.as_ns(),
            core.now.as_ns(),
            timeout,
            self.ready.len(),
        );
        Ok(())
    }

    /// Accept, read, write: each source goes as far as its descriptor or its budget allows.
    fn dispatch_readiness(&mut self) {
        let began = self.begin_phase(Phase::Readiness);
        // Only sources that asked before this turn: a source that asks now is called in a later turn.
        let mut again = std::mem::take(&mut self.asked);
        let first = self.core.again.len().min(AGAINS_PER_TURN);
        again.extend(self.core.again.drain(..first));
        let mut ready = std::mem::take(&mut self.ready);
        let count = again.len() + ready.len();
        self.core.crowd = count;
        for token in &again {
            if let Some(entry) = self.sources.get_mut(*token) {
                entry.again = Again::ThisTurn;
            }
        }
        for Ready { token, readiness } in ready.drain(..) {
            if let Some(entry) = self.sources.get_mut(token)
                && entry.again == Again::ThisTurn
            {
                entry.again = Again::No; // it has its budget once, however many causes there are
            }
            self.dispatch(token, Phase::Readiness, |source, program, turn| {
                source.ready(readiness, program, turn)
            });
        }
        for token in again.drain(..) {
            match self.sources.get_mut(token) {
                Some(entry) if entry.again == Again::ThisTurn => entry.again = Again::No,
                _ => continue,
            }
            self.dispatch(token, Phase::Readiness, |source, program, turn| {
                source.ready(Readiness::NONE, program, turn)
            });
        }
        self.ready = ready;
        self.asked = again;
        self.end_phase(Phase::Readiness, began, count);
    }

    /// Results from worker threads, and the messages that sources send because of them.
    fn dispatch_completions(&mut self) {
        let began = self.begin_phase(Phase::Completions);
        let mut completed = std::mem::take(&mut self.completed);
        self.completions.take(&mut completed);
        let count = completed.len();
        for completion in completed.drain(..) {
            let kind = self.core.kinds.program;
            self.dispatch_program(kind, Phase::Completions, |program, turn| {
                program.complete(completion, turn);
            });
        }
        self.completed = completed;
        let told = self.deliver_mail(Phase::Completions);
        self.end_phase(Phase::Completions, began, count + told);
    }

    /// Deadlines that have passed. A timer that fires before its source's deadline is armed again.
    fn dispatch_timers(&mut self) {
        let began = self.begin_phase(Phase::Timers);
        // All are taken out before the first is dispatched: a deadline that a source sets to now
        // fires in the next turn. Otherwise this phase might never end.
        let mut due = std::mem::take(&mut self.due);
        while let Some(entry) = self.core.timers.pop(began) {
            due.push(entry);
        }
        let mut count = 0;
        for (at, token) in due.drain(..) {
            let Some(entry) = self.sources.get_mut(token) else {
                continue;
            };
            if self.core.timers.settle(at, began, token, &mut entry.arming) == Due::Now {
                count += 1;
                self.dispatch(token, Phase::Timers, |source, program, turn| {
                    source.due(program, turn)
                });
            }
        }
        self.due = due;
        self.end_phase(Phase::Timers, began, count);
    }

    /// Events that were emitted in this turn go to their subscribers.
    fn deliver_events(&mut self) {
        let began = self.begin_phase(Phase::Events);
        let kind = self.core.kinds.events;
        let mut turn = Turn::new(&mut self.core, Token::PROGRAM, Phase::Events, kind);
        let Delivered { mut count, more } = self.program.deliver_events(&mut turn);
        let Turn { core, recorder, .. } = turn;
        core.events_left = more;
        if count > 0 {
            core.time();
            recorder.finish(Next::Wait, core.now, &mut core.ledger);
        }
        self.insert_newcomers();
        if self.core.attention != Attention::None {
            self.observe(Occasion::Delivered);
        }
        count += self.deliver_mail(Phase::Events);
        self.end_phase(Phase::Events, began, count);
    }

    /// Each outbox that got something is written once, no matter how much it got.
    fn flush_outboxes(&mut self) {
        let began = self.begin_phase(Phase::Flush);
        let first = self.core.now;
        let mut flush = std::mem::take(&mut self.core.flush);
        let count = flush.len();
        for token in flush.drain(..) {
            self.flush(token);
        }
        // Flushes that are asked for in this phase are for the next turn; the emptied list is kept for its memory.
        if self.core.flush.is_empty() {
            self.core.flush = flush;
        }
        // Answers first: a client with a request does not wait until ten thousand subscribers have got an event.
        let count = count + self.flush_for_others(first + FLUSH_TIME_PER_TURN);
        if count > 0 {
            self.record_flushes(first);
            self.insert_newcomers();
        }
        self.end_phase(Phase::Flush, began, count);
    }

    /// Flushes sources because others asked for it, in the order in which they asked: as many as a turn may, until
    /// that moment. Returns how many.
    fn flush_for_others(&mut self, until: Moment) -> usize {
        let mut count = 0;
        while count < FLUSHES_PER_TURN
            && let Some(token) = self.core.flush_of.pop_front()
        {
            self.flush(token);
            count += 1;
            if count.is_multiple_of(FLUSHES_PER_READING) && self.core.read_clock() >= until {
                break;
            }
        }
        count
    }

    fn flush(&mut self, token: Token) {
        if let Some(entry) = self.sources.get_mut(token) {
            entry.flush = false;
            self.call(token, Phase::Flush, |source, program, turn| {
                source.flush(program, turn)
            });
        }
    }

    /// Frees the sources that have ended, here and nowhere else.
    fn reap(&mut self) {
        let began = self.begin_phase(Phase::Reap);
        let mut ended = std::mem::take(&mut self.core.ended);
        let count = ended.len();
        for (token, reason) in ended.drain(..) {
            let Some(mut entry) = self.sources.remove(token) else {
                continue;
            };
            log::debug!("{} {token} ended: {}", entry.source.kind().name, reason.0);
            entry.source.deregister(&mut *self.core.seams.selector);
            entry.source.ended(reason, &mut self.program);
        }
        self.core.ended = ended;
        if count > 0 {
            for token in std::mem::take(&mut self.core.short_of_descriptors) {
                self.queue_again(token);
            }
        }
        if self.core.timers.is_littered(self.sources.len()) {
            let sources = &self.sources;
            self.core
                .timers
                .sweep(|token| sources.get(*token).map(|entry| entry.arming));
        }
        self.end_phase(Phase::Reap, began, count);
        self.core.ledger.end_turn(self.core.now.as_ns());
    }

    /// Has the program observe the loop at least this closely.
    pub fn pay_attention(&mut self, attention: Attention) {
        self.core.attention = self.core.attention.max(attention);
    }

    /// The handle with which workers return completions.
    #[must_use]
    pub fn completer(&self) -> Completer<P::Completion> {
        self.completer.clone()
    }

    /// The record of what the loop did.
    pub fn ledger(&mut self) -> &mut Ledger {
        &mut self.core.ledger
    }

    /// Randomness, for things that are made before the first turn.
    pub fn entropy(&mut self) -> &mut dyn Entropy {
        &mut *self.core.seams.entropy
    }

    /// Wall-clock time in milliseconds since 1970 (UTC).
    #[must_use]
    pub fn unix_ms(&self) -> u64 {
        self.core.seams.clock.unix_ms()
    }

    /// Whether a source stopped the loop.
    #[must_use]
    pub fn stopped(&self) -> bool {
        self.core.stopped
    }
}

impl<P: Program> std::fmt::Debug for Reactor<P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reactor")
            .field("sources", &self.sources.len())
            .finish_non_exhaustive()
    }
}
