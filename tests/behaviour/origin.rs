//! Pages of other sites can neither log a visitor in nor use the cookie to change anything.

use loopgate::config::Config;

use crate::harness::{Client, TestServer, config, request};
use crate::login::login_with;

#[test]
fn a_page_of_another_site_cannot_log_its_visitor_in() {
    let server = TestServer::start();
    let mut client = server.connect();
    for (headers, status) in [
        (&[("Origin", "https://evil.example")][..], 403),
        (&[("Origin", "null")], 403),
        (&[("Sec-Fetch-Site", "cross-site")], 403),
        (&[("Sec-Fetch-Site", "same-site")], 403),
        (
            &[
                ("Sec-Fetch-Site", "same-origin"),
                ("Origin", "https://evil.example"),
            ],
            403,
        ),
        (
            &[
                ("Origin", "http://localhost"),
                ("Sec-Fetch-Site", "cross-site"),
            ],
            403,
        ),
        (&[("Origin", "null"), ("Sec-Fetch-Site", "cross-site")], 403),
        (&[("Origin", "null"), ("Sec-Fetch-Site", "same-site")], 403),
        (&[("Origin", "null"), ("Sec-Fetch-Site", "none")], 403),
        // What Chromium sends for a form of this site under `Referrer-Policy: no-referrer`.
        (
            &[("Origin", "null"), ("Sec-Fetch-Site", "same-origin")],
            200,
        ),
        (&[("Origin", "http://localhost")], 200),
        (&[("Sec-Fetch-Site", "same-origin")], 200),
        (&[], 200),
    ] {
        let answer = client.ask(login_with("alice", "password", headers));
        assert_eq!(answer.status, status, "{headers:?}");
        if status == 403 {
            assert_eq!(answer.code(), "cross_site");
            assert_eq!(answer.header("set-cookie"), None);
        }
    }
}

#[test]
fn the_cookie_changes_things_for_pages_of_this_site_only() {
    let server = TestServer::start();
    let mut client = server.connect();
    let refused: [&[(&str, &str)]; 5] = [
        &[],
        &[("Origin", "https://evil.example")],
        &[("Origin", "null")],
        &[("Sec-Fetch-Site", "cross-site")],
        &[
            ("Origin", "http://localhost"),
            ("Sec-Fetch-Site", "same-site"),
        ],
    ];
    let allowed: [&[(&str, &str)]; 4] = [
        &[("Origin", "null"), ("Sec-Fetch-Site", "same-origin")],
        &[("Origin", "http://localhost")],
        &[("Sec-Fetch-Site", "same-origin")],
        &[
            ("Origin", "http://localhost"),
            ("Sec-Fetch-Site", "same-origin"),
        ],
    ];
    for headers in allowed {
        for revoke in [false, true] {
            let cookie = format!("session={}", client.log_in("alice"));
            let sid = current_id(&mut client, &cookie);
            let target = format!("/sessions/{sid}");
            let (method, target) = if revoke {
                ("DELETE", &*target)
            } else {
                ("POST", "/logout")
            };
            let mut ask = |headers: &[(&str, &str)]| {
                let fields = [&[("Cookie", &*cookie)], headers].concat();
                client.ask(request(method, target, &fields))
            };
            for headers in refused {
                let answer = ask(headers);
                assert_eq!(
                    (answer.status, &*answer.code()),
                    (403, "cross_site"),
                    "{headers:?}"
                );
            }
            assert_eq!(
                ask(headers).status,
                200,
                "{method} {target} with {headers:?}"
            );
            assert_eq!(ask(headers).status, 401, "it has ended");
        }
    }
    // A signature that a program adds by itself is no browser's doing.
    let sign = format!("Bearer {}", client.log_in("alice"));
    let headers = [
        ("Authorization", &*sign),
        ("Origin", "https://evil.example"),
    ];
    assert_eq!(client.ask(request("POST", "/logout", &headers)).status, 200);
}

/// A server that believes what is said from this machine.
fn behind_a_proxy() -> TestServer {
    let config = Config {
        trust_proxy: vec![[127, 0, 0, 1].into()],
        ..config()
    };
    TestServer::with(config, |_| {})
}

#[test]
fn behind_a_tls_proxy_the_plain_namesake_is_another_site() {
    let (stranger, trusted) = (TestServer::start(), behind_a_proxy());
    for (server, scheme, origin, status) in [
        (&trusted, "https", "http://localhost", 403),
        (&trusted, "https", "http://localhost:443", 403),
        (&trusted, "https", "https://localhost", 200),
        (&trusted, "https", "https://localhost:443", 200),
        (&trusted, "https", "https://localhost:8443", 403),
        (&trusted, "https, http", "http://localhost", 403),
        (&trusted, "wss", "http://localhost", 403),
        (&trusted, "http", "http://localhost", 200),
        // A proxy further out may have ended TLS and said nothing.
        (&trusted, "http", "https://localhost", 200),
        // What any client may say is not believed.
        (&stranger, "https", "http://localhost", 200),
    ] {
        let fields = [("X-Forwarded-Proto", scheme), ("Origin", origin)];
        let answer = server
            .connect()
            .ask(login_with("alice", "password", &fields));
        assert_eq!(answer.status, status, "{scheme}, {origin}");
    }
}

#[test]
fn a_cookie_is_secure_if_any_trusted_proxy_was_reached_over_tls() {
    let (stranger, trusted) = (TestServer::start(), behind_a_proxy());
    for (server, schemes, is_secure) in [
        (&trusted, &["https"][..], true),
        (&trusted, &["https, https"], true),
        (&trusted, &["https,http"], true),
        (&trusted, &["http", "https"], true),
        (&trusted, &["HTTPS ,"], true),
        (&trusted, &["http"], false),
        (&trusted, &["http, http"], false),
        (&trusted, &[""], false),
        (&trusted, &[], false),
        (&stranger, &["https"], false),
    ] {
        let fields: Vec<_> = schemes
            .iter()
            .map(|scheme| ("X-Forwarded-Proto", *scheme))
            .collect();
        let answer = server
            .connect()
            .ask(login_with("alice", "password", &fields));
        let cookie = answer.header("set-cookie").expect("a cookie");
        assert_eq!(cookie.ends_with("; Secure"), is_secure, "{schemes:?}");
    }
}

fn current_id(client: &mut Client, cookie: &str) -> String {
    let list = client
        .ask(request("GET", "/sessions", &[("Cookie", cookie)]))
        .json();
    let sessions = list["sessions"].as_array().expect("a list");
    let current = sessions.iter().find(|session| session["current"] == true);
    current.expect("the one that asks")["id"]
        .as_str()
        .unwrap()
        .to_owned()
}
