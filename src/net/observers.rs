//! The observers of the loop: requests that list its sources, connections that watch what the ledger records, a gate
//! that holds the loop between phases.
//!
//! Without observers this costs nothing, and observing an idle loop does not wake it. What happens in one turn is sent in
//! a later one, for which the [`Broadcaster`](super::Broadcaster) has a deadline.

use std::collections::VecDeque;
use std::sync::Arc;

use super::message::Message;
use crate::app::monitor::{DEADLINES_MAX, Gate, Sight, Watch, sources_json};
use crate::app::{App, TakeSnapshot};
use crate::ledger::{Ledger, Phase};
use crate::reactor::{Attention, SourceInfo, Token, Turn, View};

/// Most connections that watch at the same time: each takes a copy of everything.
pub(super) const WATCHERS_MAX: usize = 8;

/// Bytes that may wait for a watcher; above that, batches are left out. The page notices, since turns have numbers.
pub(super) const WATCHER_BYTES_MAX: usize = 1024 * 1024;

/// Most snapshots of all sources at the same time: they are served one after the other, so this bounds how long
/// they wait.
const SNAPSHOTS_MAX: usize = 8;

/// Slots that are described in one turn, which takes some tens of microseconds.
const SLOTS_PER_TURN: usize = 256;

/// A loop that is slowed down: the gate at which it stops, and the observers that it tells.
pub struct Paced {
    /// The gate at which it stops.
    pub gate: Arc<Gate>,
    /// Sends to all observers, which another thread serves.
    pub tell: Box<dyn Fn(Arc<[u8]>)>,
}

impl std::fmt::Debug for Paced {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Paced")
            .field("gate", &self.gate)
            .finish_non_exhaustive()
    }
}

/// A snapshot that is not complete yet.
struct PartialSnapshot {
    asker: Token,
    /// The next slot to describe.
    from: usize,
    sources: Vec<SourceInfo>,
    then: TakeSnapshot,
}

/// The observers of the loop.
#[derive(Default)]
pub(super) struct Observers {
    /// Snapshots under way; the first is being served.
    snapshots: VecDeque<PartialSnapshot>,
    /// Connections that receive what the ledger records.
    watchers: Vec<Token>,
    /// The source that sends it, if the watchers watch this loop and not another one.
    broadcaster: Option<Token>,
    /// The broadcaster has been told that there is something to send.
    told: bool,
    /// The loop is slowed down.
    paced: Option<Paced>,
}

/// A description of all sources: the connection that asked, and the continuation that takes it.
pub(super) struct Snapshot {
    pub(super) asker: Token,
    pub(super) sources: Vec<SourceInfo>,
    pub(super) then: TakeSnapshot,
}

impl Observers {
    /// How closely they observe the loop.
    pub(super) fn attention(&self) -> Attention {
        if self.paced.is_some() {
            Attention::EachPhase
        } else if self.snapshots.is_empty() && self.watchers.is_empty() {
            Attention::None
        } else {
            Attention::EachTurn
        }
    }

    /// From now on, `broadcaster` sends to the watchers.
    pub(super) fn broadcast_by(&mut self, broadcaster: Token) {
        self.broadcaster = Some(broadcaster);
    }

    /// From now on, the loop is slowed down.
    pub(super) fn pace(&mut self, paced: Paced) {
        self.paced = Some(paced);
    }

    /// Whether another thread serves them.
    pub(super) fn are_elsewhere(&self) -> bool {
        self.paced.is_some()
    }

    /// Begins a snapshot of all sources for the source being dispatched. Returns whether there was room for one more.
    pub(super) fn begin_snapshot(
        &mut self,
        then: TakeSnapshot,
        turn: &mut Turn<'_, Message>,
    ) -> bool {
        if self.snapshots.len() == SNAPSHOTS_MAX {
            return false;
        }
        self.snapshots.push_back(PartialSnapshot {
            asker: turn.token(),
            from: 0,
            sources: Vec::new(),
            then,
        });
        turn.pay_attention(Attention::EachTurn);
        true
    }

    /// Describes some sources for the first request, and makes the next turn come at once while there are more;
    /// returns the snapshot if those were the last.
    pub(super) fn continue_snapshot(&mut self, view: &mut View<'_, Message>) -> Option<Snapshot> {
        let partial = self.snapshots.front_mut()?;
        let (sources, next) = view.sources(partial.from, SLOTS_PER_TURN);
        partial.sources.extend(sources);
        let snapshot = match next {
            Some(next) => {
                partial.from = next;
                None
            }
            None => self.snapshots.pop_front(),
        };
        if !self.snapshots.is_empty() {
            view.stay_awake();
        }
        snapshot.map(|partial| Snapshot {
            asker: partial.asker,
            sources: partial.sources,
            then: partial.then,
        })
    }

    pub(super) fn has_all_watchers(&self) -> bool {
        self.watchers.len() == WATCHERS_MAX
    }

    /// The source being dispatched begins to watch. Returns the greeting, with all records that the ledger has.
    pub(super) fn begin_to_watch(
        &mut self,
        app: &mut App,
        turn: &mut Turn<'_, Message>,
    ) -> Vec<u8> {
        let sight = sight(turn, false);
        self.watchers.push(turn.token());
        turn.pay_attention(Attention::EachTurn);
        let ledger = turn.ledger();
        if app.watch.is_none() {
            app.watch = Some(Watch::begin(&mut app.hub, ledger));
        }
        app.greeting(ledger, &sight)
    }

    /// The connection no longer watches. May be called more than once.
    pub(super) fn end_watching(&mut self, connection: Token, app: &mut App) {
        self.watchers.retain(|one| *one != connection);
        if self.watchers.is_empty()
            && let Some(watch) = app.watch.take()
        {
            watch.end(&mut app.hub);
        }
    }

    /// If something happened in this turn, sees to it that the watchers will be told.
    pub(super) fn notice(&mut self, app: &mut App, turn: &mut Turn<'_, Message>) {
        if self.told {
            return;
        }
        if let (Some(broadcaster), Some(watch)) = (self.broadcaster, &mut app.watch)
            && watch.has_news(turn.ledger())
        {
            self.told = true;
            turn.send(broadcaster, Message::Rearm);
        }
    }

    /// Sends what has happened since the last call.
    pub(super) fn tell_news(&mut self, app: &mut App, turn: &mut Turn<'_, Message>) {
        self.told = false;
        let sight = sight(turn, false);
        if self.are_elsewhere() {
            self.show(app, turn.ledger(), &sight, None, b"");
        } else if let Some(batch) = app.batch(turn.ledger(), &sight) {
            self.broadcast(&batch.into(), turn);
        }
    }

    /// Sends to all watchers.
    pub(super) fn broadcast(&self, batch: &Arc<[u8]>, turn: &mut Turn<'_, Message>) {
        for connection in &self.watchers {
            turn.send(*connection, Message::Batch(Arc::clone(batch)));
        }
    }

    /// Whether the loop has to stop before that phase.
    pub(super) fn hold(&self, before: Phase, ledger: &Ledger) -> bool {
        let turn = ledger.turn_number();
        self.paced
            .as_ref()
            .is_some_and(|paced| paced.gate.holds(turn, before))
    }

    /// Stops before a phase, except before the wait, in which the loop stands still anyway.
    pub(super) fn stand(&mut self, before: Phase, app: &mut App, view: &mut View<'_, Message>) {
        let Some(paced) = &self.paced else {
            return;
        };
        let gate = Arc::clone(&paced.gate);
        let now = view.turn.measure();
        let sight = sight(&view.turn, true);
        let sources = view.all_sources();
        let ledger = view.turn.ledger();
        let turn = ledger.turn_number();
        let sources = sources_json(&sources, app, ledger, &sight);
        if before == Phase::Wait {
            return self.show(app, ledger, &sight, Some(sources), &Gate::sleeps(turn));
        }
        let halted = gate.halted(turn, before, now);
        self.show(app, ledger, &sight, Some(sources), &halted);
        if gate.stand(turn, before)
            && let Some(paced) = &self.paced
        {
            (paced.tell)(Gate::resumed(turn).into());
        }
    }

    /// Updates what observers on another thread see, those of now and those to come.
    pub(super) fn show(
        &self,
        app: &mut App,
        ledger: &Ledger,
        sight: &Sight,
        sources: Option<String>,
        halted: &[u8],
    ) {
        let batch = app.batch(ledger, sight);
        let (Some(paced), Some(mut batch)) = (&self.paced, batch) else {
            return;
        };
        batch.extend_from_slice(halted);
        let mut greeting = app.greeting(ledger, sight);
        greeting.extend_from_slice(halted);
        paced.gate.show(greeting.into(), sources);
        (paced.tell)(batch.into());
    }
}

fn sight(turn: &Turn<'_, Message>, stands_still: bool) -> Sight {
    Sight {
        now: turn.now(),
        unix_ms: turn.unix_ms(),
        deadlines: turn.deadlines(DEADLINES_MAX),
        stands_still,
    }
}
