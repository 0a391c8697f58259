//! What every turn did, and for how long. Floor 0: plain records in fixed rings.
//!
//! The ledger is always on. Writing to it allocates nothing and overwrites the oldest record when a ring is full, so it
//! takes no more memory after a year than at the start. How much it takes depends on whether there is a monitor
//! ([`Memory`]).
//! It never reads a clock: the reactor hands in the readings that it needs anyway. Times are
//! nanoseconds since the reactor's clock began.

mod counts;
mod limit;
mod phase;
mod pulse;
mod record;
mod ring;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

pub use counts::{Counts, Histogram, RouteCounts};
pub use limit::Limit;
pub use phase::Phase;
pub use pulse::Pulse;
pub use record::{DispatchRecord, JobRecord, Outcome, SlowRecord, TurnRecord};
use ring::Ring;

/// How many records are remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// Of turns.
    pub turns: usize,
    /// Of dispatches.
    pub dispatches: usize,
    /// Of jobs.
    pub jobs: usize,
}

impl Memory {
    /// Without observers: so little that it stays in the nearest caches. Most of the ledger's cost was waiting for
    /// memory that was last touched thousands of requests ago.
    pub const SHORT: Self = Self {
        turns: 64,
        dispatches: 256,
        jobs: 64,
    };
    /// With a monitor, through which observers may look.
    pub const LONG: Self = Self {
        turns: 1024,
        dispatches: 4096,
        jobs: 1024,
    };
}

/// Slow dispatches remembered.
pub const SLOW_KEPT: usize = 256;
/// Dispatches that hold the loop for longer than this, in nanoseconds, are also kept separately.
pub const SLOW_NS: u64 = 5_000_000;
/// Shortest time between two log lines about slow dispatches, in nanoseconds.
const SLOW_SAID_EVERY_NS: u64 = 1_000_000_000;

/// A name that was given to the ledger once, so that a record can carry it in two bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Label(u16);

impl Label {
    /// No name: the dispatch never came as far as a route.
    pub const NONE: Self = Self(0);

    /// Its index among all labels, in the order in which they were given.
    #[must_use]
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// The always-on record of the loop.
pub struct Ledger {
    labels: Vec<String>,
    counts: Counts,
    pulse: Arc<Pulse>,
    memory: Memory,
    turns: Ring<TurnRecord>,
    dispatches: Ring<DispatchRecord>,
    slow: Ring<SlowRecord>,
    jobs: Ring<JobRecord>,
    /// Kinds of sources that belong to observers.
    observers: Vec<Label>,
    turn: TurnRecord,
    accept_pauses: u64,
    refusals: [u64; Limit::ALL.len()],
    /// Slow dispatches that were not logged yet, and when some were last logged.
    slow_unsaid: u64,
    slow_said_ns: Option<u64>,
}

impl Default for Ledger {
    fn default() -> Self {
        Self {
            labels: vec![String::new()],
            counts: Counts::default(),
            pulse: nameless(),
            memory: Memory::SHORT,
            turns: Ring::new(Memory::SHORT.turns),
            dispatches: Ring::new(Memory::SHORT.dispatches),
            slow: Ring::new(SLOW_KEPT),
            jobs: Ring::new(Memory::SHORT.jobs),
            observers: Vec::new(),
            turn: TurnRecord::default(),
            accept_pauses: 0,
            refusals: [0; Limit::ALL.len()],
            slow_unsaid: 0,
            slow_said_ns: None,
        }
    }
}

impl Ledger {
    /// The ledger is always kept, except in the build that measures its cost: `--cfg loopgate_without_ledger`, which
    /// is for nothing else (`cargo bench --bench peers -- ledger`).
    pub(crate) const IS_KEPT: bool = !cfg!(loopgate_without_ledger);

    /// From now on as many records are kept as with a monitor.
    pub fn remember_more(&mut self) {
        self.memory = Memory::LONG;
        self.turns.grow(self.memory.turns);
        self.dispatches.grow(self.memory.dispatches);
        self.jobs.grow(self.memory.jobs);
    }

    /// How many records are kept.
    #[must_use]
    pub fn memory(&self) -> Memory {
        self.memory
    }

    /// How often a peer was refused because of `limit`.
    #[must_use]
    pub fn refusals(&self, limit: Limit) -> u64 {
        self.refusals[limit as usize]
    }

    /// Counts a refusal because of `limit`. Refusals are logged less and less often: an attack must not fill
    /// the disk.
    pub(crate) fn limit_reached(&mut self, limit: Limit) {
        let refusals = &mut self.refusals[limit as usize];
        *refusals += 1;
        if refusals.is_power_of_two() {
            log::warn!(
                "limit reached: {} (refused {refusals} so far)",
                limit.name()
            );
        }
    }

    /// Turns completed so far.
    #[must_use]
    pub fn turns_total(&self) -> u64 {
        self.turns.iter().next_back().map_or(0, |turn| turn.number)
    }

    /// The number of the turn that is under way.
    #[must_use]
    pub fn turn_number(&self) -> u64 {
        self.turn.number
    }

    /// When the work of the turn under way began; between turns, that of the last turn.
    #[must_use]
    pub fn turn_began_ns(&self) -> u64 {
        self.turn.began_ns
    }

    /// The newest turns that ended, oldest first.
    #[must_use]
    pub fn turns(&self) -> impl DoubleEndedIterator<Item = &TurnRecord> {
        self.turns.iter()
    }

    /// The newest dispatches, oldest first.
    #[must_use]
    pub fn dispatches(&self) -> impl DoubleEndedIterator<Item = &DispatchRecord> {
        self.dispatches.iter()
    }

    /// The dispatches that held the loop for more than [`SLOW_NS`], oldest first.
    #[must_use]
    pub fn slow(&self) -> impl DoubleEndedIterator<Item = &SlowRecord> {
        self.slow.iter()
    }

    /// The newest jobs that workers have done, in the order in which the loop took their results.
    #[must_use]
    pub fn jobs(&self) -> impl DoubleEndedIterator<Item = &JobRecord> {
        self.jobs.iter()
    }

    /// How many turns, dispatches and jobs there ever were.
    #[must_use]
    pub fn totals(&self) -> (u64, u64, u64) {
        (
            self.turns.total(),
            self.dispatches.total(),
            self.jobs.total(),
        )
    }

    /// Marks a kind of sources as belonging to observers of the loop.
    pub(crate) fn observed_by(&mut self, kind: Label) {
        if !self.is_observer(kind) {
            self.observers.push(kind);
        }
    }

    /// Whether sources of this kind belong to observers: what they do is not the server's own work.
    #[must_use]
    pub fn is_observer(&self, kind: Label) -> bool {
        self.observers.contains(&kind)
    }

    /// A worker's result has arrived.
    pub(crate) fn job_done(&mut self, record: JobRecord) {
        if !Self::IS_KEPT {
            return;
        }
        self.jobs.push(record);
    }

    /// How often a listener stopped accepting because descriptors or room ran out.
    #[must_use]
    pub fn accept_pauses(&self) -> u64 {
        self.accept_pauses
    }

    /// Gives `name` a label. Names are kept for the ledger's life: give each once, at registration.
    pub fn label(&mut self, name: &str) -> Label {
        let index = self
            .labels
            .iter()
            .position(|known| known == name)
            .unwrap_or_else(|| {
                self.labels.push(name.to_owned());
                self.pulse.name(name);
                self.labels.len() - 1
            });
        self.counts.make_room(self.labels.len());
        Label(u16::try_from(index).unwrap_or(0))
    }

    /// The name behind `label`; empty for [`Label::NONE`].
    #[must_use]
    pub fn name(&self, label: Label) -> &str {
        self.labels
            .get(usize::from(label.0))
            .map_or("", String::as_str)
    }

    /// All labels that were given, with their names.
    pub fn labels(&self) -> impl Iterator<Item = (Label, &str)> {
        let labels = self.labels.iter().enumerate();
        labels.map(|(index, name)| (Label(index as u16), &**name))
    }

    /// What the loop is doing at this moment, for a thread that watches it.
    #[must_use]
    pub fn pulse(&self) -> Arc<Pulse> {
        Arc::clone(&self.pulse)
    }

    /// From now on this is what the loop does.
    #[inline]
    pub(crate) fn does(&self, label: Label) {
        if !Self::IS_KEPT {
            return;
        }
        self.pulse.label(label);
    }

    /// Sums over everything since the start.
    #[must_use]
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// A request was answered.
    #[inline]
    pub(crate) fn answered(&mut self, label: Label, status: u16) {
        if !Self::IS_KEPT {
            return;
        }
        self.counts.answered(label, status);
    }

    /// A request waited so long for a worker.
    pub(crate) fn waited(&mut self, label: Label, ns: u64) {
        if !Self::IS_KEPT {
            return;
        }
        self.counts.waited(label, ns);
    }

    /// A turn's wait ended at `now_ns`, having begun at `slept_from_ns`, with `ready` sources; it would have lasted
    /// until `timeout`.
    pub(crate) fn begin_turn(
        &mut self,
        slept_from_ns: u64,
        now_ns: u64,
        timeout: Option<Duration>,
        ready: usize,
    ) {
        if !Self::IS_KEPT {
            return;
        }
        let number = self.turn.number + 1;
        self.pulse.turn(number);
        self.turn = TurnRecord {
            number,
            began_ns: now_ns,
            timeout_ns: timeout.map_or(u64::MAX, |timeout| timeout.as_nanos() as u64),
            ..TurnRecord::default()
        };
        self.end_phase(Phase::Wait, now_ns.saturating_sub(slept_from_ns), ready);
    }

    /// A phase of the turn under way took `duration_ns` for `count` pieces of work.
    pub(crate) fn end_phase(&mut self, phase: Phase, duration_ns: u64, count: usize) {
        if !Self::IS_KEPT {
            return;
        }
        self.turn.phase_ns[phase as usize] = duration_ns;
        self.turn.counts[phase as usize] = count as u32;
    }

    /// The turn under way is over at `now_ns`.
    pub(crate) fn end_turn(&mut self, now_ns: u64) {
        if !Self::IS_KEPT {
            return;
        }
        self.pulse.turn(0);
        let slept_ns = self.turn.phase_ns[Phase::Wait as usize];
        let worked_ns = now_ns.saturating_sub(self.turn.began_ns);
        self.counts.turned(slept_ns, worked_ns);
        self.turns.push(self.turn);
    }

    /// A source was dispatched.
    pub(crate) fn dispatched(&mut self, record: DispatchRecord) {
        if !Self::IS_KEPT {
            return;
        }
        self.counts
            .dispatched(record.label, record.outcome, record.duration_ns);
        self.dispatches.push(record);
        if record.duration_ns > SLOW_NS {
            self.dispatched_slowly(record);
        }
    }

    /// A listener paused.
    pub(crate) fn accept_paused(&mut self) {
        self.accept_pauses += 1;
    }

    #[cold]
    fn dispatched_slowly(&mut self, record: DispatchRecord) {
        let turn = self.turn.number;
        self.slow.push(SlowRecord {
            turn,
            dispatch: record,
        });
        self.slow_unsaid += 1;
        // On a machine that is too busy everything is slow; a log line for each would make it slower.
        let said_just_now = |said_ns| record.began_ns < said_ns + SLOW_SAID_EVERY_NS;
        if self.slow_said_ns.is_some_and(said_just_now) {
            return;
        }
        let label = match self.name(record.label) {
            "" => self.name(record.kind),
            name => name,
        };
        log::warn!(
            "the loop was held for {} ms by {label} in turn {} ({}); {} such times since this was said last",
            record.duration_ns / 1_000_000,
            turn,
            record.phase.name(),
            self.slow_unsaid,
        );
        self.slow_said_ns = Some(record.began_ns);
        self.slow_unsaid = 0;
    }
}

/// A pulse that only knows the empty label.
fn nameless() -> Arc<Pulse> {
    let pulse = Pulse::default();
    pulse.name("");
    Arc::new(pulse)
}

impl fmt::Debug for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ledger")
            .field("turn", &self.turn)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_one_label() {
        let mut ledger = Ledger::default();
        let (a, b) = (ledger.label("GET /a"), ledger.label("GET /b"));
        assert_ne!(a, b);
        assert_eq!(ledger.label("GET /a"), a);
        assert_eq!(ledger.name(b), "GET /b");
        assert_eq!(ledger.name(Label::NONE), "");
    }

    #[test]
    fn only_what_held_the_loop_is_called_slow() {
        let mut ledger = Ledger::default();
        let label = ledger.label("GET /slow");
        for duration_ns in [SLOW_NS, SLOW_NS + 1] {
            ledger.dispatched(DispatchRecord {
                token: 1,
                began_ns: 0,
                duration_ns,
                kind: Label::NONE,
                label,
                phase: Phase::Readiness,
                outcome: Outcome::Wait,
            });
        }
        let slow = ledger.slow().map(|slow| slow.dispatch.duration_ns);
        assert_eq!(slow.collect::<Vec<u64>>(), [SLOW_NS + 1]);
    }
}
