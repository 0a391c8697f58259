//! The server stops: requests under way are finished, new clients are refused, and it ends in time.

use std::io::Read;
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use loopgate::config::{Config, HashCost, StorePath};
use loopgate::server::Stopped;
use rustix::process::Signal;

use crate::harness::{
    Client, Directory, Hold, Program, TestServer, config, get, login, store, wait_until,
};

/// What ends by then did not wait for the drain limit, which is 10 seconds.
const PROMPT: Duration = Duration::from_secs(5);

/// A client that asks whether the server drains. It has always begun its next request already, so
/// the grace for idle connections never ends it.
struct Asking(Client);

impl Asking {
    const BEGINNING: &str = "GET /readyz ";

    fn begin(mut client: Client) -> Self {
        client.send(Self::BEGINNING);
        Self(client)
    }

    /// Asks until the server says that it is draining, and so ends the connection.
    fn wait_until_draining(mut self) {
        let rest = get("/readyz").replace(Self::BEGINNING, "") + Self::BEGINNING;
        let answer = wait_until("the server drains", || {
            let answer = self.0.ask(&rest);
            (answer.status == 503).then_some(answer)
        });
        assert_eq!(answer.code(), "draining");
        assert_eq!(answer.header("connection"), Some("close"));
        assert!(self.0.ends());
    }
}

/// Waits until no server listens any longer.
fn wait_until_refused(address: SocketAddr) {
    wait_until("new connections are refused", || {
        TcpStream::connect(address).is_err().then_some(())
    });
}

/// A connection that has sent all of a login but its last byte.
fn almost_logged_in(mut client: Client) -> Client {
    let whole = login("alice", "password");
    client.send(&whole[..whole.len() - 1]);
    client
}

#[test]
fn what_is_under_way_is_finished() {
    let (hold, prepare) = Hold::new();
    let server = TestServer::with(config(), prepare);
    let (mut slow, mut idle) = (server.connect(), server.connect());
    let asking = Asking::begin(server.connect());
    assert_eq!(idle.ask(get("/healthz")).status, 200);
    slow.send(get("/hold") + &get("/healthz"));
    hold.wait();
    let mut unfinished = almost_logged_in(server.connect());
    server.catch_up();

    let began = Instant::now();
    server.drain();
    asking.wait_until_draining();
    wait_until_refused(server.address);
    // No request came on it, so it ends while the others are still busy.
    assert!(idle.ends());

    unfinished.send("}");
    hold.let_go();
    for client in [&mut slow, &mut unfinished] {
        let answer = client.answer();
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("connection"), Some("close"));
        assert!(client.ends(), "something behind the last answer");
    }
    assert_eq!(server.stop().stopped, Stopped::Drained);
    assert!(began.elapsed() < PROMPT, "after {:?}", began.elapsed());
}

#[test]
fn a_request_that_crosses_the_drain_is_answered() {
    let server = TestServer::start();
    let mut clients: Vec<Client> = (0..20).map(|_| server.connect()).collect();
    for client in &mut clients {
        assert_eq!(client.ask(get("/healthz")).status, 200);
    }
    server.drain();
    for client in &mut clients {
        client.send(get("/healthz"));
    }
    for client in &mut clients {
        assert_eq!(client.answer().status, 200);
    }
    assert_eq!(server.stop().stopped, Stopped::Drained);
}

#[test]
fn a_server_without_clients_drains_at_once() {
    let began = Instant::now();
    let server = TestServer::start();
    drop(server.connect());
    assert_eq!(server.stop().stopped, Stopped::Drained);
    assert!(began.elapsed() < PROMPT);
}

#[test]
fn a_client_that_did_not_know_of_the_drain_gets_no_reset() {
    let (hold, prepare) = Hold::new();
    let server = TestServer::with(config(), prepare);
    let mut client = server.connect();
    let asking = Asking::begin(server.connect());
    client.send(get("/hold"));
    hold.wait();
    server.drain();
    asking.wait_until_draining();
    hold.let_go();
    assert_eq!(client.answer().body, "let go");
    // The next request was on its way when the answer said that there would be none.
    for _ in 0..3 {
        client.send(get("/healthz"));
        let (mut bytes, stream) = ([0; 16], &mut client.stream);
        assert_eq!(stream.read(&mut bytes).map_err(|error| error.kind()), Ok(0));
    }
    drop(client);
    assert_eq!(server.stop().stopped, Stopped::Drained);
}

#[test]
fn sigterm_lets_logins_finish() {
    let directory = Directory::new();
    let full_cost = Config {
        store: StorePath::File(directory.store()),
        hash_cost: HashCost::DEFAULT,
        ..config()
    };
    drop(store(&full_cost));
    let mut program = Program::start_in(&directory, &["--workers", "1"]);
    let mut idle = program.connect();
    let asking = Asking::begin(program.connect());
    assert_eq!(idle.ask(get("/healthz")).status, 200);
    // As many as the throttle lets one user try at the same time.
    let mut logins: Vec<Client> = (0..8).map(|_| program.connect()).collect();
    for (client, name) in logins.iter_mut().zip(["alice", "admin"].iter().cycle()) {
        client.send(login(name, "password"));
    }
    let mut unfinished = almost_logged_in(program.connect());
    program.catch_up();

    program.signal(Signal::TERM);
    // Sent without knowing of the signal, and answered before or after it.
    assert_eq!(idle.ask(get("/healthz")).status, 200);
    asking.wait_until_draining();
    wait_until_refused(program.address);
    unfinished.send("}");
    for client in logins.iter_mut().chain([&mut unfinished]) {
        assert_eq!(client.answer().json()["message"], "login confirmed");
    }
    assert!(unfinished.ends() && idle.ends());
    assert_eq!(program.wait().code(), Some(0));
    assert!(directory.log().contains("drained"));
    // What was confirmed while draining is there after a restart.
    let after = Program::start_in(&directory, &[]);
    wait_until("the log says how many", || {
        directory.log().contains(" sessions: 9,").then_some(())
    });
    drop(after);
}

#[test]
fn a_second_signal_stops_at_once() {
    for (first, second) in [(Signal::TERM, Signal::TERM), (Signal::INT, Signal::TERM)] {
        let mut program = Program::start(&[]);
        let asking = Asking::begin(program.connect());
        let mut stuck = almost_logged_in(program.connect());
        program.catch_up();
        let began = Instant::now();
        program.signal(first);
        asking.wait_until_draining();
        program.signal(second);
        assert_eq!(program.wait().code(), Some(3));
        assert!(began.elapsed() < PROMPT);
        assert!(stuck.ends());
        assert!(program.directory().log().contains("told twice"));
    }
}

#[test]
fn a_stuck_client_does_not_delay_the_end() {
    let limit = Duration::from_millis(600);
    let mut program = Program::start(&["--drain-timeout", "600ms"]);
    let mut stuck = almost_logged_in(program.connect());
    program.catch_up();
    let began = Instant::now();
    program.signal(Signal::TERM);
    assert_eq!(program.wait().code(), Some(3));
    assert!((limit..PROMPT).contains(&began.elapsed()));
    assert!(stuck.ends());
    assert!(program.directory().log().contains("draining took too long"));

    let mut config = config();
    config.limits.drain_timeout = limit;
    let server = TestServer::with(config, |_| {});
    let _stuck = almost_logged_in(server.connect());
    server.catch_up();
    assert_eq!(server.stop().stopped, Stopped::AtOnce);
}

#[test]
fn a_client_that_reads_nothing_does_not_delay_the_end() {
    let mut config = config();
    config.limits.drain_timeout = Duration::from_millis(600);
    let server = TestServer::with(config, |server| {
        server.on(loopgate::http::Method::Get, "/endless", |_, _| {
            let pieces = std::iter::repeat_with(|| vec![b'x'; 16 * 1024]);
            loopgate::app::Reply::stream(loopgate::http::Response::new(200.into()), pieces)
        });
    });
    let mut stuck = server.connect();
    stuck.send(get("/endless"));
    assert_eq!(stuck.answer_to_head().status, 200);
    assert_eq!(server.stop().stopped, Stopped::AtOnce);
}

#[test]
fn sigusr1_opens_the_log_anew() {
    let program = Program::start(&[]);
    let directory = program.directory().clone();
    let mut client = program.connect();
    let logged = |path: &str| {
        wait_until("the request is logged", || {
            directory.log().contains(path).then_some(())
        });
    };
    client.ask(get("/before"));
    logged("/before");
    std::fs::rename(directory.path().join("log"), directory.path().join("log.1")).unwrap();
    program.signal(Signal::USR1);
    wait_until("the log is there again", || {
        directory.path().join("log").exists().then_some(())
    });
    client.ask(get("/after"));
    logged("/after");
    let old = std::fs::read_to_string(directory.path().join("log.1")).unwrap();
    assert!(old.contains("/before") && !old.contains("/after"));
    assert!(!directory.log().contains("/before"));
}

#[test]
fn a_log_that_does_not_open_again_is_told_where_an_operator_looks() {
    let directory = Directory::new();
    directory.add_users();
    let (log, stderr) = (
        directory.path().join("log"),
        directory.path().join("stderr"),
    );
    let mut command = directory.command(&["serve", "--listen", "127.0.0.1:0", "--log", "log"]);
    command.stderr(std::fs::File::create(&stderr).expect("a file"));
    let program = Program::spawn(&directory, command);
    std::fs::rename(&log, directory.path().join("log.1")).unwrap();
    std::fs::create_dir(&log).unwrap();
    program.signal(Signal::USR1);
    let said = wait_until("it is told", || {
        let said = std::fs::read_to_string(&stderr).ok()?;
        said.ends_with('\n').then_some(said)
    });
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(
        said.starts_with("loopgate: the log log did not open again"),
        "{said}"
    );
    // The old file has what happens then.
    assert_eq!(program.connect().ask(get("/afterwards")).status, 404);
    wait_until("the request is logged", || {
        let old = std::fs::read_to_string(directory.path().join("log.1")).ok()?;
        old.contains("/afterwards").then_some(())
    });
}

#[cfg(target_os = "linux")]
#[test]
fn a_log_that_cannot_be_written_is_told_where_an_operator_looks() {
    let directory = Directory::new();
    directory.add_users();
    let stderr = directory.path().join("stderr");
    let mut command = directory.command(&["serve", "--listen", "127.0.0.1:0"]);
    command.args(["--log", "/dev/full"]);
    command.stderr(std::fs::File::create(&stderr).expect("a file"));
    let program = Program::spawn(&directory, command);
    for _ in 0..3 {
        assert_eq!(program.connect().ask(get("/healthz")).status, 200);
    }
    let said = wait_until("it is told", || {
        let said = std::fs::read_to_string(&stderr).ok()?;
        said.ends_with('\n').then_some(said)
    });
    assert!(said.contains("/dev/full cannot be written"), "{said}");
    assert_eq!(said.lines().count(), 1, "once: {said}");
}

#[test]
fn the_last_line_of_the_log_counts_what_was_served() {
    let directory = Directory::new();
    let mut program = Program::start_in(&directory, &[]);
    let mut clients = [program.connect(), program.connect()];
    for client in &mut clients {
        for _ in 0..3 {
            assert_eq!(client.ask(get("/healthz")).status, 200);
        }
    }
    program.signal(Signal::TERM);
    assert_eq!(program.wait().code(), Some(0));
    let counted =
        "drained: 6 requests on 2 connections, 0 of them reset by the peer; fairness 1.0000";
    assert!(directory.log().contains(counted), "{}", directory.log());
}
