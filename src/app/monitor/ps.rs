//! `GET /ps`: every source on the loop; `/ps/{id}`: one source with its latest dispatches; and a way to end it.

use std::collections::HashMap;
use std::iter::once;
use std::rc::Rc;

use serde_json::{Value, json};

use super::super::{App, Context, Reply, Request, TakeSnapshot};
use super::turns::dispatch_json;
use super::{Names, Sight};
use crate::http::{Response, Status};
use crate::ledger::Ledger;
use crate::reactor::{Moment, SourceInfo, Token};

/// Most dispatches that are shown of one source.
const HISTORY_MAX: usize = 100;

pub(super) fn list(request: &Request<'_>, _: &mut Context<'_>) -> Result<Reply, Reply> {
    let is_json = |item: &[u8]| {
        item.windows(4)
            .any(|part| part.eq_ignore_ascii_case(b"json"))
    };
    let wants_json = request.list("accept").any(is_json);
    Ok(Reply::Snapshot(TakeSnapshot(Box::new(move |seen, cx| {
        let table = Table::of(cx);
        if !wants_json {
            let rows = seen.into_iter().map(move |seen| table.line(&seen));
            let lines = once(heading()).chain(rows).map(String::into_bytes);
            return super::in_pieces("text/plain; charset=utf-8", lines);
        }
        let before = table.before(seen.len());
        let rows = seen.into_iter().map(move |seen| table.row(&seen));
        super::json_list(before, rows, "]}")
    }))))
}

/// All sources as JSON, at once: for a loop that stands still anyway.
#[must_use]
pub fn sources_json(seen: &[SourceInfo], app: &App, ledger: &Ledger, sight: &Sight) -> String {
    let table = Table::new(app, ledger, sight.now, sight.unix_ms);
    let rows = seen.iter().map(|seen| table.row(seen));
    super::pieces_of_list(table.before(seen.len()), rows, "]}").collect()
}

pub(super) fn show(request: &Request<'_>, _: &mut Context<'_>) -> Result<Reply, Reply> {
    let token = named(request)?;
    Ok(Reply::Snapshot(TakeSnapshot(Box::new(move |seen, cx| {
        let Some(seen) = seen.iter().find(|seen| seen.token == token) else {
            return no_such_source();
        };
        let table = Table::of(cx);
        let mut source = table.row(seen);
        let newest = cx.ledger.dispatches().rev();
        let of_source = newest.filter(|dispatch| dispatch.token == token.as_u64());
        let mut history: Vec<Value> = of_source
            .take(HISTORY_MAX)
            .map(|dispatch| dispatch_json(dispatch, &table.names))
            .collect();
        history.reverse();
        source["history"] = history.into();
        super::json(&source)
    }))))
}

pub(super) fn end(request: &Request<'_>, _: &mut Context<'_>) -> Result<Reply, Reply> {
    let token = named(request)?;
    Ok(Reply::Snapshot(TakeSnapshot(Box::new(move |seen, _| {
        let Some(seen) = seen.iter().find(|seen| seen.token == token) else {
            return no_such_source();
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
    id.parse()
        .map(Token::from_u64)
        .map_err(|_| no_such_source())
}

fn no_such_source() -> Reply {
    let detail = "no source has this id, or none has it any more; GET /ps lists them";
    Reply::problem(Status::NOT_FOUND, "no_such_source", detail)
}

/// Describes sources, as JSON and as text for people.
struct Table {
    names: Names,
    owners: HashMap<Token, Rc<str>>,
    now: Moment,
}

impl Table {
    fn of(cx: &Context<'_>) -> Self {
        Self::new(cx.app, cx.ledger, cx.now, cx.unix_ms)
    }

    fn new(app: &App, ledger: &Ledger, now: Moment, unix_ms: u64) -> Self {
        Self {
            names: Names::of(ledger),
            owners: app.stream_owners((unix_ms / 1000).cast_signed()),
            now,
        }
    }

    fn before(&self, total: usize) -> String {
        let now_ns = self.now.as_ns();
        format!("{{\"now_ns\":{now_ns},\"total\":{total},\"sources\":[\n")
    }

    fn row(&self, seen: &SourceInfo) -> Value {
        let one = &seen.description;
        let since_ms = |since: Moment| self.now.ns_since(since) / 1_000_000;
        let request = self.names.name(one.label);
        json!({
            "id": seen.token.as_u64().to_string(),
            "kind": self.names.name(seen.kind),
            "peer": one.peer.map(|peer| peer.to_string()),
            "user": self.owners.get(&seen.token).map(|name| &**name),
            "state": if one.state.is_empty() { "-" } else { one.state },
            "age_ms": one.peer.map(|_| since_ms(one.opened)),
            "idle_ms": one.idle_since.map(since_ms),
            "bytes_in": one.bytes_in,
            "bytes_out": one.bytes_out,
            "outbox": one.outbox,
            "request": (!request.is_empty()).then_some(request),
            "observer": self.names.is_observer(seen.kind),
        })
    }

    fn line(&self, seen: &SourceInfo) -> String {
        let one = &seen.description;
        let peer = one.peer.map_or("-".to_owned(), |peer| peer.to_string());
        let user = self.owners.get(&seen.token).map_or("-", |name| name);
        let since = |since: Moment| {
            let ms = self.now.ns_since(since) / 1_000_000;
            format!("{}.{:03}s", ms / 1000, ms % 1000)
        };
        let age = one.peer.map_or("-".to_owned(), |_| since(one.opened));
        let idle = one.idle_since.map_or("-".to_owned(), since);
        let state = if one.state.is_empty() { "-" } else { one.state };
        let observer = if self.names.is_observer(seen.kind) {
            " (the monitor's)"
        } else {
            ""
        };
        format!(
            "{:<12} {:<10} {peer:<24} {user:<12} {state:<10} {age:>9} {idle:>9} {:>10} {:>10} {:>8}  {}{observer}\n",
            seen.token.as_u64(),
            self.names.name(seen.kind),
            one.bytes_in,
            one.bytes_out,
            one.outbox,
            self.names.name(one.label),
        )
    }
}

fn heading() -> String {
    format!(
        "{:<12} {:<10} {:<24} {:<12} {:<10} {:>9} {:>9} {:>10} {:>10} {:>8}  {}\n",
        "ID", "KIND", "PEER", "USER", "STATE", "AGE", "IDLE", "IN", "OUT", "OUTBOX", "REQUEST"
    )
}
