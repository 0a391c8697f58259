//! Sessions end by themselves, and not earlier: time, restarts and keys.

use std::os::unix::fs::PermissionsExt;
use std::process::Output;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use loopgate::event::{Event, rfc3339};
use loopgate::token::from_base64url;
use rustix::process::Signal;

use crate::harness::{Client, Directory, PATIENCE, Program, TestServer, login, signed, wait_until};
use crate::stored::Stored;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn an_unused_session_expires() {
    let stored = Stored::new();
    let mut config = stored.config();
    config.limits.session_idle = SECOND;
    config.limits.session_absolute = 60 * SECOND;
    let (heard, events) = mpsc::channel();
    let server = TestServer::with(config, |server| {
        server.subscribe("session.*", move |event: &Event| {
            drop(heard.send(event.clone()));
        });
    });
    let mut client = server.connect();
    let began = Instant::now();
    let confirmed = client.ask(login("alice", "password")).json();
    let event = events.recv_timeout(PATIENCE).expect("it expires");
    // Seconds are counted whole, so the first may be cut short.
    assert!(began.elapsed() < 10 * SECOND);
    assert_eq!(event.fact.name, "session.expired");
    assert_eq!(event.fact.data["user_id"], confirmed["user_id"]);
    let expires_at = confirmed["expires_at"].as_str().unwrap();
    let noticed_at = rfc3339(event.fact.unix_ms);
    assert!(
        expires_at <= noticed_at.as_str(),
        "{expires_at} is not before {noticed_at}"
    );
    let sign = confirmed["user_sign"].as_str().unwrap();
    assert_eq!(
        client.ask(signed("GET", "/session", sign)).code(),
        "no_session"
    );
    server.stop();
    assert_eq!(stored.snapshot().sessions, [], "its row is gone");
}

#[test]
fn use_puts_off_the_idle_end_and_not_the_absolute_one() {
    let stored = Stored::new();
    let mut config = stored.config();
    config.limits.session_idle = 2 * SECOND;
    config.limits.session_absolute = 4 * SECOND;
    let server = TestServer::with(config, |_| {});
    let mut client = server.connect();
    let began = Instant::now();
    let confirmed = client.ask(login("alice", "password")).json();
    let sign = confirmed["user_sign"].as_str().unwrap();
    let mut last_seen = None;
    wait_until("the session ends although it is used", || {
        let answer = client.ask(signed("GET", "/session", sign));
        if answer.status == 200 {
            last_seen = Some(answer.json());
            return None;
        }
        Some(())
    });
    let lived = began.elapsed();
    assert!(
        lived > 2 * SECOND + SECOND / 2 && lived < 8 * SECOND,
        "{lived:?}"
    );
    let last_seen = last_seen.expect("it was valid once");
    let end = |answer: &serde_json::Value| answer["expires_at"].as_str().unwrap().to_owned();
    assert!(end(&confirmed) < end(&last_seen), "{confirmed} {last_seen}");
}

#[test]
fn sessions_and_their_last_use_survive_a_restart() {
    let stored = Stored::new();
    let server = TestServer::with(stored.config(), |_| {});
    let mut client = server.connect();
    let signs = [client.log_in("alice"), client.log_in("admin")];
    let gone = client.log_in("alice");
    assert_eq!(client.ask(signed("POST", "/logout", &gone)).status, 200);
    let used = |client: &mut Client| -> String {
        let list = client.ask(signed("GET", "/sessions", &signs[0])).json();
        list["sessions"][0]["last_used_at"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    // Used in three different seconds: the first use is written soon, the last ones are not.
    let mut last = used(&mut client);
    for _ in 0..2 {
        last = wait_until("the clock goes on", || {
            Some(used(&mut client)).filter(|now| *now > last)
        });
    }
    server.stop();
    let sid = sid_of(&signs[0]);
    let sessions = stored.snapshot().sessions;
    let row = sessions
        .iter()
        .find(|row| row.sid == sid)
        .expect("it is stored");
    let stored_s = row.last_used_s.max(0).cast_unsigned();
    assert_eq!(
        rfc3339(stored_s * 1000).as_str(),
        last,
        "the last use is as it was shown"
    );
    let server = TestServer::with(stored.config(), |_| {});
    let mut client = server.connect();
    for sign in &signs {
        assert_eq!(client.ask(signed("GET", "/session", sign)).status, 200);
    }
    assert_eq!(client.ask(signed("GET", "/session", &gone)).status, 401);
}

#[test]
fn what_expired_while_no_server_ran_is_found_at_the_next_start() {
    let stored = Stored::new();
    let server = TestServer::with(stored.config(), |_| {});
    let sign = server.connect().log_in("alice");
    server.stop();
    let mut config = stored.config();
    config.limits.session_idle = SECOND;
    config.limits.session_absolute = SECOND;
    let issued_s = stored.snapshot().sessions[0].issued_s;
    wait_until("a second goes by", || {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        (now.unwrap().as_secs().cast_signed() > issued_s + 1).then_some(())
    });
    let (heard, events) = mpsc::channel();
    let server = TestServer::with(config, |server| {
        server.subscribe("session.expired", move |event: &Event| {
            let _ = heard.send(event.id);
        });
    });
    events.recv_timeout(PATIENCE).expect("it has expired");
    assert_eq!(
        server
            .connect()
            .ask(signed("GET", "/session", &sign))
            .status,
        401
    );
    server.stop();
    assert_eq!(stored.snapshot().sessions, []);
}

/// What the header (0) or the claims (1) of a signature say.
pub(crate) fn part(sign: &str, number: usize) -> serde_json::Value {
    let part = sign.split('.').nth(number).expect("three parts");
    let json = URL_SAFE_NO_PAD.decode(part).expect("base64url");
    serde_json::from_slice(&json).expect("JSON")
}

fn sid_of(sign: &str) -> [u8; 16] {
    from_base64url(part(sign, 1)["sid"].as_str().unwrap()).expect("16 bytes")
}

fn kid_of(sign: &str) -> String {
    part(sign, 0)["kid"].as_str().unwrap().to_owned()
}

fn rotate(directory: &Directory) -> Output {
    directory
        .command(&["key", "rotate"])
        .output()
        .expect("it runs")
}

#[test]
fn a_rotated_key_signs_new_logins_and_old_sessions_stay() {
    let program = Program::start(&[]);
    let mut client = program.connect();
    let old = client.log_in("alice");
    let rotated = rotate(program.directory());
    assert!(rotated.status.success(), "{rotated:?}");
    assert_eq!(
        kid_of(&client.log_in("alice")),
        kid_of(&old),
        "not before SIGHUP"
    );
    program.signal(Signal::HUP);
    let new = wait_until("a new key signs", || {
        let sign = client.log_in("alice");
        (kid_of(&sign) != kid_of(&old)).then_some(sign)
    });
    let said = String::from_utf8(rotated.stdout).unwrap();
    assert!(said.contains(&kid_of(&new)), "{said}");
    for sign in [&old, &new] {
        assert_eq!(client.ask(signed("GET", "/session", sign)).status, 200);
    }
    let directory = program.kill();
    let program = Program::start_in(&directory, &[]);
    let mut client = program.connect();
    for sign in [&old, &new] {
        assert_eq!(client.ask(signed("GET", "/session", sign)).status, 200);
    }
    assert_eq!(kid_of(&client.log_in("alice")), kid_of(&new));
}

#[test]
fn taking_the_key_away_ends_all_sessions() {
    let program = Program::start(&[]);
    let mut client = program.connect();
    let old = client.log_in("alice");
    let key = program.directory().store().with_extension("key");
    let mode = std::fs::metadata(&key).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let directory = program.kill();
    std::fs::remove_file(&key).unwrap();
    let program = Program::start_in(&directory, &[]);
    let mut client = program.connect();
    assert_eq!(client.ask(signed("GET", "/session", &old)).status, 401);
    let new = client.log_in("alice");
    assert_ne!(kid_of(&old), kid_of(&new));
    assert_eq!(client.ask(signed("GET", "/session", &new)).status, 200);
    // A session without a key is of no use, so it is not kept for ever.
    drop(program);
    let rows = crate::stored::open(&directory.store())
        .load()
        .unwrap()
        .sessions;
    assert_eq!(
        rows.iter().map(|row| row.sid).collect::<Vec<_>>(),
        [sid_of(&new)]
    );
}

#[test]
fn a_key_file_that_others_may_read_is_refused() {
    let directory = Program::start(&[]).kill();
    let key = directory.store().with_extension("key");
    let before = std::fs::read(&key).unwrap();
    for mode in [0o640, 0o604, 0o660] {
        std::fs::set_permissions(&key, PermissionsExt::from_mode(mode)).unwrap();
        let refused = crate::run::run(directory.command(&["--listen", "127.0.0.1:0"]));
        refused.failed_with(1, &["store.key", &format!("{mode:o}"), "chmod 600"]);
        assert_eq!(rotate(&directory).status.code(), Some(1));
    }
    assert_eq!(std::fs::read(&key).unwrap(), before);
    std::fs::set_permissions(&key, PermissionsExt::from_mode(0o600)).unwrap();
    Program::start_in(&directory, &[]);
}
