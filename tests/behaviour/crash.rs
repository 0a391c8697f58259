//! `kill -9` at any moment: what was confirmed holds, and every confirmation has its event.
//!
//! `LOOPGATE_TEST_CRASH_ROUNDS` asks for more rounds, `LOOPGATE_TEST_CRASH_SEED` for those of a run
//! that failed, as far as the moments of the kills go.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fastrand::Rng;
use loopgate::config::{Config, StorePath};
use loopgate::event::Event;
use loopgate::server::Server;

use crate::harness::{Directory, PATIENCE, Program, config, login, signed};
use crate::stored;

const CLIENTS: usize = 8;

/// What a client knows of one login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    /// The confirmation came.
    LoggedIn,
    /// A logout was sent, and no answer came.
    Unclear,
    /// Its confirmation came, too.
    LoggedOut,
}

#[test]
fn what_was_confirmed_survives_kill_9() {
    let option = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let rounds: u64 = option("LOOPGATE_TEST_CRASH_ROUNDS").unwrap_or(6);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let seed = option("LOOPGATE_TEST_CRASH_SEED").unwrap_or(now.as_micros() as u64);
    let mut random = Rng::with_seed(seed);
    let directory = Directory::new();
    directory.add_users();
    // The program makes the hashes of its users strong, and slow, at their first login.
    for user in ["slow", "fast"] {
        for client in 0..CLIENTS {
            stored::add(&directory.store(), &format!("{user}{client}"), "user");
        }
    }
    let mut known = BTreeMap::new();
    let (mut last_id, mut totals) = (0, [0; 3]);
    for round in 0..rounds {
        println!("seed {seed}, round {round}");
        let (user, program) = if round % 2 == 0 {
            ("slow", Program::start_in(&directory, &UNLIMITED))
        } else {
            ("fast", start_fast(&directory))
        };
        check_sessions(&program, &known);
        // Of one round's sessions the next keeps some, so that old ones are at stake as well.
        let kept = known
            .into_iter()
            .filter(|(_, state)| *state == Known::LoggedIn)
            .take(20);
        known = kept.collect();
        let new = busy_until(
            program,
            user,
            Duration::from_millis(20 + random.u64(..180)),
            random.u64(..),
        );
        let events = events(&directory, &mut last_id);
        for (sign, state) in &new {
            check_events(sign, *state, &events);
            totals[*state as usize] += 1;
        }
        known.extend(new);
    }
    check_sessions(&Program::start_in(&directory, &[]), &known);
    println!("{rounds} rounds: {totals:?} sessions left in, unclear, and out");
    assert!(
        totals[0] > 0 && totals[2] > 0,
        "nothing was at stake: {totals:?}"
    );
}

/// A user of this test leaves more sessions than users have otherwise: none is to end for that.
const UNLIMITED: [&str; 2] = ["--sessions-per-user-max", "0"];

const STORE: &str = "LOOPGATE_TEST_CRASH_STORE";

/// A server whose hashes cost nothing, so that far more is under way when it is killed; the program
/// itself cannot be told to be that careless with passwords that are kept.
fn start_fast(directory: &Directory) -> Program {
    let mut command = Command::new(std::env::current_exe().expect("this is one"));
    command
        .args([
            "crash::a_server_to_be_killed",
            "--exact",
            "--ignored",
            "--nocapture",
        ])
        .env(STORE, directory.store());
    Program::spawn(directory, command)
}

#[test]
#[ignore = "it is started by the crash test, in a process of its own"]
fn a_server_to_be_killed() {
    let Some(path) = std::env::var_os(STORE) else {
        return;
    };
    let mut config = Config {
        store: StorePath::File(path.into()),
        ..config()
    };
    config.limits.sessions_per_user_max = 0;
    let mut server = Server::bind(config).expect("the server starts");
    println!("\nlistening on {}", server.addresses()[0]);
    server.run().expect("the loop turns");
}

/// Has the clients log in and out until the program is killed; what they know then.
fn busy_until(program: Program, user: &str, time: Duration, seed: u64) -> Vec<(String, Known)> {
    let (address, killed) = (program.address, AtomicBool::new(false));
    thread::scope(|scope| {
        let killed = &killed;
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                let random = Rng::with_seed(seed.wrapping_add(client as u64 + 1));
                scope.spawn(move || {
                    log_in_and_out(address, &format!("{user}{client}"), random, killed)
                })
            })
            .collect();
        // Not waiting for anything: the moment is the point.
        thread::sleep(time);
        killed.store(true, Ordering::SeqCst);
        program.kill();
        clients
            .into_iter()
            .flat_map(|client| client.join().expect("no panic"))
            .collect()
    })
}

fn log_in_and_out(
    address: SocketAddr,
    user: &str,
    mut random: Rng,
    killed: &AtomicBool,
) -> Vec<(String, Known)> {
    let mut known = Vec::new();
    let Ok(mut stream) = TcpStream::connect(address) else {
        return known;
    };
    stream
        .set_read_timeout(Some(PATIENCE))
        .expect("a socket option");
    while let Some((status, body)) = ask(&mut stream, &login(user, "password")) {
        assert_eq!(status, 200, "{body}");
        let confirmed: serde_json::Value = serde_json::from_str(&body).expect("JSON");
        let sign = confirmed["user_sign"]
            .as_str()
            .expect("a signature")
            .to_owned();
        known.push((sign, Known::LoggedIn));
        // Most are logged out again, not always the newest.
        if random.u64(..4) == 0 {
            continue;
        }
        let place = random.usize(..known.len());
        let (sign, state) = &mut known[place];
        if *state != Known::LoggedIn {
            continue;
        }
        *state = Known::Unclear;
        let Some((status, body)) = ask(&mut stream, &signed("POST", "/logout", sign)) else {
            break;
        };
        assert_eq!(status, 200, "{body}");
        *state = Known::LoggedOut;
    }
    assert!(
        killed.load(Ordering::SeqCst),
        "the connection ended before the program"
    );
    known
}

/// The status and the whole body of the answer; `None` if the connection ends before.
fn ask(stream: &mut TcpStream, request: &str) -> Option<(u16, String)> {
    stream.write_all(request.as_bytes()).ok()?;
    let mut bytes = Vec::new();
    loop {
        let mut part = [0; 4096];
        match stream.read(&mut part) {
            Ok(0) => return None,
            Ok(count) => bytes.extend_from_slice(&part[..count]),
            // Another test's child has ended.
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(_) => return None,
        }
        let text = std::str::from_utf8(&bytes).expect("UTF-8");
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(": ")?;
            name.eq_ignore_ascii_case("content-length")
                .then(|| value.parse().expect("digits"))
        });
        if length == Some(body.len()) {
            return Some((head[9..12].parse().expect("a status"), body.to_owned()));
        }
    }
}

fn check_sessions(program: &Program, known: &BTreeMap<String, Known>) {
    let mut client = program.connect();
    for (sign, state) in known {
        let status = client.ask(signed("GET", "/session", sign)).status;
        let possible: &[u16] = match state {
            Known::LoggedIn => &[200],
            Known::Unclear => &[200, 401],
            Known::LoggedOut => &[401],
        };
        assert!(
            possible.contains(&status),
            "{state:?}, and now {status}: {sign}"
        );
    }
}

/// How often each name occurs with each session id.
type Counts = BTreeMap<(String, String), usize>;

/// Counts the events after `last_id`, whose ids follow one another.
fn events(directory: &Directory, last_id: &mut u64) -> Counts {
    let events: Vec<Event> = stored::open(&directory.store())
        .events_since(*last_id, usize::MAX)
        .expect("the events are read");
    let mut counts = Counts::new();
    for event in events {
        *last_id += 1;
        assert_eq!(event.id, *last_id, "ids grow by one");
        let session = event.fact.data["session_id"].as_str().unwrap_or_default();
        let key = (event.fact.name.into_owned(), session.to_owned());
        *counts.entry(key).or_default() += 1;
    }
    counts
}

fn check_events(sign: &str, state: Known, events: &Counts) {
    let sid = sid_of(sign);
    let count = |name: &str| {
        events
            .get(&(name.to_owned(), sid.clone()))
            .copied()
            .unwrap_or(0)
    };
    let (logged_in, logged_out) = (count("user.logged_in"), count("user.logged_out"));
    assert_eq!(logged_in, 1, "{state:?}: {sign}");
    match state {
        Known::LoggedIn => assert_eq!(logged_out, 0, "{sign}"),
        Known::Unclear => assert!(logged_out <= 1, "{sign}"),
        Known::LoggedOut => assert_eq!(logged_out, 1, "{sign}"),
    }
}

fn sid_of(sign: &str) -> String {
    let claims = crate::expiry::part(sign, 1);
    claims["sid"].as_str().expect("a session").to_owned()
}
