//! One process goes on in the place of another: nothing is lost on the way, and if it fails, nothing has
//! happened.
//!
//! `LOOPGATE_TEST_RESTARTS` asks for more restarts under load.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use serde_json::json;

use crate::harness::{
    Client, Directory, PATIENCE, Program, get, login, request, signed, wait_until,
};
use crate::listeners::{PYTHON, Sse, are_installed, id_of, publish};

const WRK: &[&str] = &["sh", "-c", "command -v wrk"];

/// The program, and those that have gone on in its place.
pub(crate) struct Generations {
    pub(crate) first: Program,
    /// The one that serves.
    pub(crate) id: Pid,
    restarts: usize,
}

impl Generations {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let directory = Directory::new();
        directory.add_users();
        let mut command = directory.command(&["serve", "--listen", "127.0.0.1:0", "--log", "log"]);
        command.args(arguments);
        Self::spawn(&directory, command)
    }

    /// The same, as a file that the test may put another in place of.
    pub(crate) fn start_copy() -> (Self, PathBuf) {
        let directory = Directory::new();
        directory.add_users();
        let program = directory.path().join("loopgate");
        fs::copy(env!("CARGO_BIN_EXE_loopgate"), &program).expect("a copy");
        let usual = directory.command(&["serve", "--listen", "127.0.0.1:0", "--log", "log"]);
        let mut command = Command::new(&program);
        command.args(usual.get_args()).current_dir(directory.path());
        (Self::spawn(&directory, command), program)
    }

    /// In a process group of their own, so that none is left behind in any case.
    pub(crate) fn spawn(directory: &Directory, mut command: Command) -> Self {
        command.process_group(0);
        let first = Program::spawn(directory, command);
        let id = Pid::from_raw(first.id().cast_signed()).expect("an id");
        Self {
            first,
            id,
            restarts: 0,
        }
    }

    pub(crate) fn connect(&self) -> Client {
        self.first.connect()
    }

    pub(crate) fn path(&self) -> &Path {
        self.first.directory().path()
    }

    pub(crate) fn log(&self) -> String {
        self.first.directory().log()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.id, signal).expect("it is running");
    }

    pub(crate) fn wait_for_log(&self, words: &str) {
        wait_until(words, || self.log().contains(words).then_some(()));
    }

    /// Tells the one that serves to make way, and waits until another serves and that one has ended.
    pub(crate) fn restart(&mut self) {
        self.signal(Signal::USR2);
        self.wait_for_the_next();
    }

    pub(crate) fn wait_for_the_next(&mut self) {
        let next = wait_until("another process goes on", || {
            let log = self.log();
            let mut lines = log.lines().filter(|line| line.contains("goes on, with"));
            let words = lines.nth(self.restarts)?.split(' ');
            let id = words.skip_while(|word| *word != "process").nth(1)?;
            Pid::from_raw(id.parse().ok()?)
        });
        let before = std::mem::replace(&mut self.id, next);
        if self.restarts == 0 {
            assert!(self.first.wait().success());
        } else {
            // It is not our child; the process that inherited it may not have reaped it yet.
            wait_until("the process before it has ended", || {
                let stat = fs::read_to_string(format!("/proc/{before}/stat"));
                stat.map_or(true, |stat| stat.contains(") Z "))
                    .then_some(())
            });
        }
        self.restarts += 1;
    }
}

impl Drop for Generations {
    fn drop(&mut self) {
        let group = Pid::from_raw(self.first.id().cast_signed()).expect("an id");
        let _ = kill_process_group(group, Signal::KILL);
    }
}

/// Puts a program in the place of another, as an upgrade does.
pub(crate) fn replace(program: &Path, by: impl AsRef<[u8]>) {
    let new = program.with_extension("new");
    fs::write(&new, by).expect("written");
    fs::set_permissions(&new, fs::Permissions::from_mode(0o755)).expect("executable");
    fs::rename(&new, program).expect("replaced");
}

#[test]
fn sessions_and_connections_go_on() {
    let mut server = Generations::start(&[]);
    let (mut client, mut other) = (server.connect(), server.connect());
    let sign = client.log_in("alice");
    assert_eq!(other.ask(get("/healthz")).status, 200);
    for _ in 0..3 {
        let before = server.id;
        server.restart();
        assert_ne!(server.id, before);
        for client in [&mut client, &mut other, &mut server.connect()] {
            assert_eq!(client.ask(signed("GET", "/session", &sign)).status, 200);
        }
    }
    assert_eq!(client.ask(signed("POST", "/logout", &sign)).status, 200);
    server.restart();
    assert_eq!(client.ask(signed("GET", "/session", &sign)).status, 401);
    server.signal(Signal::TERM);
    server.wait_for_log("drained: ");
}

#[test]
fn a_request_in_pieces_goes_on() {
    let mut server = Generations::start(&[]);
    let (mut head, mut pipelined) = (server.connect(), server.connect());
    let whole = get("/healthz");
    let (first, rest) = whole.split_at(whole.len() / 2);
    head.send(first);
    assert_eq!(pipelined.ask(get("/healthz") + first).status, 200);
    server.first.catch_up();
    server.restart();
    for client in [&mut head, &mut pipelined] {
        client.send(rest);
        assert_eq!(client.answer().status, 200);
        assert_eq!(client.ask(get("/readyz")).status, 200);
    }
}

#[test]
fn logins_under_way_are_answered_once() {
    // One worker and full-cost hashes: most of these are still waiting when the signal comes.
    let mut server = Generations::start(&["--workers", "1"]);
    let mut clients: Vec<Client> = (0..4).map(|_| server.connect()).collect();
    for client in &mut clients {
        client.send(login("alice", "password"));
    }
    server.first.catch_up();
    server.signal(Signal::USR2);
    let signs: Vec<String> = clients
        .iter_mut()
        .map(|client| {
            let answer = client.answer();
            assert_eq!(answer.status, 200, "{answer:?}");
            answer.json()["user_sign"]
                .as_str()
                .expect("a signature")
                .into()
        })
        .collect();
    server.wait_for_the_next();
    for (client, sign) in clients.iter_mut().zip(&signs) {
        let answer = client.ask(signed("GET", "/sessions", sign));
        assert_eq!(answer.status, 200);
        let sessions = answer.json()["sessions"].as_array().expect("a list").len();
        assert_eq!(sessions, signs.len(), "as many as were confirmed");
    }
}

#[test]
fn answers_that_clients_have_not_taken_yet_are_not_lost_and_not_sent_twice() {
    const COUNT: usize = 20_000;
    let mut server = Generations::start(&[]);
    let mut client = server.connect();
    let mut writing = client.stream.try_clone().expect("a descriptor");
    let writer = thread::spawn(move || {
        let requests = get("/healthz").repeat(COUNT - 1) + &get("/readyz");
        writing.write_all(requests.as_bytes())
    });
    // Until nothing moves: the buffers on both sides are full, and the server's outbox is.
    assert_eq!(client.answer().status, 200);
    server.first.catch_up();
    server.restart();
    for _ in 0..COUNT - 2 {
        assert_eq!(client.answer().body, "{\"status\":\"ok\"}\n");
    }
    assert_eq!(
        client.answer().body,
        "{\"status\":\"ready\"}\n",
        "the last one, and the last"
    );
    writer.join().expect("it ends").expect("all is sent");
    assert_eq!(client.ask(get("/healthz")).status, 200);
}

#[test]
fn a_subscriber_comes_back_after_a_restart_and_has_missed_no_event() {
    let mut server = Generations::start(&[]);
    let mut client = server.connect();
    let sign = client.log_in("admin");
    let mut follower = Sse::open(server.connect(), &sign, "pattern=test");
    let before = publish(&mut client, &sign, "test", &json!({"n": 1}));
    assert_eq!(id_of(&follower.event()), before);
    server.signal(Signal::USR2);
    while follower.frame().is_some() {}
    let during = publish(&mut client, &sign, "test", &json!({"n": 2}));
    server.wait_for_the_next();
    let after = publish(&mut client, &sign, "test", &json!({"n": 3}));
    let since = format!("pattern=test&since={before}");
    let mut again = Sse::open(server.connect(), &sign, &since);
    assert_eq!(
        [id_of(&again.event()), id_of(&again.event())],
        [during, after]
    );
}

/// Half of the state of a connection that is encrypted is in the process, so it cannot be passed on.
#[cfg(feature = "tls")]
#[test]
fn connections_that_are_encrypted_end_in_order_and_come_back() {
    use crate::tls::{BOTH, Certificate, connect};

    let directory = Directory::new();
    directory.add_users();
    let certificate = Certificate::new();
    certificate.write(directory.path());
    let mut command = directory.command(&["serve", "--listen", "127.0.0.1:0", "--log", "log"]);
    command.args(["--tls-cert", "cert.pem", "--tls-key", "key.pem"]);
    let mut server = Generations::spawn(&directory, command);
    let trusting = std::sync::Arc::new(certificate.client(BOTH));
    let address = server.first.address;
    let mut idle = connect(address, &trusting);
    let sign = idle.log_in("alice");
    let mut under_way = connect(address, &trusting);
    under_way.send(login("alice", "password"));
    server.restart();
    assert!(idle.ends(), "with a close_notify, or this fails");
    let answer = under_way.answer();
    assert_eq!(answer.status, 200);
    assert!(under_way.ends());
    let mut again = connect(address, &trusting);
    assert_eq!(again.ask(signed("GET", "/session", &sign)).status, 200);
}

#[test]
fn a_body_that_does_not_come_delays_no_other_client() {
    let mut server = Generations::start(&[]);
    let (mut stuck, mut other) = (server.connect(), server.connect());
    let whole = login("alice", "password");
    stuck.send(&whole[..whole.len() - 1]);
    assert_eq!(other.ask(get("/healthz")).status, 200);
    server.first.catch_up();
    server.restart();
    let answer = stuck.answer();
    assert_eq!((answer.status, answer.code()), (503, "restarting".into()));
    assert_eq!(answer.header("connection"), Some("close"));
    assert!(stuck.ends());
    assert_eq!(other.ask(get("/healthz")).status, 200);
}

#[test]
fn a_successor_that_does_not_start_changes_nothing() {
    let (server, program) = Generations::start_copy();
    let mut client = server.connect();
    let sign = client.log_in("alice");
    let mut follower = Sse::open(server.connect(), &sign, "");
    replace(&program, "#!/bin/sh\nexit 1\n");
    server.signal(Signal::USR2);
    server.wait_for_log("cannot restart, and serving on");
    assert_eq!(client.ask(signed("GET", "/session", &sign)).status, 200);
    assert_eq!(client.ask(signed("POST", "/logout", &sign)).status, 200);
    // Its stream was never ended for a restart that did not happen.
    assert_eq!(follower.event()["name"], "user.logged_out");
    assert!(!server.log().contains("goes on, with"));
}

/// Speaks as a successor does until it is given the store, and ends.
pub(crate) const ENDS_WITH_THE_STORE: &str = r#"#!/usr/bin/env python3
import array, socket, struct
line = socket.socket(fileno=0)
def receive():
    header, control, _, _ = line.recvmsg(12, socket.CMSG_SPACE(4))
    while len(header) < 12:
        header += line.recv(12 - len(header))
    kind, a, b = struct.unpack("<B3xII", header)
    if kind != 0:
        line.recv(a + b, socket.MSG_WAITALL) if a + b else None
    return kind
while receive() != 2:
    pass
line.sendall(struct.pack("<B3xII", 3, 0, 0))
while receive() != 5:
    pass
"#;

#[test]
fn a_successor_that_fails_with_the_store_in_its_hands_gives_everything_back() {
    if !are_installed(&[PYTHON]) {
        return;
    }
    let (mut server, program) = Generations::start_copy();
    let real = fs::read(&program).expect("the program");
    let (mut client, mut unfinished) = (server.connect(), server.connect());
    let sign = client.log_in("alice");
    let whole = get("/healthz");
    unfinished.send(&whole[..10]);
    server.first.catch_up();
    replace(&program, ENDS_WITH_THE_STORE);
    for attempt in 1..=3 {
        server.signal(Signal::USR2);
        wait_until("it is given up", || {
            let given_up = server
                .log()
                .matches("does not go on, so this one does")
                .count();
            (given_up == attempt).then_some(())
        });
        for client in [&mut client, &mut server.connect()] {
            assert_eq!(client.ask(signed("GET", "/session", &sign)).status, 200);
        }
    }
    // And a good one still may follow.
    replace(&program, real);
    server.restart();
    unfinished.send(&whole[10..]);
    assert_eq!(unfinished.answer().status, 200);
    assert_eq!(client.ask(signed("GET", "/session", &sign)).status, 200);
}

#[test]
fn a_store_in_memory_cannot_be_handed_over() {
    let directory = Directory::new();
    let command =
        directory.command(&["serve", "--demo", "--listen", "127.0.0.1:0", "--log", "log"]);
    let server = Generations::spawn(&directory, command);
    let mut client = server.connect();
    assert_eq!(client.ask(get("/healthz")).status, 200);
    server.signal(Signal::USR2);
    server.wait_for_log("cannot restart: a store in memory");
    assert_eq!(client.ask(get("/healthz")).status, 200);
}

#[test]
fn a_socket_on_a_path_stays_until_the_last_of_them_ends() {
    let directory = Directory::new();
    directory.add_users();
    let path = directory.path().join("socket");
    let mut command = directory.command(&["serve", "--listen", "127.0.0.1:0", "--log", "log"]);
    command.args(["--listen", &format!("unix:{}", path.display())]);
    let mut server = Generations::spawn(&directory, command);
    let ask = || {
        let mut stream = std::os::unix::net::UnixStream::connect(&path).expect("a server listens");
        let request = request("GET", "/healthz", &[("Connection", "close")]);
        stream.write_all(request.as_bytes()).expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    };
    ask();
    for _ in 0..2 {
        server.restart();
        ask();
    }
    server.signal(Signal::TERM);
    server.wait_for_log("drained: ");
    wait_until("the path is removed", || (!path.exists()).then_some(()));
}

/// What systemd does for a socket unit and `Type=notify`: sockets from descriptor 3 on, and a place to
/// tell how the service is.
const SUPERVISOR: &str = r#"
import os, socket, sys
listener = socket.socket(); listener.bind(("127.0.0.1", 0)); listener.listen(16)
told = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); told.bind("told")
if os.fork() == 0:
    os.dup2(listener.fileno(), 3)
    os.set_inheritable(3, True)
    os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()), NOTIFY_SOCKET=os.getcwd() + "/told")
    os.execv(sys.argv[1], sys.argv[1:])
while True:
    print(told.recv(4096).decode(), flush=True)
"#;

#[test]
fn a_service_manager_gives_the_sockets_and_is_told_which_process_serves() {
    if !are_installed(&[PYTHON]) {
        return;
    }
    let directory = Directory::new();
    directory.add_users();
    // This address is not used: the sockets of the service manager take its place.
    let usual = directory.command(&["serve", "--listen", "192.0.2.1:1", "--log", "log"]);
    let mut command = Command::new("python3");
    command.arg("-c").arg(SUPERVISOR);
    command.arg(usual.get_program()).args(usual.get_args());
    command.current_dir(directory.path()).process_group(0);
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    let mut supervisor = command.spawn().expect("it starts");
    let group = Pid::from_child(&supervisor);
    let lines = BufReader::new(supervisor.stdout.take().expect("piped")).lines();
    let (line, told) = mpsc::channel();
    thread::spawn(move || lines.map_while(Result::ok).try_for_each(|l| line.send(l)));
    let next = || told.recv_timeout(PATIENCE).expect("it is told");
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let address = next();
        let address = address.strip_prefix("listening on http://").expect("where");
        let address = address.parse().expect("an address");
        assert_eq!(next(), "READY=1");
        let mut client = Client::connect(address);
        let sign = client.log_in("alice");
        let ids = fs::read_to_string(format!("/proc/{group}/task/{group}/children"));
        let id: i32 = ids.expect("Linux").trim().parse().expect("one child");
        let id = Pid::from_raw(id).expect("an id");
        kill_process(id, Signal::USR2).expect("it runs");
        let mut told: Vec<String> = (0..3).map(|_| next()).collect();
        told.sort();
        assert!(told[0].starts_with("MAINPID="), "{told:?}");
        assert_ne!(told[0], format!("MAINPID={id}"));
        assert_eq!(told[1], "READY=1");
        assert_eq!(told[2], format!("listening on http://{address}"));
        for client in [&mut client, &mut Client::connect(address)] {
            assert_eq!(client.ask(signed("GET", "/session", &sign)).status, 200);
        }
    }));
    let _ = kill_process_group(group, Signal::KILL);
    let _ = supervisor.wait();
    if let Err(panic) = outcome {
        std::panic::resume_unwind(panic);
    }
}

/// Logs in, is known, stays known, logs out: on one connection, and now and then on a new one. The number
/// of requests, all of which were answered as they should be.
fn visit(address: SocketAddr, stop: &AtomicBool) -> usize {
    let mut requests = 0;
    let mut ask = |client: &mut Client, request: String, status: u16| {
        let answer = client.try_ask(&request);
        let answer = answer.unwrap_or_else(|| panic!("no answer to {request}"));
        assert_eq!(answer.status, status, "{request}\n{answer:?}");
        requests += 1;
        answer
    };
    let mut client = Client::connect(address);
    while !stop.load(Ordering::Relaxed) {
        let answer = ask(&mut client, login("alice", "password"), 200).json();
        let sign = answer["user_sign"].as_str().expect("a signature");
        for _ in 0..20 {
            ask(&mut client, signed("GET", "/session", sign), 200);
            ask(&mut client, get("/healthz"), 200);
        }
        client = Client::connect(address);
        ask(&mut client, signed("GET", "/session", sign), 200);
        ask(&mut client, signed("POST", "/logout", sign), 200);
        ask(&mut client, signed("GET", "/session", sign), 401);
    }
    requests
}

/// Ends wrk, which then says what it measured, and the visitors, even if the test panics.
struct Stop<'s>(Pid, &'s AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.1.store(true, Ordering::Relaxed);
        let _ = kill_process(self.0, Signal::INT);
    }
}

#[test]
fn restarts_under_load_lose_no_request() {
    if !are_installed(&[WRK]) {
        return;
    }
    let option = std::env::var("LOOPGATE_TEST_RESTARTS").ok();
    let restarts: usize = option.and_then(|text| text.parse().ok()).unwrap_or(3);
    let mut server = Generations::start(&[]);
    let address = server.first.address;
    let mut wrk = Command::new("wrk");
    wrk.args(["-t1", "-c16", "-d1h", "--latency"]);
    wrk.arg(format!("http://{address}/healthz"));
    let wrk = wrk.stdout(Stdio::piped()).spawn().expect("wrk starts");
    let stop = AtomicBool::new(false);
    let visited = thread::scope(|scope| {
        let stopping = Stop(Pid::from_child(&wrk), &stop);
        let visitors: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| visit(address, &stop)))
            .collect();
        for _ in 0..restarts {
            server.restart();
        }
        drop(stopping);
        let visits = visitors.into_iter().map(thread::ScopedJoinHandle::join);
        visits.sum::<Result<usize, _>>()
    });
    let output = wrk.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    println!(
        "{restarts} restarts, {visited:?} requests of visitors, and:\n{said}\n{}",
        server.log()
    );
    let visited = visited.expect("every visitor was answered");
    assert!(visited > restarts, "they were there");
    assert!(said.contains("requests in"), "wrk measured");
    for lost in ["Socket errors", "Non-2xx"] {
        assert!(!said.contains(lost), "{lost}");
    }
}
