//! `GET /trace.json`: turns in Chrome's trace event format, which Perfetto and Chrome open
//! (<https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU>).
//!
//! The loop is a thread with turns; in each turn the phases in which something was done, in each phase what was
//! dispatched. Workers are threads with their jobs; arrows lead from the turn that submitted a job to the worker, and
//! from there to the turn that took the result. Times are microseconds since the loop's clock began.

use std::rc::Rc;
use std::time::Duration;

use serde_json::{Value, json};

use super::super::{Context, Reply, Request};
use super::Names;
use crate::http::Status;
use crate::ledger::{DispatchRecord, JobRecord, Label, Phase, TurnRecord};

/// The loop's thread in a trace, and the first of the workers'.
const LOOP: usize = 1;
const WORKERS_FROM: usize = 2;

/// How far a trace goes back by default.
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
    let (ledger, names) = (&*cx.ledger, Names::of(cx.ledger));
    let turns = ledger.turns().filter(|turn| turn.began_ns >= since_ns);
    let turns: Vec<TurnRecord> = turns.copied().collect();
    let dispatches = ledger.dispatches().filter(|one| one.began_ns >= since_ns);
    let dispatches: Vec<DispatchRecord> = dispatches.copied().collect();
    let jobs = ledger.jobs().filter(|job| job.submitted_ns >= since_ns);
    let jobs: Vec<JobRecord> = jobs.copied().collect();
    Ok(super::json_list(
        "{\"displayTimeUnit\":\"ns\",\"traceEvents\":[\n".to_owned(),
        events(turns, dispatches, jobs, names),
        "]}",
    ))
}

/// All events, one turn or job after the other.
fn events(
    turns: Vec<TurnRecord>,
    dispatches: Vec<DispatchRecord>,
    jobs: Vec<JobRecord>,
    names: Names,
) -> impl Iterator<Item = Value> {
    let mut workers: Vec<Label> = Vec::new();
    for job in &jobs {
        if !workers.contains(&job.worker) {
            workers.push(job.worker);
        }
    }
    let mut threads = vec![
        metadata("process_name", LOOP, "loopgate"),
        metadata("thread_name", LOOP, "loop"),
    ];
    for (lane, worker) in workers.iter().enumerate() {
        threads.push(metadata(
            "thread_name",
            WORKERS_FROM + lane,
            names.name(*worker),
        ));
    }
    let names = Rc::new(names);
    let of_jobs = Rc::clone(&names);
    let since_ns = turns.first().map_or(u64::MAX, |turn| turn.began_ns);
    // The ring of dispatches may begin later than that of turns: dispatches that it has lost are left out.
    let mut dispatches = dispatches.into_iter().peekable();
    let of_turns = turns.into_iter().flat_map(move |turn| {
        while dispatches
            .next_if(|one| one.began_ns < turn.began_ns)
            .is_some()
        {}
        let end_ns = turn.began_ns + turn.phase_ns[1..].iter().sum::<u64>();
        let of_turn = std::iter::from_fn(|| dispatches.next_if(|one| one.began_ns < end_ns));
        let of_turn: Vec<DispatchRecord> = of_turn.collect();
        turn_events(&turn, &of_turn, &names)
    });
    // A group's transactions are one commit, and so one span.
    let of_one_group =
        |a: &JobRecord, b: &JobRecord| (a.worker, a.started_ns) == (b.worker, b.started_ns);
    let groups: Vec<Vec<JobRecord>> = jobs.chunk_by(of_one_group).map(<[_]>::to_vec).collect();
    let mut arrows = 0;
    let of_jobs = groups.into_iter().flat_map(move |group| {
        let lane = workers.iter().position(|known| *known == group[0].worker);
        let thread = WORKERS_FROM + lane.unwrap_or(0);
        let mut events = vec![group_span(&group, thread, &of_jobs)];
        for job in &group {
            arrows += 2;
            events.extend(arrows_of(job, thread, arrows, since_ns));
        }
        events
    });
    threads.into_iter().chain(of_turns).chain(of_jobs)
}

fn metadata(what: &str, thread: usize, name: &str) -> Value {
    json!({"ph": "M", "pid": 1, "tid": thread, "name": what, "args": {"name": name}})
}

fn turn_events(turn: &TurnRecord, dispatches: &[DispatchRecord], names: &Names) -> Vec<Value> {
    let slept_ns = turn.phase_ns[Phase::Wait as usize];
    let slept_from = turn.began_ns.saturating_sub(slept_ns);
    let work_ns = turn.phase_ns[1..].iter().sum();
    let (ready, number) = (
        json!({"ready": turn.counts[0]}),
        json!({"number": turn.number}),
    );
    let name = format!("turn {}", turn.number);
    let mut events = vec![
        span("wait", "phase", slept_from, slept_ns, ready),
        span(&name, "turn", turn.began_ns, work_ns, number),
    ];
    let mut at = turn.began_ns;
    for phase in &Phase::ALL[1..] {
        let (ns, count) = (turn.phase_ns[*phase as usize], turn.counts[*phase as usize]);
        if count > 0 {
            events.push(span(phase.name(), "phase", at, ns, json!({"count": count})));
        }
        let end = at + ns;
        for one in dispatches.iter().filter(|one| one.phase == *phase) {
            // Its phase contains it, even if rounding says otherwise.
            let began = one.began_ns.clamp(at, end);
            let duration = one.duration_ns.min(end - began);
            let kind = names.name(one.kind);
            let name = match names.name(one.label) {
                "" => kind,
                label => label,
            };
            let args = json!({"source": one.token.to_string(), "kind": kind});
            events.push(span(name, "dispatch", began, duration, args));
        }
        at = end;
    }
    events
}

/// What a worker did in one go.
fn group_span(group: &[JobRecord], thread: usize, names: &Names) -> Value {
    let first = &group[0];
    let mut labels: Vec<&str> = group.iter().map(|job| names.name(job.label)).collect();
    labels.retain(|label| !label.is_empty());
    labels.dedup();
    let ns = first.finished_ns - first.started_ns;
    let waited_ns = first.started_ns.saturating_sub(first.submitted_ns);
    if labels.is_empty() {
        labels.push("program");
    }
    let args = json!({"waited_us": microseconds(waited_ns)});
    let mut work = span(&labels.join(", "), "job", first.started_ns, ns, args);
    work["tid"] = thread.into();
    work
}

/// The arrows from the loop to a worker's thread and back, as far as the turn at the loop's end is known. Perfetto
/// accepts no arrow without a target, and only numbers as their names. For Chrome a span no longer contains its end,
/// so the arrow back begins in its last nanosecond.
fn arrows_of(job: &JobRecord, thread: usize, number: usize, since_ns: u64) -> Vec<Value> {
    let event = |number: usize, step: &str, ph: &str, tid: usize, at_ns: u64| {
        json!({
            "ph": ph, "pid": 1, "tid": tid, "name": step, "cat": "flow", "id": number, "bp": "e",
            "ts": microseconds(at_ns),
        })
    };
    let mut events = Vec::new();
    if job.submitted_ns >= since_ns {
        events.push(event(number, "submit", "s", LOOP, job.submitted_ns));
        events.push(event(number, "submit", "f", thread, job.started_ns));
    }
    if job.delivered_ns >= since_ns {
        let last_ns = job.finished_ns.saturating_sub(1).max(job.started_ns);
        events.push(event(number + 1, "deliver", "s", thread, last_ns));
        events.push(event(number + 1, "deliver", "f", LOOP, job.delivered_ns));
    }
    events
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
