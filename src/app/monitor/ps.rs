//! `GET /ps`: every source on the loop; one of them with what it did lately; and its end.

use std::iter::once;

use serde_json::{Value, json};

use super::super::{Context, Look, Reply, Request};
use super::Names;
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
        let (now, names) = (cx.now, Names::of(cx.ledger));
        if !wants_json {
            let rows = seen
                .into_iter()
                .map(move |seen| line(&seen, &names, now).into_bytes());
            return super::in_pieces(
                "text/plain; charset=utf-8",
                once(heading().into_bytes()).chain(rows),
            );
        }
        let before = before(now, seen.len());
        let rows = seen.into_iter().map(move |seen| row(&seen, &names, now));
        super::json_list(before, rows, "]}")
    }))))
}

/// All sources as JSON, at once: for a loop that stands still in any case.
#[must_use]
pub fn sources_json(seen: Vec<Seen>, ledger: &Ledger, now: Moment) -> String {
    let (names, before) = (Names::of(ledger), before(now, seen.len()));
    let rows = seen.iter().map(|seen| row(seen, &names, now));
    super::pieces_of_list(before, rows, "]}").collect()
}

fn before(now: Moment, total: usize) -> String {
    let now_ns = now.as_ns();
    format!("{{\"now_ns\":{now_ns},\"total\":{total},\"sources\":[\n")
}

pub(super) fn show(request: &Request<'_>, _: &mut Context<'_>) -> Result<Reply, Reply> {
    let token = named(request)?;
    Ok(Reply::Look(Look(Box::new(move |seen, cx| {
        let Some(seen) = seen.iter().find(|seen| seen.token == token) else {
            return nobody();
        };
        let names = Names::of(cx.ledger);
        let mut source = row(seen, &names, cx.now);
        let newest = cx.ledger.dispatches().rev();
        let of_source = newest.filter(|dispatch| dispatch.token == token.as_u64());
        let mut history: Vec<Value> = of_source
            .take(HISTORY_MAX)
            .map(|dispatch| dispatch_json(dispatch, &names))
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

fn row(seen: &Seen, names: &Names, now: Moment) -> Value {
    let one = &seen.description;
    let since_ms = |since: Moment| now.ns_since(since) / 1_000_000;
    let request = names.name(one.label);
    json!({
        "id": seen.token.as_u64().to_string(),
        "kind": names.name(seen.kind),
        "peer": one.peer.map(|peer| peer.to_string()),
        "state": if one.state.is_empty() { "-" } else { one.state },
        "age_ms": one.peer.map(|_| since_ms(one.opened)),
        "idle_ms": one.idle_since.map(since_ms),
        "bytes_in": one.bytes_in,
        "bytes_out": one.bytes_out,
        "outbox": one.outbox,
        "request": (!request.is_empty()).then_some(request),
        "observer": names.is_observer(seen.kind),
    })
}

/// The same for people.
fn heading() -> String {
    format!(
        "{:<12} {:<10} {:<24} {:<10} {:>9} {:>9} {:>10} {:>10} {:>8}  {}\n",
        "ID", "KIND", "PEER", "STATE", "AGE", "IDLE", "IN", "OUT", "OUTBOX", "REQUEST"
    )
}

fn line(seen: &Seen, names: &Names, now: Moment) -> String {
    let one = &seen.description;
    let peer = one.peer.map_or("-".to_owned(), |peer| peer.to_string());
    let since = |since: Moment| {
        let ms = now.ns_since(since) / 1_000_000;
        format!("{}.{:03}s", ms / 1000, ms % 1000)
    };
    let age = one.peer.map_or("-".to_owned(), |_| since(one.opened));
    let idle = one.idle_since.map_or("-".to_owned(), since);
    let state = if one.state.is_empty() { "-" } else { one.state };
    let observer = if names.is_observer(seen.kind) {
        " (the monitor's)"
    } else {
        ""
    };
    format!(
        "{:<12} {:<10} {peer:<24} {state:<10} {age:>9} {idle:>9} {:>10} {:>10} {:>8}  {}{observer}\n",
        seen.token.as_u64(),
        names.name(seen.kind),
        one.bytes_in,
        one.bytes_out,
        one.outbox,
        names.name(one.label),
    )
}
