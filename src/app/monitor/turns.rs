//! `GET /slow` and `GET /turns`: the slow turns and the latest turns in the ledger.

use serde_json::{Value, json};

use super::super::{Context, Reply, Request};
use super::Names;
use crate::ledger::{DispatchRecord, Outcome, TurnRecord};

/// Turns that are shown by default.
const TURNS: usize = 100;

pub(super) fn slow(_: &Request<'_>, cx: &mut Context<'_>) -> Result<Reply, Reply> {
    let (ledger, names) = (&*cx.ledger, Names::of(cx.ledger));
    let slow: Vec<Value> = ledger
        .slow()
        .rev()
        .map(|slow| {
            let mut value = dispatch_json(&slow.dispatch, &names);
            value["turn"] = slow.turn.into();
            value
        })
        .collect();
    Ok(super::json(&json!({ "slow": slow })))
}

pub(super) fn turns(request: &Request<'_>, cx: &mut Context<'_>) -> Result<Reply, Reply> {
    let last = super::number(request, "last", TURNS)?;
    let mut newest: Vec<TurnRecord> = cx.ledger.turns().rev().take(last).copied().collect();
    newest.reverse();
    let turns = newest.into_iter().map(|turn| turn_json(&turn));
    Ok(super::json_list("{\"turns\":[\n".to_owned(), turns, "]}"))
}

fn turn_json(turn: &TurnRecord) -> Value {
    json!({
        "n": turn.number,
        "at": turn.began_ns,
        "phase_ns": turn.phase_ns,
        "counts": turn.counts,
        "timeout_ns": (turn.timeout_ns != u64::MAX).then_some(turn.timeout_ns),
    })
}

pub(super) fn dispatch_json(dispatch: &DispatchRecord, names: &Names) -> Value {
    json!({
        "id": dispatch.token.to_string(),
        "at": dispatch.began_ns,
        "ns": dispatch.duration_ns,
        "kind": names.name(dispatch.kind),
        "label": names.name(dispatch.label),
        "phase": dispatch.phase.name(),
        "outcome": outcome(dispatch),
    })
}

/// What the source wanted next.
pub(super) fn outcome(dispatch: &DispatchRecord) -> &'static str {
    match dispatch.outcome {
        Outcome::Wait => "wait",
        Outcome::Again => "again",
        Outcome::Close => "close",
        Outcome::Continued => "continued",
    }
}
