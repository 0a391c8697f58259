//! What a connection that watches the loop gets, and what that costs the loop; and loops that are slowed down to be watched.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use loopgate::app::Reply;
use loopgate::config::{Config, Pace};
use loopgate::http::Method;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::harness::{Answer, Client, Directory, Program, get, login, post, wait_until};
use crate::listeners::{Sse, are_installed, in_project};
use crate::monitor::{ask_json, start, watched};
use crate::run::run;

/// A client that watches the loop.
struct Watcher(Sse);

impl Watcher {
    /// And what they are told first.
    fn open(monitor: SocketAddr) -> (Value, Self) {
        Self::over(Client::connect(monitor))
    }

    fn over(mut client: Client<impl Read + Write + Send + 'static>) -> (Value, Self) {
        client.send(get("/live"));
        let head = client.answer_to_head();
        assert_eq!(head.status, 200, "{head:?}");
        assert_eq!(head.header("content-type"), Some("text/event-stream"));
        let mut watcher = Self(Sse::after(client));
        let hello = watcher.next("hello");
        (hello, watcher)
    }

    /// The next of that name; what else comes is passed over.
    fn next(&mut self, name: &str) -> Value {
        loop {
            let frame = self.0.frame().expect("something before the end");
            if frame.event.as_deref() == Some(name) {
                let data = frame.data.expect("data");
                return serde_json::from_str(&data).expect("JSON");
            }
        }
    }

    /// Batches until `found` finds something in all of them together.
    fn until<T>(&mut self, found: impl Fn(&Seen) -> Option<T>) -> (Seen, T) {
        let mut seen = Seen::default();
        loop {
            let batch = self.next("batch");
            seen.add(&batch);
            if let Some(found) = found(&seen) {
                return (seen, found);
            }
        }
    }
}

/// What was in some batches.
#[derive(Default)]
struct Seen {
    turns: Vec<Value>,
    dispatches: Vec<Value>,
    jobs: Vec<Value>,
    events: Vec<Value>,
}

impl Seen {
    fn add(&mut self, batch: &Value) {
        for (kept, name) in [
            (&mut self.turns, "turns"),
            (&mut self.dispatches, "dispatches"),
            (&mut self.jobs, "jobs"),
            (&mut self.events, "events"),
        ] {
            kept.extend(batch[name].as_array().expect("a list").iter().cloned());
        }
    }
}

fn ns(value: &Value, name: &str) -> u64 {
    value[name].as_u64().expect("nanoseconds")
}

fn label(hello: &Value, name: &str) -> usize {
    let labels = hello["labels"].as_array().expect("a list");
    let found = labels.iter().position(|label| label == name);
    found.unwrap_or_else(|| panic!("no label {name}: {hello}"))
}

#[test]
fn watchers_see_what_held_the_loop_and_what_workers_did() {
    let held = Duration::from_millis(200);
    let (server, monitor) = start(watched(), move |server| {
        server.on(Method::Get, "/blocks", move |_, _| {
            thread::sleep(held); // what a handler must not do
            Reply::text(200, "at last")
        });
    });
    let (hello, mut watcher) = Watcher::open(monitor);
    let phases = "wait readiness completions timers events flush reap";
    assert_eq!(
        hello["phases"],
        json!(phases.split(' ').collect::<Vec<_>>())
    );
    assert_eq!(hello["mode"], "free");
    assert_eq!(
        hello["listen"],
        json!([format!("http://{}", server.address)])
    );
    let mut client = server.connect();
    assert_eq!(client.ask(get("/blocks")).status, 200);
    let blocks = label(&hello, "GET /blocks");
    let held_ns = held.as_nanos() as u64;
    let (seen, dispatch) = watcher.until(|seen| {
        let found = seen.dispatches.iter().find(|one| one["label"] == blocks);
        found.cloned()
    });
    assert!(ns(&dispatch, "ns") >= held_ns, "{dispatch}");
    assert_eq!(
        hello["labels"][dispatch["kind"].as_u64().unwrap() as usize],
        Value::Null,
        "given later"
    );
    let at = ns(&dispatch, "at");
    let of_it = seen.turns.iter().find(|turn| {
        let phases = turn["phase_ns"].as_array().expect("a list").iter().skip(1);
        let worked: u64 = phases.map(|ns| ns.as_u64().expect("a number")).sum();
        (ns(turn, "at")..ns(turn, "at") + worked).contains(&at)
    });
    let turn = of_it.expect("the turn in which it was");
    assert_eq!(turn["observer"], false);
    assert!(turn["counts"][0].as_u64() >= Some(1), "{turn}");
    client.log_in("alice");
    let (seen, event) = watcher.until(|seen| {
        let found = seen
            .events
            .iter()
            .find(|one| one["name"] == "user.logged_in");
        found.filter(|_| seen.jobs.len() >= 2).cloned()
    });
    assert_eq!(event["sender"], "login");
    for job in &seen.jobs {
        let times = ["submitted", "started", "finished", "delivered"].map(|name| ns(job, name));
        assert!(times.is_sorted(), "{job}");
    }
}

#[test]
fn the_monitors_own_work_is_not_reported() {
    let (server, monitor) = start(watched(), |_| {});
    let (_, mut watcher) = Watcher::open(monitor);
    let mut looker = Client::connect(monitor);
    let mut client = server.connect();
    watcher.next("batch"); // what was before
    for round in 0..5 {
        for _ in 0..20 {
            assert_eq!(looker.ask(get("/ps")).status, 200);
        }
        assert_eq!(client.ask(get("/healthz")).status, 200);
        let (seen, ()) = watcher.until(|seen| {
            let theirs = seen.dispatches.iter().any(|one| one["observer"] == false);
            assert!(theirs, "a batch of nothing but the monitor's own work");
            let answered = |one: &Value| one["observer"] == false && one["outcome"] == "wait";
            let asked = seen.dispatches.iter().filter(|one| answered(one)).count();
            (asked >= 1).then_some(())
        });
        let own = seen
            .turns
            .iter()
            .filter(|turn| turn["observer"] == true)
            .count();
        assert!(
            round == 0 || own > 0 || seen.turns.len() == 128,
            "its turns are marked"
        );
    }
}

#[test]
fn turns_come_in_order_and_what_was_left_out_is_said() {
    let (server, monitor) = start(watched(), |_| {});
    let (_, mut watcher) = Watcher::open(monitor);
    let first = watcher.next("batch");
    let last = |batch: &Value, before: u64| {
        let turns = batch["turns"].as_array().expect("a list");
        turns.last().map_or(before, |turn| ns(turn, "n"))
    };
    let mut told = last(&first, 0);
    let mut client = server.connect();
    // Enough for more than one batch, and for one that cannot have all.
    for _ in 0..2000 {
        assert_eq!(client.ask(get("/healthz")).status, 200);
    }
    let monitor_turns = ask_json(&mut Client::connect(monitor), "/turns?last=1");
    let goal = ns(&monitor_turns["turns"][0], "n");
    let mut skipped = 0;
    // One more, so that there is a batch with what came last.
    assert_eq!(client.ask(get("/healthz")).status, 200);
    while told < goal {
        let batch = watcher.next("batch");
        skipped += ns(&batch["skipped"], "turns");
        let mut next = told + ns(&batch["skipped"], "turns");
        for turn in batch["turns"].as_array().expect("a list") {
            next += 1;
            assert_eq!(ns(turn, "n"), next);
        }
        told = next;
    }
    assert!(skipped < told, "{skipped} of {told}");
}

#[test]
fn only_so_many_watch_and_a_watcher_that_leaves_makes_room() {
    let (_server, monitor) = start(watched(), |_| {});
    let mut watchers: Vec<Watcher> = (0..8).map(|_| Watcher::open(monitor).1).collect();
    let mut ninth = Client::connect(monitor);
    let answer = ninth.ask(get("/live"));
    assert_eq!((answer.status, answer.code()), (503, "busy".to_owned()));
    assert_eq!(answer.header("retry-after"), Some("1"));
    watchers.pop();
    wait_until("there is room", || {
        let mut client = Client::connect(monitor);
        client.send(get("/live"));
        (client.answer_to_head().status == 200).then_some(())
    });
}

fn step(monitor: &mut Client, step: &str) -> Answer {
    monitor.ask(post(
        "/gate",
        "application/json",
        &json!({ "step": step }).to_string(),
    ))
}

fn at_the_gate() -> Config {
    Config {
        pace: Pace::Gate,
        ..watched()
    }
}

#[test]
fn a_loop_at_a_gate_goes_on_step_by_step_and_answers_no_client_meanwhile() {
    let (server, monitor) = start(at_the_gate(), |_| {});
    let (hello, mut watcher) = Watcher::open(monitor);
    assert_eq!(hello["mode"], "gate");
    let mut stepper = Client::connect(monitor);
    let mut client = server.connect();
    client.send(get("/healthz"));
    let mut phases = Vec::new();
    let mut turn = 0;
    // The first turn has the server's own work, a second one that of the store.
    while phases.len() < 6 {
        let halted = watcher.next("halted");
        assert_eq!(halted["for_ms"], Value::Null);
        if ns(&halted, "turn") > turn {
            (turn, phases) = (ns(&halted, "turn"), Vec::new());
        }
        let before = halted["before"].as_str().expect("a phase").to_owned();
        // A watcher that begins just when the loop halts may be told twice.
        if phases.last() == Some(&before) {
            continue;
        }
        phases.push(before);
        if phases.len() < 6 {
            assert_eq!(step(&mut stepper, "phase").json()["state"], "running");
        }
    }
    assert_eq!(
        phases,
        [
            "readiness",
            "completions",
            "timers",
            "events",
            "flush",
            "reap"
        ]
    );
    // To the same place of the next turn, if there is one: and then as fast as it likes.
    assert_eq!(step(&mut stepper, "turn").status, 200);
    assert_eq!(step(&mut stepper, "run").status, 200);
    assert_eq!(client.answer().status, 200);
    assert_eq!(step(&mut stepper, "halt").status, 200);
    client.send(get("/healthz"));
    // It may have been in the middle of a turn.
    while watcher.next("halted")["before"] != "readiness" {
        step(&mut stepper, "phase");
    }
    // What is shown meanwhile is shown by another thread.
    let sources = ask_json(&mut stepper, "/ps");
    let listed = sources["sources"].as_array().expect("a list");
    assert!(
        listed.iter().any(|one| one["kind"] == "connection"),
        "{sources}"
    );
    let answer = stepper.ask(get("/metrics"));
    assert_eq!(
        (answer.status, answer.code()),
        (503, "slowed_down".to_owned())
    );
    for (body, status) in [("{}", 400), (r#"{"step":"back"}"#, 400)] {
        let answer = stepper.ask(post("/gate", "application/json", body));
        assert_eq!(answer.status, status, "{answer:?}");
    }
    assert_eq!(stepper.ask(post("/gate", "text/plain", "run")).status, 415);
    let foreign = post("/gate", "application/json", r#"{"step":"run"}"#);
    let foreign = foreign.replacen("Host: ", "Host: example.", 1);
    assert_eq!(stepper.ask(foreign).status, 403);
    step(&mut stepper, "run");
    assert_eq!(client.answer().status, 200);
}

#[test]
fn a_loop_that_is_slowed_down_sleeps_before_each_phase() {
    let each = Duration::from_millis(30);
    let config = Config {
        pace: Pace::Slow(each),
        ..watched()
    };
    let (server, monitor) = start(config, |_| {});
    let (hello, mut watcher) = Watcher::open(monitor);
    assert_eq!(
        (&hello["mode"], &hello["slow_turn_ms"]),
        (&json!("slow"), &json!(30))
    );
    let mut client = server.connect();
    let asked = Instant::now();
    assert_eq!(client.ask(get("/healthz")).status, 200);
    // Readiness, completions, timers, events, flush.
    assert!(asked.elapsed() >= 5 * each, "{:?}", asked.elapsed());
    let halted = watcher.next("halted");
    assert_eq!(halted["for_ms"], 30);
    let answer = step(&mut Client::connect(monitor), "run");
    assert_eq!((answer.status, answer.code()), (409, "no_gate".to_owned()));
}

#[test]
fn a_program_whose_loop_stands_still_ends_when_it_is_told_to() {
    let mut program = Program::start(&["--monitor", "127.0.0.1:0", "--gate"]);
    let mut client = program.connect();
    client.send(login("alice", "password"));
    program.signal(Signal::TERM);
    assert!(program.wait().success());
}

#[test]
fn a_loop_is_slowed_down_only_where_it_can_be_watched() {
    let directory = Directory::new();
    for (arguments, words) in [
        (&["--gate"][..], &["gate", "--monitor 127.0.0.1:9090"][..]),
        (&["--slow-turn", "300ms"], &["slow-turn", "--monitor"]),
        (
            &["--slow-turn", "1h", "--monitor", "127.0.0.1:0"],
            &["slow-turn", "10 s"],
        ),
    ] {
        run(directory.command(&[&["serve"], arguments].concat())).failed_with(2, words);
    }
    let both = [
        "serve",
        "--slow-turn",
        "1s",
        "--gate",
        "--monitor",
        "127.0.0.1:0",
    ];
    let refused = run(directory.command(&both));
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(
        refused.stderr.contains("cannot be used with"),
        "{refused:?}"
    );
}

// mio's poll(2) backend waits again by itself now and then.
#[test]
#[cfg(all(target_os = "linux", not(mio_unsupported_force_poll_poll)))]
fn the_turns_that_are_recorded_are_the_waits_of_the_system() {
    if !are_installed(&[&["strace", "-V"]]) {
        return;
    }
    let directory = Directory::new();
    directory.add_users();
    let log = directory.path().join("strace");
    let served = directory.command(&["serve", "--listen", "127.0.0.1:0", "--log", "log"]);
    let mut strace = Command::new("strace");
    // As a child of the program: a caller that waits for it waits for the program itself.
    strace.args([
        "-D",
        "-f",
        "-q",
        "-e",
        "trace=/^epoll_p?wait|^write|^send",
        "-o",
    ]);
    strace
        .arg(&log)
        .arg(served.get_program())
        .args(served.get_args());
    strace.args([
        "--monitor",
        &format!("unix:{}", directory.path().join("monitor").display()),
    ]);
    strace.current_dir(directory.path());
    let mut program = Program::spawn(&directory, strace);
    let monitor = || {
        let socket = directory.path().join("monitor");
        Client::over(std::os::unix::net::UnixStream::connect(socket).expect("it listens"))
    };
    let (_, mut watcher) = Watcher::over(monitor());
    let mut client = program.connect();
    for _ in 0..50 {
        assert_eq!(client.ask(get("/healthz")).status, 200);
    }
    client.log_in("alice");
    watcher.until(|seen| (!seen.jobs.is_empty()).then_some(()));
    // Watching an idle loop wakes it once more at most, with what came last.
    thread::sleep(Duration::from_millis(300)); // this silence is what is measured
    let turns = monitor().ask(get("/turns?last=1000")).json();
    let turns = turns["turns"].as_array().expect("a list").clone();
    let newest = turns.last().expect("turns");
    let silence = turns.iter().filter(|turn| {
        let slept = turn["phase_ns"][0].as_u64().expect("a number");
        slept >= 200_000_000
    });
    assert_eq!(silence.count(), 1, "the silence was one sleep: {turns:#?}");
    program.signal(Signal::TERM);
    assert!(program.wait().success());
    let lines = wait_until("strace has written everything", || {
        let text = std::fs::read_to_string(&log).ok()?;
        text.contains("exited with 0").then_some(text)
    });
    let of_loop = lines
        .split(' ')
        .next()
        .expect("a thread's number")
        .to_owned();
    let of_loop: Vec<&str> = lines
        .lines()
        .filter(|line| line.starts_with(&of_loop))
        .collect();
    let is_answer = |line: &&&str| line.contains("HTTP/1.1 200 OK");
    let answer = of_loop
        .iter()
        .rposition(|line| is_answer(&line))
        .expect("the answer");
    // Where another thread came in between, a second line says that the call went on.
    let is_wait = |line: &&&str| line.contains("epoll_wait(") || line.contains("epoll_pwait(");
    let waits = of_loop[..answer].iter().filter(is_wait).count();
    // The turn that answers is not over while it does.
    assert_eq!(waits as u64, ns(newest, "n") + 1);
}

#[test]
fn what_the_page_works_out_is_right() {
    if !are_installed(&[&["node", "--version"]]) {
        return;
    }
    let mut node = Command::new("node");
    node.args(["--test", &in_project("tests/page/")]);
    run(node).succeeded();
}
