//! A loop that is slowed down: before each phase it stands at a gate, and whoever shows it is told where.

use std::sync::Arc;

use super::service::Service;
use crate::app::monitor::{DEADLINES_MAX, Gate, Sight, Watch, sources_json};
use crate::ledger::{Ledger, Phase};
use crate::reactor::Standstill;

/// Where a loop stands, and whom it tells.
pub struct Paced {
    /// Where it stands.
    pub gate: Arc<Gate>,
    /// Tells all who watch, in another thread.
    pub tell: Box<dyn Fn(Arc<[u8]>)>,
}

impl std::fmt::Debug for Paced {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Paced")
            .field("gate", &self.gate)
            .finish_non_exhaustive()
    }
}

impl Service {
    /// From now on the loop is slowed down.
    pub fn pace(&mut self, paced: Paced, ledger: &Ledger) {
        self.app.watch = Some(Watch::begin(&mut self.app.hub, ledger));
        self.paced = Some(paced);
    }

    /// Stands before a phase; before the wait it does not, where it stands still in any case.
    #[cold]
    pub(super) fn stand(&mut self, still: &mut Standstill<'_, Self>) {
        let Some(paced) = &self.paced else {
            return;
        };
        let gate = Arc::clone(&paced.gate);
        let (turn, before) = (still.ledger().turn_number(), still.before);
        if !gate.holds(turn, before) {
            return;
        }
        let now = still.measure();
        self.take_vitals();
        let sight = Sight {
            now,
            unix_ms: still.unix_ms(),
            deadlines: still.deadlines(DEADLINES_MAX),
            stands_still: true,
        };
        let ledger = still.ledger();
        let sources = sources_json(&still.sources(), &self.app, ledger, &sight);
        if before == Phase::Wait {
            return self.show(ledger, &sight, Some(sources), &Gate::sleeps(turn));
        }
        self.show(
            ledger,
            &sight,
            Some(sources),
            &gate.halted(turn, before, now),
        );
        if gate.stand(turn, before)
            && let Some(paced) = &self.paced
        {
            (paced.tell)(Gate::resumed(turn).into());
        }
    }

    /// Shows what there is to see to those who watch in another thread, and to those who will.
    pub(super) fn show(
        &mut self,
        ledger: &Ledger,
        sight: &Sight,
        sources: Option<String>,
        halted: &[u8],
    ) {
        let batch = self.app.batch(ledger, sight);
        let (Some(paced), Some(mut batch)) = (&self.paced, batch) else {
            return;
        };
        batch.extend_from_slice(halted);
        let mut greeting = self.app.greeting(ledger, sight);
        greeting.extend_from_slice(halted);
        paced.gate.show(greeting.into(), sources);
        (paced.tell)(batch.into());
    }
}
