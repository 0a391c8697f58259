//! A request on the hot path allocates nothing: the thread of the loop is watched by a counting
//! allocator while real clients ask over real sockets.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use loopgate::config::{Config, HashCost, StorePath};
use loopgate::server::{AccessFormat, Server};
use loopgate::work::log_writer::{self, LogTarget, WAITING_BYTES_MAX};
use loopgate::work::{Change, Store, Transaction, password};

/// Requests by which two runs differ, and so what their allocations are divided by.
const MORE: usize = 2_000;
/// Both runs have these, so that what is allocated once is allocated in both.
const SOME: usize = 200;

#[test]
fn a_request_without_a_session_allocates_nothing() {
    assert_free("GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n", 1);
    assert_free("GET /readyz HTTP/1.1\r\nHost: h\r\nAccept: */*\r\n\r\n", 1);
    assert_free("GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n", 16);
}

#[test]
fn a_session_is_shown_without_allocating() {
    let bearer = "GET /session HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer SIGN\r\n\r\n";
    assert_free(bearer, 1);
    let cookie = "GET /session HTTP/1.1\r\nHost: h\r\nCookie: theme=dark; session=SIGN\r\n\r\n";
    assert_free(cookie, 1);
}

#[test]
fn a_proxys_question_is_answered_without_allocating() {
    let verify = "GET /verify HTTP/1.1\r\nHost: h\r\nCookie: session=SIGN\r\n\r\n";
    assert_free(verify, 1);
}

#[test]
fn a_line_of_the_access_log_is_written_without_allocating() {
    let browser = "GET /session HTTP/1.1\r\nHost: h\r\nUser-Agent: \"x\"\r\nReferer: http://x/\r\nCookie: session=SIGN\r\n\r\n";
    for format in [
        AccessFormat::Plain,
        AccessFormat::Combined,
        AccessFormat::Json,
    ] {
        let each = allocations_per_request(browser, 1, format);
        assert!(each < 0.01, "{each} allocations, {format:?}");
    }
}

#[test]
fn what_does_allocate_is_counted() {
    let problem = "GET /nothing HTTP/1.1\r\nHost: h\r\n\r\n";
    assert!(allocations_per_request(problem, 1, AccessFormat::Off) >= 1.0);
}

fn assert_free(request: &str, at_once: usize) {
    let each = allocations_per_request(request, at_once, AccessFormat::Off);
    assert!(each < 0.01, "{each} allocations for each of {request:?}");
}

/// What the loop's thread allocates for one of `request`, of which `at_once` are sent together.
#[expect(clippy::cast_precision_loss, reason = "thousands")]
fn allocations_per_request(request: &str, at_once: usize, format: AccessFormat) -> f64 {
    let few = allocations(request, at_once, SOME, format);
    let many = allocations(request, at_once, SOME + MORE, format);
    many.saturating_sub(few) as f64 / (MORE * at_once) as f64
}

/// All allocations of the loop's thread in a server's life of `times` requests.
fn allocations(request: &str, at_once: usize, times: usize, format: AccessFormat) -> u64 {
    let (say, hear) = mpsc::channel();
    let serving = thread::spawn(move || {
        let (config, store) = (config(), store());
        let nowhere = LogTarget::File("/dev/null".into());
        let (pipe, log) = log_writer::start(nowhere, WAITING_BYTES_MAX).unwrap();
        let counted = allocation_counter::measure(|| {
            let mut server = Server::with_store(config, store).unwrap();
            server.log_access(format, Some(pipe));
            let address = server.addresses()[0].to_string();
            say.send((address, server.handle())).unwrap();
            server.run().unwrap();
        });
        log.finish();
        counted.count_total
    });
    let (address, handle) = hear.recv().unwrap();
    let address = address.trim_start_matches("http://").parse().unwrap();
    let mut client = connect(address);
    let body = "username=admin&password=password";
    let login = format!(
        "POST /login HTTP/1.1\r\nHost: h\r\nContent-Type: application/x-www-form-urlencoded\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let answer = ask(&mut client, &login, 1);
    let sign = answer.split("\"user_sign\":\"").nth(1).unwrap();
    let request = request.replace("SIGN", sign.split('"').next().unwrap());
    let requests = request.repeat(at_once);
    for _ in 0..times {
        let answers = ask(&mut client, &requests, at_once);
        assert!(
            answers.starts_with("HTTP/1.1 2") || request.contains("nothing"),
            "{answers}"
        );
    }
    drop(client);
    handle.drain();
    serving.join().unwrap()
}

fn config() -> Config {
    Config {
        listen: vec!["127.0.0.1:0".parse().unwrap()],
        hash_cost: HashCost::TOKEN,
        ..Config::default()
    }
}

fn store() -> Store {
    let mut store = Store::open(&StorePath::Memory, 1000).unwrap();
    let admin = Change::AddUser {
        name: "admin".into(),
        role: "admin".into(),
        password: password::hash(b"password", [7; 16], HashCost::TOKEN),
        created_s: 0,
    };
    let transaction = Transaction {
        changes: vec![admin],
        ..Transaction::default()
    };
    store.apply(transaction).unwrap();
    store
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    stream
}

/// Sends `requests` and reads so many answers, whose heads say how long they are.
fn ask(stream: &mut TcpStream, requests: &str, answers: usize) -> String {
    stream.write_all(requests.as_bytes()).unwrap();
    let mut read = String::new();
    while count_whole(&read) < answers {
        let mut bytes = [0; 16 * 1024];
        let count = stream.read(&mut bytes).unwrap();
        assert!(count > 0, "the server ended the connection: {read}");
        read.push_str(std::str::from_utf8(&bytes[..count]).unwrap());
    }
    read
}

fn count_whole(mut answers: &str) -> usize {
    let mut count = 0;
    while let Some((head, rest)) = answers.split_once("\r\n\r\n") {
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("Content-Length: "));
        let length: usize = length.map_or(0, |length| length.parse().unwrap());
        if rest.len() < length {
            break;
        }
        answers = &rest[length..];
        count += 1;
    }
    count
}
