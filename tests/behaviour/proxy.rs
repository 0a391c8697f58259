//! The README's nginx configuration, as it stands there, in a real nginx.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::thread;

use loopgate::config::Config;

use crate::harness::{Client, TestServer, config, get, request, signed};
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

/// The block of the README that is nginx's.
fn of_the_readme() -> String {
    let readme = std::fs::read_to_string(in_project("README.md")).expect("it is there");
    let (_, rest) = readme.split_once("```nginx\n").expect("a block of nginx's");
    rest.split_once("```").expect("its end").0.to_owned()
}

#[test]
fn behind_the_readmes_nginx_nobody_is_who_they_are_not() {
    if !is_installed() {
        return;
    }
    let server = TestServer::with(
        Config {
            trust_proxy: vec![[127, 0, 0, 1].into()],
            ..config()
        },
        |_| {},
    );
    let block = of_the_readme();
    let (ours, theirs) = ("http://127.0.0.1:8080", "http://127.0.0.1:9000");
    assert!(block.contains(ours) && block.contains(theirs));
    let block = block
        .replace(ours, &format!("http://{}", server.address))
        .replace(theirs, &format!("http://{}", application()));
    let nginx = Nginx::start(&format!(
        "map $http_upgrade $connection_upgrade {{ default upgrade; \"\" close; }}\n\
         server {{ listen 127.0.0.1:@PORT@;\n{block}\n}}"
    ))
    .expect("it starts");
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
    let said = |name: &str| {
        let lines = answer.body.lines().filter_map(|line| line.split_once(": "));
        let of_name = lines.filter(|(known, _)| known.eq_ignore_ascii_case(name));
        of_name
            .map(|(_, value)| value.to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(said("X-User-Name"), ["alice"]);
    assert_eq!(said("X-User-Role"), ["user"]);
    assert_eq!(said("X-User-Id"), ["2"]);
    // Whose session it is, nobody claims without one.
    assert_eq!(
        connect().ask(request("GET", "/app/", &forged[1..])).status,
        401
    );

    assert_eq!(connect().ask(signed("GET", "/session", &sign)).status, 200);
    assert_eq!(connect().ask(signed("POST", "/logout", &sign)).status, 200);
    assert_eq!(connect().ask(request("GET", "/app/", &forged)).status, 401);
}
