//! `/verify`, as proxies ask it: with any method, with the body that they hold back, and never a yes in doubt.

use loopgate::app::{Methods, Reply};
use loopgate::config::{Config, Limits};
use loopgate::http::Method;

use crate::harness::{Answer, Client, TestServer, config, get, request, signed};

/// With names of ours and without.
const METHODS: [&str; 11] = [
    "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "get", "A!#9",
];

fn answer_to(method: &str, client: &mut Client) -> Answer {
    match method {
        "HEAD" => client.answer_to_head(),
        _ => client.answer(),
    }
}

#[test]
fn every_method_is_asked_for_its_session() {
    let server = TestServer::start();
    let mut client = server.connect();
    let sign = client.log_in("alice");
    let bearer = format!("Bearer {sign}");
    let cookie = format!("session={sign}");
    let targets = [
        "/verify",
        "/verify?x=1",
        "/%76erify",
        "http://localhost/verify",
        "https://another.example/verify",
    ];
    for (method, target) in METHODS
        .iter()
        .flat_map(|method| targets.map(|target| (*method, target)))
    {
        for fields in [
            &[][..],
            &[
                ("X-HTTP-Method-Override", "GET"),
                ("X-Original-Method", "GET"),
            ],
            &[("Cookie", "session=guessed")],
            &[("Authorization", "Bearer guessed"), ("Cookie", &*cookie)],
        ] {
            client.send(request(method, target, fields));
            let answer = answer_to(method, &mut client);
            assert_eq!(answer.status, 401, "{method} {target} {fields:?}");
            assert!(answer.header("www-authenticate").is_some());
            assert_eq!(answer.header("x-user-name"), None);
        }
        for fields in [
            [
                ("Authorization", &*bearer),
                ("X-HTTP-Method-Override", "DELETE"),
            ],
            [("Cookie", &*cookie), ("Origin", "https://evil.example")],
        ] {
            client.send(request(method, target, &fields));
            let answer = answer_to(method, &mut client);
            assert_eq!(answer.status, 204, "{method} {target} {fields:?}");
            assert_eq!(answer.header("x-user-name"), Some("alice"));
        }
    }
    client.ask(signed("POST", "/logout", &sign));
    assert_eq!(client.ask(signed("OPTIONS", "/verify", &sign)).status, 401);
}

#[test]
fn it_answers_from_the_head_alone_with_any_body_announced() {
    let server = TestServer::with(
        Config {
            limits: Limits {
                body_bytes_max: 100,
                ..Limits::default()
            },
            ..config()
        },
        |_| {},
    );
    let sign = server.connect().log_in("alice");
    let bearer = format!("Bearer {sign}");
    let announced: [&[(&str, &str)]; 5] = [
        &[("Content-Length", "5")],
        &[("Content-Length", "101")],
        &[("Content-Length", "99999999999999999999")],
        &[("Transfer-Encoding", "chunked")],
        &[("Content-Length", "5"), ("Expect", "100-continue")],
    ];
    let follows = [
        "",
        "hello",
        &get("/healthz"),
        "5\r\nhello\r\n0\r\n\r\nGET /healthz HTTP/1.1\r\nHost: h\r\n\r\n",
    ];
    for (signature, status) in [(&*bearer, 204), ("Bearer guessed", 401)] {
        for (method, fields) in METHODS
            .iter()
            .flat_map(|method| announced.map(|fields| (*method, fields)))
        {
            let fields = [&[("Authorization", signature)], fields].concat();
            for follows in follows {
                for version in ["HTTP/1.1", "HTTP/1.0"] {
                    if version == "HTTP/1.0" && fields[1].0 == "Transfer-Encoding" {
                        continue; // refused: 1.0 has no chunks
                    }
                    let mut client = server.connect();
                    let head = request(method, "/verify", &fields).replace("HTTP/1.1", version);
                    client.send(head + follows);
                    let answer = answer_to(method, &mut client);
                    let what = format!("{method} {version} {fields:?} {follows:?}");
                    assert_eq!(answer.status, status, "{what}");
                    assert_eq!(answer.header("connection"), Some("close"), "{what}");
                    assert_eq!(client.rest(), "", "nothing else is answered: {what}");
                }
            }
        }
    }
}

#[test]
fn without_a_body_the_connection_goes_on_with_any_method() {
    let server = TestServer::start();
    let mut client = server.connect();
    let sign = client.log_in("alice");
    let asked = METHODS.map(|method| signed(method, "/verify", &sign));
    client.send(asked.concat() + &get("/healthz"));
    for method in METHODS {
        let answer = answer_to(method, &mut client);
        assert_eq!((answer.status, answer.header("connection")), (204, None));
    }
    assert_eq!(client.answer().status, 200);
}

#[test]
fn a_question_that_is_not_clear_is_never_a_yes() {
    let server = TestServer::start();
    let sign = server.connect().log_in("alice");
    let bearer = format!("Authorization: Bearer {sign}\r\n");
    for (line, fields, status) in [
        ("OPTIONS /verify/ HTTP/1.1", &*bearer, 404),
        ("OPTIONS //verify HTTP/1.1", &bearer, 404),
        ("OPTIONS /Verify HTTP/1.1", &bearer, 404),
        ("OPTIONS /verify%2F HTTP/1.1", &bearer, 404),
        ("PROPFIND /Verify HTTP/1.1", &bearer, 501),
        ("PROPFIND /session HTTP/1.1", &bearer, 501),
        ("CONNECT /verify HTTP/1.1", &bearer, 501),
        ("CONNECT localhost:80 HTTP/1.1", &bearer, 501),
        ("OPTIONS /verify HTTP/1.2", &bearer, 505),
        ("OPTIONS /verify%00 HTTP/1.1", &bearer, 400),
        ("OPTIONS /verify HTTP/1.1", &bearer.repeat(2), 401),
        ("GET /verify HTTP/1.1", &format!("{bearer}Host: h\r\n"), 400),
        (
            "GET /verify HTTP/1.1",
            &format!("{bearer}Content-Length: x\r\n"),
            400,
        ),
        (
            "GET /verify HTTP/1.1",
            &format!("{bearer}Content-Length: 1\r\nTransfer-Encoding: chunked\r\n"),
            400,
        ),
        (
            "GET /verify HTTP/1.1",
            &format!("{bearer}Expect: a-miracle\r\n"),
            417,
        ),
        (
            "GET /verify HTTP/1.1",
            &format!("X: {}\r\n{bearer}", "x".repeat(20_000)),
            431,
        ),
    ] {
        let answer = server
            .connect()
            .ask(format!("{line}\r\nHost: h\r\n{fields}\r\n"));
        assert_eq!(answer.status, status, "{line} {fields:.80}");
    }
}

#[test]
fn a_verify_handler_that_panics_is_never_a_yes() {
    let server = TestServer::with(config(), |server| {
        server.on(Methods::Any, "/verify", |_, _| -> Reply {
            panic!("on purpose")
        });
        // One method may have a handler of its own, which gets the body.
        server.on(Method::Post, "/verify", |request, _| {
            Reply::text(403, String::from_utf8_lossy(request.body()).into_owned())
        });
    });
    for method in METHODS {
        let body = [("Content-Length", "2")];
        let mut client = server.connect();
        client.send(request(method, "/verify", &body) + "no");
        let answer = answer_to(method, &mut client);
        if method == "POST" {
            assert_eq!((answer.status, &*answer.body), (403, "no"));
            assert_eq!(client.ask(get("/healthz")).status, 200);
        } else {
            assert_eq!(answer.status, 500, "{method}");
            assert_eq!(client.rest(), "", "{method}");
        }
    }
}
