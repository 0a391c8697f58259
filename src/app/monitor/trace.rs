//! `GET /trace.json`: turns in Chrome's trace event format, which Perfetto and Chrome open
//! (<https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU>).
//!
//! The loop is a thread with turns; in each turn the phases in which something was done, in each phase what was
//! dispatched. Workers are threads with what they did; arrows lead from where that was handed out, and to where its
//! result was taken. Times are microseconds since the loop's clock began.

use std::time::Duration;

use serde_json::{Value, json};

use super::super::{Context, Reply, Request};
use crate::http::Status;
use crate::ledger::{DispatchRecord, JobRecord, Label, Ledger, Phase, TurnRecord};

/// The loop's thread in a trace, and the first of the workers'.
const LOOP: usize = 1;
const WORKERS_FROM: usize = 2;

/// How far a trace goes back if nobody says so.
const LAST: Duration = Duration::from_secs(5);

pub(super) fn trace(request: &Request<'_>, cx: &mut Context<'_>) -> Result<Reply, Reply> {
    let last = match request.query("last") {
        None => LAST,
        Some(text) => duration(&text).ok_or_else(|| {
            let detail = "last is a time, as in last=5s or last=500ms";
            Reply::problem(Status::BAD_REQUEST, "malformed_query", detail)
        })?,
    };
    let since_ns = cx.now.as_ns().saturating_sub(last.as_nanos() as u64);
    let ledger = &*cx.ledger;
    let mut events = vec![
        json!({"ph": "M", "pid": 1, "tid": 1, "name": "process_name", "args": {"name": "loopgate"}}),
        json!({"ph": "M", "pid": 1, "tid": 1, "name": "thread_name", "args": {"name": "loop"}}),
    ];
    // The ring of dispatches may begin later than that of turns: what is no longer known is left out.
    let mut dispatches = ledger.dispatches().peekable();
    for turn in ledger.turns().filter(|turn| turn.began_ns >= since_ns) {
        while dispatches
            .next_if(|one| one.began_ns < turn.began_ns)
            .is_some()
        {}
        let end_ns = turn.began_ns + turn.phase_ns[1..].iter().sum::<u64>();
        let mut of_turn = Vec::new();
        while let Some(one) = dispatches.next_if(|one| one.began_ns < end_ns) {
            of_turn.push(*one);
        }
        add_turn(turn, &of_turn, ledger, &mut events);
    }
    add_jobs(ledger, since_ns, &mut events);
    Ok(super::json(
        &json!({"displayTimeUnit": "ns", "traceEvents": events}),
    ))
}

fn add_turn(
    turn: &TurnRecord,
    dispatches: &[DispatchRecord],
    ledger: &Ledger,
    events: &mut Vec<Value>,
) {
    let slept_ns = turn.phase_ns[Phase::Wait as usize];
    events.push(span(
        "wait",
        "phase",
        turn.began_ns.saturating_sub(slept_ns),
        slept_ns,
        json!({"ready": turn.counts[0]}),
    ));
    let work_ns = turn.phase_ns[1..].iter().sum();
    let name = format!("turn {}", turn.number);
    events.push(span(
        &name,
        "turn",
        turn.began_ns,
        work_ns,
        json!({"number": turn.number}),
    ));
    let mut at = turn.began_ns;
    for phase in &Phase::ALL[1..] {
        let (ns, count) = (turn.phase_ns[*phase as usize], turn.counts[*phase as usize]);
        if count > 0 {
            events.push(span(phase.name(), "phase", at, ns, json!({"count": count})));
        }
        let end = at + ns;
        for one in dispatches.iter().filter(|one| one.phase == *phase) {
            // Its phase contains it, whatever a rounding says.
            let began = one.began_ns.clamp(at, end);
            let duration = one.duration_ns.min(end - began);
            let name = match ledger.name(one.label) {
                "" => ledger.name(one.kind),
                label => label,
            };
            let args = json!({"source": one.token.to_string(), "kind": ledger.name(one.kind)});
            events.push(span(name, "dispatch", began, duration, args));
        }
        at = end;
    }
}

/// What workers did, each on a thread of its own. A group's transactions are one commit, and so one span.
fn add_jobs(ledger: &Ledger, since_ns: u64, events: &mut Vec<Value>) {
    let mut workers: Vec<Label> = Vec::new();
    let mut last = None;
    let jobs = ledger.jobs().filter(|job| job.submitted_ns >= since_ns);
    for (number, job) in (1..).zip(jobs) {
        let lane = workers.iter().position(|known| *known == job.worker);
        let lane = lane.unwrap_or_else(|| {
            workers.push(job.worker);
            workers.len() - 1
        });
        let thread = WORKERS_FROM + lane;
        let commit = (job.worker, job.started_ns);
        if last.replace(commit) != Some(commit) {
            let ns = job.finished_ns - job.started_ns;
            let waited_ns = job.started_ns.saturating_sub(job.submitted_ns);
            let args = json!({"waited_us": microseconds(waited_ns)});
            let mut work = span(ledger.name(job.label), "job", job.started_ns, ns, args);
            work["tid"] = thread.into();
            events.push(work);
        }
        add_arrows(number, job, thread, events);
    }
    for (lane, worker) in workers.into_iter().enumerate() {
        let args = json!({"name": ledger.name(worker)});
        events.push(json!({
            "ph": "M", "pid": 1, "tid": WORKERS_FROM + lane, "name": "thread_name", "args": args,
        }));
    }
}

/// From the loop to a worker's thread, and back.
fn add_arrows(number: usize, job: &JobRecord, thread: usize, events: &mut Vec<Value>) {
    for (step, ph, tid, at_ns) in [
        ("submit", "s", LOOP, job.submitted_ns),
        ("submit", "f", thread, job.started_ns),
        ("deliver", "s", thread, job.finished_ns),
        ("deliver", "f", LOOP, job.delivered_ns),
    ] {
        let id = format!("{step}-{number}");
        events.push(json!({
            "ph": ph, "pid": 1, "tid": tid, "name": step, "cat": "flow", "id": id, "bp": "e",
            "ts": microseconds(at_ns),
        }));
    }
}

/// A complete event, with its times in microseconds.
fn span(name: &str, category: &str, began_ns: u64, ns: u64, args: Value) -> Value {
    json!({
        "ph": "X", "pid": 1, "tid": LOOP, "name": name, "cat": category,
        "ts": microseconds(began_ns), "dur": microseconds(ns), "args": args,
    })
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a hundred days in nanoseconds fit into 53 bits"
)]
fn microseconds(ns: u64) -> f64 {
    ns as f64 / 1000.0
}

fn duration(text: &str) -> Option<Duration> {
    let (number, unit) = match text.strip_suffix("ms") {
        Some(number) => (number, Duration::from_millis(1)),
        None => (
            text.strip_suffix('s').unwrap_or(text),
            Duration::from_secs(1),
        ),
    };
    unit.checked_mul(number.parse().ok()?)
}
