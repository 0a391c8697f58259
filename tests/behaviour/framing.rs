//! Requests arrive in any pieces and in any number, and each is answered once and in order.

use loopgate::app::Reply;
use loopgate::http::Method;
use loopgate::server::{Server, Stopped};

use crate::harness::{Client, Hold, TestServer, config, get, login, post, post_chunked, request};

const FORM: &str = "application/x-www-form-urlencoded";
const JSON: &str = "application/json";
const FORM_BODY: &str = "username=alice&password=password";
const JSON_BODY: &str = r#"{"username":"alice","password":"password"}"#;

/// `GET /echo/{what}` answers with what it was asked for, so that answers can be told apart.
fn echo(server: &mut Server) {
    server.on(Method::Get, "/echo/{what}", |request, _| {
        let what = request.parameter("what").unwrap_or_default();
        Reply::text(200, what.to_owned())
    });
}

fn echoes(numbers: impl Iterator<Item = usize>) -> String {
    numbers.map(|n| get(&format!("/echo/{n}"))).collect()
}

fn expect_echoes(client: &mut Client, numbers: impl Iterator<Item = usize>) {
    for number in numbers {
        let answer = client.answer();
        assert_eq!((answer.status, answer.body), (200, number.to_string()));
    }
}

/// Sends `bytes` cut in two, so that the loop has read the first piece before the second is sent.
fn send_cut(server: &TestServer, client: &mut Client, bytes: &str, at: usize) {
    client.send(&bytes[..at]);
    server.catch_up();
    client.send(&bytes[at..]);
}

#[test]
fn a_request_arrives_byte_by_byte() {
    let server = TestServer::start();
    let mut client = server.connect();
    for byte in login("alice", "password").into_bytes() {
        client.send([byte]);
        server.catch_up();
    }
    assert_eq!(client.answer().status, 200);
    assert_eq!(client.ask(get("/healthz")).status, 200);
}

#[test]
fn a_form_is_cut_anywhere() {
    is_cut_anywhere(&post("/login", FORM, FORM_BODY));
}

#[test]
fn json_is_cut_anywhere() {
    is_cut_anywhere(&post("/login", JSON, JSON_BODY));
}

#[test]
fn a_form_in_chunks_is_cut_anywhere() {
    is_cut_anywhere(&post_chunked("/login", FORM, FORM_BODY, 9));
}

#[test]
fn json_in_chunks_is_cut_anywhere() {
    is_cut_anywhere(&post_chunked("/login", JSON, JSON_BODY, 17));
}

fn is_cut_anywhere(login: &str) {
    let server = TestServer::start();
    for at in 1..login.len() {
        let mut client = server.connect();
        send_cut(&server, &mut client, login, at);
        let answer = client.answer();
        assert_eq!(answer.status, 200, "cut at {at}: {answer:?}");
        // Nothing of the request was left over for the next one.
        assert_eq!(
            client.ask(get("/session")).code(),
            "no_session",
            "cut at {at}"
        );
    }
}

#[test]
fn requests_with_bodies_are_cut_anywhere_in_a_pipeline() {
    let server = TestServer::with(config(), echo);
    let pipeline = [
        get("/echo/1"),
        post_chunked("/login", FORM, FORM_BODY, 5),
        get("/echo/2"),
        post("/login", JSON, JSON_BODY),
        get("/echo/3"),
    ]
    .concat();
    let mut client = server.connect();
    for at in (1..pipeline.len()).step_by(3) {
        send_cut(&server, &mut client, &pipeline, at);
        expect_echoes(&mut client, 1..=1);
        assert_eq!(client.answer().status, 200, "cut at {at}");
        expect_echoes(&mut client, 2..=2);
        assert_eq!(client.answer().status, 200, "cut at {at}");
        expect_echoes(&mut client, 3..=3);
    }
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let server = TestServer::with(config(), echo);
    let mut client = server.connect();
    // 16 is what one turn takes; 15 and 17 stand at its edges, 100 and 1000 need many turns.
    for count in [15, 16, 17, 32, 100, 1000] {
        client.send(echoes(0..count));
        expect_echoes(&mut client, 0..count);
    }
}

#[test]
fn a_slow_request_keeps_its_place_in_the_pipeline() {
    let (hold, prepare) = Hold::new();
    let server = TestServer::with(config(), |server| {
        echo(server);
        prepare(server);
    });
    let mut client = server.connect();
    client.send(
        [
            echoes(0..3),
            get("/hold"),
            echoes(4..40),
            login("alice", "password"),
        ]
        .concat(),
    );
    client.send(echoes(41..60));
    hold.wait();
    expect_echoes(&mut client, 0..3);
    server.catch_up();
    hold.let_go();
    assert_eq!(client.answer().body, "let go");
    expect_echoes(&mut client, 4..40);
    assert_eq!(client.answer().json()["message"], "login confirmed");
    expect_echoes(&mut client, 41..60);
}

#[test]
fn a_client_that_stops_sending_still_gets_answers() {
    let (hold, prepare) = Hold::new();
    let server = TestServer::with(config(), |server| {
        echo(server);
        prepare(server);
    });
    for count in [1, 15, 16, 17, 100] {
        let mut client = server.connect();
        client.send(echoes(0..count));
        client.half_close();
        expect_echoes(&mut client, 0..count);
        assert!(client.ends(), "after {count} requests");
    }
    // The end is seen long before the answer is there.
    let mut client = server.connect();
    client.send([get("/hold"), echoes(1..20)].concat());
    hold.wait();
    client.half_close();
    server.catch_up();
    hold.let_go();
    assert_eq!(client.answer().body, "let go");
    expect_echoes(&mut client, 1..20);
    assert!(client.ends());
}

#[test]
fn a_client_that_stops_within_a_request_gets_the_answers_before_it() {
    let server = TestServer::with(config(), echo);
    let whole = post("/login", JSON, JSON_BODY);
    for at in [1, 20, whole.len() - 1] {
        let mut client = server.connect();
        client.send(echoes(0..3) + &whole[..at]);
        client.half_close();
        expect_echoes(&mut client, 0..3);
        assert!(client.ends(), "cut at {at}");
    }
}

#[test]
fn resets_cost_nothing_but_their_own_connection() {
    let (hold, prepare) = Hold::new();
    let server = TestServer::with(config(), prepare);
    let whole = post("/login", JSON, JSON_BODY);
    let head = whole.len() - JSON_BODY.len();
    for sent in [
        "",
        "G",
        &whole[..head / 2],
        &whole[..head],
        &whole[..head + 9],
    ] {
        let mut client = server.connect();
        client.send(sent);
        server.catch_up();
        client.reset();
        server.catch_up();
    }
    let mut client = server.connect();
    client.send(get("/hold"));
    hold.wait();
    client.reset();
    server.catch_up();
    hold.let_go();
    // It drains at once only if every connection was counted out again.
    assert_eq!(server.stop().stopped, Stopped::Drained);
}

#[test]
fn an_unread_body_is_never_a_request() {
    let server = TestServer::with(config(), echo);
    let hidden = get("/echo/hidden");
    let length = hidden.len().to_string();
    let with_length = [("Content-Length", length.as_str())];
    // No handler there wants a body, and yet it is no request.
    for target in ["/echo/1", "/nowhere"] {
        let mut client = server.connect();
        client.send(request("GET", target, &with_length) + &hidden);
        client.send(request("DELETE", "/login", &with_length) + &hidden);
        client.send(get("/echo/last"));
        client.half_close();
        let bodies = client.rest();
        assert!(!bodies.contains("hidden"), "{bodies}");
        assert_eq!(bodies.matches("HTTP/1.1 ").count(), 3, "{bodies}");
        assert!(bodies.ends_with("last"), "{bodies}");
    }
}

#[test]
fn a_large_body_arrives_whole() {
    let server = TestServer::with(config(), |server| {
        server.on(Method::Post, "/sum", |request, _| {
            let sum: u64 = request.body().iter().map(|byte| u64::from(*byte)).sum();
            Reply::text(200, format!("{} {sum}", request.body().len()))
        });
    });
    let mut client = server.connect();
    let body = "x".repeat(64 * 1024);
    let sum = format!("{} {}", body.len(), body.len() * usize::from(b'x'));
    for _ in 0..3 {
        assert_eq!(client.ask(post("/sum", "text/plain", &body)).body, sum);
        assert_eq!(
            client
                .ask(post_chunked("/sum", "text/plain", &body, 1))
                .body,
            sum
        );
    }
}
