//! The manners of HTTP/1.1 and 1.0 that many servers miss.

use std::net::SocketAddr;
use std::sync::mpsc;

use loopgate::app::{self, HANDLERS, Reply};
use loopgate::config::Limits;
use loopgate::http::{Method, Response, Status};

use crate::harness::{Answer, Client, TestServer, config, get, login, post, request};
use crate::monitor;

const JSON: &str = "application/json";

/// The head of a login whose body is held back until the server says what it makes of it.
fn expecting(method: &str, target: &str, length: usize, expectation: &str) -> String {
    let length = length.to_string();
    let fields = [
        ("Content-Type", JSON),
        ("Content-Length", &*length),
        ("Expect", expectation),
    ];
    request(method, target, &fields)
}

#[test]
fn a_body_that_will_be_used_is_asked_for() {
    let server = TestServer::start();
    let mut client = server.connect();
    let whole = login("alice", "password");
    let body = whole.split("\r\n\r\n").nth(1).unwrap();
    for expectation in [
        "100-continue",
        "100-Continue",
        "100-continue,",
        ", 100-continue",
    ] {
        let head = expecting("POST", "/login", body.len(), expectation);
        assert_eq!(client.ask(&head).status, 100);
        assert_eq!(client.ask(body).status, 200);
        // A client that does not wait for the interim answer does not get one.
        assert_eq!(client.ask(head + body).status, 200);
    }
    // 1.0 does not know interim answers.
    let head = expecting("POST", "/login", body.len(), "100-continue");
    let mut old = server.connect();
    old.send(head.replace("HTTP/1.1", "HTTP/1.0"));
    server.catch_up();
    assert_eq!(old.ask(body).status, 200);
}

#[test]
fn a_body_that_will_not_be_used_is_not_asked_for() {
    let (tell, called) = mpsc::channel();
    let server = TestServer::with(config(), |server| {
        server.on(Method::Get, "/hidden", move |_, _| {
            let _ = tell.send(());
            Reply::empty(204)
        });
    });
    for (method, target, length, expectation, status) in [
        ("POST", "/nowhere", 10, "100-continue", 404),
        ("POST", "/healthz", 10, "100-continue", 405),
        ("POST", "/login", 1 << 20, "100-continue", 413),
        ("POST", "/login", 10, "a-miracle", 417),
    ] {
        let mut client = server.connect();
        let answer = client.ask(expecting(method, target, length, expectation));
        assert_eq!(answer.status, status, "{target}: {answer:?}");
        assert_eq!(answer.header("connection"), Some("close"), "{target}");
        // The client may have sent the body all the same. It is no request.
        client.send(get("/hidden"));
        assert_eq!(client.rest(), "", "{target}");
    }
    assert!(called.try_recv().is_err(), "a body was taken for a request");
}

/// What a GET and a HEAD must have in common.
fn without_date(answer: &Answer) -> Vec<(String, String)> {
    let others = answer.headers.iter().filter(|(name, _)| name != "date");
    others.cloned().collect()
}

#[test]
fn head_is_get_without_a_body() {
    let server = TestServer::with(config(), |server| {
        server.on(Method::Get, "/stream", |_, _| {
            let head = Response::text(Status::OK, "");
            Reply::stream(head, vec![b"one".to_vec(), b"two".to_vec()])
        });
    });
    for target in ["/", "/healthz", "/session", "/nowhere", "/login", "/stream"] {
        let mut client = server.connect();
        let with_body = client.ask(get(target));
        assert!(!with_body.body.is_empty(), "{target}");
        let head = request("HEAD", target, &[]);
        // Pipelined, so that a body where none belongs would be read as the next answer.
        client.send([&*head, &head, &get("/healthz"), &head].concat());
        for turn in 0..4 {
            let answer = match turn {
                2 => client.answer(),
                _ => client.answer_to_head(),
            };
            if turn != 2 {
                assert_eq!(answer.status, with_body.status, "{target}");
                assert_eq!(without_date(&answer), without_date(&with_body), "{target}");
            }
        }
        client.half_close();
        assert!(client.ends(), "{target}");
    }
}

/// What comes of a request: the status, and all fields but the date. Without a body, if it is a HEAD.
fn answered(
    address: SocketAddr,
    method: &str,
    target: &str,
    fields: &[(&str, &str)],
) -> (u16, Vec<(String, String)>) {
    let mut client = Client::connect(address);
    client.send(request(method, target, fields));
    if method == "HEAD" {
        client.half_close();
    }
    let answer = client.answer_to_head();
    if method == "HEAD" {
        assert!(client.ends(), "HEAD {target} has a body");
    }
    (answer.status, without_date(&answer))
}

/// Times that a GET and a HEAD may differ, where the answer says how old something is: its length changes.
const TRIES: usize = 50;

#[test]
fn head_is_get_for_every_handler_and_every_accept() {
    let (server, monitor) = monitor::start(monitor::watched(), |_| {});
    let sign = server.connect().log_in("alice");
    let bearer = format!("Bearer {sign}");
    let sources = monitor::ask_json(&mut Client::connect(monitor), "/ps");
    let id = sources["sources"][0]["id"].as_str().expect("an id");
    let of_clients = HANDLERS.map(|(_, path, _)| (server.address, path));
    let of_monitor = app::monitor::HANDLERS.map(|(_, path, _)| (monitor, path));
    for (address, path) in of_clients.into_iter().chain(of_monitor) {
        let target = path.replace("{id}", id).replace("{name}", "live.mjs");
        for accept in [
            "",
            "*/*",
            "application/json",
            "text/html",
            "text/event-stream",
            ", text/html,application/json;q=0.5, text/event-stream",
        ] {
            for session in [None, Some(("Authorization", &*bearer))] {
                let fields: Vec<_> = [("Accept", accept)].into_iter().chain(session).collect();
                let mut differ = None;
                for _ in 0..TRIES {
                    let get = answered(address, "GET", &target, &fields);
                    let head = answered(address, "HEAD", &target, &fields);
                    differ = (head != get).then_some((head, get));
                    if differ.is_none() {
                        break;
                    }
                }
                assert_eq!(differ, None, "{target} with {fields:?}");
            }
        }
    }
}

#[test]
fn head_of_a_stream_takes_no_place_and_is_refused_where_get_is() {
    let server = TestServer::start();
    let bearer = format!("Bearer {}", server.connect().log_in("alice"));
    let fields = [("Authorization", &*bearer), ("Accept", "text/event-stream")];
    let ask = |method| answered(server.address, method, "/events", &fields);
    let (status, head) = ask("HEAD");
    assert_eq!(status, 200);
    let closes = ("connection".to_owned(), "close".to_owned());
    assert!(head.contains(&closes), "{head:?}");
    assert!(head.iter().all(|(name, _)| name != "content-length"));
    let places = Limits::default().streams_per_session_max;
    for _ in 0..2 * places {
        assert_eq!(ask("HEAD").0, 200);
    }
    let streams: Vec<Client> = (0..places)
        .map(|_| {
            let mut client = server.connect();
            client.send(request("GET", "/events", &fields));
            assert_eq!(client.answer_to_head().status, 200);
            client
        })
        .collect();
    assert_eq!(ask("GET").0, 429);
    assert_eq!(ask("HEAD"), ask("GET"));
    drop(streams);
}

#[test]
fn the_handler_table_answers_options_and_405() {
    let server = TestServer::start();
    let mut client = server.connect();
    for (method, target, status, allow) in [
        ("OPTIONS", "/healthz", 204, "GET, HEAD, OPTIONS"),
        ("OPTIONS", "/login", 204, "POST, OPTIONS"),
        ("OPTIONS", "/sessions/1", 204, "DELETE, OPTIONS"),
        ("OPTIONS", "*", 204, "GET, HEAD, POST, DELETE, OPTIONS"),
        ("PUT", "/healthz", 405, "GET, HEAD, OPTIONS"),
        ("GET", "/login", 405, "POST, OPTIONS"),
        ("TRACE", "/login", 405, "POST, OPTIONS"),
    ] {
        let answer = client.ask(request(method, target, &[]));
        assert_eq!(answer.status, status, "{method} {target}");
        let allowed = answer.header("allow").map(|list| {
            let mut methods: Vec<&str> = list.split(", ").collect();
            methods.sort_unstable();
            methods
        });
        let mut expected: Vec<&str> = allow.split(", ").collect();
        expected.sort_unstable();
        assert_eq!(allowed, Some(expected), "{method} {target}");
    }
    for (method, target, status) in [
        ("GET", "/nowhere", 404),
        ("OPTIONS", "/nowhere", 404),
        ("GET", "/healthz/", 404),
        ("GET", "//healthz", 404),
        ("GET", "/Healthz", 404),
    ] {
        let answer = client.ask(request(method, target, &[]));
        assert_eq!(answer.status, status, "{method} {target}");
        assert_eq!(
            answer.header("content-type"),
            Some("application/problem+json")
        );
    }
}

#[test]
fn every_answer_is_dated_and_says_where_it_ends() {
    let server = TestServer::start();
    let mut client = server.connect();
    let requests = [
        get("/healthz"),
        get("/nowhere"),
        get("/session"),
        request("OPTIONS", "/healthz", &[]),
        login("alice", "password"),
        post("/login", "text/plain", "?"),
    ];
    for request in requests {
        let answer = client.ask(request);
        let date = answer.header("date").expect("a date");
        assert!(date.len() == 29 && date.ends_with(" GMT"), "{date}");
        let no_content = answer.status == 204;
        assert_eq!(answer.header("content-length").is_none(), no_content);
        assert_eq!(answer.header("content-type").is_none(), no_content);
        assert_eq!(answer.header("transfer-encoding"), None);
    }
    let unauthorized = client.ask(get("/session"));
    assert_eq!(
        unauthorized.header("www-authenticate"),
        Some("Bearer realm=\"loopgate\"")
    );
}

#[test]
fn http_1_0_closes_unless_asked_not_to() {
    let server = TestServer::start();
    let mut client = server.connect();
    let asked = "GET /healthz HTTP/1.0\r\nConnection: keep-alive\r\n\r\n";
    for _ in 0..3 {
        let answer = client.ask(asked);
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("connection"), Some("keep-alive"));
    }
    let answer = client.ask("GET /healthz HTTP/1.0\r\n\r\n");
    assert_eq!(answer.header("connection"), Some("close"));
    assert!(client.ends());
}

#[test]
fn nothing_is_answered_behind_a_close() {
    let (tell, called) = mpsc::channel();
    let server = TestServer::with(config(), |server| {
        server.on(Method::Get, "/hidden", move |_, _| {
            let _ = tell.send(());
            Reply::empty(204)
        });
    });
    let closing = [
        request("GET", "/healthz", &[("Connection", "close")]),
        request("GET", "/healthz", &[("Connection", "Keep-Alive, CLOSE")]),
        login("alice", "password").replacen("\r\n", "\r\nConnection: close\r\n", 1),
        "GET /healthz HTTP/1.0\r\n\r\n".to_owned(),
    ];
    for request in closing {
        let mut client = server.connect();
        client.send([&*get("/healthz"), &request, &get("/hidden")].concat());
        assert_eq!(client.answer().header("connection"), None);
        let answer = client.answer();
        assert_eq!(
            (answer.status, answer.header("connection")),
            (200, Some("close"))
        );
        assert_eq!(client.rest(), "", "{request}");
    }
    assert!(called.try_recv().is_err());
}

#[test]
fn targets_are_understood_in_their_forms() {
    let server = TestServer::with(config(), |server| {
        server.on(Method::Get, "/of/{what}/it", |request, _| {
            let what = request.parameter("what").unwrap_or_default();
            let query = request.query("q").unwrap_or_default();
            Reply::text(200, format!("{what}?{query}"))
        });
    });
    let mut client = server.connect();
    for (target, body) in [
        ("/of/all/it", "all?"),
        ("/of/a%2Fb/it?q=1", "a/b?1"),
        ("/of/%C3%A6%20b/it?q=a+b%26", "æ b?a b&"),
        ("/%6ff/all/it?x=1&q=2&q=3", "all?2"),
        ("http://example.com/of/all/it?q=1", "all?1"),
        ("HTTP://example.com:8080/of/all/it", "all?"),
    ] {
        let answer = client.ask(get(target));
        assert_eq!((answer.status, &*answer.body), (200, body), "{target}");
    }
    assert_eq!(client.ask(get("http://example.com")).status, 200);
    assert_eq!(client.ask(get("/of//it")).status, 404);
    // The first empty lines are forgiven, as RFC 9112, section 2.2, asks for.
    assert_eq!(client.ask("\r\n".to_owned() + &get("/healthz")).status, 200);
}

/// A method that the server does not know is one thing, a path that does not take it another.
#[test]
fn unknown_methods_are_not_implemented() {
    let server = TestServer::start();
    for method in ["BREW", "get", "CONNECT"] {
        let mut client: Client = server.connect();
        let answer = client.ask(request(method, "/healthz", &[]));
        assert_eq!(answer.status, 501, "{method}");
        assert!(client.ends(), "{method}");
    }
}
