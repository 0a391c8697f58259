//! The page on which the loop is watched.

use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use loopgate::app::Reply;
use loopgate::config::{Config, ListenAddr, Pace};
use loopgate::http::Method;

use crate::harness::{Client, TestServer, config, get};
use crate::page::{Browser, Look, Page, expect_names};

/// How long a handler holds the loop, which none should.
const HELD: Duration = Duration::from_millis(200);

/// A server with a monitor, and where that is.
fn start(pace: Pace) -> (TestServer, SocketAddr) {
    let config = Config {
        monitor: Some("127.0.0.1:0".parse().expect("an address")),
        pace,
        ..config()
    };
    let (say, hear) = std::sync::mpsc::channel();
    let server = TestServer::with(config, move |server| {
        let Some(ListenAddr::Tcp(address)) = server.monitor_address() else {
            panic!("it has a monitor")
        };
        say.send(*address).expect("the test waits for it");
        server.on(Method::Get, "/blocks", |_, _| {
            thread::sleep(HELD);
            Reply::text(200, "at last")
        });
    });
    (server, hear.recv().expect("an address"))
}

fn open(browser: &Browser, monitor: SocketAddr, look: Look) -> Page {
    let page = browser.open(&format!("http://{monitor}/"), look);
    page.wait_for_text("#connection-state", "connected");
    page
}

/// A server that has answered a request while a page was open; the client that asked is still connected.
fn answered(browser: &Browser, look: Look) -> (TestServer, Page, Client) {
    let (server, monitor) = start(Pace::Free);
    let page = open(browser, monitor, look);
    let mut client = server.connect();
    assert_eq!(client.ask(get("/healthz")).status, 200);
    (server, page, client)
}

fn number(page: &Page) -> u64 {
    page.text("#turn-number").parse().expect("a turn")
}

fn row_of(label: &str) -> String {
    format!("document.querySelector('#dispatch-rows tr[data-label=\"{label}\"]')")
}

#[test]
fn what_holds_the_loop_is_seen_and_looked_at_turn_by_turn() {
    let Some(browser) = Browser::start() else {
        return;
    };
    for (look, name) in [(Look::Light, "light"), (Look::Dark, "dark")] {
        let (server, monitor) = start(Pace::Free);
        let page = open(&browser, monitor, look);
        let mut client = server.connect();
        for _ in 0..3 {
            assert_eq!(client.ask(get("/healthz")).status, 200);
            client.log_in("alice");
        }
        assert_eq!(client.ask(get("/blocks")).status, 200);
        let row = row_of("GET /blocks");
        page.wait_for(&format!("{row} !== null"));
        let ns = page.value(&format!("{row}.dataset.ns"));
        let ns: u64 = ns
            .as_str()
            .and_then(|ns| ns.parse().ok())
            .expect("a number");
        assert!(Duration::from_nanos(ns) >= HELD, "{ns} ns");
        let text = page.value(&format!("{row}.textContent"));
        assert!(
            text.as_str().expect("a text").contains("slow"),
            "not by colour alone: {text}"
        );
        page.wait_for(
            "document.querySelector('#event-rows').textContent.includes('user.logged_in')",
        );
        page.wait_for("document.querySelector('#source-rows').textContent.includes('connection')");
        page.wait_for("document.querySelector('#sentence').textContent.includes('the loop slept')");
        page.picture(&format!("live-{name}"), 1280, 1250);
        // Frozen, it stays as it is while the server goes on.
        page.press(" ");
        page.wait_for_text("#mode", "frozen");
        let frozen = number(&page);
        assert_eq!(client.ask(get("/healthz")).status, 200);
        page.press("ArrowLeft");
        page.wait_for_text("#turn-number", &(frozen - 1).to_string());
        assert!(
            page.text("#sentence")
                .starts_with(&format!("Turn {}:", frozen - 1))
        );
        page.press("ArrowRight");
        page.wait_for_text("#turn-number", &frozen.to_string());
        page.press(".");
        page.wait_for_text("#phase-name", "completions");
        page.press(",");
        page.wait_for_text("#phase-name", "readiness");
        page.press("p");
        page.wait_for_text("#mode", "playback");
        page.wait_for_text("#mode", "frozen"); // it has come to the end
        page.press(" ");
        page.wait_for_text("#mode", "live");
        page.expect_no_complaints();
    }
}

#[test]
fn every_control_has_a_name_and_is_reached_by_the_keyboard() {
    let Some(browser) = Browser::start() else {
        return;
    };
    let (_server, page, mut client) = answered(&browser, Look::Calm);
    page.wait_for("document.querySelectorAll('#source-rows button').length === 1");
    expect_names(&page, 18);
    page.press(" ");
    page.wait_for_text("#mode", "frozen");
    for control in [
        "#freeze",
        "#previous-turn",
        "#play",
        "#speed",
        "#fold",
        "#show-own",
        "#zoom-out",
        "#zoom-in",
        "#help summary",
        "#dispatch-rows button",
        "#turn-rows button",
        "#source-rows button",
    ] {
        page.tab_to(control);
    }
    // The connection is ended from here, and asked for twice.
    page.press("Enter");
    page.wait_for("document.activeElement.textContent === 'Really end?'");
    page.press("Enter");
    assert!(client.ends(), "the connection has ended");
    // A person who wants no motion gets none.
    let motion = "getComputedStyle(document.querySelector('.pointer')).transitionDuration";
    assert_eq!(page.value(motion), "0s");
    page.expect_no_complaints();
}

#[test]
fn the_pages_own_work_is_hidden_until_it_is_asked_for() {
    let Some(browser) = Browser::start() else {
        return;
    };
    let (_server, page, _client) = answered(&browser, Look::Light);
    page.wait_for(&format!("{} !== null", row_of("GET /healthz")));
    let own = "document.querySelector('#dispatch-rows').textContent.includes('(this page)')";
    assert_eq!(page.value(own), false);
    page.tab_to("#show-own");
    page.press(" ");
    page.wait_for(own);
    page.wait_for(&format!("{} !== null", row_of("GET monitor /live")));
    page.expect_no_complaints();
}

#[test]
fn a_loop_at_the_gate_goes_on_by_keyboard() {
    let Some(browser) = Browser::start() else {
        return;
    };
    let (server, monitor) = start(Pace::Gate);
    let page = open(&browser, monitor, Look::Light);
    page.wait_for_text("#mode", "halted");
    assert!(page.text("#banner").contains("halts"));
    expect_names(&page, 18);
    let mut client = server.connect();
    client.send(get("/healthz"));
    let mut phases = Vec::new();
    for _ in 0..6 {
        phases.push(page.text("#phase-name"));
        let here = page.value("[document.querySelector('#turn-number').textContent, document.querySelector('#phase-name').textContent].join()");
        page.press("n");
        page.wait_for(&format!("[document.querySelector('#turn-number').textContent, document.querySelector('#phase-name').textContent].join() !== {here}"));
    }
    let names = [
        "readiness",
        "completions",
        "timers",
        "events",
        "flush",
        "reap",
    ];
    let names: Vec<String> = names.iter().map(|name| format!("before {name}")).collect();
    assert_eq!(phases, names);
    page.press("r");
    page.wait_for_text("#mode", "running");
    assert_eq!(client.answer().status, 200);
    page.press("h");
    client.send(get("/healthz"));
    page.wait_for_text("#mode", "halted");
    page.press("r");
    assert_eq!(client.answer().status, 200);
    page.expect_no_complaints();
}

#[test]
fn a_loop_that_is_slowed_down_says_so() {
    let Some(browser) = Browser::start() else {
        return;
    };
    let (server, monitor) = start(Pace::Slow(Duration::from_millis(100)));
    let page = open(&browser, monitor, Look::Light);
    page.wait_for("document.querySelector('#banner').textContent.includes('100 ms')");
    let mut client = server.connect();
    client.send(get("/healthz"));
    page.wait_for_text("#phase-name", "before flush");
    page.wait_for_text("#phase-name", "wait");
    assert_eq!(client.answer().status, 200);
    page.expect_no_complaints();
}
