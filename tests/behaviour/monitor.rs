//! What the monitor shows, and to which clients.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::Command;
use std::thread;
use std::time::Duration;

use loopgate::app::Reply;
use loopgate::config::{Config, ListenAddr};
use loopgate::http::Method;
use loopgate::server::Server;
use rustix::process::Signal;
use serde_json::Value;

use crate::harness::{
    Client, Directory, Program, TestServer, config, descriptors, get, login, request, signed,
};
use crate::listeners::{Sse, are_installed, skip};
use crate::run::{run, run_with};

pub(crate) fn watched() -> Config {
    Config {
        monitor: Some("127.0.0.1:0".parse().expect("an address")),
        ..config()
    }
}

/// A server with a monitor, and where that is.
pub(crate) fn start(
    config: Config,
    prepare: impl FnOnce(&mut Server) + Send + 'static,
) -> (TestServer, SocketAddr) {
    let (say, hear) = std::sync::mpsc::channel();
    let server = TestServer::with(config, move |server| {
        let Some(ListenAddr::Tcp(address)) = server.monitor_address() else {
            panic!("it has a monitor")
        };
        say.send(*address).expect("the test waits for it");
        prepare(server);
    });
    (server, hear.recv().expect("an address"))
}

pub(crate) fn ask_json(monitor: &mut Client, target: &str) -> Value {
    let answer = monitor.ask(request("GET", target, &[("Accept", "application/json")]));
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

fn sources(monitor: &mut Client) -> Vec<Value> {
    let list = ask_json(monitor, "/ps");
    let sources = list["sources"].as_array().expect("a list").clone();
    assert_eq!(list["total"], sources.len());
    sources
}

/// Prometheus' text format, read strictly: samples by name and labels. Each has a family that was announced, no
/// sample comes twice, and buckets grow.
fn read_metrics(text: &str) -> BTreeMap<String, f64> {
    let mut samples = BTreeMap::new();
    let mut families = BTreeMap::new();
    let mut bucket = (String::new(), 0.0);
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            assert!(rest.contains(' '), "{line}");
            continue;
        }
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect("a name and a kind");
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
            assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
            assert!(families.insert(name.to_owned(), kind.to_owned()).is_none());
            continue;
        }
        let (series, value) = line.rsplit_once(' ').expect("a sample");
        let value: f64 = value.parse().expect("a number");
        let name = series.split('{').next().expect("a name");
        let family = ["_bucket", "_sum", "_count"]
            .iter()
            .find_map(|suffix| families.get_key_value(name.strip_suffix(suffix)?))
            .or_else(|| families.get_key_value(name));
        assert!(family.is_some(), "{line} is of no family");
        if name.ends_with("_bucket") {
            let of = series
                .split("le=")
                .next()
                .expect("what stands before")
                .to_owned();
            assert!(bucket.0 != of || value >= bucket.1, "{line}");
            bucket = (of, value);
        }
        assert!(samples.insert(series.to_owned(), value).is_none(), "{line}");
    }
    samples
}

#[test]
fn what_the_metrics_count_is_what_was_sent() {
    let (server, monitor) = start(watched(), |_| {});
    let mut client = server.connect();
    let sign = client.log_in("alice");
    for _ in 0..7 {
        assert_eq!(client.ask(signed("GET", "/session", &sign)).status, 200);
    }
    for _ in 0..3 {
        assert_eq!(client.ask(get("/nothing")).status, 404);
    }
    for _ in 0..6 {
        client.ask(login("alice", "wrong"));
    }
    let mut follower = Sse::open(server.connect(), &sign, "since=0");
    follower.event();
    let mut monitor = Client::connect(monitor);
    let answer = monitor.ask(get("/metrics"));
    let kind = answer.header("content-type").expect("a type");
    assert!(kind.starts_with("text/plain; version=0.0.4"), "{kind}");
    let samples = read_metrics(&answer.body);
    for (series, value) in [
        (
            r#"loopgate_requests_total{method="POST",path="/login",status="200"}"#,
            1.0,
        ),
        (
            r#"loopgate_requests_total{method="POST",path="/login",status="401"}"#,
            5.0,
        ),
        (
            r#"loopgate_requests_total{method="POST",path="/login",status="429"}"#,
            1.0,
        ),
        (
            r#"loopgate_requests_total{method="GET",path="/session",status="200"}"#,
            7.0,
        ),
        (
            r#"loopgate_requests_total{method="",path="",status="404"}"#,
            3.0,
        ),
        (
            r#"loopgate_requests_total{method="GET",path="/events",status="200"}"#,
            1.0,
        ),
        (
            r#"loopgate_dispatch_seconds_count{method="GET",path="/session"}"#,
            7.0,
        ),
        (
            r#"loopgate_deferred_request_seconds_count{method="POST",path="/login"}"#,
            6.0,
        ),
        (r#"loopgate_connections{state="idle"}"#, 1.0),
        (r#"loopgate_connections{state="streaming"}"#, 1.0),
        ("loopgate_monitor_connections", 1.0),
        ("loopgate_throttled_logins_total", 1.0),
        ("loopgate_sessions", 1.0),
        ("loopgate_streams", 1.0),
        ("loopgate_users", 3.0),
    ] {
        assert_eq!(samples.get(series), Some(&value), "{series}");
    }
    let delivered = samples["loopgate_subscriber_events_delivered_total"];
    assert!(delivered >= 1.0);
    let turns = samples["loopgate_turns_total"];
    let delays = samples["loopgate_loop_delay_seconds_count"];
    assert!(
        (turns - delays).abs() < 0.5,
        "{turns} turns, {delays} delays"
    );
    let again = read_metrics(&monitor.ask(get("/metrics")).body);
    for (series, value) in samples
        .iter()
        .filter(|(series, _)| series.contains("_total"))
    {
        assert!(again[series] >= *value, "{series} has shrunk");
    }
}

#[test]
fn prometheus_accepts_the_metrics() {
    if !are_installed(&[&["promtool", "--version"]]) {
        return;
    }
    let (server, monitor) = start(watched(), |_| {});
    server.connect().log_in("alice");
    let metrics = Client::connect(monitor).ask(get("/metrics")).body;
    let mut command = Command::new("promtool");
    command.args(["check", "metrics"]);
    let finished = run_with(command, &metrics);
    assert_eq!(finished.succeeded(), "");
    assert_eq!(finished.stderr, "");
}

#[test]
fn only_this_machine_may_look_and_no_page_of_another_site() {
    let (server, monitor) = start(watched(), |_| {});
    let mut client = Client::connect(monitor);
    for (host, status) in [
        ("localhost", 200),
        ("127.0.0.1:9090", 200),
        ("[::1]", 200),
        ("evil.example", 403),
        ("localhost.evil.example:80", 403),
        ("192.0.2.1", 403),
    ] {
        for path in ["/", "/metrics", "/ps", "/slow", "/turns", "/trace.json"] {
            let answer = client.ask(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
            assert_eq!(answer.status, status, "{host} {path}");
        }
    }
    let foreign = client.ask("GET /ps HTTP/1.1\r\nHost: evil.example\r\n\r\n");
    assert_eq!(foreign.code(), "foreign_host");
    for field in [
        ("Origin", "http://evil.example"),
        ("Sec-Fetch-Site", "cross-site"),
    ] {
        let answer = client.ask(request("DELETE", "/ps/1", &[field]));
        assert_eq!((answer.status, &*answer.code()), (403, "cross_site"));
    }
    // Neither of the two tables is reachable through the other's door.
    assert_eq!(client.ask(get("/session")).status, 404);
    assert_eq!(server.connect().ask(get("/metrics")).status, 404);
    assert_eq!(server.connect().ask(get("/ps")).status, 404);
}

#[test]
fn a_monitor_that_others_could_reach_is_refused() {
    let directory = Directory::new();
    directory.add_users();
    for address in ["0.0.0.0:0", "192.0.2.1:9090", "[::]:0"] {
        let refused = run(directory.command(&["--listen", "127.0.0.1:0", "--monitor", address]));
        refused.failed_with(2, &["monitor must be a loopback address", "127.0.0.1"]);
    }
    let refused = run(directory.command(&["--monitor", "127.0.0.1:0", "--record", "tape"]));
    refused.failed_with(2, &["--record does not go with --monitor"]);
}

#[test]
fn ending_a_connection_ends_that_one_and_no_other() {
    let (server, monitor) = start(watched(), |_| {});
    let mut client = server.connect();
    let sign = client.log_in("alice");
    let mut followers: Vec<Sse> = (0..3)
        .map(|_| Sse::open(server.connect(), &sign, "since=0"))
        .collect();
    let mut monitor = Client::connect(monitor);
    let streaming: Vec<Value> = sources(&mut monitor)
        .into_iter()
        .filter(|source| source["state"] == "streaming")
        .collect();
    assert_eq!(streaming.len(), 3);
    let one = &streaming[1];
    assert_eq!(one["request"], "GET /events");
    assert_eq!(one["user"], "alice");
    let text = monitor.ask(get("/ps")).body;
    assert!(
        text.contains(" USER ") && text.contains(" alice "),
        "{text}"
    );
    assert!(
        one["bytes_in"].as_u64() > Some(50) && one["bytes_out"].as_u64() > Some(100),
        "{one}"
    );
    let path = format!("/ps/{}", one["id"].as_str().expect("an id"));
    let shown = ask_json(&mut monitor, &path);
    let history = shown["history"].as_array().expect("a list");
    assert!(
        history.iter().any(|one| one["label"] == "GET /events"),
        "{shown}"
    );
    assert_eq!(monitor.ask(request("DELETE", &path, &[])).status, 200);
    let mut second = followers.remove(1);
    while second.frame().is_some() {}
    assert_eq!(monitor.ask(request("DELETE", &path, &[])).status, 404);
    assert_eq!(monitor.ask(get(&path)).status, 404);
    let left = sources(&mut monitor);
    assert_eq!(
        left.iter()
            .filter(|source| source["state"] == "streaming")
            .count(),
        2
    );
    // Its own parts are none of those that can be ended.
    let listener = left
        .iter()
        .find(|source| source["kind"] == "listener")
        .expect("one");
    let path = format!("/ps/{}", listener["id"].as_str().expect("an id"));
    assert_eq!(monitor.ask(request("DELETE", &path, &[])).status, 409);
    assert_eq!(client.ask(get("/healthz")).status, 200);
}

#[test]
fn all_of_a_crowd_is_listed_and_no_turn_is_held_for_it() {
    const CROWD: usize = 1500;
    // Two for each client, and some for the tests that run meanwhile.
    const NEEDED: u64 = CROWD as u64 * 2 + 500;
    if let Some(limit) = descriptors().filter(|limit| *limit < NEEDED) {
        return skip(&format!(
            "it needs {NEEDED} descriptors, and may have {limit}; raise the limit (ulimit -Hn)"
        ));
    }
    let mut config = watched();
    config.limits.connections_max = CROWD + 10;
    let (server, monitor) = start(config, |_| {});
    let crowd: Vec<Client> = (0..CROWD).map(|_| server.connect()).collect();
    server.catch_up();
    let mut monitor = Client::connect(monitor);
    let idle = |source: &&Value| source["state"] == "idle" && source["observer"] == false;
    let listed = sources(&mut monitor).iter().filter(idle).count();
    assert!(listed >= CROWD, "{listed}");
    let turns = ask_json(&mut monitor, "/turns?last=40");
    let turns = turns["turns"].as_array().expect("a list").clone();
    let looks = turns.iter().filter(|turn| turn["counts"][0] == 0);
    assert!(looks.count() >= CROWD / 256, "it was looked at in slices");
    drop(crowd);
}

#[test]
fn what_held_the_loop_is_named() {
    let held = Duration::from_millis(40);
    let (server, monitor) = start(watched(), move |server| {
        server.on(Method::Get, "/blocks", move |_, _| {
            thread::sleep(held); // what a handler must not do
            Reply::empty(204)
        });
    });
    assert_eq!(server.connect().ask(get("/blocks")).status, 204);
    let mut monitor = Client::connect(monitor);
    let slow = ask_json(&mut monitor, "/slow");
    let all = slow["slow"].as_array().expect("a list");
    // A machine that is busy may make other things slow as well.
    let one = all.iter().find(|one| one["label"] == "GET /blocks");
    let one = one.unwrap_or_else(|| panic!("it is not there: {slow}"));
    assert!(
        u128::from(one["ns"].as_u64().unwrap_or(0)) >= held.as_nanos(),
        "{one}"
    );
}

#[test]
fn a_trace_nests_and_its_times_grow() {
    let (server, monitor) = start(watched(), |_| {});
    let mut client = server.connect();
    let sign = client.log_in("alice");
    client.ask(signed("GET", "/session", &sign));
    let mut monitor = Client::connect(monitor);
    let trace = ask_json(&mut monitor, "/trace.json?last=60s");
    let events = trace["traceEvents"].as_array().expect("a list");
    let spans = |category: &str| -> Vec<(f64, f64, String)> {
        let those = events.iter().filter(|event| event["cat"] == category);
        let span = |event: &Value| {
            let (ts, dur) = (
                event["ts"].as_f64().expect("a time"),
                event["dur"].as_f64().expect("a time"),
            );
            (
                ts,
                ts + dur,
                event["name"].as_str().unwrap_or_default().to_owned(),
            )
        };
        those.map(span).collect()
    };
    let (turns, phases, dispatches) = (spans("turn"), spans("phase"), spans("dispatch"));
    assert!(turns.len() > 3);
    assert!(
        turns.windows(2).all(|pair| pair[0].1 <= pair[1].0 + 0.001),
        "turns follow each other"
    );
    let within = |inner: &(f64, f64, String), outer: &[(f64, f64, String)]| {
        outer
            .iter()
            .any(|outer| outer.0 - 0.001 <= inner.0 && inner.1 <= outer.1 + 0.001)
    };
    for phase in phases.iter().filter(|phase| phase.2 != "wait") {
        assert!(within(phase, &turns), "{phase:?} is in no turn");
    }
    for dispatch in &dispatches {
        assert!(within(dispatch, &phases), "{dispatch:?} is in no phase");
    }
    assert!(
        dispatches
            .iter()
            .any(|dispatch| dispatch.2 == "GET /session")
    );
    assert_eq!(monitor.ask(get("/trace.json?last=soon")).status, 400);
    assert_eq!(monitor.ask(get("/turns?last=x")).status, 400);
}

#[test]
fn a_trace_shows_what_workers_did_and_where_it_came_from_and_went() {
    let (server, monitor) = start(watched(), |_| {});
    server.connect().log_in("alice");
    let trace = ask_json(&mut Client::connect(monitor), "/trace.json?last=60s");
    let events = trace["traceEvents"].as_array().expect("a list");
    let lane = |name: &str| {
        let named =
            |event: &&Value| event["name"] == "thread_name" && event["args"]["name"] == name;
        let found = events.iter().find(named);
        found.unwrap_or_else(|| panic!("no lane of {name}: {trace}"))["tid"].clone()
    };
    for worker in ["loopgate-hash-0", "loopgate-store"] {
        let of_login = |event: &&Value| {
            let of_login = event["name"]
                .as_str()
                .is_some_and(|name| name.contains("POST /login"));
            event["cat"] == "job" && event["tid"] == lane(worker) && of_login
        };
        let job = events
            .iter()
            .find(of_login)
            .unwrap_or_else(|| panic!("{worker}: {trace}"));
        let (began, ended) = (
            job["ts"].as_f64().expect("a time"),
            job["ts"].as_f64().expect("a time") + job["dur"].as_f64().expect("a time"),
        );
        // An arrow ends where it begins, and another begins where it ends.
        for (step, ph, at) in [("submit", "f", began), ("deliver", "s", ended)] {
            let arrow = |event: &&Value| {
                let is_there = event["ts"]
                    .as_f64()
                    .is_some_and(|ts| (ts - at).abs() < 0.002);
                event["name"] == step && event["ph"] == ph && event["tid"] == job["tid"] && is_there
            };
            let arrow = events
                .iter()
                .find(arrow)
                .unwrap_or_else(|| panic!("{step} of {worker}"));
            let other = events
                .iter()
                .find(|event| event["id"] == arrow["id"] && event["ph"] != arrow["ph"])
                .expect("its other end");
            assert_eq!(other["tid"], 1, "on the loop");
            let order = other["ts"].as_f64().expect("a time") - at;
            assert!(
                if step == "submit" {
                    order <= 0.002
                } else {
                    order >= -0.002
                },
                "{arrow} {other}"
            );
        }
    }
}

/// As Perfetto and Chrome want them, or else they say that the trace is damaged.
#[test]
fn every_arrow_of_a_trace_begins_and_ends_in_a_span_and_is_named_by_a_number() {
    let (server, monitor) = start(watched(), |_| {});
    let mut client = server.connect();
    client.log_in("alice");
    // So many turns that those of the first login are not known any more.
    for _ in 0..1100 {
        assert_eq!(client.ask(get("/healthz")).status, 200);
    }
    client.log_in("alice");
    let trace = ask_json(&mut Client::connect(monitor), "/trace.json?last=60s");
    let events = trace["traceEvents"].as_array().expect("a list");
    let time = |value: &Value| value.as_f64().expect("a time");
    let spans: Vec<&Value> = events.iter().filter(|event| event["ph"] == "X").collect();
    let jobs = spans.iter().filter(|span| span["cat"] == "job").count();
    assert!(jobs >= 4, "of both logins, {jobs}");
    let mut ends = BTreeMap::new();
    for end in events.iter().filter(|event| event["cat"] == "flow") {
        let is_around = |span: &&&Value| {
            let (from, at) = (time(&span["ts"]), time(&end["ts"]));
            span["tid"] == end["tid"] && (from..from + time(&span["dur"])).contains(&at)
        };
        assert!(spans.iter().any(|span| is_around(&span)), "{end}");
        let number = end["id"].as_u64().expect("a number");
        let ph = end["ph"].as_str().expect("a letter");
        ends.entry(number).or_insert_with(Vec::new).push(ph);
    }
    assert!(ends.len() >= 4, "of the second login: {ends:?}");
    assert!(ends.values().all(|ends| ends == &["s", "f"]), "{ends:?}");
}

#[test]
fn the_monitor_answers_when_clients_have_all_connections() {
    let mut config = watched();
    config.limits.connections_max = 2;
    let (server, monitor) = start(config, |_| {});
    let mut crowd = [server.connect(), server.connect()];
    for client in &mut crowd {
        assert_eq!(client.ask(get("/healthz")).status, 200);
    }
    let mut monitor = Client::connect(monitor);
    assert_eq!(
        sources(&mut monitor).len(),
        2 + 2 + 2 + 1,
        "clients, listeners, maintenance and broadcaster, monitor"
    );
}

#[test]
fn a_monitor_on_a_unix_socket_needs_no_host_and_does_not_hold_up_the_end() {
    let directory = Directory::new();
    directory.add_users();
    let socket = directory.path().join("monitor");
    let monitor = format!("unix:{}", socket.display());
    let mut program = Program::start_in(&directory, &["--monitor", &monitor]);
    let look = || {
        let stream = std::os::unix::net::UnixStream::connect(&socket).expect("it listens");
        let mut client = Client::over(stream);
        client
            .ask("GET /metrics HTTP/1.1\r\nHost: anything\r\n\r\n")
            .status
    };
    assert_eq!(look(), 200);
    let observer = std::os::unix::net::UnixStream::connect(&socket).expect("it listens");
    program.signal(Signal::TERM);
    assert!(program.wait().success());
    drop(observer);
    assert!(!socket.exists(), "the path is removed");
}
