//! `GET /slow` and `GET /turns`: what the ledger has of them.

use serde_json::{Value, json};

use super::super::{Context, Reply, Request};
use crate::ledger::{DispatchRecord, Ledger, Outcome, TurnRecord};

/// Turns that are shown if nobody says how many.
const TURNS: usize = 100;

pub(super) fn slow(_: &Request<'_>, cx: &mut Context<'_>) -> Result<Reply, Reply> {
    let ledger = &*cx.ledger;
    let slow: Vec<Value> = ledger
        .slow()
        .rev()
        .map(|slow| {
            let mut value = dispatch_json(&slow.dispatch, ledger);
            value["turn"] = slow.turn.into();
            value
        })
        .collect();
    Ok(super::json(&json!({ "slow": slow })))
}

pub(super) fn turns(request: &Request<'_>, cx: &mut Context<'_>) -> Result<Reply, Reply> {
    let last = super::number(request, "last", TURNS)?;
    let newest = cx.ledger.turns().rev().take(last);
    let mut turns: Vec<Value> = newest.map(turn_json).collect();
    turns.reverse();
    Ok(super::json(&json!({ "turns": turns })))
}

fn turn_json(turn: &TurnRecord) -> Value {
    json!({
        "n": turn.number,
        "at": turn.began_ns,
        "phase_ns": turn.phase_ns,
        "counts": turn.counts,
    })
}

pub(super) fn dispatch_json(dispatch: &DispatchRecord, ledger: &Ledger) -> Value {
    json!({
        "id": dispatch.token.to_string(),
        "at": dispatch.began_ns,
        "ns": dispatch.duration_ns,
        "kind": ledger.name(dispatch.kind),
        "label": ledger.name(dispatch.label),
        "phase": dispatch.phase.name(),
        "outcome": match dispatch.outcome {
            Outcome::Wait => "wait",
            Outcome::Again => "again",
            Outcome::Close => "close",
            Outcome::Continued => "continued",
        },
    })
}
