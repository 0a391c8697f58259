//! Child processes that read events, and that write them: they cannot harm the loop, the
//! log says what happened, and none outlives the server.

use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, test_kill_process};
use serde_json::{Value, json};

use crate::harness::{Directory, Program, get, wait_until};
use crate::listeners::{PYTHON, Ws, are_installed, id_of, in_project, name_of, publish};

/// Waits until the log has a line that contains all of `words`; that line.
fn logged(directory: &Directory, words: &[&str]) -> String {
    wait_until(&format!("the log says {words:?}"), || {
        let log = directory.log();
        let mut lines = log.lines();
        let line = lines.find(|line| words.iter().all(|word| line.contains(word)));
        line.map(str::to_owned)
    })
}

/// The server answers, and soon.
fn is_unharmed(program: &Program) {
    for _ in 0..20 {
        let asked = Instant::now();
        assert_eq!(program.connect().ask(get("/healthz")).status, 200);
        assert!(
            asked.elapsed() < Duration::from_secs(2),
            "the loop was held"
        );
    }
}

/// Ends the server with SIGTERM, which has to work.
fn drain(program: &mut Program) {
    program.signal(Signal::TERM);
    assert_eq!(
        program.wait().code(),
        Some(0),
        "{}",
        program.directory().log()
    );
}

/// What `key=` says in such a line.
fn number(line: &str, key: &str) -> u64 {
    let (_, rest) = line.split_once(&format!("{key}=")).expect(key);
    let digits = rest.split(|c: char| !c.is_ascii_digit()).next();
    digits
        .and_then(|digits| digits.parse().ok())
        .expect("digits")
}

fn is_running(id: u32) -> bool {
    let id = i32::try_from(id).ok().and_then(Pid::from_raw);
    test_kill_process(id.expect("a process id")).is_ok()
}

#[test]
fn the_python_examples_click_and_listen() {
    if !are_installed(&[PYTHON]) {
        return;
    }
    let [producer, subscriber] = ["event_producer.py", "subscriber.py"]
        .map(|name| format!("python3 {}", in_project(&format!("docs/examples/{name}"))));
    let producer = format!("{producer} --every 0.01 --count 3");
    let mut program = Program::start(&["--subscribe", &subscriber, "--produce", &producer]);
    for count in 1..=3 {
        let said = format!(r#"button_clicked from Button: {{\"count\": {count}}}"#);
        logged(program.directory(), &["loopgate::child", "python3[", &said]);
    }
    let sign = program.connect().log_in("admin");
    let mut socket = Ws::open(
        program.address,
        &sign,
        "/events?since=0&pattern=button_clicked",
    );
    for count in 1..=3 {
        let event = socket.event();
        assert_eq!(
            (&event["sender"], &event["data"]),
            (&json!("Button"), &json!({"count": count}))
        );
    }
    drain(&mut program);
}

#[test]
fn each_line_of_a_producer_is_an_event_or_the_log_says_why_not() {
    let lines = r#"{"name":"json","data":{"a":1}}
plain text
{"name":"for_alice","sender":"me","user_id":"2"}
{"name":"user.logged_in"}
{"name":"no such name"}
{"name":"last"}
"#;
    let directory = Directory::new();
    directory.add_users();
    std::fs::write(directory.path().join("lines"), lines).expect("a file");
    let long = "head -c 70000 /dev/zero | tr '\\0' x; echo";
    let command = format!("cat lines; {long}; printf 'without an end'; exec sleep 60");
    let mut program = Program::start_in(&directory, &["--produce", &command]);
    let mut client = program.connect();
    let sign = client.log_in("admin");
    let query = "/events?since=0&pattern=json,line,for_alice,last,user.*";
    let mut socket = Ws::open(program.address, &sign, query);
    let mut heard = Vec::new();
    while heard.len() < 5 {
        let event = socket.event();
        heard.push((
            name_of(&event).to_owned(),
            event["sender"].clone(),
            event["data"].clone(),
        ));
    }
    heard.retain(|(name, ..)| name != "user.logged_in");
    assert_eq!(
        heard,
        [
            ("json".into(), json!("cat"), json!({"a": 1})),
            ("line".into(), json!("cat"), json!("plain text")),
            ("for_alice".into(), json!("me"), Value::Null),
            ("last".into(), json!("cat"), Value::Null),
        ]
    );
    logged(&directory, &["WARN", "a line is no event", "own names"]);
    logged(
        &directory,
        &["WARN", "a line is no event", "letters, digits"],
    );
    logged(&directory, &["WARN", "a line is no event", "longer than"]);
    let alice = client.log_in("alice");
    let mut hers = Ws::open(
        program.address,
        &alice,
        "/events?since=0&pattern=for_alice,json",
    );
    assert_eq!(name_of(&hers.event()), "for_alice");
    drain(&mut program);
    // What it had not finished when it was ended is a line, too.
    let program = Program::start_in(&directory, &[]);
    let sign = program.connect().log_in("admin");
    let mut socket = Ws::open(program.address, &sign, "/events?since=0&pattern=line");
    assert_eq!(socket.event()["data"], "plain text");
    assert_eq!(socket.event()["data"], "without an end");
}

#[test]
fn a_child_that_ends_is_started_again_later_and_later() {
    let program = Program::start(&["--subscribe", "echo so far >&2; exit 3"]);
    for rest in ["in 1 s", "in 2 s"] {
        logged(
            program.directory(),
            &["echo: process", "exit status: 3", "again", rest],
        );
    }
    logged(program.directory(), &["WARN", "echo[", "so far"]);
    is_unharmed(&program);
}

#[test]
fn a_child_that_cannot_be_started_is_tried_again() {
    let program = Program::start(&["--produce", "/nonexistent/program --option"]);
    logged(program.directory(), &["/nonexistent/program", "not found"]);
    logged(
        program.directory(),
        &["program: process", "exit status: 127", "again in 1 s"],
    );
    is_unharmed(&program);
    drop(program);

    // Not even a shell.
    let directory = Directory::new();
    directory.add_users();
    let mut command = directory.command(&["serve", "--listen", "127.0.0.1:0", "--log", "log"]);
    command
        .args(["--subscribe", "cat"])
        .env("PATH", "/nonexistent");
    let mut program = Program::spawn(&directory, command);
    logged(
        &directory,
        &["cat: it cannot be started", "No such file", "again in 2 s"],
    );
    is_unharmed(&program);
    drain(&mut program);
}

#[test]
fn a_child_that_never_reads_costs_its_own_events_and_nothing_else() {
    let arguments = [
        "--subscribe",
        "exec sleep 1000",
        "--outbox-bytes-max",
        "8192",
    ];
    let mut program = Program::start(&arguments);
    logged(program.directory(), &["sleep has started"]);
    let mut client = program.connect();
    let sign = client.log_in("admin");
    let mut socket = Ws::open(program.address, &sign, "/events?pattern=tick");
    // More than its pipe and its outbox hold.
    let (count, text) = (300, "x".repeat(1000));
    for n in 0..count {
        let id = publish(&mut client, &sign, "tick", &json!({"n": n, "text": text}));
        assert_eq!(
            id_of(&socket.event()),
            id,
            "another subscriber misses nothing"
        );
    }
    is_unharmed(&program);
    let began = Instant::now();
    drain(&mut program);
    // Its stdin is closed, which it does not see; then it gets SIGTERM.
    assert!(began.elapsed() >= Duration::from_secs(2));
    let log = program.directory().log();
    assert!(log.contains("ended with signal: 15"), "{log}");
    let balance = logged(
        program.directory(),
        &["loopgate::streams", "sleep: published="],
    );
    let [published, delivered, dropped, queued] =
        ["published", "delivered", "dropped", "queued"].map(|key| number(&balance, key));
    assert_eq!(published, delivered + dropped + queued, "{balance}");
    assert!(
        published > count && dropped > count / 2 && delivered >= 1,
        "{balance}"
    );
}

#[test]
fn a_child_that_closes_its_stdin_is_told_nothing_more_and_goes_on() {
    let command = "exec <&-; echo deaf; while :; do sleep 0.1; done";
    let mut program = Program::start(&["--subscribe", command]);
    logged(program.directory(), &["deaf"]);
    let mut client = program.connect();
    let sign = client.log_in("admin");
    let balance = logged(program.directory(), &["loopgate::streams", "published="]);
    assert!(number(&balance, "dropped") > 0, "{balance}");
    publish(&mut client, &sign, "tick", &Value::Null);
    is_unharmed(&program);
    let log = program.directory().log();
    assert!(!log.contains("again in"), "it has not ended: {log}");
    drain(&mut program);
}

#[test]
fn a_subscriber_that_writes_without_end_does_not_fill_the_log() {
    let commands = [
        "--subscribe",
        "exec yes on stdout",
        "--subscribe",
        "exec yes on stderr >&2",
        "--subscribe",
        "exec cat /dev/zero",
    ];
    let mut program = Program::start(&commands);
    for stream in ["INFO", "WARN"] {
        logged(program.directory(), &[stream, "yes[", "on std"]);
    }
    logged(program.directory(), &["yes[", "lines more"]);
    is_unharmed(&program);
    let log = program.directory().log();
    // A hundred lines a second of each; a line without an end is one.
    let lines = log.lines().filter(|line| line.contains("on std")).count();
    assert!(lines <= 2 * 100 * 30, "{lines} lines");
    let zeros = log.lines().filter(|line| line.contains("cat[")).count();
    assert_eq!(zeros, 1);
    drain(&mut program);
}

#[test]
fn a_producer_that_writes_without_end_leaves_room_for_others() {
    let arguments = [
        "--produce",
        r#"exec yes '{"name":"flood"}'"#,
        "--store",
        ":memory:",
        "--demo",
    ];
    let program = Program::start(&arguments);
    let mut client = program.connect();
    let answer = client.ask(crate::harness::login("admin", "password"));
    let sign = answer.json()["user_sign"]
        .as_str()
        .expect("it logs in")
        .to_owned();
    let mut socket = Ws::open(program.address, &sign, "/events?pattern=flood,gap");
    for _ in 0..1000 {
        socket.event();
    }
    // However many listen, it is read no faster than it is told: what another says comes through.
    let listeners: Vec<Vec<Ws>> = (0..20)
        .map(|_| {
            let answer = client.ask(crate::harness::login("admin", "password"));
            let sign = answer.json()["user_sign"]
                .as_str()
                .expect("it logs in")
                .to_owned();
            (0..5)
                .map(|_| Ws::open(program.address, &sign, "/events?pattern=*"))
                .collect()
        })
        .collect();
    let mut other = Ws::open(program.address, &sign, "/events?pattern=other");
    std::thread::sleep(Duration::from_secs(2)); // the flood, for so long
    for _ in 0..3 {
        let published = Instant::now();
        publish(&mut client, &sign, "other", &Value::Null);
        other.event();
        assert!(
            published.elapsed() < Duration::from_secs(3),
            "{:?}",
            published.elapsed()
        );
    }
    drop(listeners);
    is_unharmed(&program);
    let asked = Instant::now();
    assert_eq!(
        client
            .ask(crate::harness::signed("POST", "/logout", &sign))
            .status,
        200
    );
    assert!(asked.elapsed() < Duration::from_secs(2));
    assert_eq!(socket.close_code(), 4401);
    #[cfg(target_os = "linux")]
    {
        let bytes = program.memory_bytes();
        assert!(bytes < 200 << 20, "{bytes} bytes");
    }
}

#[test]
fn a_child_gets_the_events_that_it_missed_while_it_was_not_running() {
    let mut program = Program::start(&["--subscribe", "read line && echo \"told $line\""]);
    logged(program.directory(), &["told", "server.started"]);
    logged(program.directory(), &["again in 1 s"]);
    let mut client = program.connect();
    let sign = client.log_in("admin");
    publish(&mut client, &sign, "meanwhile", &Value::Null);
    // It takes one line at a time; this is the second.
    logged(program.directory(), &["told", "user.logged_in"]);
    drain(&mut program);
}

#[test]
fn children_are_asked_to_end_before_they_are_made_to() {
    let directory = Directory::new();
    directory.add_users();
    let polite = "while read line; do :; done; echo stdin has ended";
    let slow = "trap 'echo was terminated; exit 0' TERM; echo ready; while :; do sleep 0.1; done";
    let deaf = "trap '' TERM; echo deaf; while :; do sleep 1; done";
    let commands = [
        "--subscribe",
        polite,
        "--subscribe",
        slow,
        "--produce",
        deaf,
    ];
    let mut program = Program::start_in(&directory, &commands);
    logged(&directory, &["ready"]);
    let sign = program.connect().log_in("admin");
    let mut socket = Ws::open(program.address, &sign, "/events?since=0&pattern=line");
    assert_eq!(socket.event()["data"], "deaf");
    let log = directory.log();
    let started = log
        .lines()
        .filter(|line| line.contains("has started as process "));
    let ids: Vec<u32> = started
        .filter_map(|line| {
            line.split("process ")
                .nth(1)?
                .split(':')
                .next()?
                .parse()
                .ok()
        })
        .collect();
    assert_eq!(ids.len(), 3);
    assert!(ids.iter().all(|id| is_running(*id)));
    drain(&mut program);
    let log = directory.log();
    let at = |words: &str| log.find(words).unwrap_or_else(|| panic!("{words}: {log}"));
    assert!(at("stdin has ended") < at("was terminated"));
    assert!(at("was terminated") < at("ignores SIGTERM and is killed"));
    assert!(at("is killed") < at("ended with signal: 9"));
    assert!(!ids.iter().any(|id| is_running(*id)), "no process is left");
}

#[test]
fn no_child_outlives_a_server_that_is_told_twice_to_stop() {
    let directory = Directory::new();
    directory.add_users();
    // A child of its own, too, which would not notice the end of its parent.
    let deaf = "trap '' TERM; sleep 1000 & echo $! >inner; while :; do sleep 1; done";
    let mut program = Program::start_in(&directory, &["--subscribe", deaf]);
    let inner = wait_until("the inner process runs", || {
        let text = std::fs::read_to_string(directory.path().join("inner")).ok()?;
        text.trim().parse::<u32>().ok()
    });
    assert!(is_running(inner));
    program.signal(Signal::TERM);
    logged(&directory, &["draining"]);
    program.signal(Signal::TERM);
    assert_eq!(program.wait().code(), Some(3));
    wait_until("the inner process has ended", || {
        (!is_running(inner)).then_some(())
    });
}

#[test]
fn what_a_shell_has_started_is_given_the_time_that_the_shell_is() {
    // The shell dies of SIGTERM at once; what it waits for has something left to do.
    let inner = |at_term: &str| {
        let script =
            format!(r#"trap "{at_term}" TERM; echo $$ ready; while :; do sleep 0.1; done"#);
        format!("sh -c '{script}'; true")
    };
    let slow = inner("sleep 1; echo has finished; exit");
    let deaf = inner("");
    let directory = Directory::new();
    directory.add_users();
    let mut program = Program::start_in(&directory, &["--subscribe", &slow, "--subscribe", &deaf]);
    let ids: Vec<u32> = wait_until("both are ready", || {
        let log = directory.log();
        let ready = log.lines().filter_map(|line| line.strip_suffix(" ready"));
        let ids = ready.filter_map(|line| line.rsplit(' ').next()?.parse().ok());
        Some(ids.collect::<Vec<u32>>()).filter(|ids| ids.len() == 2)
    });
    let began = Instant::now();
    drain(&mut program);
    let log = directory.log();
    assert!(log.contains("has finished"), "{log}");
    assert!(
        log.contains("what it started ignores SIGTERM and is killed"),
        "{log}"
    );
    assert!(
        began.elapsed() >= Duration::from_secs(4),
        "its stdin, then SIGTERM"
    );
    wait_until("none is left", || {
        (!ids.iter().any(|id| is_running(*id))).then_some(())
    });
}

#[test]
fn what_a_child_leaves_behind_ends_before_it_is_started_again() {
    // In the background, with a handler that takes its time: it is not killed while it is at it.
    let left = r#"sh -c 'trap "sleep 0.5; echo left in order; exit" TERM; echo began; while :; do sleep 0.1; done' & sleep 0.5"#;
    let program = Program::start(&["--subscribe", left]);
    logged(program.directory(), &["left in order"]);
    logged(program.directory(), &["exit status: 0", "again in 1 s"]);
    let log = program.directory().log();
    assert!(
        log.find("left in order") < log.find("again in 1 s"),
        "{log}"
    );
    is_unharmed(&program);
}
