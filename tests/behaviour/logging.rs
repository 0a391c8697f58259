//! The log: one line for each thing, and no secrets in it, at any level.

use std::fs;

use rustix::process::Signal;

use crate::harness::{Directory, Program, get, login, request, signed, wait_until};

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
