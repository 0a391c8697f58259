//! Deadlines count from a fixed start, and end late connections and no others.

use std::io::{Read, Write};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use loopgate::app::Reply;
use loopgate::config::Config;
use loopgate::http::{Method, Response, Status};
use loopgate::server::{Server, Stopped};

use crate::harness::{Client, Hold, PATIENCE, TestServer, config, get, login, post, request};

/// The deadline under test. All others are left as they are, which is far away.
const SOON: Duration = Duration::from_millis(300);
/// Far beyond [`SOON`], and far below [`PATIENCE`]: what ends by then was ended by a deadline.
const LATE: Duration = Duration::from_secs(8);

/// A server with one short deadline.
fn server(shorten: impl FnOnce(&mut Config)) -> TestServer {
    let mut config = config();
    shorten(&mut config);
    TestServer::with(config, |_| {})
}

/// Sends `first`, then one byte every now and then, until the server ends the connection. What it
/// said, and when.
fn drip(mut client: Client, first: &str) -> (String, Duration) {
    let mut dripping = client.stream.try_clone().expect("a descriptor");
    let (enough, stop) = mpsc::channel::<()>();
    let began = Instant::now();
    client.send(first);
    let dripper = thread::spawn(move || {
        let pause = Duration::from_millis(20);
        while began.elapsed() < LATE && stop.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
            let _ = dripping.write_all(b"x");
        }
    });
    let said = client.rest();
    let took = began.elapsed();
    drop(enough);
    dripper.join().expect("no panic");
    (said, took)
}

fn expect_timeout((said, took): (String, Duration), code: &str) {
    assert!(said.starts_with("HTTP/1.1 408 "), "{said}");
    assert!(said.contains("\r\nConnection: close\r\n"), "{said}");
    assert!(said.contains(code), "{said}");
    assert_eq!(said.matches("HTTP/1.1").count(), 1, "{said}");
    assert!((SOON..LATE).contains(&took), "after {took:?}");
}

#[test]
fn a_drip_does_not_extend_the_deadline_of_a_head() {
    let server = server(|config| config.limits.head_timeout = SOON);
    let begun = "GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: ";
    expect_timeout(drip(server.connect(), begun), "head_timeout");
    // Nor does it for a second request, whose first byte came with the one before.
    let (said, took) = drip(server.connect(), &(get("/healthz") + begun));
    assert!(said.starts_with("HTTP/1.1 200 "), "{said}");
    expect_timeout(
        (said[said.rfind("HTTP/1.1").unwrap()..].to_owned(), took),
        "head_timeout",
    );
}

#[test]
fn a_drip_does_not_extend_the_deadline_of_a_body() {
    let server = server(|config| config.limits.body_timeout = SOON);
    let fields = [("Content-Length", "60000")];
    let head = request("POST", "/login", &fields);
    expect_timeout(drip(server.connect(), &head), "body_timeout");
    let head = request("POST", "/login", &[("Transfer-Encoding", "chunked")]);
    let begun = head + "ffff\r\n";
    expect_timeout(drip(server.connect(), &begun), "body_timeout");
    // A client that was told to continue has to do so.
    let head = request("POST", "/login", &[fields[0], ("Expect", "100-continue")]);
    let (said, took) = drip(server.connect(), &head);
    let said = said.strip_prefix("HTTP/1.1 100 Continue\r\n\r\n");
    // Its first byte may have arrived with the head, and then no `100 Continue` is sent.
    if let Some(said) = said {
        expect_timeout((said.to_owned(), took), "body_timeout");
    }
}

#[test]
fn a_client_that_sends_nothing_at_all_is_closed() {
    let server = server(|config| config.limits.idle_timeout = SOON);
    let began = Instant::now();
    let mut silent = server.connect();
    let mut client = server.connect();
    assert_eq!(client.ask(get("/healthz")).status, 200);
    let answered = Instant::now();
    assert!(silent.ends());
    assert!((SOON..LATE).contains(&began.elapsed()));
    assert!(client.ends());
    assert!(answered.elapsed() < LATE && began.elapsed() >= SOON);
}

#[test]
fn deadlines_leave_clients_alone_that_keep_to_them() {
    let (hold, prepare) = Hold::new();
    let mut config = config();
    let limits = &mut config.limits;
    for timeout in [
        &mut limits.head_timeout,
        &mut limits.body_timeout,
        &mut limits.idle_timeout,
        &mut limits.write_timeout,
    ] {
        *timeout = SOON;
    }
    let server = TestServer::with(config, prepare);
    let mut waiting = server.connect();
    waiting.send(get("/hold"));
    hold.wait();
    let mut diligent = server.connect();
    let body = "{\"username\":\"alice\",\"password\":";
    let unfinished = post("/login", "application/json", body);
    let began = Instant::now();
    // In pieces, one after the other, for longer than any of the deadlines.
    while began.elapsed() < SOON * 4 {
        for piece in unfinished.as_bytes().chunks(60) {
            diligent.send(piece);
            server.catch_up();
        }
        assert_eq!(diligent.answer().status, 400);
    }
    // A client that waits for the server is not late either.
    hold.let_go();
    assert_eq!(waiting.answer().body, "let go");
    diligent.log_in("alice");
}

/// Tells when it is dropped: the stream it belongs to is over.
struct Over(mpsc::Sender<()>);

impl Drop for Over {
    fn drop(&mut self) {
        let _ = self.0.send(());
    }
}

/// `GET /endless`, which never ends, and tells when it was ended.
fn endless(server: &mut Server, tell: mpsc::Sender<()>) {
    server.on(Method::Get, "/endless", move |_, _| {
        let over = Over(tell.clone());
        let piece = move || {
            let _alive = &over;
            Some(vec![b'x'; 16 * 1024])
        };
        Reply::stream(Response::new(Status::OK), std::iter::from_fn(piece))
    });
}

#[test]
fn a_client_that_takes_nothing_of_an_answer_is_cut() {
    let (tell, over) = mpsc::channel();
    let mut config = config();
    config.limits.write_timeout = SOON;
    let server = TestServer::with(config, |server| {
        endless(server, tell);
        server.on(Method::Get, "/large", |_, _| {
            Reply::text(200, "x".repeat(32 << 20))
        });
    });
    let began = Instant::now();
    let mut stalled = [server.connect(), server.connect()];
    stalled[0].send(get("/endless"));
    // Behind an answer that the client does not take, nothing is done either.
    stalled[1].send(get("/large") + &get("/endless"));
    let mut others = server.connect();
    while over.try_recv().is_err() {
        assert_eq!(others.ask(get("/healthz")).status, 200);
        assert!(began.elapsed() < LATE);
    }
    assert!(began.elapsed() >= SOON);
    drop(others);
    // Only when the other is cut as well, which has not read a byte yet.
    assert_eq!(server.stop().stopped, Stopped::Drained);
    let [_, mut cut] = stalled;
    assert!(cut.rest().len() < 32 << 20, "it was given all the time");
    assert!(over.try_recv().is_err(), "the second stream was begun");
}

#[test]
fn a_client_that_takes_a_little_now_and_then_is_not_cut() {
    let (tell, over) = mpsc::channel();
    let mut config = config();
    config.limits.write_timeout = SOON;
    let server = TestServer::with(config, |server| endless(server, tell));
    let mut slow = server.connect();
    slow.send(get("/endless"));
    let (began, mut bytes) = (Instant::now(), vec![0; 256 * 1024]);
    while began.elapsed() < SOON * 4 {
        assert!(slow.stream.read(&mut bytes).expect("it is not cut") > 0);
        // This pause is what makes the client slow, not a wait.
        thread::sleep(Duration::from_millis(5));
    }
    assert!(over.try_recv().is_err(), "it was cut");
}

#[test]
fn a_client_that_leaves_within_a_stream_ends_it() {
    let (tell, over) = mpsc::channel();
    let server = TestServer::with(config(), |server| endless(server, tell));
    for reset in [false, true] {
        let mut client = server.connect();
        client.send(get("/endless"));
        assert_eq!(client.answer_to_head().status, 200);
        if reset {
            client.reset();
        } else {
            drop(client);
        }
        over.recv_timeout(PATIENCE).expect("the stream was ended");
    }
    assert_eq!(server.connect().ask(login("alice", "password")).status, 200);
    assert_eq!(server.stop().stopped, Stopped::Drained);
}
