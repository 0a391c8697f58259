//! No password is in a recording, however it was sent: in the right place, in one that is almost right, and in places
//! that a server never thought of.

use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use rustix::process::Signal;

use crate::harness::{Program, get, post, request};
use crate::run::run;

const FORM: &str = "application/x-www-form-urlencoded";
const JSON: &str = "application/json";

fn head(line: &str, fields: &str) -> String {
    format!("{line} HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n")
}

fn chunked(target: &str, kind: &str, chunks: &str) -> String {
    let fields = format!("Content-Type: {kind}\r\nTransfer-Encoding: chunked\r\n");
    head(&format!("POST {target}"), &fields) + chunks
}

fn percent(secret: &str) -> String {
    let escapes: Vec<_> = secret.bytes().map(|byte| format!("%{byte:02x}")).collect();
    escapes.concat()
}

fn unicode(secret: &str) -> String {
    let escapes: Vec<_> = secret
        .bytes()
        .map(|byte| format!("\\u{byte:04x}"))
        .collect();
    escapes.concat()
}

/// Requests in which `s` is the secret, each with what is wrong with it.
#[expect(clippy::too_many_lines, reason = "a table")]
fn ways(s: &str) -> Vec<(&'static str, String)> {
    let form = format!("username=alice&password={s}");
    let json = format!(r#"{{"username":"alice","password":"{s}"}}"#);
    let basic = STANDARD_NO_PAD.encode(format!("alice:{s}"));
    let field = |name: &str, value: &str| request("GET", "/session", &[(name, value)]);
    let (first, second) = s.split_at(9);
    vec![
        ("nothing, a form", post("/login", FORM, &form)),
        ("nothing, JSON", post("/login", JSON, &json)),
        ("a slash too many", post("/login/", FORM, &form)),
        ("another slash too many", post("//login", JSON, &json)),
        ("a capital letter", post("/Login", JSON, &json)),
        ("capital letters", post("/LOGIN", FORM, &form)),
        ("another server's path", post("/api/v1/login", JSON, &json)),
        ("a file", post("/login.php", FORM, &form)),
        ("JSON as a form", post("/login", FORM, &json)),
        ("a form as JSON", post("/login", JSON, &form)),
        ("text", post("/login", "text/plain", &form)),
        (
            "a type with a password in it",
            post("/login", &format!("{JSON}; a={s}"), &json),
        ),
        (
            "another type",
            post("/login", &format!("application/{s}"), &json),
        ),
        (
            "no type",
            head(
                "POST /login",
                &format!("Content-Length: {}\r\n", form.len()),
            ) + &form,
        ),
        (
            "several parts",
            post(
                "/login",
                "multipart/form-data; boundary=b",
                &format!(
                    "--b\r\nContent-Disposition: form-data; name=\"password\"\r\n\r\n{s}\r\n--b--\r\n"
                ),
            ),
        ),
        (
            "pass",
            post("/login", FORM, &format!("username=alice&pass={s}")),
        ),
        (
            "Password",
            post("/login", FORM, &format!("username=alice&Password={s}")),
        ),
        (
            "passwd",
            post("/login", FORM, &format!("user=alice&passwd={s}")),
        ),
        (
            "a space before the name",
            post("/login", FORM, &format!("username=alice& password={s}")),
        ),
        (
            "password[]",
            post("/login", FORM, &format!("username=alice&password[]={s}")),
        ),
        (
            "a colon for the sign",
            post("/login", FORM, &format!("username:alice&password:{s}")),
        ),
        (
            "a semicolon between",
            post("/login", FORM, &format!("username=alice;password={s}")),
        ),
        (
            "twice",
            post(
                "/login",
                FORM,
                &format!("username=alice&password=a&password={s}"),
            ),
        ),
        ("the password alone", post("/login", FORM, s)),
        (
            "escaped",
            post(
                "/login",
                FORM,
                &format!("username=alice&password={}", percent(s)),
            ),
        ),
        (
            "escaped, another field",
            post("/login", FORM, &format!("username=alice&pw={}", percent(s))),
        ),
        (
            "no UTF-8",
            post("/login", FORM, &format!("username=alice&password=%ff{s}")),
        ),
        (
            "an escape cut short",
            post("/login", FORM, &format!("username=alice&password={s}%4")),
        ),
        (
            "as the name",
            post("/login", FORM, &format!("username={s}&password=a")),
        ),
        (
            "JSON, Password",
            post(
                "/login",
                JSON,
                &format!(r#"{{"username":"alice","Password":"{s}"}}"#),
            ),
        ),
        (
            "JSON, pwd",
            post(
                "/login",
                JSON,
                &format!(r#"{{"user":"alice","pwd":"{s}"}}"#),
            ),
        ),
        (
            "JSON, within",
            post(
                "/login",
                JSON,
                &format!(r#"{{"login":{{"username":"alice","password":"{s}"}}}}"#),
            ),
        ),
        (
            "JSON, a list",
            post("/login", JSON, &format!(r#"["alice","{s}"]"#)),
        ),
        (
            "JSON, a list for the password",
            post(
                "/login",
                JSON,
                &format!(r#"{{"username":"alice","password":["{s}"]}}"#),
            ),
        ),
        (
            "JSON, a string alone",
            post("/login", JSON, &format!("\"{s}\"")),
        ),
        (
            "JSON, as the key",
            post("/login", JSON, &format!(r#"{{"{s}":"alice"}}"#)),
        ),
        (
            "JSON, a stray quote",
            post(
                "/login",
                JSON,
                &format!(r#"{{"username":"alice"","password":"{s}"}}"#),
            ),
        ),
        (
            "JSON, a quote in it",
            post(
                "/login",
                JSON,
                &format!(r#"{{"username":"alice","password":"a"{s}"}}"#),
            ),
        ),
        (
            "JSON, a quote missing",
            post(
                "/login",
                JSON,
                &format!(r#"{{"username":"alice","password":"{s}}}"#),
            ),
        ),
        (
            "JSON, the end of a line",
            post(
                "/login",
                JSON,
                &format!(r#"{{"username":"{s}\n","password":"{s}"}}"#),
            ),
        ),
        (
            "JSON, half a character",
            post(
                "/login",
                JSON,
                &format!(r#"{{"username":"\ud83dalice","password":"{s}"}}"#),
            ),
        ),
        ("a letter with an accent", get(&format!("/login\u{e9}/{s}"))),
        (
            "JSON, a quote behind it",
            post("/login", JSON, &format!("{json}\"")),
        ),
        (
            "JSON, sent twice",
            post("/login", JSON, &(json.clone() + &json)),
        ),
        (
            "JSON, a name twice, and a fault",
            post(
                "/login",
                JSON,
                &format!(r#"{{"username":"alice","username":"{s}",}}"#),
            ),
        ),
        (
            "JSON, single quotes",
            post(
                "/login",
                JSON,
                &format!("{{'username':'alice','password':'{s}'}}"),
            ),
        ),
        (
            "JSON, no quotes",
            post("/login", JSON, &format!("{{username:alice,password:{s}}}")),
        ),
        (
            "JSON, a comma too many",
            post(
                "/login",
                JSON,
                &format!(r#"{{"username":"alice","password":"{s}",}}"#),
            ),
        ),
        (
            "JSON, a bad escape",
            post(
                "/login",
                JSON,
                &format!(r#"{{"username":"alice","password":"\q{s}"}}"#),
            ),
        ),
        (
            "JSON, all escaped",
            post(
                "/login",
                JSON,
                &format!(r#"{{"username":"alice","passphrase":"{}"}}"#, unicode(s)),
            ),
        ),
        (
            "JSON, in base64",
            post("/login", JSON, &format!(r#"{{"credentials":"{basic}"}}"#)),
        ),
        (
            "another method",
            post("/login", FORM, &form).replacen("POST", "PUT", 1),
        ),
        (
            "no method",
            post("/login", FORM, &form).replacen("POST", "LOGIN", 1),
        ),
        (
            "a query",
            get(&format!("/login?username=alice&password={s}")),
        ),
        (
            "a query behind the right body",
            post(
                &format!("/login?password={s}"),
                FORM,
                "username=a&password=b",
            ),
        ),
        (
            "an escaped query",
            get(&format!("/session?p={}", percent(s))),
        ),
        (
            "a known name in a query",
            get(&format!("/events?since={s}&pattern={s}!")),
        ),
        ("a path", get(&format!("/login/alice/{s}"))),
        ("an escaped path", get(&format!("/{}", percent(s)))),
        (
            "a session's id",
            request("DELETE", &format!("/sessions/{s}"), &[]),
        ),
        ("a fragment", get(&format!("/login#{s}"))),
        (
            "user information",
            get(&format!("http://alice:{s}@localhost/session")),
        ),
        ("Basic", field("Authorization", &format!("Basic {basic}"))),
        ("no scheme", field("Authorization", s)),
        ("a bearer", field("Authorization", &format!("Bearer {s}"))),
        (
            "for a proxy",
            field("Proxy-Authorization", &format!("Basic {basic}")),
        ),
        ("an API key", field("X-Api-Key", s)),
        ("a field of its own", field("X-Password", s)),
        (
            "another application's cookie",
            field("Cookie", &format!("theme=dark; sid={s}")),
        ),
        ("a cookie's name", field("Cookie", &format!("{s}=1"))),
        (
            "the page before",
            field("Referer", &format!("http://localhost/?password={s}")),
        ),
        (
            "an origin",
            field("Origin", &format!("http://alice:{s}@localhost")),
        ),
        (
            "the browser's name",
            field("User-Agent", &format!("curl/8 ({s})")),
        ),
        ("an address", field("X-Forwarded-For", s)),
        ("a place", field("Last-Event-ID", s)),
        ("an expectation", field("Expect", s)),
        ("a protocol", field("Sec-WebSocket-Protocol", s)),
        ("an option", field("Connection", s)),
        (
            "a method",
            format!("{s} / HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        ),
        ("a version", format!("GET / {s}\r\nHost: localhost\r\n\r\n")),
        (
            "a space in the target",
            format!("GET /login?password=a {s} HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        ),
        (
            "a name of a field",
            head("GET /session", &format!("{s}: 1\r\n")),
        ),
        (
            "a line without a colon",
            head("GET /session", &format!("{s}\r\n")),
        ),
        (
            "a folded line",
            head("GET /session", &format!("Accept: a\r\n {s}\r\n")),
        ),
        (
            "a request that is none",
            format!("username=alice&password={s}\r\n\r\n"),
        ),
        (
            "behind a refused head",
            format!("GET / HTTP/1.1\r\nno colon\r\n\r\npassword={s}"),
        ),
        (
            "a length too short",
            head(
                "POST /login",
                &format!("Content-Type: {FORM}\r\nContent-Length: 5\r\n"),
            ) + &form,
        ),
        (
            "a length too long",
            head(
                "POST /login",
                &format!("Content-Type: {FORM}\r\nContent-Length: 500\r\n"),
            ) + &form,
        ),
        (
            "behind another request",
            get("/healthz") + &post("/signin", FORM, &form),
        ),
        (
            "a body of GET",
            post("/session", FORM, &form).replacen("POST", "GET", 1),
        ),
        ("a body of a logout", post("/logout", JSON, &json)),
        (
            "a pattern that is none",
            get(&format!("/events?pattern={s}*")),
        ),
        ("an event", post("/events", JSON, &json)),
        (
            "an event's name",
            post(
                "/events",
                JSON,
                &format!(r#"{{"name":"my password: {s}"}}"#),
            ),
        ),
        (
            "an event that breaks off",
            post("/events", JSON, &format!(r#"{{"name":"a","data":"{s}""#)),
        ),
        (
            "in chunks",
            chunked(
                "/login",
                FORM,
                &format!(
                    "12\r\npassword={first}\r\n{:x}\r\n{second}\r\n0\r\n\r\n",
                    second.len()
                ),
            ),
        ),
        (
            "in chunks, elsewhere",
            chunked(
                "/signin",
                FORM,
                &format!("{:x}\r\n{s}\r\n0\r\n\r\n", s.len()),
            ),
        ),
        (
            "an extension of a chunk",
            chunked("/login", FORM, &format!("1;p={s}\r\na\r\n0\r\n\r\n")),
        ),
        (
            "a trailer",
            chunked(
                "/login",
                FORM,
                &format!("1\r\na\r\n0\r\nX-Password: {s}\r\n\r\n"),
            ),
        ),
        (
            "a size that is none",
            chunked("/login", FORM, &format!("{s}\r\n")),
        ),
    ]
}

/// Everything that a file could have of a secret: itself, escaped, and in base64, wherever it begins.
fn forms(secret: &str) -> Vec<String> {
    let mut forms = vec![secret.to_owned(), percent(secret), unicode(secret)];
    for before in ["", "a", "ab"] {
        let bytes = format!("{before}{secret}");
        for encoded in [
            STANDARD_NO_PAD.encode(&bytes),
            URL_SAFE_NO_PAD.encode(&bytes),
        ] {
            // Its first and last characters depend on what is around it.
            forms.push(encoded[4..encoded.len() - 3].to_owned());
        }
    }
    forms
}

#[test]
fn no_password_is_in_a_recording_however_it_was_sent() {
    let program = Program::start(&["--record", "tape"]);
    let secrets: Vec<String> = (100..100 + ways("123456789").len())
        .map(|number| format!("gEheim{number}wOrt"))
        .collect();
    for (place, secret) in secrets.iter().enumerate() {
        let (_, request) = ways(secret).swap_remove(place);
        let mut client = program.connect();
        // Every other one comes in two pieces, cut within the secret where that is there as it is.
        let cut = request.find(secret.as_str()).map_or(0, |at| at + 7);
        let (first, second) = request.split_at(if place % 2 == 0 { 0 } else { cut });
        client.send(first);
        program.catch_up();
        client.send(second);
        client.half_close();
        client.rest();
    }
    let mut program = program;
    program.signal(Signal::TERM);
    assert!(program.wait().success());
    let directory = program.directory().clone();
    let bytes = fs::read(directory.path().join("tape")).expect("there is a recording");
    let text = String::from_utf8_lossy(&bytes).to_ascii_lowercase();
    let mut told = Vec::new();
    for (place, secret) in secrets.iter().enumerate() {
        let is_there = |form: &String| text.contains(&form.to_ascii_lowercase());
        if forms(secret).iter().any(is_there) {
            told.push(ways(secret)[place].0);
        }
    }
    assert!(
        told.is_empty(),
        "{told:?} of {} are in the recording",
        secrets.len()
    );
    // All the same, everything was refused for the same reason.
    let replayed = run(directory.command(&["replay", "tape"]))
        .succeeded()
        .to_owned();
    assert!(
        replayed.contains("1 state compared and the same"),
        "{replayed}"
    );
}
