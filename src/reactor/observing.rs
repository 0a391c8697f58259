//! How a program observes its loop.
//!
//! While the program does not observe, this costs the loop no more than one comparison a phase.

use std::collections::BTreeMap;

use super::attention::{Attention, Occasion};
use super::clock::Moment;
use super::description::SourceInfo;
use super::next::Next;
use super::slots::{Slots, Token};
use super::source::Program;
use super::turn::Turn;
use super::view::{Sources, View};
use super::{Entry, Reactor};
use crate::ledger::{Ledger, Phase};

impl<P: Program> Sources for Slots<Entry<P>> {
    fn slots(&self) -> usize {
        Slots::slots(self)
    }

    fn describe(&self, from: usize, to: usize) -> Vec<SourceInfo> {
        let found = (from..to).filter_map(|slot| self.in_slot(slot));
        let seen = found.map(|(token, entry)| SourceInfo {
            token,
            kind: entry.kind,
            description: entry.source.describe(),
        });
        seen.collect()
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

    /// The kind of the source with that token; empty if there is none.
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

    /// Called before a phase. Nearly always it does nothing; else the program may observe the loop, and hold it here.
    /// Returns when the phase began.
    #[inline]
    pub(super) fn begin_phase(&mut self, phase: Phase) -> Moment {
        let began = self.core.now;
        if self.core.attention == Attention::EachPhase {
            self.observe(Occasion::Before(phase));
        }
        began
    }

    /// Has the program observe the loop.
    #[cold]
    pub(super) fn observe(&mut self, occasion: Occasion) {
        let phase = match occasion {
            Occasion::Before(phase) => phase,
            Occasion::Delivered => Phase::Events,
        };
        let kind = self.core.kinds.observe;
        let mut view = View {
            occasion,
            turn: Turn::new(&mut self.core, Token::PROGRAM, phase, kind),
            sources: &self.sources,
            described: false,
        };
        let attention = self.program.observe(&mut view);
        let View {
            turn, described, ..
        } = view;
        let Turn { core, recorder, .. } = turn;
        core.attention = attention;
        core.now = core.seams.clock.now();
        // Holding the loop does not count as work; describing its sources does.
        if described && occasion == Occasion::Delivered {
            recorder.finish(Next::Wait, core.now, &mut core.ledger);
        }
    }
}
