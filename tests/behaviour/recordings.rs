//! What a server met is written down with `--record`, and `loopgate replay` plays it again.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;

use rustix::process::Signal;
use serde_json::json;

use crate::harness::{
    Client, Directory, Program, get, login, post_chunked, request, signed, wait_until,
};
use crate::listeners::{Sse, Ws, publish};
use crate::run::{Finished, run};
#[cfg(feature = "tls")]
use crate::tls::{BOTH, Certificate, connect};

const FORM: &str = "application/x-www-form-urlencoded";

fn tape(directory: &Directory) -> PathBuf {
    directory.path().join("tape")
}

fn replay(directory: &Directory, arguments: &[&str]) -> Finished {
    let mut command = directory.command(&["replay", "tape"]);
    command.args(arguments);
    run(command)
}

/// Ends the program by a signal; its directory.
fn end(mut program: Program) -> Directory {
    program.signal(Signal::TERM);
    assert!(program.wait().success());
    program.directory().clone()
}

fn has_bytes(haystack: &[u8], needle: &str) -> bool {
    let needle = needle.as_bytes();
    haystack.windows(needle.len()).any(|part| part == needle)
}

/// A little of everything that people do.
fn visit(program: &Program) {
    let mut client = program.connect();
    assert_eq!(client.ask(get("/healthz")).status, 200);
    let sign = client.log_in("alice");
    assert_eq!(client.ask(login("alice", "mistaken")).status, 401);
    assert_eq!(client.ask(login("passphrase-as-name", "x")).status, 401);
    let form = "username=alice&password=%70assword";
    assert_eq!(
        client.ask(post_chunked("/login", FORM, form, 7)).status,
        200
    );
    let admin = client.log_in("admin");
    let mut follower = Sse::open(program.connect(), &sign, "since=0");
    publish(&mut client, &admin, "tick", &json!({"n": 1}));
    let mut socket = Ws::open(program.address, &admin, "/events?since=0");
    socket.say(&json!({"subscribe": "user.*"}));
    socket.event();
    client.send(
        [
            signed("GET", "/session", &sign),
            signed("GET", "/verify", "forged"),
        ]
        .concat(),
    );
    assert_eq!(client.answer().status, 200);
    assert_eq!(client.answer().status, 401);
    program.connect().ask("GET / HTTP/1.1\r\nno colon\r\n\r\n");
    program
        .connect()
        .send("POST /login HTTP/1.1\r\nHost: x\r\nContent-Length: 90\r\n\r\nusername=al");
    let logout = client.ask(signed("POST", "/logout", &sign)).json();
    assert_eq!(logout["streams_closed"], 1);
    while follower.frame().is_some() {}
    assert_eq!(client.ask(signed("GET", "/session", &sign)).status, 401);
}

#[test]
fn a_session_is_played_again_to_the_same_state() {
    let program = Program::start(&["--record", "tape"]);
    visit(&program);
    let directory = end(program);
    let told = replay(&directory, &["--show"]).succeeded().to_owned();
    for words in [
        "POST /login",
        "loopgate-store has finished",
        "POST /logout",
        "1 state compared and the same",
        "the server has shut down",
    ] {
        assert!(told.contains(words), "{words:?} is not told:\n{told}");
    }
    let again = replay(&directory, &[]).succeeded().to_owned();
    assert_eq!(told.lines().last(), again.lines().last());
    let part = replay(&directory, &["--turns", "5"]).succeeded().to_owned();
    assert!(part.starts_with("5 turns"), "{part}");
}

#[test]
fn a_recording_of_a_server_that_was_killed_is_played_as_far_as_it_goes() {
    let program = Program::start(&["--record", "tape"]);
    visit(&program);
    // The loop sleeps, and the tape's thread has nothing left to write.
    let written = || fs::metadata(tape(program.directory())).map_or(0, |found| found.len());
    let mut before = 0;
    wait_until("all is written", || {
        let now = written();
        thread::yield_now();
        (std::mem::replace(&mut before, now) == now && now > 4000).then_some(())
    });
    let directory = program.kill();
    let told = replay(&directory, &["--show"]).succeeded().to_owned();
    assert!(told.contains("POST /login"), "{told}");
    assert!(told.contains("breaks off"), "{told}");
}

#[test]
fn many_clients_at_once_are_played_to_the_same_state() {
    let program = Program::start(&["--record", "tape", "--workers", "3"]);
    thread::scope(|scope| {
        for number in 0..6 {
            let address = program.address;
            scope.spawn(move || {
                for round in 0..15 {
                    let mut client = Client::connect(address);
                    let name = if number % 2 == 0 { "alice" } else { "button" };
                    let sign = client.log_in(name);
                    let pipelined: String = (0..round)
                        .map(|_| signed("GET", "/session", &sign))
                        .collect();
                    client.send(pipelined);
                    let mut follower = Sse::open(Client::connect(address), &sign, "since=0");
                    for _ in 0..round {
                        assert_eq!(client.answer().status, 200);
                    }
                    if round % 3 == 0 {
                        assert_eq!(client.ask(signed("POST", "/logout", &sign)).status, 200);
                        while follower.frame().is_some() {}
                    } else if round % 3 == 1 {
                        client.send(signed("GET", "/events?since=0&wait=5", &sign));
                        client.reset();
                    }
                }
            });
        }
    });
    let directory = end(program);
    let told = replay(&directory, &[]).succeeded().to_owned();
    assert!(told.contains("1 state compared and the same"), "{told}");
}

#[test]
fn no_password_or_signature_is_in_a_recording_unless_asked_for() {
    let program = Program::start(&[]);
    let before = program.connect().log_in("alice");
    let directory = end(program);

    let program = Program::start_in(&directory, &["--record", "tape"]);
    let cookie = format!("theme=dark; session={before}");
    let answer = program
        .connect()
        .ask(request("GET", "/session", &[("Cookie", &cookie)]));
    assert_eq!(answer.status, 200);
    let during = program.connect().log_in("button");
    assert_eq!(
        program
            .connect()
            .ask(signed("GET", "/verify", &during))
            .status,
        204
    );
    visit(&program);
    end(program);
    let bytes = fs::read(tape(&directory)).expect("there is a recording");
    for secret in [
        before.rsplit('.').next().unwrap(),
        during.rsplit('.').next().unwrap(),
        "\"password\":\"password",
        "%70assword",
        "mistaken",
        "passphrase-as-name",
        "$argon2id$",
    ] {
        assert!(!has_bytes(&bytes, secret), "{secret} is in the recording");
    }
    let key = fs::read_to_string(directory.path().join("store.key")).expect("a key");
    let key: serde_json::Value = serde_json::from_str(&key).expect("JSON");
    let secret = key["keys"][0]["secret"].as_str().expect("a secret");
    assert!(!has_bytes(&bytes, secret));
    // All the same, the replay knows which users were logged in.
    let told = replay(&directory, &[]).succeeded().to_owned();
    assert!(told.contains("1 state compared and the same"), "{told}");

    fs::remove_file(tape(&directory)).expect("removed");
    let program = Program::start_in(&directory, &["--record", "tape", "--record-secrets"]);
    assert_eq!(
        program
            .connect()
            .ask(signed("GET", "/session", &before))
            .status,
        200
    );
    visit(&program);
    end(program);
    let bytes = fs::read(tape(&directory)).expect("there is a recording");
    assert!(
        has_bytes(&bytes, &before) && has_bytes(&bytes, "mistaken") && has_bytes(&bytes, secret)
    );
    let told = replay(&directory, &[]).succeeded().to_owned();
    assert!(told.contains("do not give it away"), "{told}");
}

#[test]
fn a_recording_that_is_full_ends_and_the_server_goes_on() {
    let program = Program::start(&["--record", "tape", "--record-bytes-max", "20000"]);
    wait_until("the recording is full", || {
        visit(&program);
        program
            .directory()
            .log()
            .contains("it has as many bytes as it may have")
            .then_some(())
    });
    visit(&program);
    let directory = end(program);
    let length = fs::metadata(tape(&directory))
        .expect("there is a recording")
        .len();
    assert!(length <= 20_000 + 8 * 1024, "{length}");
    let told = replay(&directory, &[]).succeeded().to_owned();
    assert!(told.contains("1 state compared and the same"), "{told}");
}

#[test]
fn a_replay_that_goes_another_way_says_at_which_turn() {
    let program = Program::start(&["--record", "tape"]);
    assert_eq!(program.connect().ask(get("/healthz")).status, 200);
    let directory = end(program);
    let mut bytes = fs::read(tape(&directory)).expect("there is a recording");
    let at = bytes
        .windows(8)
        .position(|part| part == b"/healthz")
        .expect("a request");
    bytes[at + 1] = b'H';
    // With a check that is right for it: what is played is no damage, but something else.
    let block = blocks(&bytes).find(|block| block.contains(&at));
    let block = block.expect("a block");
    let check = check(&bytes[block.clone()]).to_le_bytes();
    bytes[block.start - 4..block.start].copy_from_slice(&check);
    fs::write(tape(&directory), bytes).expect("written");
    replay(&directory, &[]).failed_with(1, &["went another way", "turn"]);
}

/// The first line of a recording.
const FIRST_LINE: &[u8] = b"loopgate recording 3\n";

/// Where the contents of a recording's blocks stand.
fn blocks(bytes: &[u8]) -> impl Iterator<Item = std::ops::Range<usize>> {
    let mut end = FIRST_LINE.len();
    std::iter::from_fn(move || {
        let (begin, length) = (end + 12, bytes.get(end..end + 4)?);
        let length = u32::from_le_bytes(length.try_into().expect("four bytes"));
        end = begin + length as usize;
        Some(begin..end)
    })
}

/// FNV-1a.
fn check(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, byte| {
        (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193)
    })
}

#[cfg(feature = "tls")]
#[test]
fn what_came_encrypted_is_played_like_anything_else() {
    let directory = Directory::new();
    directory.add_users();
    let certificate = Certificate::new();
    certificate.write(directory.path());
    let files = ["--tls-cert", "cert.pem", "--tls-key", "key.pem"];
    let program = Program::start_in(&directory, &[&["--record", "tape"], &files[..]].concat());
    for versions in [BOTH, &[&rustls::version::TLS12]] {
        let mut client = connect(program.address, &Arc::new(certificate.client(versions)));
        let sign = client.log_in("alice");
        assert_eq!(client.ask(signed("GET", "/session", &sign)).status, 200);
    }
    let mut broken = program.connect();
    broken.send("GET / HTTP/1.1\r\n\r\n");
    broken.rest();
    end(program);
    let bytes = fs::read(tape(&directory)).expect("there is a recording");
    assert!(has_bytes(&bytes, "POST /login"), "it is what was encrypted");
    let told = replay(&directory, &[]).succeeded().to_owned();
    assert!(told.contains("1 state compared and the same"), "{told}");
}

#[test]
fn what_is_no_recording_is_refused_and_damage_is_told_from_an_end() {
    let program = Program::start(&["--record", "tape"]);
    visit(&program);
    let directory = end(program);
    let whole = fs::read(tape(&directory)).expect("there is a recording");
    for (bytes, words) in [
        (&b"something else"[..], "no recording"),
        (&whole[..22], "no recording"),
        (&[], "no recording"),
    ] {
        fs::write(tape(&directory), bytes).expect("written");
        replay(&directory, &[]).failed_with(1, &[words]);
    }
    fs::remove_file(tape(&directory)).expect("removed");
    replay(&directory, &[]).failed_with(1, &["cannot read", "tape"]);
    let head = blocks(&whole).next().expect("a head").end;
    for at in (head..whole.len()).step_by(whole.len() / 40) {
        fs::write(tape(&directory), &whole[..at]).expect("written");
        let told = replay(&directory, &[]).succeeded().to_owned();
        assert!(told.contains("breaks off here"), "cut at {at}: {told}");
    }
    for at in (0..whole.len()).step_by(whole.len() / 40) {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x55;
        fs::write(tape(&directory), damaged).expect("written");
        replay(&directory, &[]).failed_with(1, &["no recording of loopgate's, or a damaged one"]);
    }
    let what_was = "loopgate recording 1\n{\"version\":\"0.0.9\",\"masked\":true}\n";
    fs::write(tape(&directory), what_was).expect("written");
    replay(&directory, &[]).failed_with(1, &["another format", "play it with 0.0.9"]);
}

#[test]
fn what_cannot_be_recorded_is_said() {
    let directory = Directory::new();
    directory.add_users();
    let recorded = |more: &[&str]| {
        let arguments = [&["--listen", "127.0.0.1:0", "--record", "tape"], more].concat();
        run(directory.command(&arguments))
    };
    recorded(&["--produce", "true"]).failed_with(2, &["--record does not go with"]);
    let refused = recorded(&["--record-bytes-max", "100"]);
    assert!(refused.stderr.contains("--record-bytes-max"), "{refused:?}");
    fs::write(tape(&directory), "precious").expect("written");
    let refused = recorded(&[]);
    assert_eq!(refused.code, Some(1));
    assert!(refused.stderr.contains("cannot record to"), "{refused:?}");
    assert_eq!(
        fs::read(tape(&directory)).expect("it is there"),
        b"precious"
    );
    assert_eq!(run(directory.command(&["--record-secrets"])).code, Some(2));
}

#[test]
fn keys_are_not_read_again_while_it_is_recorded() {
    let program = Program::start(&["--record", "tape"]);
    program.signal(Signal::HUP);
    program.signal(Signal::USR2);
    for words in ["not read again", "cannot restart"] {
        wait_until("it is logged", || {
            program.directory().log().contains(words).then_some(())
        });
    }
    assert_eq!(program.connect().ask(get("/healthz")).status, 200);
    let directory = end(program);
    replay(&directory, &[]).succeeded();
}
