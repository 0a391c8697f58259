//! `GET /live`: what the ledger has recorded, soon after it was recorded, for connections that watch.
//!
//! Server-sent events: `hello` once, then a `batch` at most every [`BATCH_EVERY`], and only if something happened that
//! was not the monitor's own work. So watching an idle loop does not wake it. For a busy loop a batch has the newest
//! records, and says how many it left out.

use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use serde_json::{Value, json};

use super::super::{App, Context, Hub, Reply, Request, SubscriptionId};
use super::batch::{Batch, Dispatch, Gauges, Job, Skipped, Timer, Turn, server_sent};
use crate::config::{ListenAddr, Pace};
use crate::event::Event;
use crate::ledger::{DispatchRecord, Ledger, Phase, SLOW_NS, TurnRecord};
use crate::reactor::{Moment, Token};

/// The shortest time between two batches.
pub const BATCH_EVERY: Duration = Duration::from_millis(50);
/// The next deadlines in a batch.
pub const DEADLINES_MAX: usize = 16;
/// Most turns in a batch.
const TURNS_MAX: usize = 128;
const DISPATCHES_MAX: usize = 512;
const JOBS_MAX: usize = 128;
const EVENTS_MAX: usize = 128;

/// The records up to which observers have been sent everything.
#[derive(Clone, Copy, Debug, Default)]
struct SentUpTo {
    turns: u64,
    dispatches: u64,
    jobs: u64,
    labels: usize,
}

/// The state that exists while at least one observer watches.
#[derive(Debug)]
pub struct Watch {
    sent: SentUpTo,
    /// The number of dispatches that have been classified as the monitor's or not.
    judged: u64,
    events: Receiver<Value>,
    subscription: SubscriptionId,
}

impl SentUpTo {
    /// Everything up to now; the turn under way only if the loop stands still.
    fn all(ledger: &Ledger, stands_still: bool) -> Self {
        let (turns, dispatches, jobs) = ledger.totals();
        let held_back = if stands_still { 0 } else { under_way(ledger) };
        Self {
            turns,
            dispatches: dispatches - held_back,
            jobs,
            labels: ledger.labels().count(),
        }
    }
}

/// Dispatches of the turn that is under way.
fn under_way(ledger: &Ledger) -> u64 {
    let began_ns = ledger.turn_began_ns();
    let newest = ledger.dispatches().rev();
    newest.take_while(|one| one.began_ns >= began_ns).count() as u64
}

impl Watch {
    /// The first observer begins to watch.
    #[must_use]
    pub fn begin(hub: &mut Hub, ledger: &Ledger) -> Self {
        let (sender, events) = mpsc::sync_channel(EVENTS_MAX);
        // Events beyond this in one batch are left out: unlike a subscriber, the page may miss some.
        let subscription = hub.subscribe("*", move |event: &Event| {
            let _ = sender.try_send(json!({
                "id": event.id,
                "unix_ms": event.fact.unix_ms,
                "name": event.fact.name,
                "sender": event.fact.sender,
            }));
        });
        let sent = SentUpTo::all(ledger, false);
        Self {
            judged: sent.dispatches,
            sent,
            events,
            subscription,
        }
    }

    /// The last observer has left.
    pub fn end(self, hub: &mut Hub) {
        hub.unsubscribe(self.subscription);
    }

    /// Whether anything but the monitor's own work happened since the last call.
    pub fn has_news(&mut self, ledger: &Ledger) -> bool {
        let (_, dispatches, _) = ledger.totals();
        let new = dispatches - std::mem::replace(&mut self.judged, dispatches);
        let newest = ledger.dispatches().rev().take(new as usize);
        newest.filter(|one| !ledger.is_observer(one.kind)).count() > 0
    }
}

pub(super) fn live(_: &Request<'_>, _: &mut Context<'_>) -> Result<Reply, Reply> {
    Ok(Reply::Watch(None))
}

/// The state of the loop at the moment at which it is observed.
#[derive(Debug)]
pub struct Sight {
    /// On its own clock.
    pub now: Moment,
    /// Wall-clock time in milliseconds since 1970 (UTC).
    pub unix_ms: u64,
    /// The next [`DEADLINES_MAX`] of its deadlines.
    pub deadlines: Vec<(Moment, Token)>,
    /// The loop stands still between two phases: a batch includes what the unfinished turn has done so far.
    pub stands_still: bool,
}

impl App {
    /// What observers have not been sent yet, as a server-sent event; `None` if there are no observers.
    pub fn batch(&mut self, ledger: &Ledger, sight: &Sight) -> Option<Vec<u8>> {
        let watch = self.watch.as_mut()?;
        let events = watch.events.try_iter().take(EVENTS_MAX).collect();
        let since = std::mem::replace(&mut watch.sent, SentUpTo::all(ledger, sight.stands_still));
        watch.judged = watch.judged.max(watch.sent.dispatches);
        Some(self.batch_since(since, ledger, sight, events))
    }

    /// What a new observer receives first: the meaning of all numbers, and the records that the ledger still has.
    pub fn greeting(&self, ledger: &Ledger, sight: &Sight) -> Vec<u8> {
        let slow_turn = match self.config.pace {
            Pace::Slow(each) => Some(each.as_millis() as u64),
            _ => None,
        };
        let listen = self.addresses.iter();
        let hello = json!({
            "version": env!("CARGO_PKG_VERSION"),
            "mode": self.config.pace.name(),
            "slow_turn_ms": slow_turn,
            "phases": Phase::ALL.map(Phase::name),
            "labels": ledger.labels().map(|(_, name)| name).collect::<Vec<&str>>(),
            "workers": self.config.workers,
            "listen": listen.map(ListenAddr::to_string).collect::<Vec<String>>(),
            "now_ns": sight.now.as_ns(),
            "unix_ms": sight.unix_ms,
            "slow_ns": SLOW_NS,
            "turns_kept": ledger.memory().turns,
            "dispatches_kept": ledger.memory().dispatches,
        });
        let mut greeting = server_sent("hello", &hello);
        let since = SentUpTo {
            labels: ledger.labels().count(),
            ..SentUpTo::default()
        };
        greeting.extend(self.batch_since(since, ledger, sight, Vec::new()));
        greeting
    }

    fn batch_since(
        &self,
        since: SentUpTo,
        ledger: &Ledger,
        sight: &Sight,
        events: Vec<Value>,
    ) -> Vec<u8> {
        let all = SentUpTo::all(ledger, sight.stands_still);
        let turns = Share::of(since.turns, all.turns, TURNS_MAX);
        let dispatches = Share::of(since.dispatches, all.dispatches, DISPATCHES_MAX);
        let jobs = Share::of(since.jobs, all.jobs, JOBS_MAX);
        let held_back = ledger.totals().1 - all.dispatches;
        let newest = ledger.dispatches().rev().skip(held_back as usize);
        let mut newest: Vec<&DispatchRecord> = newest.take(dispatches.sent).collect();
        newest.reverse();
        let mut turn_records: Vec<&TurnRecord> = ledger.turns().rev().take(turns.sent).collect();
        turn_records.reverse();
        let mut jobs_done: Vec<Job> = ledger.jobs().rev().take(jobs.sent).map(Job::from).collect();
        jobs_done.reverse();
        let labels = ledger.labels().skip(since.labels);
        let batch = Batch {
            now_ns: sight.now.as_ns(),
            labels: labels.map(|(label, name)| (label.index(), name)).collect(),
            turns: Turn::all_of(&turn_records, &newest, ledger),
            dispatches: newest.iter().map(|one| Dispatch::of(one, ledger)).collect(),
            jobs: jobs_done,
            timers: sight.deadlines.iter().map(Timer::from).collect(),
            events,
            gauges: Gauges {
                connections: self.vitals.connections,
                observers: self.vitals.observers,
                streams: self.streams.len(),
                sessions: self.sessions.len(),
                jobs_waiting: self.vitals.hash_queue,
                pending: self.vitals.pending,
            },
            skipped: Skipped {
                turns: turns.skipped,
                dispatches: dispatches.skipped,
                jobs: jobs.skipped,
            },
        };
        server_sent("batch", &batch)
    }
}

/// How much of what is new goes into the batch.
struct Share {
    sent: usize,
    skipped: u64,
}

impl Share {
    fn of(since: u64, all: u64, max: usize) -> Self {
        let new = all.saturating_sub(since);
        let sent = new.min(max as u64);
        Self {
            sent: sent as usize,
            skipped: new - sent,
        }
    }
}
