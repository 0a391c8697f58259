//! The ledger's records as JSON, for connections that watch: one object a batch. `docs/monitor.md` describes it.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::turns::outcome;
use crate::ledger::{DispatchRecord, JobRecord, Ledger, Phase, TurnRecord};
use crate::reactor::{Moment, Token};

/// The contents of a batch.
#[derive(Serialize)]
pub(super) struct Batch<'l> {
    pub(super) now_ns: u64,
    pub(super) labels: BTreeMap<usize, &'l str>,
    pub(super) turns: Vec<Turn>,
    pub(super) dispatches: Vec<Dispatch>,
    pub(super) jobs: Vec<Job>,
    pub(super) timers: Vec<Timer>,
    pub(super) events: Vec<Value>,
    pub(super) gauges: Gauges,
    pub(super) skipped: Skipped,
}

#[derive(Serialize)]
pub(super) struct Turn {
    pub(super) n: u64,
    pub(super) at: u64,
    pub(super) phase_ns: [u64; Phase::COUNT],
    pub(super) counts: [u32; Phase::COUNT],
    pub(super) timeout_ns: Option<u64>,
    pub(super) observer: bool,
}

#[derive(Serialize)]
pub(super) struct Dispatch {
    pub(super) id: String,
    pub(super) at: u64,
    pub(super) ns: u64,
    pub(super) kind: usize,
    pub(super) label: usize,
    pub(super) phase: usize,
    pub(super) outcome: &'static str,
    pub(super) observer: bool,
}

#[derive(Serialize)]
pub(super) struct Job {
    pub(super) id: String,
    pub(super) label: usize,
    pub(super) worker: usize,
    pub(super) submitted: u64,
    pub(super) started: u64,
    pub(super) finished: u64,
    pub(super) delivered: u64,
}

#[derive(Serialize)]
pub(super) struct Timer {
    pub(super) id: String,
    pub(super) at: u64,
}

/// How much there is of what.
#[derive(Serialize)]
pub(super) struct Gauges {
    pub(super) connections: usize,
    pub(super) observers: usize,
    pub(super) streams: usize,
    pub(super) sessions: usize,
    pub(super) jobs_waiting: usize,
    pub(super) pending: usize,
}

/// How much happened since the last batch that this one leaves out.
#[derive(Serialize)]
pub(super) struct Skipped {
    pub(super) turns: u64,
    pub(super) dispatches: u64,
    pub(super) jobs: u64,
}

impl Turn {
    /// The turns, and for each whether its work was the monitor's, which `dispatches` tells in the same order.
    pub(super) fn all_of(
        turns: &[&TurnRecord],
        dispatches: &[&DispatchRecord],
        ledger: &Ledger,
    ) -> Vec<Self> {
        let mut dispatches = dispatches.iter().peekable();
        let turns = turns.iter().map(|turn| {
            let end_ns = turn.began_ns + turn.phase_ns[1..].iter().sum::<u64>();
            while dispatches
                .next_if(|one| one.began_ns < turn.began_ns)
                .is_some()
            {}
            let (mut observers, mut others) = (false, false);
            while let Some(one) = dispatches.next_if(|one| one.began_ns < end_ns) {
                let is_observer = ledger.is_observer(one.kind);
                observers |= is_observer;
                others |= !is_observer;
            }
            Self {
                n: turn.number,
                at: turn.began_ns,
                phase_ns: turn.phase_ns,
                counts: turn.counts,
                timeout_ns: (turn.timeout_ns != u64::MAX).then_some(turn.timeout_ns),
                observer: observers && !others,
            }
        });
        turns.collect()
    }
}

impl Dispatch {
    pub(super) fn of(record: &DispatchRecord, ledger: &Ledger) -> Self {
        Self {
            id: record.token.to_string(),
            at: record.began_ns,
            ns: record.duration_ns,
            kind: record.kind.index(),
            label: record.label.index(),
            phase: record.phase as usize,
            outcome: outcome(record),
            observer: ledger.is_observer(record.kind),
        }
    }
}

impl From<&JobRecord> for Job {
    fn from(record: &JobRecord) -> Self {
        Self {
            id: record.id.to_string(),
            label: record.label.index(),
            worker: record.worker.index(),
            submitted: record.submitted_ns,
            started: record.started_ns,
            finished: record.finished_ns,
            delivered: record.delivered_ns,
        }
    }
}

impl From<&(Moment, Token)> for Timer {
    fn from((at, token): &(Moment, Token)) -> Self {
        Self {
            id: token.as_u64().to_string(),
            at: at.as_ns(),
        }
    }
}

/// A server-sent event (HTML Standard, section 9.2).
pub(super) fn server_sent(name: &str, data: &impl Serialize) -> Vec<u8> {
    let mut event = format!("event: {name}\ndata: ").into_bytes();
    // Into memory, and of keys that are text: neither can fail.
    let _ = serde_json::to_writer(&mut event, data);
    event.extend_from_slice(b"\n\n");
    event
}
