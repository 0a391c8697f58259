//! Pages of other sites can neither log anybody in nor use the cookie to change anything.

use crate::harness::{Client, TestServer, request};
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
    let allowed: [&[(&str, &str)]; 3] = [
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
