//! The API for embedders: rows of the handler table, subscribers, streams, and what their mistakes
//! cost.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use loopgate::app::Reply;
use loopgate::event::Event;
use loopgate::http::{Method, Response, Status};
use loopgate::server::{Server, Stopped};

use crate::harness::{PATIENCE, TestServer, config, get, login, post, request};

/// The size of the large stream, in pieces of 10,000 bytes.
const PIECES: usize = 1000;
const PIECE_BYTES: usize = 10_000;

#[test]
fn paths_have_parameters() {
    let server = TestServer::with(config(), |server| {
        server.on(Method::Get, "/users/{user}/notes/{note}", |request, _| {
            let part = |name| request.parameter(name).unwrap_or("none").to_owned();
            let parts = [part("user"), part("note"), part("other")];
            Reply::text(200, parts.join(" "))
        });
        server.on(Method::Put, "/users/{user}/notes/{note}", |request, _| {
            Reply::text(201, String::from_utf8_lossy(request.body()).into_owned())
        });
    });
    let mut client = server.connect();
    let answer = client.ask(get("/users/%C3%A5se/notes/a%2Fb"));
    assert_eq!(answer.body, "åse a/b none");
    let put = post("/users/1/notes/2", "text/plain", "written").replacen("POST", "PUT", 1);
    let answer = client.ask(put);
    assert_eq!((answer.status, &*answer.body), (201, "written"));
    for unknown in ["/users/1/notes", "/users/1/notes/", "/users/1/notes/2/3"] {
        assert_eq!(client.ask(get(unknown)).status, 404, "{unknown}");
    }
    let delete = client.ask(request("DELETE", "/users/1/notes/2", &[]));
    assert_eq!(delete.header("allow"), Some("GET, HEAD, PUT, OPTIONS"));
}

#[test]
fn a_row_of_the_server_is_replaced() {
    let server = TestServer::with(config(), |server| {
        server.on(Method::Get, "/healthz", |_, _| Reply::text(203, "mine"));
        server.on(Method::Get, "/healthz", |_, _| {
            Reply::text(200, "mine again")
        });
        server.on(Method::Post, "/healthz", |_, _| Reply::empty(204));
    });
    let mut client = server.connect();
    assert_eq!(client.ask(get("/healthz")).body, "mine again");
    assert_eq!(client.ask(post("/healthz", "text/plain", "")).status, 204);
}

#[test]
fn a_handler_that_panics_costs_its_request_and_its_connection() {
    let (tell, incidents) = mpsc::channel();
    let (heard, events) = mpsc::channel();
    let server = TestServer::with(config(), |server| {
        server.on(Method::Get, "/broken", |_, _| -> Reply {
            panic!("this panic belongs to the test")
        });
        // An error handler that fails itself is no more than another line in the log.
        server.on_error(|_| panic!("this panic belongs to the test"));
        server.on_error(move |incident| {
            let _ = tell.send((incident.code, incident.detail.clone()));
        });
        server.subscribe("error", move |event: &Event| {
            let _ = heard.send(event.fact.data.clone());
        });
    });
    let mut bystander = server.connect();
    for _ in 0..3 {
        let mut client = server.connect();
        client.send([get("/healthz"), get("/broken"), get("/healthz")].concat());
        assert_eq!(client.answer().status, 200);
        let answer = client.answer();
        assert_eq!((answer.status, &*answer.code()), (500, "internal_error"));
        assert_eq!(answer.header("connection"), Some("close"));
        assert!(!answer.body.contains("belongs"), "{answer:?}");
        assert!(client.ends());
        let (code, detail) = incidents.recv_timeout(PATIENCE).unwrap();
        assert_eq!(code, "handler_panicked");
        assert!(detail.contains("GET /broken"), "{detail}");
        let data = events.recv_timeout(PATIENCE).unwrap();
        assert_eq!(data["code"], "handler_panicked");
    }
    assert_eq!(bystander.ask(get("/healthz")).status, 200);
    assert_eq!(server.stop().stopped, Stopped::Drained);
}

#[test]
fn a_subscriber_that_panics_stops_neither_the_next_nor_the_loop() {
    let (heard, events) = mpsc::channel();
    let server = TestServer::with(config(), |server| {
        server.on(Method::Post, "/note", |_, cx| {
            cx.emit("note.taken", serde_json::json!({"by": "a handler"}));
            Reply::empty(202)
        });
        // It fails over its own failures too, and must not be asked about them for ever.
        server.subscribe("note.*", |event: &Event| {
            assert_eq!(event.id, 0, "this panic belongs to the test");
        });
        server.subscribe("*", move |event: &Event| {
            let _ = heard.send((event.fact.name.to_string(), event.fact.data.clone()));
        });
    });
    let mut client = server.connect();
    for _ in 0..3 {
        assert_eq!(client.ask(post("/note", "text/plain", "")).status, 202);
        assert_eq!(client.ask(login("alice", "password")).status, 200);
    }
    let mut names = Vec::new();
    while names.iter().filter(|name| *name == "error").count() < 3
        || names
            .iter()
            .filter(|name| *name == "user.logged_in")
            .count()
            < 3
    {
        let (name, data) = events.recv_timeout(PATIENCE).unwrap();
        match &*name {
            "note.taken" => assert_eq!(data["by"], "a handler"),
            "error" => assert_eq!(data["code"], "subscriber_panicked"),
            _ => {}
        }
        names.push(name);
    }
    assert_eq!(names.iter().filter(|name| *name == "note.taken").count(), 3);
    assert_eq!(server.stop().stopped, Stopped::Drained);
}

/// `GET /large`, a stream of [`PIECES`] pieces that are numbered, some of them empty.
fn large(server: &mut Server) {
    server.on(Method::Get, "/large", |_, _| {
        let head = Response::text(Status::OK, "");
        let pieces = (0..PIECES).flat_map(|n| [Vec::new(), piece(n)]);
        Reply::stream(head, pieces)
    });
}

fn piece(number: usize) -> Vec<u8> {
    let mut piece = format!("{number:08} ").into_bytes();
    piece.resize(PIECE_BYTES, b'.');
    piece
}

fn is_large(body: &str) -> bool {
    body.as_bytes() == (0..PIECES).map(piece).collect::<Vec<_>>().concat()
}

#[test]
fn a_stream_is_chunked_and_the_connection_goes_on() {
    let server = TestServer::with(config(), large);
    let mut client = server.connect();
    client.send(
        [
            get("/large"),
            get("/healthz"),
            get("/large"),
            get("/healthz"),
        ]
        .concat(),
    );
    for _ in 0..2 {
        let answer = client.answer();
        assert_eq!(answer.header("transfer-encoding"), Some("chunked"));
        assert_eq!(answer.header("content-length"), None);
        assert_eq!(answer.header("connection"), None);
        assert!(is_large(&answer.body));
        assert_eq!(client.answer().status, 200);
    }
    let closing = request("GET", "/large", &[("Connection", "close")]);
    client.send(closing + &get("/healthz"));
    let answer = client.answer();
    assert_eq!(answer.header("connection"), Some("close"));
    assert!(is_large(&answer.body) && client.ends());
}

#[test]
fn a_stream_for_http_1_0_ends_with_the_connection() {
    let server = TestServer::with(config(), large);
    for fields in ["", "Connection: keep-alive\r\n"] {
        let mut client = server.connect();
        let answer = client.ask(format!("GET /large HTTP/1.0\r\n{fields}\r\n"));
        assert_eq!(answer.header("transfer-encoding"), None);
        assert_eq!(answer.header("connection"), Some("close"));
        assert!(is_large(&answer.body));
    }
}

#[test]
fn a_slow_reader_of_a_stream_delays_no_other_client() {
    let server = TestServer::with(config(), large);
    let (mut slow, mut other) = (server.connect(), server.connect());
    slow.send(get("/large") + &get("/healthz"));
    for _ in 0..50 {
        slow.take(16 * 1024);
        assert_eq!(other.ask(get("/healthz")).status, 200);
    }
    assert!(is_large(&other.ask(get("/large")).body));
    // Half closed: it still reads, and has all the time in the world.
    slow.half_close();
    server.catch_up();
    assert!(is_large(&slow.answer().body));
    assert_eq!(slow.answer().status, 200);
    assert!(slow.ends());
}

#[test]
fn a_stream_that_panics_is_seen_not_to_be_whole() {
    let (tell, incidents) = mpsc::channel();
    let server = TestServer::with(config(), |server| {
        server.on(Method::Get, "/broken", |_, _| -> Reply {
            let pieces = (0..3).map(|n| {
                assert!(n < 2, "this panic belongs to the test");
                b"piece".to_vec()
            });
            Reply::stream(Response::new(Status::OK), pieces)
        });
        server.on_error(move |incident| {
            let _ = tell.send(incident.code);
        });
    });
    let mut client = server.connect();
    client.send(get("/broken") + &get("/healthz"));
    let (head, body) = (client.answer_to_head(), client.rest());
    assert_eq!(head.header("transfer-encoding"), Some("chunked"));
    assert_eq!(body, "5\r\npiece\r\n5\r\npiece\r\n");
    assert_eq!(incidents.recv_timeout(PATIENCE), Ok("handler_panicked"));
    assert_eq!(server.connect().ask(get("/healthz")).status, 200);
}

#[test]
fn a_slow_handler_is_named_in_the_ledger() {
    let held = Duration::from_millis(20);
    let server = TestServer::with(config(), move |server| {
        server.on(Method::Get, "/slow/{what}", move |_, _| {
            thread::sleep(held); // the mistake that the ledger is there to find
            Reply::empty(204)
        });
    });
    let mut client = server.connect();
    // Among others of the same turn: the name is that of the handler that held the loop.
    client.send(
        [
            get("/healthz"),
            get("/slow/1"),
            get("/nowhere"),
            get("/session"),
        ]
        .concat(),
    );
    for status in [200, 204, 404, 401] {
        assert_eq!(client.answer().status, status);
    }
    drop(client);
    let ended = server.stop();
    let slow: Vec<_> = ended
        .slow
        .iter()
        .filter(|(_, took)| *took >= held)
        .collect();
    assert_eq!(slow.len(), 1, "{slow:?}");
    assert_eq!(slow[0].0, "GET /slow/{what}");
}

#[test]
fn a_name_that_is_none_costs_the_handler_that_emits_it_and_nothing_else() {
    let (heard, events) = mpsc::channel();
    let server = TestServer::with(config(), |server| {
        server.on(Method::Post, "/note", |_, cx| {
            cx.emit("two\nlines", serde_json::json!(1));
            Reply::empty(202)
        });
        server.subscribe("*", move |event: &Event| {
            let _ = heard.send(event.fact.name.to_string());
        });
    });
    let mut client = server.connect();
    assert_eq!(client.ask(post("/note", "text/plain", "")).status, 500);
    server.connect().log_in("alice");
    let names: Vec<String> = events.iter().take(3).collect();
    assert!(!names.contains(&"two\nlines".to_owned()), "{names:?}");
}
