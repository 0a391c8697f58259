//! What a browser is told about answers, and what of its pages the monitor answers.

use std::net::SocketAddr;

use loopgate::app::{BuiltIn, HANDLERS, Methods, monitor};
use loopgate::http::Method;

use crate::harness::{Answer, Client, get, login, request};
use crate::monitor::{start, watched};

/// All that `GET` is answered at.
fn paths(handlers: &[(Methods, &'static str, BuiltIn)]) -> Vec<&'static str> {
    let gets = handlers
        .iter()
        .filter(|(methods, ..)| matches!(methods, Methods::One(Method::Get) | Methods::Any));
    gets.map(|(_, path, _)| *path).collect()
}

/// The head of an answer, on a connection of its own: the answer may never end.
fn head(address: SocketAddr, method: &str, path: &str, fields: &[(&str, &str)]) -> Answer {
    let mut client = Client::connect(address);
    client.send(request(method, path, fields));
    client.answer_to_head()
}

fn assert_told(answer: &Answer) {
    let count = |name: &str, value: &str| {
        let is_it = |field: &&(String, String)| field.0 == name && field.1 == value;
        answer.headers.iter().filter(is_it).count()
    };
    let has_content = ![101, 204, 304].contains(&answer.status);
    let sniffing = count("x-content-type-options", "nosniff");
    assert_eq!(sniffing, usize::from(has_content), "{answer:?}");
    let kind = answer.header("content-type").unwrap_or_default();
    let is_page = kind.starts_with("text/html");
    let is_part = is_page || kind.starts_with("text/css") || kind.starts_with("text/javascript");
    let opener = count("cross-origin-opener-policy", "same-origin");
    let resource = count("cross-origin-resource-policy", "same-origin");
    assert!(!is_part || (opener, resource) == (1, 1), "{answer:?}");
    let policy = answer.header("content-security-policy").unwrap_or_default();
    assert!(
        !is_page || policy.contains("frame-ancestors 'none'"),
        "{answer:?}"
    );
}

#[test]
fn no_answer_is_sniffed_and_no_page_shares_its_window() {
    let (server, monitor) = start(watched(), |_| {});
    let sign = server.connect().log_in("admin");
    let bearer = format!("Bearer {sign}");
    let mut seen = 0;
    for (address, paths) in [
        (server.address, paths(&HANDLERS)),
        (monitor, paths(&monitor::HANDLERS)),
    ] {
        for path in paths.into_iter().chain(["/nothing", "/%"]) {
            let path = path.replace("{name}", "live.css").replace("{id}", "1");
            for fields in [
                &[][..],
                &[("Authorization", &*bearer)],
                &[("Authorization", &bearer), ("Accept", "text/event-stream")],
                &[("Sec-Fetch-Site", "cross-site")],
            ] {
                for method in ["GET", "HEAD", "OPTIONS", "PUT"] {
                    assert_told(&head(address, method, &path, fields));
                    seen += 1;
                }
            }
        }
        let mut client = Client::connect(address);
        assert_told(&client.ask(login("admin", "password")));
        assert_told(&client.ask(login("admin", "mistaken")));
        client.send("nonsense\r\n\r\n");
        assert_told(&client.answer());
    }
    assert!(seen > 300, "{seen}");
}

/// What browsers say of requests that a page of another site makes.
const FOREIGN: [&[(&str, &str)]; 6] = [
    // An image, a script, a frame.
    &[
        ("Sec-Fetch-Site", "cross-site"),
        ("Sec-Fetch-Mode", "no-cors"),
        ("Sec-Fetch-Dest", "image"),
    ],
    &[
        ("Sec-Fetch-Site", "same-site"),
        ("Sec-Fetch-Mode", "no-cors"),
        ("Sec-Fetch-Dest", "script"),
    ],
    &[
        ("Sec-Fetch-Site", "cross-site"),
        ("Sec-Fetch-Mode", "navigate"),
        ("Sec-Fetch-Dest", "iframe"),
    ],
    // An `EventSource`, today's and that of a browser without Fetch Metadata.
    &[
        ("Origin", "https://evil.example"),
        ("Sec-Fetch-Site", "cross-site"),
        ("Sec-Fetch-Mode", "cors"),
    ],
    &[("Origin", "https://evil.example")],
    &[("Origin", "null")],
];

#[test]
fn the_monitor_answers_no_page_of_another_site() {
    let (_server, monitor) = start(watched(), |_| {});
    for path in paths(&monitor::HANDLERS) {
        let path = path.replace("{name}", "live.css").replace("{id}", "1");
        for fields in FOREIGN {
            let answer = Client::connect(monitor).ask(request("GET", &path, fields));
            let refused = (answer.status, answer.code());
            assert_eq!(refused, (403, "cross_site".into()), "{path} {fields:?}");
        }
        // The user's own browser, the page's own requests, and curl.
        for fields in [
            &[][..],
            &[("Sec-Fetch-Site", "none"), ("Sec-Fetch-Mode", "navigate")],
            &[
                ("Sec-Fetch-Site", "same-origin"),
                ("Sec-Fetch-Mode", "cors"),
            ],
        ] {
            let answer = head(monitor, "GET", &path, fields);
            let expected = if path == "/ps/1" { 404 } else { 200 };
            assert_eq!(answer.status, expected, "{path} {fields:?}");
        }
    }
}

#[test]
fn pages_of_other_sites_take_no_places_of_watchers() {
    let (_server, monitor) = start(watched(), |_| {});
    let mut pages = Vec::new();
    for round in 0..16 {
        let mut page = Client::connect(monitor);
        page.send(request("GET", "/live", FOREIGN[round % FOREIGN.len()]));
        assert_eq!(page.answer_to_head().status, 403);
        pages.push(page);
    }
    // All eight places are left.
    let mut watching = Vec::new();
    for _ in 0..8 {
        let mut client = Client::connect(monitor);
        client.send(get("/live"));
        assert_eq!(client.answer_to_head().status, 200);
        watching.push(client);
    }
}

#[test]
fn a_link_of_another_site_leads_to_a_doorstep_and_not_into_the_monitor() {
    let (_server, monitor) = start(watched(), |_| {});
    let mut client = Client::connect(monitor);
    let link = [
        ("Sec-Fetch-Site", "cross-site"),
        ("Sec-Fetch-Mode", "navigate"),
        ("Sec-Fetch-Dest", "document"),
    ];
    let answer = client.ask(request("GET", "/", &link));
    assert_eq!(answer.status, 403);
    assert_told(&answer);
    assert!(answer.body.contains(r#"<a href="/">"#), "{answer:?}");
    assert!(!answer.body.contains("script"), "{answer:?}");
    // Nowhere else: nothing else is for people alone.
    for path in ["/live", "/ps", "/trace.json"] {
        assert_eq!(client.ask(request("GET", path, &link)).code(), "cross_site");
    }
}
