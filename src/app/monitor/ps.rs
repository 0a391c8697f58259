//! `GET /ps`: every source on the loop; one of them with what it did lately; and its end.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::super::{Context, Look, Reply, Request};
use super::turns::dispatch_json;
use crate::http::{Response, Status};
use crate::ledger::Ledger;
use crate::reactor::{Moment, Seen, Token};

/// Dispatches that are shown of one source.
const HISTORY_MAX: usize = 100;

pub(super) fn list(request: &Request<'_>, _: &mut Context<'_>) -> Result<Reply, Reply> {
    let accept = request.header("accept").unwrap_or_default();
    let wants_json = accept
        .windows(4)
        .any(|part| part.eq_ignore_ascii_case(b"json"));
    Ok(Reply::Look(Look(Box::new(move |seen, cx| {
        let (now, ledger) = (cx.now, &*cx.ledger);
        if !wants_json {
            return Reply::Now(Response::text(Status::OK, table(&seen, ledger, now)).no_store());
        }
        let sources: Vec<Value> = seen.iter().map(|seen| row(seen, ledger, now)).collect();
        let total = sources.len();
        super::json(&json!({"now_ns": now.as_ns(), "total": total, "sources": sources}))
    }))))
}

pub(super) fn show(request: &Request<'_>, _: &mut Context<'_>) -> Result<Reply, Reply> {
    let token = named(request)?;
    Ok(Reply::Look(Look(Box::new(move |seen, cx| {
        let Some(seen) = seen.iter().find(|seen| seen.token == token) else {
            return nobody();
        };
        let mut source = row(seen, cx.ledger, cx.now);
        let newest = cx.ledger.dispatches().rev();
        let of_source = newest.filter(|dispatch| dispatch.token == token.as_u64());
        let mut history: Vec<Value> = of_source
            .take(HISTORY_MAX)
            .map(|dispatch| dispatch_json(dispatch, cx.ledger))
            .collect();
        history.reverse();
        source["history"] = history.into();
        super::json(&source)
    }))))
}

pub(super) fn end(request: &Request<'_>, _: &mut Context<'_>) -> Result<Reply, Reply> {
    let token = named(request)?;
    Ok(Reply::Look(Look(Box::new(move |seen, _| {
        let Some(seen) = seen.iter().find(|seen| seen.token == token) else {
            return nobody();
        };
        if seen.description.peer.is_none() {
            return Reply::problem(
                Status::CONFLICT,
                "not_a_connection",
                "only connections can be ended; this is a part of the server",
            );
        }
        let id = token.as_u64().to_string();
        let answer = json!({"message": "source ended", "id": id});
        Reply::End(token, Response::json(Status::OK, &answer).no_store())
    }))))
}

/// The source that the path names.
fn named(request: &Request<'_>) -> Result<Token, Reply> {
    let id = request.parameter("id").unwrap_or_default();
    id.parse().map(Token::from_u64).map_err(|_| nobody())
}

fn nobody() -> Reply {
    let detail = "no source has this id, or none has it any more; GET /ps lists them";
    Reply::problem(Status::NOT_FOUND, "no_such_source", detail)
}

fn row(seen: &Seen, ledger: &Ledger, now: Moment) -> Value {
    let one = &seen.description;
    let since_ms = |since: Moment| now.ns_since(since) / 1_000_000;
    let request = ledger.name(one.label);
    json!({
        "id": seen.token.as_u64().to_string(),
        "kind": ledger.name(seen.kind),
        "peer": one.peer.map(|peer| peer.to_string()),
        "state": if one.state.is_empty() { "-" } else { one.state },
        "age_ms": one.peer.map(|_| since_ms(one.opened)),
        "idle_ms": one.idle_since.map(since_ms),
        "bytes_in": one.bytes_in,
        "bytes_out": one.bytes_out,
        "outbox": one.outbox,
        "request": (!request.is_empty()).then_some(request),
        "observer": one.observer,
    })
}

/// The same for people.
fn table(seen: &[Seen], ledger: &Ledger, now: Moment) -> String {
    let mut text = format!(
        "{:<12} {:<10} {:<24} {:<10} {:>9} {:>9} {:>10} {:>10} {:>8}  {}\n",
        "ID", "KIND", "PEER", "STATE", "AGE", "IDLE", "IN", "OUT", "OUTBOX", "REQUEST"
    );
    for seen in seen {
        let one = &seen.description;
        let peer = one.peer.map_or("-".to_owned(), |peer| peer.to_string());
        let since = |since: Moment| {
            let ms = now.ns_since(since) / 1_000_000;
            format!("{}.{:03}s", ms / 1000, ms % 1000)
        };
        let age = one.peer.map_or("-".to_owned(), |_| since(one.opened));
        let idle = one.idle_since.map_or("-".to_owned(), since);
        let state = if one.state.is_empty() { "-" } else { one.state };
        let observer = if one.observer { " (the monitor's)" } else { "" };
        let _ = writeln!(
            text,
            "{:<12} {:<10} {peer:<24} {state:<10} {age:>9} {idle:>9} {:>10} {:>10} {:>8}  {}{observer}",
            seen.token.as_u64(),
            ledger.name(seen.kind),
            one.bytes_in,
            one.bytes_out,
            one.outbox,
            ledger.name(one.label),
        );
    }
    text
}
