//! The nginx configuration of docs/operations.md, as it stands there, in a real nginx.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::thread;

use loopgate::config::Config;

use crate::harness::{Answer, Client, TestServer, config, get, request, signed};
use crate::listeners::in_project;
use crate::nginx::{Nginx, is_installed};

/// An application that says what headers came with each request.
fn application() -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            let lines = BufReader::new(&stream).lines().map_while(Result::ok);
            let head: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
            let body = head.join("\n");
            let answer = format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                body.len()
            );
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    address
}

/// What [`application`] says of the header fields of that name that came to it.
fn received(answer: &Answer, name: &str) -> Vec<String> {
    let lines = answer.body.lines().filter_map(|line| line.split_once(": "));
    let of_name = lines.filter(|(known, _)| known.eq_ignore_ascii_case(name));
    of_name.map(|(_, value)| value.to_owned()).collect()
}

/// The block of docs/operations.md that is nginx's.
fn documented() -> String {
    let page = std::fs::read_to_string(in_project("docs/operations.md")).expect("it is there");
    let (_, rest) = page.split_once("```nginx\n").expect("a block of nginx's");
    rest.split_once("```").expect("its end").0.to_owned()
}

/// The documented nginx in front of a server that believes it, and of [`application`]; none where nginx is not installed.
fn behind_nginx() -> Option<(TestServer, Nginx)> {
    if !is_installed() {
        return None;
    }
    let config = Config {
        trust_proxy: vec![[127, 0, 0, 1].into()],
        ..config()
    };
    let server = TestServer::with(config, |_| {});
    let block = documented();
    let (ours, theirs) = ("http://127.0.0.1:8080", "http://127.0.0.1:9000");
    let listen = "listen 80;";
    assert!(
        [ours, theirs, listen]
            .iter()
            .all(|text| block.contains(text))
    );
    let block = block
        .replace(ours, &format!("http://{}", server.address))
        .replace(theirs, &format!("http://{}", application()))
        .replace(listen, "listen 127.0.0.1:@PORT@;");
    Some((server, Nginx::start(&block).expect("it starts")))
}

#[test]
fn behind_the_documented_nginx_no_client_passes_for_another_user() {
    let Some((_server, nginx)) = behind_nginx() else {
        return;
    };
    let connect = || Client::connect(nginx.address);

    assert_eq!(connect().ask(get("/app/")).status, 401);
    let sign = connect().log_in("alice");
    let bearer = format!("Bearer {sign}");
    let forged = [
        ("Authorization", &*bearer),
        ("X-User-Id", "1"),
        ("X-User-Name", "admin"),
        ("X-User-Role", "admin"),
    ];
    let answer = connect().ask(request("GET", "/app/", &forged));
    assert_eq!(answer.status, 200);
    assert_eq!(received(&answer, "X-User-Name"), ["alice"]);
    assert_eq!(received(&answer, "X-User-Role"), ["user"]);
    assert_eq!(received(&answer, "X-User-Id"), ["2"]);
    // Without a session, the proxy passes on no user.
    assert_eq!(
        connect().ask(request("GET", "/app/", &forged[1..])).status,
        401
    );

    assert_eq!(connect().ask(signed("GET", "/session", &sign)).status, 200);
    assert_eq!(connect().ask(signed("POST", "/logout", &sign)).status, 200);
    assert_eq!(connect().ask(request("GET", "/app/", &forged)).status, 401);
}

#[test]
fn behind_the_documented_nginx_the_application_never_gets_the_session() {
    let Some((_server, nginx)) = behind_nginx() else {
        return;
    };
    let connect = || Client::connect(nginx.address);
    let sign = connect().log_in("alice");
    let own = format!("session={sign}");
    for (cookies, expected) in [
        (&[&*own][..], &[][..]),
        (
            &[&format!("theme=dark; {own}; lang=en")],
            &["theme=dark; lang=en"],
        ),
        (
            &[&format!("theme=dark;{own};lang=en")],
            &["theme=dark;lang=en"],
        ),
        (&[&format!("{own}; lang=en")], &["lang=en"]),
        (&[&format!("theme=dark; {own}")], &["theme=dark; "]),
        (
            &[&format!("a=b;\t {own} ; xsession=1")],
            &["a=b;\t xsession=1"],
        ),
        (&["theme=dark", &own], &["theme=dark; "]),
        // Twice there, and the same: nothing at all is passed on.
        (&[&format!("{own}; a=b; {own}")], &[]),
        (&[&format!("{own};{own}")], &[]),
        (&[&own, &own], &[]),
    ] {
        let fields: Vec<_> = cookies.iter().map(|cookie| ("Cookie", *cookie)).collect();
        let answer = connect().ask(request("GET", "/app/", &fields));
        assert_eq!(answer.status, 200, "{cookies:?}");
        let trimmed = |cookie: &str| cookie.trim_end().to_owned();
        let passed: Vec<_> = received(&answer, "Cookie")
            .iter()
            .map(|c| trimmed(c))
            .collect();
        let expected: Vec<_> = expected.iter().map(|cookie| trimmed(cookie)).collect();
        assert_eq!(passed, expected, "{cookies:?}");
        assert!(!answer.body.contains(&sign), "{cookies:?}");
    }
    for scheme in ["Bearer", "bearer"] {
        let value = format!("{scheme} {sign}");
        let answer = connect().ask(request("GET", "/app/", &[("Authorization", &*value)]));
        assert_eq!(answer.status, 200);
        assert!(received(&answer, "Authorization").is_empty());
    }
    // What is the application's own comes through.
    let fields = [("Authorization", "Basic dTpw"), ("Cookie", &*own)];
    let answer = connect().ask(request("GET", "/app/", &fields));
    assert_eq!(received(&answer, "Authorization"), ["Basic dTpw"]);
}

#[test]
fn behind_the_documented_nginx_every_method_needs_a_session_and_long_heads_are_asked_for_briefly() {
    let Some((_server, nginx)) = behind_nginx() else {
        return;
    };
    let connect = || Client::connect(nginx.address);
    let sign = connect().log_in("alice");
    let bearer = format!("Bearer {sign}");
    for method in ["GET", "POST", "OPTIONS", "DELETE", "PROPFIND"] {
        let fields = [("Content-Length", "5")];
        let answer = connect().ask(request(method, "/app/", &fields) + "hello");
        assert_eq!(answer.status, 401, "{method}");
        let fields = [("Content-Length", "5"), ("Authorization", &*bearer)];
        let answer = connect().ask(request(method, "/app/", &fields) + "hello");
        assert_eq!(answer.status, 200, "{method}");
    }
    // 21 KB, which nginx takes and loopgate does not.
    let long = "x".repeat(7000);
    let others = [
        ("A", &*long),
        ("B", &long),
        ("C", &long),
        ("Authorization", &bearer),
    ];
    assert_eq!(connect().ask(request("GET", "/app/", &others)).status, 200);
    // With that much in cookies alone the answer is 431, of which nginx makes a 500. It is no 200.
    let cookies = others.map(|(name, value)| match name {
        "Authorization" => (name, value),
        _ => ("Cookie", value),
    });
    assert_eq!(connect().ask(request("GET", "/app/", &cookies)).status, 500);
}
