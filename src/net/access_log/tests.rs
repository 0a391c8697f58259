//! Lines in each form, from heads as clients send them.

use std::net::SocketAddr;

use super::*;
use crate::config::Limits;
use crate::http::{HeaderSlots, parse_head};

const UNIX_MS: u64 = 1_795_326_480_123; // 2026-11-22T05:48:00.123Z

/// The line for that head, or for none, without the beginning of the log's lines.
fn line(format: AccessFormat, head: &str, peer: Peer, user: Option<&str>) -> String {
    let trusted = ["10.0.0.1".parse().unwrap()];
    let mut slots = HeaderSlots::new();
    let limits = Limits::default();
    let head = (!head.is_empty()).then(|| {
        parse_head(head.as_bytes(), &mut slots, &limits)
            .unwrap()
            .unwrap()
    });
    let mut record = AccessRecord::default();
    record.fill(head.as_ref(), peer, &trusted, format);
    let answer = Answer {
        status: Status::OK,
        bytes: 15,
        took_us: 1042,
        user,
        unix_ms: UNIX_MS,
    };
    let mut stamp = Stamp::default();
    stamp.refresh(UNIX_MS);
    let mut out = Vec::new();
    match format {
        AccessFormat::Off => {}
        AccessFormat::Plain => push_plain(&record, &answer, &mut out),
        AccessFormat::Combined => push_combined(&record, &answer, &stamp, &mut out),
        AccessFormat::Json => push_json(&record, &answer, &stamp, &mut out),
    }
    String::from_utf8(out).unwrap()
}

fn ip(address: &str) -> Peer {
    Peer::Ip(address.parse::<SocketAddr>().unwrap())
}

const BROWSER: &str = "GET /a%20b?secret=1 HTTP/1.1\r\nHost: x\r\nUser-Agent: Mozilla/5.0 (\"X\\Y\")\r\n\
    Referer: https://x/page?secret=2#there\r\nX-Request-ID: 7f3a\r\nX-Forwarded-For: 192.0.2.7\r\n\r\n";

#[test]
fn a_line_says_who_asked_for_what_and_what_came_of_it() {
    let peer = ip("127.0.0.1:4242");
    assert_eq!(
        line(AccessFormat::Plain, BROWSER, peer, Some("alice")),
        "127.0.0.1:4242 GET /a%20b 200 15B 1042us"
    );
    assert_eq!(
        line(
            AccessFormat::Combined,
            BROWSER,
            peer,
            Some("alice in \"W\"")
        ),
        "127.0.0.1 - alice\\x20in\\x20\\x22W\\x22 [22/Nov/2026:05:48:00 +0000] \"GET /a%20b HTTP/1.1\" 200 15 \
         \"https://x/page\" \"Mozilla/5.0 (\\x22X\\x5CY\\x22)\""
    );
    assert_eq!(
        line(AccessFormat::Json, BROWSER, peer, Some("alice")),
        r#"{"time":"2026-11-22T05:48:00.123Z","client":"127.0.0.1","port":4242,"user":"alice","method":"GET","path":"/a%20b","version":"1.1","status":200,"bytes":15,"duration_us":1042,"referrer":"https://x/page","user_agent":"Mozilla/5.0 (\"X\\Y\")","request_id":null}"#
    );
}

#[test]
fn a_trusted_proxy_names_the_client_and_the_request() {
    let proxy = ip("10.0.0.1:5555");
    assert_eq!(
        line(AccessFormat::Plain, BROWSER, proxy, None),
        "192.0.2.7 GET /a%20b 200 15B 1042us"
    );
    assert!(line(AccessFormat::Combined, BROWSER, proxy, None).starts_with("192.0.2.7 - - ["));
    let json = line(AccessFormat::Json, BROWSER, proxy, None);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["client"], "192.0.2.7");
    assert_eq!(json["port"], serde_json::Value::Null);
    assert_eq!(json["request_id"], "7f3a");
}

#[test]
fn what_has_no_address_or_is_no_request_has_a_line_too() {
    let (v6, unix) = (ip("[2001:db8::1]:80"), Peer::Unix);
    let get = "GET / HTTP/1.0\r\n\r\n";
    for (format, head, peer, due) in [
        (
            AccessFormat::Plain,
            get,
            v6,
            "[2001:db8::1]:80 GET / 200 15B 1042us",
        ),
        (
            AccessFormat::Plain,
            get,
            ip("[::ffff:1.2.3.4]:80"),
            "1.2.3.4:80 GET / 200 15B 1042us",
        ),
        (
            AccessFormat::Plain,
            "",
            unix,
            "unix (no request) 200 15B 1042us",
        ),
        (
            AccessFormat::Combined,
            get,
            v6,
            "2001:db8::1 - - [22/Nov/2026:05:48:00 +0000] \"GET / HTTP/1.0\" 200 15 \"-\" \"-\"",
        ),
        (
            AccessFormat::Combined,
            "",
            unix,
            "- - - [22/Nov/2026:05:48:00 +0000] \"-\" 200 15 \"-\" \"-\"",
        ),
        (
            AccessFormat::Json,
            "",
            unix,
            r#"{"time":"2026-11-22T05:48:00.123Z","client":null,"port":null,"user":null,"method":null,"path":null,"version":null,"status":200,"bytes":15,"duration_us":1042,"referrer":null,"user_agent":null,"request_id":null}"#,
        ),
    ] {
        assert_eq!(line(format, head, peer, None), due);
    }
}

#[test]
fn no_text_is_longer_than_its_share_or_more_than_one_line() {
    let long = "x".repeat(3000);
    let head = format!(
        "GET /{long} HTTP/1.1\r\nHost: x\r\nReferer: {long}\r\nUser-Agent: {long}\u{e9}\u{1f600}\r\n\r\n"
    );
    let peer = ip("127.0.0.1:4242");
    for format in [
        AccessFormat::Plain,
        AccessFormat::Combined,
        AccessFormat::Json,
    ] {
        let line = line(format, &head, peer, Some("a\u{2028}b\u{85}\n"));
        assert!(line.contains("xxx...") && line.len() < 4096, "{line}");
        assert!(format == AccessFormat::Json || !line.contains(char::is_control));
        assert!(!line.contains('\n'));
    }
    let head = "GET / HTTP/1.1\r\nHost: x\r\nUser-Agent: \u{e9}\u{1f600}\u{85}\r\n\r\n";
    let json: serde_json::Value =
        serde_json::from_str(&line(AccessFormat::Json, head, peer, None)).unwrap();
    assert_eq!(json["user_agent"], "\u{e9}\u{1f600}\u{85}");
    assert!(
        line(AccessFormat::Combined, head, peer, None)
            .ends_with("\"\\xC3\\xA9\\xF0\\x9F\\x98\\x80\\xC2\\x85\"")
    );
}

#[test]
fn numbers_and_addresses_are_whole() {
    for number in [0, 9, 10, 99, 100, u64::from(u32::MAX), u64::MAX] {
        let mut short = Short::default();
        short.decimal_before(number);
        assert_eq!(short.as_bytes(), number.to_string().as_bytes());
    }
    let longest = "2001:1db8:1111:2222:3333:4444:5555:6666".parse().unwrap();
    let text = Short::of_client(longest, Some(u16::MAX));
    assert_eq!(
        text.as_bytes(),
        SocketAddr::new(longest, u16::MAX).to_string().as_bytes()
    );
    // The longest rest of a line.
    let mut rest = Short::default();
    for part in [&b"us"[..], b"B ", b" "] {
        rest.before(part);
        rest.decimal_before(u64::MAX / 1000);
    }
}
