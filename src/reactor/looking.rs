//! What of a loop may be looked at while it turns, and what it says of its sources.

use std::collections::BTreeMap;

use super::clock::Moment;
use super::core::Core;
use super::slots::Slots;
use super::source::{Program, Seen};
use super::{Entry, LOOKS_PER_TURN, Reactor, Token};
use crate::ledger::{Ledger, Phase};

/// A loop between two phases, where nothing happens: what may be looked at.
pub struct Standstill<'l, P: Program> {
    /// The phase that comes next.
    pub before: Phase,
    sources: &'l Slots<Entry<P>>,
    core: &'l mut Core<P::Message>,
}

impl<P: Program> Standstill<'_, P> {
    /// Reads the clock.
    pub fn measure(&mut self) -> Moment {
        self.core.now = self.core.seams.clock.now();
        self.core.now
    }

    /// Wall-clock time in milliseconds since 1970 (UTC).
    #[must_use]
    pub fn unix_ms(&self) -> u64 {
        self.core.wall.unix_ms(self.core.now)
    }

    /// The record of what the loop did.
    #[must_use]
    pub fn ledger(&self) -> &Ledger {
        &self.core.ledger
    }

    /// The next so many deadlines, as [`Turn::deadlines`](super::Turn::deadlines) has them.
    #[must_use]
    pub fn deadlines(&self, count: usize) -> Vec<(Moment, Token)> {
        self.core.deadlines(count)
    }

    /// All sources, however many there are.
    #[must_use]
    pub fn sources(&self) -> Vec<Seen> {
        look(self.sources, 0, self.sources.slots())
    }
}

impl<P: Program> std::fmt::Debug for Standstill<'_, P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Standstill")
            .field("before", &self.before)
            .finish_non_exhaustive()
    }
}

fn look<P: Program>(sources: &Slots<Entry<P>>, from: usize, to: usize) -> Vec<Seen> {
    let found = (from..to).filter_map(|slot| sources.in_slot(slot));
    let seen = found.map(|(token, entry)| Seen {
        token,
        kind: entry.kind,
        description: entry.source.describe(),
    });
    seen.collect()
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

    /// Looks at the sources from that slot on, as many as one turn may.
    #[cold]
    pub(super) fn look(&mut self, from: usize) {
        let to = self.sources.slots().min(from + LOOKS_PER_TURN);
        let seen = look(&self.sources, from, to);
        let next = (to < self.sources.slots()).then_some(to);
        let kind = self.core.kinds.look;
        self.dispatch_program(kind, Phase::Events, |program, turn| {
            program.looked(seen, next, turn);
        });
        // The next turn comes at once while there is more to look at.
        self.core.events_left |= self.program.looks_from().is_some();
    }

    /// Before a phase: nearly always nothing; else whoever watches may hold the loop here. When the phase began.
    #[inline]
    pub(super) fn begin_phase(&mut self, phase: Phase) -> Moment {
        let began = self.core.now;
        if self.program.is_paced() {
            let mut still = Standstill {
                before: phase,
                sources: &self.sources,
                core: &mut self.core,
            };
            self.program.stand_still(&mut still);
            still.measure();
        }
        began
    }
}
