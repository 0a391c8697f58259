//! Looking at a loop: how its program is asked to, and what it sees.
//!
//! Nothing here costs a loop more than one comparison a phase while its program pays no attention.

use std::collections::BTreeMap;

use super::clock::Moment;
use super::slots::{Slots, Token};
use super::source::{Description, Next, Program, Turn};
use super::{Entry, Reactor};
use crate::ledger::{Label, Ledger, Phase};

/// How much of a loop's turning its program looks at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Attention {
    /// Nothing: it is not asked.
    #[default]
    None,
    /// What happened in each turn.
    EachTurn,
    /// Each turn, and the loop before each of its phases. It may hold the loop there.
    EachPhase,
}

/// When a loop is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occasion {
    /// Before that phase, when nothing is under way.
    Before(Phase),
    /// In the events phase, when the events of this turn are delivered. What is told now arrives in this phase.
    Delivered,
}

/// A source that was looked at.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Its name.
    pub token: Token,
    /// What it is.
    pub kind: Label,
    /// What it says.
    pub description: Description,
}

/// A loop that is looked at, while nothing else happens in it.
pub struct View<'v, M> {
    /// When that is.
    pub occasion: Occasion,
    /// What may be asked of the loop.
    pub turn: Turn<'v, M>,
    sources: &'v dyn Sources,
    /// Some of them were looked at.
    looked: bool,
}

/// What a loop has, whatever its program.
trait Sources {
    fn slots(&self) -> usize;
    fn look(&self, from: usize, to: usize) -> Vec<Seen>;
}

impl<P: Program> Sources for Slots<Entry<P>> {
    fn slots(&self) -> usize {
        Slots::slots(self)
    }

    fn look(&self, from: usize, to: usize) -> Vec<Seen> {
        let found = (from..to).filter_map(|slot| self.in_slot(slot));
        let seen = found.map(|(token, entry)| Seen {
            token,
            kind: entry.kind,
            description: entry.source.describe(),
        });
        seen.collect()
    }
}

impl<M> View<'_, M> {
    /// Looks at the sources in so many slots at most, from the slot `from` on; and where to go on, if there are more.
    pub fn sources(&mut self, from: usize, slots: usize) -> (Vec<Seen>, Option<usize>) {
        self.looked = true;
        let to = self.sources.slots().min(from + slots);
        let next = (to < self.sources.slots()).then_some(to);
        (self.sources.look(from, to), next)
    }

    /// The loop does not sleep before the next turn: there is more to look at. For [`Occasion::Delivered`].
    pub fn stay_awake(&mut self) {
        self.turn.core.events_left = true;
    }

    /// All sources, however many there are: for a loop that is held in any case.
    #[must_use]
    pub fn all_sources(&self) -> Vec<Seen> {
        self.sources.look(0, self.sources.slots())
    }
}

impl<M> std::fmt::Debug for View<'_, M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("View")
            .field("occasion", &self.occasion)
            .finish_non_exhaustive()
    }
}

impl<P: Program> Reactor<P> {
    /// What the sources share, and the record of what the loop did.
    pub fn program_and_ledger(&mut self) -> (&mut P, &Ledger) {
        (&mut self.program, &self.core.ledger)
    }

    /// How many sources there are.
    #[must_use]
    pub fn sources(&self) -> usize {
        self.sources.len()
    }

    /// What kind of source has that name; empty if none has.
    #[must_use]
    pub fn kind_of(&self, token: Token) -> &str {
        let entry = self.sources.get(token);
        entry.map_or("", |entry| self.core.ledger.name(entry.kind))
    }

    /// How many sources there are of each kind.
    #[must_use]
    pub fn kinds(&self) -> BTreeMap<&str, usize> {
        let mut kinds = BTreeMap::new();
        for token in self.sources.tokens() {
            *kinds.entry(self.kind_of(token)).or_default() += 1;
        }
        kinds
    }

    /// Before a phase: nearly always nothing; else the program may look at the loop, and hold it here. When the phase
    /// began.
    #[inline]
    pub(super) fn begin_phase(&mut self, phase: Phase) -> Moment {
        let began = self.core.now;
        if self.core.attention == Attention::EachPhase {
            self.observe(Occasion::Before(phase));
        }
        began
    }

    /// Has the program look at the loop.
    #[cold]
    pub(super) fn observe(&mut self, occasion: Occasion) {
        let phase = match occasion {
            Occasion::Before(phase) => phase,
            Occasion::Delivered => Phase::Events,
        };
        let kind = self.core.kinds.look;
        let mut view = View {
            occasion,
            turn: Turn::new(&mut self.core, Token::PROGRAM, phase, kind),
            sources: &self.sources,
            looked: false,
        };
        let attention = self.program.observe(&mut view);
        let View { turn, looked, .. } = view;
        let Turn { core, recorder, .. } = turn;
        core.attention = attention;
        core.now = core.seams.clock.now();
        // To hold the loop is no work; to look at its sources is.
        if looked && occasion == Occasion::Delivered {
            recorder.finish(Next::Wait, core.now, &mut core.ledger);
        }
    }
}
