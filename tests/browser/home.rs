//! The page for users.

use crate::harness::{TestServer, post};
use crate::listeners::publish;
use crate::page::{Browser, Look, Page, expect_names};
use serde_json::json;

fn url(server: &TestServer) -> String {
    format!("http://{}/", server.address)
}

const INSIDE: &str = "!document.querySelector('#inside').hidden && document.querySelector('#stream-state').textContent === 'live'";
const OUTSIDE: &str = "!document.querySelector('#outside').hidden";

/// With the keyboard alone.
fn log_in(page: &Page, name: &str, password: &str) {
    page.wait_for(OUTSIDE);
    page.tab_to("input[name=username]");
    page.write(name);
    page.press("Tab");
    page.write(password);
    page.press("Enter");
}

#[test]
fn people_log_in_see_their_events_and_are_out_when_they_log_out_elsewhere() {
    let Some(browser) = Browser::start() else {
        return;
    };
    let server = TestServer::start();
    for look in [Look::Light, Look::Dark] {
        let name = if look == Look::Light { "light" } else { "dark" };
        let page = browser.open(&url(&server), look);
        page.wait_for(OUTSIDE);
        expect_names(&page, 3);
        page.picture(&format!("home-login-{name}"), 1000, 480);
        log_in(&page, "admin", "password");
        page.wait_for(INSIDE);
        assert_eq!(page.text("#username"), "admin");
        // Another client does something that this user may see.
        let mut client = server.connect();
        let sign = client.log_in("admin");
        publish(&mut client, &sign, "door.opened", &json!({"door": 3}));
        page.wait_for("document.querySelector('#event-rows').textContent.includes('door.opened')");
        page.wait_for("document.querySelectorAll('#session-rows tr').length === 2");
        expect_names(&page, 4);
        page.picture(&format!("home-{name}"), 1000, 960);
        // A second tab has the same session, and ends it.
        let other = browser.open(&url(&server), look);
        other.wait_for(INSIDE);
        other.click("#logout button");
        other.wait_for(OUTSIDE);
        page.wait_for(OUTSIDE);
        assert_eq!(page.text("#event-rows"), "");
        page.expect_no_complaints();
        other.expect_no_complaints();
        let everywhere = format!(
            "POST /logout?everywhere=true HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {sign}\r\nContent-Length: 0\r\n\r\n"
        );
        assert_eq!(client.ask(everywhere).status, 200);
    }
}

#[test]
fn a_session_is_ended_from_the_list_and_a_wrong_password_is_said() {
    let Some(browser) = Browser::start() else {
        return;
    };
    let server = TestServer::start();
    let page = browser.open(&url(&server), Look::Calm);
    log_in(&page, "alice", "wrong");
    page.wait_for("document.querySelector('#notice').textContent.includes('wrong')");
    page.write("password"); // the field is selected
    page.press("Enter");
    page.wait_for(INSIDE);
    let mut other = server.connect();
    let sign = other.log_in("alice");
    page.wait_for("document.querySelectorAll('#session-rows button').length === 1");
    page.tab_to("#session-rows button");
    page.press("Enter");
    page.wait_for("document.querySelectorAll('#session-rows tr').length === 1");
    let answer = other.ask(post("/logout", "text/plain", "").replacen(
        "\r\n\r\n",
        &format!("\r\nAuthorization: Bearer {sign}\r\n\r\n"),
        1,
    ));
    assert_eq!(answer.status, 401, "its session has ended");
}

#[test]
fn without_scripts_a_user_logs_in_and_out_all_the_same() {
    let Some(browser) = Browser::start() else {
        return;
    };
    let server = TestServer::start();
    let page = browser.open_without_scripts(&url(&server));
    page.press("Tab");
    page.write("alice");
    page.press("Tab");
    page.write("password");
    page.press("Enter");
    let shows = |text: &str| {
        crate::harness::wait_until(text, || page.html().contains(text).then_some(()));
    };
    shows("login confirmed");
    page.go(&url(&server));
    for _ in ["user name", "password", "log in", "log out"] {
        page.press("Tab");
    }
    page.press("Enter");
    shows("logout confirmed");
}
