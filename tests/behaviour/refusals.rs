//! Requests that can be read in two ways, or that are too large, end the connection: what follows
//! them on it is never answered.

use std::sync::mpsc;

use loopgate::app::Reply;
use loopgate::http::Method;

use crate::harness::{PATIENCE, TestServer, config, get, login, request};

/// A server that tells when the request hidden behind a broken one was handled.
fn server() -> (TestServer, mpsc::Receiver<()>) {
    let (tell, handled) = mpsc::channel();
    let server = TestServer::with(config(), |server| {
        server.on(Method::Get, "/hidden", move |_, _| {
            let _ = tell.send(());
            Reply::empty(204)
        });
    });
    (server, handled)
}

/// Sends each request with another one behind it, and expects one answer and the end.
fn are_refused(cases: &[(&str, u16, &str)]) {
    let (server, handled) = server();
    for (broken, status, code) in cases {
        // At once, and such that the hidden request comes when the first has been refused.
        for apart in [false, true] {
            let mut client = server.connect();
            if apart {
                client.send(broken);
                server.catch_up();
                client.send(get("/hidden"));
            } else {
                client.send((*broken).to_owned() + &get("/hidden"));
            }
            let answer = client.answer();
            let shown = broken.escape_debug();
            assert_eq!(
                (answer.status, &*answer.code()),
                (*status, *code),
                "{shown}"
            );
            assert_eq!(answer.header("connection"), Some("close"), "{shown}");
            assert_eq!(client.rest(), "", "{shown}");
        }
    }
    assert!(handled.try_recv().is_err(), "a hidden request was handled");
    assert_eq!(server.connect().ask(get("/hidden")).status, 204);
    handled.recv_timeout(PATIENCE).expect("the handler tells");
}

/// A POST with these lines in its head, and this behind it.
macro_rules! post {
    ($lines:literal, $rest:literal) => {
        concat!(
            "POST /login HTTP/1.1\r\nHost: a\r\n",
            $lines,
            "\r\n\r\n",
            $rest
        )
    };
}

#[test]
fn ambiguous_framing_is_refused() {
    let te = "bad_transfer_encoding";
    let length = "bad_content_length";
    are_refused(&[
        (
            post!(
                "Content-Length: 5\r\nTransfer-Encoding: chunked",
                "0\r\n\r\n"
            ),
            400,
            "ambiguous_framing",
        ),
        (
            post!(
                "Transfer-Encoding: chunked\r\nContent-Length: 5",
                "0\r\n\r\n"
            ),
            400,
            "ambiguous_framing",
        ),
        (
            post!("Content-Length: 5\r\nContent-Length: 6", "hello"),
            400,
            length,
        ),
        (
            post!("Content-Length: 5\r\nContent-Length: 5", "hello"),
            400,
            length,
        ),
        (post!("Content-Length: 5, 5", "hello"), 400, length),
        (post!("Content-Length: +5", "hello"), 400, length),
        (post!("Content-Length: -5", ""), 400, length),
        (post!("Content-Length: 0x5", "hello"), 400, length),
        (post!("Content-Length: 5_0", ""), 400, length),
        (post!("Content-Length: 5 0", ""), 400, length),
        (post!("Content-Length:", ""), 400, length),
        (post!("Transfer-Encoding: chunked123", "0\r\n\r\n"), 400, te),
        (
            post!("Transfer-Encoding: gzip, chunked", "0\r\n\r\n"),
            400,
            te,
        ),
        (
            post!("Transfer-Encoding: chunked, identity", "0\r\n\r\n"),
            400,
            te,
        ),
        (
            post!(
                "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
                "0\r\n\r\n"
            ),
            400,
            te,
        ),
        (post!("Transfer-Encoding: identity", ""), 400, te),
        (post!("Transfer-Encoding:", ""), 400, te),
        (
            "POST /login HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            400,
            te,
        ),
        (
            post!(
                "Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked",
                "0\r\n\r\n"
            ),
            400,
            "bad_connection",
        ),
    ]);
}

#[test]
fn malformed_heads_are_refused() {
    are_refused(&[
        (
            post!("Transfer-Encoding : chunked", "0\r\n\r\n"),
            400,
            "bad_header",
        ),
        (post!("X: a\r\n folded", ""), 400, "bad_header"),
        (post!("X: a\0b", ""), 400, "bad_header"),
        (post!(": nameless", ""), 400, "bad_header"),
        ("GET / HTTP/1.1\nHost: a\n\n", 400, "bad_line_end"),
        (
            "GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n",
            400,
            "bad_line_end",
        ),
        ("GET / HTTP/1.1\r\n\r\n", 400, "missing_host"),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
            400,
            "bad_host",
        ),
        ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400, "bad_host"),
        (
            "GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
            400,
            "bad_request_line",
        ),
        ("GET / HTTP/1.1 \r\nHost: a\r\n\r\n", 400, "bad_line_end"),
        (
            "GET / HTTP/2.0\r\nHost: a\r\n\r\n",
            505,
            "unsupported_version",
        ),
        (
            "\x16\x03\x01\x02\0\x01\0\x01\r\n\r\n",
            400,
            "bad_request_line",
        ),
        ("GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad_target"),
        ("GET nowhere HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad_target"),
        ("GET /#here HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad_target"),
        ("GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad_escape"),
        ("GET /%00 HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad_escape"),
        (
            "GET /? HTTP/1.1\r\nHost: a\r\nExpect: more\r\n\r\n",
            417,
            "unknown_expectation",
        ),
    ]);
}

#[test]
fn malformed_chunks_are_refused() {
    macro_rules! chunks {
        ($body:literal) => {
            post!(
                "Content-Type: application/json\r\nTransfer-Encoding: chunked",
                $body
            )
        };
    }
    are_refused(&[
        (chunks!("5\nhello\r\n0\r\n\r\n"), 400, "bad_chunk"),
        (chunks!("5\r\nhello0\r\n\r\n"), 400, "bad_chunk"),
        (chunks!("5\r\nhello!\r\n0\r\n\r\n"), 400, "bad_chunk"),
        (chunks!("0x5\r\nhello\r\n0\r\n\r\n"), 400, "bad_chunk"),
        (chunks!("+5\r\nhello\r\n0\r\n\r\n"), 400, "bad_chunk"),
        (chunks!("\r\nhello\r\n0\r\n\r\n"), 400, "bad_chunk"),
        (chunks!("5;a\n\r\nhello\r\n0\r\n\r\n"), 400, "bad_chunk"),
        (
            chunks!("00000000000000005\r\nhello\r\n0\r\n\r\n"),
            400,
            "bad_chunk",
        ),
        (chunks!("0\r\nContent-Length 5\r\n\r\n"), 400, "bad_trailer"),
        (chunks!("0\r\na: b\n\r\n"), 400, "bad_trailer"),
        (chunks!("fffffffffffffffff\r\n"), 413, "body_too_large"),
    ]);
}

#[test]
fn what_is_too_large_is_refused_before_it_is_there() {
    let (server, handled) = server();
    let long = "x".repeat(64 * 1024);
    let fields: Vec<String> = (0..101).map(|n| format!("X-{n}: y\r\n")).collect();
    let fields = fields.concat();
    let chunk = format!("10000\r\n{long}\r\n");
    let post = "POST /login HTTP/1.1\r\nHost: a\r\n";
    for (sent, status, code) in [
        (
            format!("{post}Content-Length: 65537\r\n\r\n"),
            413,
            "body_too_large",
        ),
        (
            format!("{post}Content-Length: 99999999999999999999999\r\n\r\n"),
            413,
            "body_too_large",
        ),
        (
            format!("{post}Transfer-Encoding: chunked\r\n\r\n10001\r\n"),
            413,
            "body_too_large",
        ),
        // By many chunks: the second is one too many.
        (
            format!("{post}Transfer-Encoding: chunked\r\n\r\n{chunk}1\r\n"),
            413,
            "body_too_large",
        ),
        (
            format!(
                "{post}Transfer-Encoding: chunked\r\n\r\n1;{}",
                &long[..5000]
            ),
            413,
            "chunk_extensions_too_large",
        ),
        (
            format!(
                "{post}Transfer-Encoding: chunked\r\n\r\n0\r\nX: {}",
                &long[..9000]
            ),
            431,
            "trailers_too_large",
        ),
        (format!("GET /{}", &long[..9000]), 414, "target_too_long"),
        (
            format!("GET /{} HTTP/1.1\r\n", &long[..9000]),
            414,
            "target_too_long",
        ),
        (
            format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}", &long[..17_000]),
            431,
            "head_too_large",
        ),
        (
            format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n"),
            431,
            "too_many_headers",
        ),
    ] {
        let shown = sent.escape_debug().take(80).collect::<String>();
        // Whole, and in pieces: limits count over all reads.
        for pieces in [1, 5] {
            let mut client = server.connect();
            for piece in sent.as_bytes().chunks(sent.len().div_ceil(pieces)) {
                client.send(piece);
                server.catch_up();
            }
            let answer = client.answer();
            assert_eq!((answer.status, &*answer.code()), (status, code), "{shown}");
            assert_eq!(answer.header("connection"), Some("close"), "{shown}");
            client.send(get("/hidden"));
            assert_eq!(client.rest(), "", "{shown}");
        }
    }
    assert!(handled.try_recv().is_err(), "a hidden request was handled");
}

#[test]
fn the_limits_themselves_are_allowed() {
    let server = TestServer::start();
    let mut client = server.connect();
    let target = format!("/{}", "x".repeat(8 * 1024 - 1));
    assert_eq!(client.ask(get(&target)).status, 404);
    let fields: Vec<(String, String)> = (0..99).map(|n| (format!("X-{n}"), "y".into())).collect();
    let fields: Vec<(&str, &str)> = fields.iter().map(|(n, v)| (&**n, &**v)).collect();
    assert_eq!(client.ask(request("GET", "/healthz", &fields)).status, 200);
    let empty = request("GET", "/healthz", &[("X", "")]);
    let padding = "x".repeat(16 * 1024 - empty.len());
    let full = request("GET", "/healthz", &[("X", &padding)]);
    assert_eq!(full.len(), 16 * 1024);
    assert_eq!(client.ask(full).status, 200);
}

#[test]
fn a_good_request_is_answered_although_garbage_follows() {
    let server = TestServer::start();
    for good in [get("/healthz"), login("alice", "password")] {
        let mut client = server.connect();
        client.send(good + "\x01\x02\r\n\r\n");
        assert_eq!(client.answer().status, 200);
        assert_eq!(client.answer().status, 400);
        assert!(client.ends());
    }
}
