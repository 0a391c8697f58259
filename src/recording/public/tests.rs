use super::*;
use crate::config::Limits;
use crate::http::{HeaderSlots, parse_head};
use crate::recording::secrets::tests::{LATER_S, keys, nothing_stored, secrets, token};
use crate::token::verify;

/// The server's error for a refused head.
fn said(head: &[u8]) -> String {
    let limits = Limits::default();
    match parse_head(head, &mut HeaderSlots::new(), &limits) {
        Ok(Some(head)) => {
            let path = head.target.decoded_path().is_ok();
            format!(
                "{} {:?} {:?} {path} {}",
                head.length, head.framing, head.version, head.keep_alive
            )
        }
        Ok(None) => "wait".into(),
        Err(fault) => fault.code.into(),
    }
}

fn masked(head: &[u8]) -> String {
    let mut secrets = secrets(&nothing_stored());
    let mut bytes = head.to_vec();
    mask_head(&mut bytes, &mut secrets);
    assert_eq!(bytes.len(), head.len());
    for end in 0..=head.len() {
        assert_eq!(
            said(&bytes[..end]),
            said(&head[..end]),
            "{}",
            String::from_utf8_lossy(head)
        );
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[test]
fn a_signature_is_replaced_by_one_of_the_known_key_wherever_it_stands() {
    let token = token();
    for head in [
        format!("GET / HTTP/1.1\r\nAuthorization: Bearer {token}\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nCookie: a=b; session={token}; c=d\r\n\r\n"),
        format!("GET /x?sign={token} HTTP/1.1\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nX-Other: {token}\r\n\r\n"),
    ] {
        let masked = masked(head.as_bytes());
        assert!(!masked.contains(&token), "{masked}");
        let word = |text: &str| {
            let words = text.split(['=', ' ', ';', '\r']);
            words.max_by_key(|word| word.len()).unwrap().to_owned()
        };
        let known = keys().with_known_secrets();
        assert!(verify(&word(&masked), &known, LATER_S).is_ok(), "{masked}");
    }
}

#[test]
fn of_fields_what_is_public_is_left_and_the_rest_is_masked() {
    for (field, expected) in [
        (
            "Authorization: Basic YWxpY2U6cGFzcw==",
            "Authorization: Basic xxxxx1x1xxxxxx==",
        ),
        (
            "authorization: Bearer a.b.c-1",
            "authorization: Bearer x.x.x-1",
        ),
        ("Authorization: hunter2", "Authorization: xxxxxx1"),
        (
            "COOKIE: theme=dark; session=zz9",
            "COOKIE: xxxxx=xxxx; session=xx1",
        ),
        ("Cookie: secret", "Cookie: xxxxxx"),
        (
            "Accept: text/html;q=0.9, hunter2",
            "Accept: text/html;q=1.1, xxxxxx1",
        ),
        (
            "Content-Type: application/json; charset=hunter2",
            "Content-Type: application/json; charset=xxxxxx1",
        ),
        ("X-Api-Key: hunter2", "x-xxx-xxx: xxxxxx1"),
        ("User-Agent: curl/8.5.0", "User-Agent: xxxx/1.1.1"),
        (
            "Referer: http://x/?password=hunter2",
            "Referer: xxxx://x/?xxxxxxxx=xxxxxx1",
        ),
        (
            "Origin: https://example.com:8443",
            "Origin: https://example.com:8443",
        ),
        (
            "Origin: https://user:hunter2@example.com/",
            "Origin: xxxxx://xxxx:xxxxxx1@xxxxxxx.xxx/",
        ),
        ("Last-Event-ID: 17", "Last-Event-ID: 17"),
        ("Last-Event-ID: hunter2", "Last-Event-ID: xxxxxx1"),
        (
            "X-Forwarded-For: 10.0.0.1, hunter2, 256.1.1.1, [::1]:5",
            "X-Forwarded-For: 10.0.0.1, xxxxxxx, xxx.x.x.x, [::1]:5",
        ),
        ("Sec-Fetch-Site: same-origin", "Sec-Fetch-Site: same-origin"),
        (
            "Connection: keep-alive, hunter2",
            "Connection: keep-alive, xxxxxx1",
        ),
        (
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        ),
        ("Sec-WebSocket-Key: hunter2", "Sec-WebSocket-Key: xxxxxx1"),
    ] {
        let head = format!("GET / HTTP/1.1\r\nHost: example.com\r\n{field}\r\n\r\n");
        let expected = format!("GET / HTTP/1.1\r\nHost: example.com\r\n{expected}\r\n\r\n");
        assert_eq!(
            masked(head.as_bytes()).to_ascii_lowercase(),
            expected.to_ascii_lowercase()
        );
    }
}

#[test]
fn of_targets_what_is_the_servers_own_is_left() {
    for (target, expected) in [
        ("/login", "/login"),
        ("/%6cogin?", "/%6cogin?"),
        ("/Login", "/xxxxx"),
        ("/login/hunter2", "/xxxxx/xxxxxx1"),
        ("/login?password=hunter2", "/login?xxxxxxxx=xxxxxx1"),
        ("/login;hunter2", "/xxxxx;xxxxxx1"),
        (
            "/events?since=17&wait=5&pattern=user.*,tick&hunter2",
            "/events?since=17&wait=5&pattern=user.*,tick&xxxxxx1",
        ),
        (
            "/events?since=hunter2&wait=-1&pattern=hunter%202",
            "/events?since=xxxxxxx&wait=-x&pattern=xxxxxx%20x",
        ),
        (
            "/events?pattern=hunter2*&pattern=,hunter2&pattern=*",
            "/events?pattern=xxxxxxx*&pattern=,xxxxxxx&pattern=*",
        ),
        (
            "/logout?everywhere=true&everywhere=hunter2",
            "/logout?everywhere=true&everywhere=xxxxxxx",
        ),
        (
            "/sessions/AbCdEfGhIjKlMnOpQrStUv",
            "/sessions/AbCdEfGhIjKlMnOpQrStUv",
        ),
        ("/sessions/hunter2%41%c3%a9", "/sessions/xxxxxx1%78%78%78"),
        ("/sessions/hunter2%ff", "/xxxxxxxx/xxxxxx1%ff"),
        (
            "/hunter%32?%70assword=%68unter2",
            "/xxxxxx%78?%78xxxxxxx=%78xxxxx1",
        ),
        ("http://example.com/login", "http://example.com/login"),
        (
            "http://alice:hunter2@example.com/login",
            "http://xxxxx:xxxxxx1@xxxxxxx.xxx/login",
        ),
        ("hunter2://x", "xxxxxx1://x"),
        ("/a%2", "/x%1"),
        ("/a%zz%00", "/x%xx%00"),
    ] {
        let head = format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n");
        let expected = format!("GET {expected} HTTP/1.1\r\nHost: x\r\n\r\n");
        assert_eq!(masked(head.as_bytes()), expected);
    }
}

#[test]
fn what_is_refused_is_refused_for_the_same_reason_and_tells_nothing() {
    for head in [
        &b"HUNTER2 /hunter2 HTTP/1.1\r\nHost: x\r\n\r\n"[..],
        b"GET / HTTP/2.0\r\n\r\n",
        b"GET / hunter2\r\n\r\n",
        b"GET /login?password=hunter 2 HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nhunter2\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nhunter2 : hunter2\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nA: b\r\n hunter2\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: hunter2\xc3\xa9\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: hunter2:99999\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nHost: hunter2\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: hunter2\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: +5\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nExpect: hunter2\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nConnection: hunter2@\r\n\r\n",
        b"GET /hunter2#a HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /hunter2\u{e9} HTTP/1.1\r\nHost: x\r\n\r\n".as_bytes(),
        "GET /login?a\u{4e16}=hunter2\u{1f512} HTTP/1.1\r\nHost: x\r\n\r\n".as_bytes(),
        b"GET /hunter2\xe9\xc3\xa9 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\r\n\r\nGET /hunter2 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"hunter2",
        b"{\"password\":\"hunter2\"}\r\n",
    ] {
        let masked = masked(head).to_ascii_lowercase();
        // The only thing that may be left is a second `Host`, which is public because of its position.
        let is_host = head
            .windows(12)
            .filter(|part| part == b"Host: hunter")
            .count();
        assert!(masked.matches("hunter").count() <= is_host, "{masked}");
    }
}
