//! The page for people.

use crate::harness::{Client, TestServer, get, request};

fn page(client: &mut Client, headers: &[(&str, &str)]) -> String {
    let answer = client.ask(request("GET", "/", headers));
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.header("content-type"),
        Some("text/html; charset=utf-8")
    );
    let policy = answer.header("content-security-policy").expect("a policy");
    assert!(policy.starts_with("default-src 'none';"), "{policy}");
    assert!(!policy.contains("unsafe"), "{policy}");
    for needed in [
        "script-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    ] {
        assert!(policy.contains(needed), "{needed} is missing: {policy}");
    }
    answer.body
}

#[test]
fn everything_that_the_page_needs_comes_from_here_and_nothing_is_inline() {
    let server = TestServer::start();
    let mut client = server.connect();
    let html = page(&mut client, &[]);
    assert!(
        !html.contains("style=") && !html.contains("<style"),
        "{html}"
    );
    assert!(
        !html.contains("onclick") && !html.contains("javascript:"),
        "{html}"
    );
    for (tag, kind) in [
        ("src=\"", "text/javascript"),
        ("stylesheet\" href=\"", "text/css"),
    ] {
        let path = html
            .split(tag)
            .nth(1)
            .and_then(|rest| rest.split('"').next());
        let answer = client.ask(get(path.expect("it is there")));
        assert_eq!(answer.status, 200);
        assert!(
            answer
                .header("content-type")
                .is_some_and(|found| found.starts_with(kind))
        );
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    }
}

#[test]
fn the_forms_work_without_a_script() {
    let server = TestServer::start();
    let html = page(&mut server.connect(), &[]);
    for form in [
        r#"<form id="login" method="post" action="/login">"#,
        r#"<form id="logout" method="post" action="/logout">"#,
        r#"name="username""#,
        r#"name="password" type="password""#,
    ] {
        assert!(html.contains(form), "{form} is missing: {html}");
    }
}

#[test]
fn the_page_says_whether_the_cookie_is_good() {
    let server = TestServer::start();
    let mut client = server.connect();
    let sign = client.log_in("alice");
    let cookie = format!("session={sign}");
    assert!(page(&mut client, &[("Cookie", &cookie)]).contains("<body data-session>"));
    for headers in [&[][..], &[("Cookie", "session=forged")]] {
        assert!(!page(&mut client, headers).contains("data-session"));
    }
}
