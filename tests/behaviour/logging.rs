//! The log: one line for each thing, and no secrets in it, at any level.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::Command;

use rustix::process::Signal;
use serde_json::Value;

use crate::harness::{Directory, Program, get, login, request, signed, wait_until};
use crate::listeners::{in_project, skip};

/// The lines of the access log, when there are so many.
fn access_lines(directory: &Directory, count: usize) -> Vec<String> {
    wait_until("the requests are logged", || {
        let log = directory.log();
        let lines = log
            .lines()
            .filter(|line| line.contains(" loopgate::access: "));
        let lines: Vec<_> = lines.map(str::to_owned).collect();
        (lines.len() >= count).then_some(lines)
    })
}

/// Every line begins as lines of the log do, with a time and a level.
fn assert_lines_are_whole(log: &str) {
    for line in log.lines() {
        let mut words = line.split_whitespace();
        let (time, level) = (
            words.next().unwrap_or_default(),
            words.next().unwrap_or_default(),
        );
        let is_time = time.len() == 24 && time.starts_with("20") && time.ends_with('Z');
        let is_level = ["TRACE", "DEBUG", "INFO", "WARN", "ERROR"].contains(&level);
        assert!(is_time && is_level, "{line:?}");
        assert!(!line.contains(char::is_control), "{line:?}");
    }
}

#[test]
fn each_request_is_one_line() {
    let program = Program::start(&[]);
    let mut client = program.connect();
    let sign = client.log_in("alice");
    client.ask(login("alice", "wrong"));
    client.ask(signed("POST", "/logout?everywhere=true", &sign));
    client.ask(get("/nothing?secret=1"));
    client.send(get("/healthz").repeat(3));
    for _ in 0..3 {
        client.answer();
    }
    program.connect().ask("nonsense\r\n\r\n");
    let lines = access_lines(program.directory(), 8);
    let said: Vec<_> = lines
        .iter()
        .map(|line| {
            let (_, said) = line.split_once("127.0.0.1:").expect("the peer");
            let words: Vec<_> = said.split_whitespace().skip(1).collect();
            // Bytes and time, which differ.
            let (said, measured) = words.split_at(words.len() - 2);
            assert!(
                measured[0].ends_with('B') && measured[1].ends_with("us"),
                "{line}"
            );
            said.join(" ")
        })
        .collect();
    assert_eq!(
        said,
        [
            "POST /login 200",
            "POST /login 401",
            "POST /logout 200",
            "GET /nothing 404",
            "GET /healthz 200",
            "GET /healthz 200",
            "GET /healthz 200",
            "(no request) 400",
        ]
    );
}

#[test]
fn no_secret_is_logged_however_much_is() {
    let directory = Directory::new();
    directory.add_users();
    let mut command = directory.command(&["serve", "--listen", "127.0.0.1:0", "--log", "log"]);
    command.env("RUST_LOG", "trace");
    let program = Program::spawn(&directory, command);
    let mut client = program.connect();
    let sign = client.log_in("alice");
    let cookie = format!("session={sign}");
    client.ask(login("alice", "a wrong-secret"));
    client.ask(login("nobody", "a wrong-secret"));
    client.ask(crate::harness::post(
        "/login",
        "application/json",
        "{\"password\":\"a wrong-secret\"",
    ));
    client.ask(crate::harness::post(
        "/login",
        "text/plain",
        "a wrong-secret",
    ));
    client.ask(get("/session?password=wrong-secret"));
    client.ask(request("GET", "/session", &[("Cookie", &cookie)]));
    client.ask(signed("GET", "/session", &sign));
    client.ask(signed("POST", "/logout", &sign));
    let bad = request(
        "GET",
        "/session",
        &[
            ("Authorization", "wrong-secret"),
            ("bad name", "wrong-secret"),
        ],
    );
    program.connect().ask(bad);
    access_lines(&directory, 10);
    let key = fs::read_to_string(directory.store().with_extension("key")).unwrap();
    let key: serde_json::Value = serde_json::from_str(&key).unwrap();
    program.signal(Signal::HUP);
    program.signal(Signal::TERM);
    let log = wait_until("it has drained", || {
        Some(directory.log()).filter(|log| log.contains(": drained"))
    });
    assert!(log.contains(" DEBUG "), "everything is logged");
    let signature = sign.rsplit('.').next().unwrap();
    for secret in [
        "wrong-secret",
        &sign,
        signature,
        key["keys"][0]["secret"].as_str().unwrap(),
        "$argon2id",
    ] {
        assert!(!log.contains(secret), "{secret} is in the log");
    }
    assert_lines_are_whole(&log);
}

#[test]
fn what_a_client_sends_cannot_make_a_line_of_its_own() {
    let directory = Directory::new();
    directory.add_users();
    let mut command = directory.command(&["serve", "--listen", "127.0.0.1:0", "--log", "log"]);
    command.env("RUST_LOG", "trace");
    let program = Program::spawn(&directory, command);
    let forged = "\n2026-11-22T05:48:00.123Z INFO  loopgate::access: forged\u{1b}[31m\r";
    for name in ["alice\n", forged, "a\u{85}b", "a\u{2028}b", "\u{202e}ecila"] {
        let mut client = program.connect();
        assert_ne!(client.ask(login(name, forged)).status, 200);
        assert_ne!(client.ask(login("alice", forged)).status, 200);
    }
    for target in [
        "/%0a2026-11-22T05:48:00.123Z%20INFO",
        "/\u{1b}[31m",
        "/a\u{85}b",
        "/%1b%5b31m",
    ] {
        program.connect().ask(get(target));
    }
    program.connect().ask(format!(
        "GET / HTTP/1.1\r\nHost: localhost\r\nX: {forged}\r\n\r\n"
    ));
    access_lines(&directory, 15);
    assert_lines_are_whole(&directory.log());
    assert!(!directory.log().contains('\u{2028}') && !directory.log().contains('\u{202e}'));
}

#[test]
fn the_log_is_opened_anew_when_it_was_moved_away() {
    let program = Program::start(&[]);
    let directory = program.directory();
    let mut client = program.connect();
    client.ask(get("/before"));
    access_lines(directory, 1);
    let (log, moved) = (directory.path().join("log"), directory.path().join("log.1"));
    fs::rename(&log, &moved).unwrap();
    program.signal(Signal::USR1);
    wait_until("there is a new file", || log.exists().then_some(()));
    client.ask(get("/after"));
    assert!(access_lines(directory, 1)[0].contains("/after"));
    let old = fs::read_to_string(moved).unwrap();
    assert!(old.contains("/before") && !old.contains("/after"), "{old}");
}

/// The lines of a file, when there are so many.
fn lines_of(path: &Path, count: usize) -> Vec<String> {
    wait_until("the lines are there", || {
        let text = fs::read_to_string(path).unwrap_or_default();
        let lines: Vec<_> = text.lines().map(str::to_owned).collect();
        (text.ends_with('\n') && lines.len() >= count).then_some(lines)
    })
}

/// A few requests of the user alice, and of nobody.
fn few_requests(program: &Program) {
    let mut client = program.connect();
    let sign = client.log_in("alice");
    client.ask(login("alice", "wrong"));
    let fields = [
        ("User-Agent", "a \"quoted\" \\ name \u{e9}"),
        ("Referer", "https://example.com/page?secret=1"),
        ("X-Request-ID", "not a proxy's"),
        ("Authorization", &format!("Bearer {sign}")),
    ];
    client.ask(request("GET", "/session?secret=2", &fields));
    program.connect().ask("nonsense\r\n\r\n");
}

#[test]
fn access_lines_in_json_are_read_by_a_strict_parser() {
    let program = Program::start(&["--access-log", "json=access.log"]);
    few_requests(&program);
    let lines = lines_of(&program.directory().path().join("access.log"), 4);
    let lines: Vec<Value> = lines
        .iter()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|why| panic!("{why}: {line}")))
        .collect();
    let said: Vec<_> = lines
        .iter()
        .map(|line| {
            (
                line["user"].as_str(),
                line["method"].as_str(),
                line["path"].as_str(),
                line["status"].as_u64(),
            )
        })
        .collect();
    assert_eq!(
        said,
        [
            (Some("alice"), Some("POST"), Some("/login"), Some(200)),
            (None, Some("POST"), Some("/login"), Some(401)),
            (Some("alice"), Some("GET"), Some("/session"), Some(200)),
            (None, None, None, Some(400)),
        ]
    );
    let of_session = &lines[2];
    assert_eq!(of_session["user_agent"], "a \"quoted\" \\ name \u{e9}");
    assert_eq!(of_session["referrer"], "https://example.com/page");
    assert_eq!(of_session["client"], "127.0.0.1");
    assert_eq!(of_session["request_id"], Value::Null);
    assert!(of_session["duration_us"].is_u64() && of_session["bytes"].is_u64());
    assert!(!program.directory().log().contains("loopgate::access"));
}

#[test]
fn a_file_for_access_lines_is_written_whatever_the_level_and_none_where_they_are_off() {
    let start = |arguments: &[&str], level: &str| {
        let directory = Directory::new();
        directory.add_users();
        let mut command = directory.command(&["serve", "--listen", "127.0.0.1:0", "--log", "log"]);
        command.args(arguments).env("RUST_LOG", level);
        let mut program = Program::spawn(&directory, command);
        program.connect().ask(get("/healthz"));
        program.signal(Signal::TERM);
        program.wait();
        directory
    };
    let directory = start(&["--access-log", "combined=access.log"], "warn");
    assert_eq!(lines_of(&directory.path().join("access.log"), 1).len(), 1);
    for (arguments, level) in [
        (["--access-log", "off"], "info"),
        (["--access-log", "plain"], "warn"),
    ] {
        let log = start(&arguments, level).log();
        assert!(!log.contains("/healthz"), "{log}");
    }
}

#[test]
fn a_form_that_does_not_exist_is_refused() {
    for (given, why) in [
        ("nginx", "the forms are off, plain, combined and json"),
        ("json=", "after = the name of a file is missing"),
        ("off=x", "off writes no file"),
    ] {
        let directory = Directory::new();
        let ended = directory
            .command(&["serve", "--access-log", given])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(ended.status.code(), Some(2), "{said}");
        assert!(said.contains(why), "{said}");
    }
}

/// The first block of that kind in the page's part about fail2ban.
fn fail2ban_filter() -> String {
    let page = fs::read_to_string(in_project("docs/operations.md")).expect("it is there");
    let (_, rest) = page
        .split_once("filter.d/loopgate.conf")
        .expect("the filter");
    let (_, rest) = rest.split_once("```ini\n").expect("its block");
    rest.split_once("```").expect("its end").0.to_owned()
}

#[test]
fn fail2ban_finds_those_that_guess_and_no_others() {
    if Command::new("fail2ban-regex")
        .arg("--version")
        .output()
        .is_err()
    {
        return skip("fail2ban-regex is not installed");
    }
    let program = Program::start(&[
        "--access-log",
        "combined=access.log",
        "--trust-proxy",
        "127.0.0.1",
    ]);
    let forged = "x\" 203.0.113.9 - - [22/Nov/2026:05:48:00 +0000] \"POST /login HTTP/1.1\" 401 1";
    let mut client = program.connect();
    let mut from = |address: &str, request: String| {
        let fields = format!("X-Forwarded-For: {address}\r\nUser-Agent: {forged}\r\n");
        let request = request.replacen("\r\n", &format!("\r\n{fields}"), 1);
        client.ask(request).status
    };
    for _ in 0..3 {
        assert_eq!(from("192.0.2.7", login("alice", "wrong")), 401);
    }
    assert_eq!(from("192.0.2.8", login("alice", "password")), 200);
    assert_eq!(from("192.0.2.9", get("/session")), 401);
    assert_eq!(from("2001:db8::7", login("nobody", "wrong")), 401);
    let directory = program.directory().path();
    lines_of(&directory.join("access.log"), 6);
    let filter = directory.join("filter.conf");
    fs::write(&filter, fail2ban_filter()).unwrap();
    let found = Command::new("fail2ban-regex")
        .args(["-o", "ip"])
        .args([directory.join("access.log"), filter])
        .output()
        .unwrap();
    let found = String::from_utf8(found.stdout).unwrap();
    assert_eq!(
        found.lines().collect::<Vec<_>>(),
        ["192.0.2.7", "192.0.2.7", "192.0.2.7", "2001:db8::7"]
    );
}

#[test]
fn no_line_is_lost_when_the_log_is_moved_away_under_load_and_the_program_ends() {
    const MOVED: usize = 50;
    let mut program = Program::start(&["--access-log", "plain=access.log"]);
    let path = program.directory().path().join("access.log");
    let mut client = program.connect();
    for number in 0..MOVED {
        client.send(get(&format!("/{number}")).repeat(16));
        let moved = path.with_extension(number.to_string());
        fs::rename(&path, moved).unwrap();
        program.signal(Signal::USR1);
        wait_until("there is a new file", || path.exists().then_some(()));
        for _ in 0..16 {
            client.answer();
        }
    }
    program.signal(Signal::TERM);
    assert!(program.wait().success());
    let mut counts = vec![0; MOVED];
    for entry in fs::read_dir(program.directory().path()).unwrap() {
        let entry = entry.unwrap().path();
        if entry.file_stem().is_some_and(|stem| stem == "access") {
            for line in fs::read_to_string(entry).unwrap().lines() {
                let (_, said) = line.split_once(" GET /").expect("a whole line");
                let (number, _) = said.split_once(' ').expect("a whole line");
                counts[number.parse::<usize>().unwrap()] += 1;
            }
        }
    }
    assert_eq!(counts, [16; MOVED]);
}

#[test]
fn a_log_that_takes_nothing_delays_no_answer_and_says_how_many_lines_it_lost() {
    // Longer than the longest path of a line, and more than may wait.
    const SENT: usize = 6_000;
    let directory = Directory::new();
    directory.add_users();
    let fifo = directory.path().join("fifo");
    let made = Command::new("mkfifo").arg(&fifo).status();
    if !made.is_ok_and(|status| status.success()) {
        return skip("no mkfifo here");
    }
    // For reading and writing, because a read end alone would wait for a writer.
    let reader = File::options().read(true).write(true).open(&fifo).unwrap();
    let program = Program::start_in(&directory, &["--access-log", "plain=fifo"]);
    let mut client = program.connect();
    let request = get(&format!("/{}", "x".repeat(3000)));
    for _ in 0..SENT / 10 {
        client.send(request.repeat(10));
        for _ in 0..10 {
            assert_eq!(client.answer().status, 404);
        }
    }
    let (mut arrived, mut dropped) = (0, 0);
    for line in BufReader::new(reader).lines() {
        let line = line.unwrap();
        match line.strip_suffix(" log lines dropped: the queue was full") {
            Some(count) => dropped += count.parse::<usize>().unwrap(),
            None => arrived += 1,
        }
        if arrived + dropped == SENT {
            break;
        }
    }
    assert!(
        dropped > 0 && arrived > 3_000,
        "{arrived} arrived, {dropped} dropped"
    );
}
