//! WebSocket endpoints, the server's own and those of a program that embeds it.

use std::net::SocketAddr;

use loopgate::app::Socket;
use loopgate::http::Method;
use loopgate::websocket::Message as Heard;
use tungstenite::Message;

use crate::harness::{Program, TestServer, config, request, signed};
use crate::listeners::Ws;

/// The handshake of the standard's example, with some of its fields replaced, or left out.
fn handshake(replaced: &[(&str, Option<&str>)]) -> String {
    let fields = [
        ("Connection", "keep-alive, Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    let fields: Vec<(&str, &str)> = fields
        .into_iter()
        .filter_map(
            |(name, value)| match replaced.iter().find(|(replaced, _)| *replaced == name) {
                None => Some((name, value)),
                Some((_, instead)) => instead.map(|value| (name, value)),
            },
        )
        .collect();
    request("GET", "/echo", &fields)
}

fn echo(message: Heard, socket: &mut Socket<'_>) {
    socket.send(message);
}

#[test]
fn a_handshake_is_answered_or_told_what_is_wrong_with_it() {
    let server = TestServer::with(config(), |server| server.websocket("/echo", echo));
    for (replaced, status, code) in [
        (&[][..], 101, ""),
        (&[("Connection", Some("upgrade"))], 101, ""),
        (&[("Upgrade", Some("h2c, WebSocket"))], 101, ""),
        (&[("Upgrade", None)], 426, "upgrade_required"),
        (&[("Upgrade", Some("h2c"))], 426, "upgrade_required"),
        (&[("Connection", None)], 426, "upgrade_required"),
        (&[("Connection", Some("close"))], 426, "upgrade_required"),
        (&[("Sec-WebSocket-Version", None)], 426, "websocket_version"),
        (
            &[("Sec-WebSocket-Version", Some("8"))],
            426,
            "websocket_version",
        ),
        (&[("Sec-WebSocket-Key", None)], 400, "malformed_handshake"),
        (
            &[("Sec-WebSocket-Key", Some(""))],
            400,
            "malformed_handshake",
        ),
        (
            &[("Sec-WebSocket-Key", Some("AAAA"))],
            400,
            "malformed_handshake",
        ),
        (
            &[("Sec-WebSocket-Key", Some("not base64 at all!!!!!!!"))],
            400,
            "malformed_handshake",
        ),
    ] {
        let mut client = server.connect();
        let answer = client.ask(handshake(replaced));
        assert_eq!(answer.status, status, "{replaced:?}");
        match status {
            101 => {
                assert_eq!(
                    answer.header("sec-websocket-accept"),
                    Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
                );
                assert_eq!(answer.header("upgrade"), Some("websocket"));
                assert_eq!(answer.header("connection"), Some("Upgrade"));
                assert_eq!(answer.header("content-length"), None);
                // A frame that came with the handshake would be read, too: this one comes after it.
                client.send([0x81, 0x82, 0, 0, 0, 0, b'h', b'i']);
                assert_eq!(client.bytes(4), [0x81, 2, b'h', b'i']);
            }
            426 => {
                assert_eq!(answer.code(), code);
                assert_eq!(answer.header("upgrade"), Some("websocket"));
                assert_eq!(answer.header("sec-websocket-version"), Some("13"));
            }
            _ => assert_eq!(answer.code(), code),
        }
    }
    // Without a word of an upgrade, as curl asks.
    let answer = server.connect().ask(request("GET", "/echo", &[]));
    assert_eq!(
        (answer.status, answer.code()),
        (426, "upgrade_required".into())
    );
}

#[test]
fn frames_that_come_with_the_handshake_are_not_lost() {
    let server = TestServer::with(config(), |server| server.websocket("/echo", echo));
    let mut client = server.connect();
    let mut bytes = handshake(&[]).into_bytes();
    bytes.extend([0x81, 0x82, 0, 0, 0, 0, b'h', b'i']);
    assert_eq!(client.ask(bytes).status, 101);
    assert_eq!(client.bytes(4), [0x81, 2, b'h', b'i']);
}

#[test]
fn an_embedders_websocket_receives_sends_and_closes() {
    let server = TestServer::with(config(), |server| {
        server.websocket("/own", |message, socket| match message {
            Heard::Text(text) if text == "bye" => {
                socket.send("so long");
                socket.close(4000, "as you said");
            }
            Heard::Text(text) if text == "who" => {
                let user = socket
                    .user_id()
                    .map_or("nobody".into(), |id| id.to_string());
                socket.send(user);
            }
            Heard::Text(text) if text == "panic" => panic!("its handler's own fault"),
            message => {
                socket.send(message.clone());
                socket.send(message);
            }
        });
        server.on(Method::Get, "/after", |_, _| {
            loopgate::app::Reply::text(200, "still there")
        });
    });
    let mut client = server.connect();
    let sign = client.log_in("alice");
    let mut nobody = Ws::try_open(server.address, "/own", &[])
        .unwrap_or_else(|status| panic!("no session is needed, but {status}"));
    let mut alice = Ws::open(server.address, &sign, "/own");
    let say = |socket: &mut Ws, message: Message| socket.0.send(message).expect("it is open");
    say(&mut nobody, Message::binary(vec![0, 255]));
    for _ in 0..2 {
        assert_eq!(
            nobody.0.read().expect("a message"),
            Message::binary(vec![0, 255])
        );
    }
    for (socket, name) in [(&mut nobody, "nobody"), (&mut alice, "2")] {
        say(socket, Message::text("who"));
        assert_eq!(socket.0.read().expect("a message"), Message::text(name));
    }
    say(&mut nobody, Message::text("bye"));
    assert_eq!(
        nobody.0.read().expect("a message"),
        Message::text("so long")
    );
    assert_eq!(nobody.close_code(), 4000);
    let mut panics = Ws::open(server.address, &sign, "/own");
    say(&mut panics, Message::text("panic"));
    assert_eq!(panics.close_code(), 1011);
    // A socket that was opened with a session ends with that session.
    let answer = client.ask(signed("POST", "/logout", &sign));
    assert_eq!(answer.json()["streams_closed"], 1, "the one that is left");
    assert_eq!(alice.close_code(), 4401);
    // From a page of another site the cookie opens no socket.
    let sign = client.log_in("alice");
    let cookie = format!("session={sign}");
    let fields = [("Cookie", &*cookie), ("Origin", "https://evil.example")];
    match Ws::try_open(server.address, "/own", &fields) {
        Err(status) => assert_eq!(status, 403),
        Ok(mut socket) => {
            say(&mut socket, Message::text("who"));
            assert_eq!(socket.0.read().expect("a message"), Message::text("nobody"));
        }
    }
}

#[test]
fn messages_have_a_limit_and_an_endpoint_has_its_own() {
    let mut config = config();
    config.limits.websocket_bytes_max = 100_000;
    let server = TestServer::with(config, |server| server.websocket("/echo", echo));
    let sign = server.connect().log_in("admin");
    for (target, most) in [("/echo", 100_000), ("/events", 16 * 1024)] {
        says_at_most(server.address, &sign, target, most);
    }
}

/// A message of `most` bytes is answered there, and a longer one closes the connection.
fn says_at_most(server: SocketAddr, sign: &str, target: &str, most: usize) {
    let mut socket = Ws::open(server, sign, target);
    let text = |length| Message::text("x".repeat(length));
    socket.0.send(text(most)).expect("it is open");
    assert!(socket.0.read().expect("an answer").is_text(), "{target}");
    socket.0.send(text(most + 1)).expect("it is open");
    assert_eq!(socket.close_code(), 1009, "{target}");
}

#[test]
fn how_long_messages_may_be_can_be_said_on_the_command_line() {
    for (option, most) in [
        ("--event-message-bytes-max=40000", 40_000),
        ("--websocket-bytes-max=100", 100),
    ] {
        let program = Program::start(&[option]);
        let sign = program.connect().log_in("admin");
        says_at_most(program.address, &sign, "/events", most);
    }
}
