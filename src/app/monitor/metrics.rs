//! `GET /metrics`: Prometheus' text format, version 0.0.4. Base units, and names as its documentation has them
//! (<https://prometheus.io/docs/practices/naming/>).

use std::fmt::{Display, Write as _};

use super::super::{Context, Reply, Request, TakeSnapshot};
use crate::http::{Response, Status};
use crate::ledger::{Histogram, Ledger, Limit};
use crate::reactor::SourceInfo;

pub(super) fn metrics(_: &Request<'_>, _: &mut Context<'_>) -> Result<Reply, Reply> {
    // Only the connections themselves know their states.
    Ok(Reply::Snapshot(TakeSnapshot(Box::new(|seen, cx| {
        let mut page = Page::default();
        page.clients(&seen, cx);
        page.requests(cx.ledger);
        page.turns(cx.ledger);
        page.work(cx);
        page.events(cx);
        let response = Response::text(Status::OK, page.0);
        Reply::Now(
            response
                .with_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
                .no_store(),
        )
    }))))
}

/// Lines, family by family.
#[derive(Default)]
struct Page(String);

impl Page {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = write!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        self.0.push_str(name);
        for (at, (label, text)) in labels.iter().enumerate() {
            let text = text
                .replace('\\', "\\\\")
                .replace('"', "\\\"")
                .replace('\n', "\\n");
            let open = if at == 0 { '{' } else { ',' };
            let _ = write!(self.0, "{open}{label}=\"{text}\"");
        }
        if !labels.is_empty() {
            self.0.push('}');
        }
        let _ = writeln!(self.0, " {value}");
    }

    fn gauge(&mut self, name: &str, help: &str, value: impl Display) {
        self.family(name, "gauge", help);
        self.sample(name, &[], value);
    }

    fn counter(&mut self, name: &str, help: &str, value: impl Display) {
        self.family(name, "counter", help);
        self.sample(name, &[], value);
    }

    fn histogram(&mut self, name: &str, labels: &[(&str, &str)], histogram: &Histogram) {
        let bucket = format!("{name}_bucket");
        for (bound, count) in histogram.cumulative() {
            let bound = bound.map_or("+Inf".to_owned(), |ns| Seconds(ns).to_string());
            let labels = [labels, &[("le", &*bound)]].concat();
            self.sample(&bucket, &labels, count);
        }
        self.sample(&format!("{name}_sum"), labels, Seconds(histogram.sum_ns()));
        self.sample(&format!("{name}_count"), labels, histogram.count());
    }

    fn clients(&mut self, seen: &[SourceInfo], cx: &Context<'_>) {
        self.family("loopgate_build_info", "gauge", "The version that runs.");
        let version = [("version", env!("CARGO_PKG_VERSION"))];
        self.sample("loopgate_build_info", &version, 1);
        let vitals = cx.app.vitals;
        let name = "loopgate_connections";
        self.family(
            name,
            "gauge",
            "Connections of clients, by what they are doing.",
        );
        for state in [
            "handshake",
            "idle",
            "head",
            "body",
            "waiting",
            "streaming",
            "websocket",
            "closing",
        ] {
            let those = seen.iter().filter(|seen| {
                let one = &seen.description;
                one.peer.is_some() && one.state == state && !cx.ledger.is_observer(seen.kind)
            });
            self.sample(name, &[("state", state)], those.count());
        }
        let help = "Connections that clients may have at the same time.";
        self.gauge("loopgate_connections_limit", help, vitals.connections_max);
        let help = "Connections of the monitor, which are not among those of clients.";
        self.gauge("loopgate_monitor_connections", help, vitals.observers);
        let help = "Connections of clients that have ended.";
        self.counter(
            "loopgate_connections_ended_total",
            help,
            vitals.connections_ended,
        );
        let help = "Connections that the peer reset.";
        self.counter("loopgate_connection_resets_total", help, vitals.resets);
        let help = "How often a listener stopped accepting because descriptors or room ran out.";
        self.counter(
            "loopgate_accept_pauses_total",
            help,
            cx.ledger.accept_pauses(),
        );
        let help = "Bytes held of requests and messages that are not whole.";
        self.gauge("loopgate_unfinished_bytes", help, vitals.unfinished_bytes);
        let help = "Bytes of events and answers that wait for peers, an event once for all.";
        self.gauge("loopgate_waiting_bytes", help, vitals.waiting_bytes);
        let name = "loopgate_refusals_total";
        self.family(
            name,
            "counter",
            "How often a peer was refused because of a limit.",
        );
        for limit in Limit::ALL {
            let limit_name = limit.name().replace(' ', "_");
            let refusals = cx.ledger.refusals(limit);
            self.sample(name, &[("limit", &*limit_name)], refusals);
        }
        let throttled = cx.ledger.refusals(Limit::FailedLogins);
        let help = "Logins that were refused because of failed ones before.";
        self.counter("loopgate_throttled_logins_total", help, throttled);
    }

    fn requests(&mut self, ledger: &Ledger) {
        let routes: Vec<_> = ledger
            .labels()
            .filter(|(_, name)| !name.contains(" monitor "))
            .filter_map(|(label, name)| Some((name, ledger.counts().route(label)?)))
            .collect();
        let of = |name: &str| {
            let (method, path) = name.split_once(' ').unwrap_or(("", ""));
            (method.to_owned(), path.to_owned())
        };
        let name = "loopgate_requests_total";
        self.family(
            name,
            "counter",
            "Requests that were answered. Without a path: none that the table has.",
        );
        for (label, counts) in &routes {
            let (method, path) = of(label);
            for (status, count) in &counts.answers {
                let status = status.to_string();
                let labels = [("method", &*method), ("path", &path), ("status", &status)];
                self.sample(name, &labels, count);
            }
        }
        let name = "loopgate_dispatch_seconds";
        self.family(
            name,
            "histogram",
            "How long what a request needed held the loop.",
        );
        for (label, counts) in routes
            .iter()
            .filter(|(name, counts)| name.contains(' ') && counts.held.count() > 0)
        {
            let (method, path) = of(label);
            self.histogram(name, &[("method", &method), ("path", &path)], &counts.held);
        }
        let name = "loopgate_deferred_request_seconds";
        let help = "From a request to its answer, of those that needed a worker.";
        self.family(name, "histogram", help);
        for (label, counts) in routes
            .iter()
            .filter(|(_, counts)| counts.waited.count() > 0)
        {
            let (method, path) = of(label);
            self.histogram(
                name,
                &[("method", &method), ("path", &path)],
                &counts.waited,
            );
        }
    }

    fn turns(&mut self, ledger: &Ledger) {
        let counts = ledger.counts();
        self.counter(
            "loopgate_turns_total",
            "Turns of the loop.",
            ledger.turns_total(),
        );
        let help = "Time that the loop worked.";
        let busy_ns = counts.turns.sum_ns();
        self.counter("loopgate_loop_busy_seconds_total", help, Seconds(busy_ns));
        let help = "Time that the loop slept.";
        self.counter(
            "loopgate_loop_waiting_seconds_total",
            help,
            Seconds(counts.slept_ns),
        );
        let name = "loopgate_loop_delay_seconds";
        let help =
            "Work of a turn: a source that became ready at its beginning waited so long at most.";
        self.family(name, "histogram", help);
        self.histogram(name, &[], &counts.turns);
        let help = "Sources that were stopped because their budget for one turn ran out.";
        self.counter("loopgate_budget_hits_total", help, counts.agains);
    }

    fn work(&mut self, cx: &Context<'_>) {
        let vitals = cx.app.vitals;
        let help = "Jobs for which no worker thread is free.";
        self.gauge("loopgate_hash_queue_jobs", help, vitals.hash_queue);
        let help = "Jobs and transactions that workers have, or that wait for them.";
        self.gauge("loopgate_pending_jobs", help, vitals.pending);
        let help = "Commits to the disk, each of all transactions that waited.";
        self.counter("loopgate_commit_groups_total", help, vitals.commit_groups);
    }

    fn events(&mut self, cx: &mut Context<'_>) {
        let app = &mut *cx.app;
        self.gauge(
            "loopgate_sessions",
            "Sessions in the table, expired or not.",
            app.sessions.len(),
        );
        self.gauge("loopgate_users", "Users that can log in.", app.users.len());
        self.gauge(
            "loopgate_streams",
            "Streams of events that are open, and polls that wait.",
            app.streams.len(),
        );
        let help = "The id of the newest event: how many there have ever been.";
        self.gauge("loopgate_last_event_id", help, app.hub.newest());
        let balance = app.hub.balance();
        for (name, help, count) in [
            (
                "published",
                "Events that matched a remote subscriber.",
                balance.published,
            ),
            (
                "delivered",
                "Those that were handed to the system whole.",
                balance.delivered,
            ),
            (
                "dropped",
                "Those that a subscriber was too slow for, or that were left when it ended.",
                balance.dropped,
            ),
        ] {
            self.counter(
                &format!("loopgate_subscriber_events_{name}_total"),
                help,
                count,
            );
        }
        let help = "Events that wait for a remote subscriber.";
        self.gauge("loopgate_subscriber_events_queued", help, balance.queued);
    }
}

/// Nanoseconds, written as seconds.
struct Seconds(u64);

impl Display for Seconds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (s, ns) = (self.0 / 1_000_000_000, self.0 % 1_000_000_000);
        if ns == 0 {
            return write!(f, "{s}");
        }
        let digits = format!("{ns:09}");
        write!(f, "{s}.{}", digits.trim_end_matches('0'))
    }
}
