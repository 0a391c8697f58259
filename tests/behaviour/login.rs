//! Logging in: what is refused, how, and that a refusal does not tell which users exist.

use loopgate::config::HashCost;
use loopgate::work::password::decoy;

use crate::harness::{Answer, TestServer, config, login, post, request};
use crate::stored::Stored;

const JSON: &str = "application/json";
const FORM: &str = "application/x-www-form-urlencoded";

/// A login with more header fields.
pub(crate) fn login_with(name: &str, password: &str, headers: &[(&str, &str)]) -> String {
    let body = serde_json::json!({"username": name, "password": password}).to_string();
    let length = body.len().to_string();
    let mut fields = vec![("Content-Type", JSON), ("Content-Length", &*length)];
    fields.extend(headers);
    request("POST", "/login", &fields) + &body
}

/// All that a client sees of an answer, but for the time.
fn seen(answer: Answer) -> Answer {
    let kept = answer
        .headers
        .into_iter()
        .filter(|(name, _)| name != "date");
    Answer {
        headers: kept.collect(),
        ..answer
    }
}

#[test]
fn every_way_to_fail_is_answered_alike() {
    let stored = Stored::new();
    stored.add("nobody in particular", "");
    stored.add_hashed("damaged", "user", "$argon2id$".into());
    stored.add_hashed("empty", "user", String::new());
    stored.add_hashed("decoy", "user", decoy(HashCost::TOKEN));
    let server = TestServer::with(stored.config(), |_| {});
    let mut client = server.connect();
    let expected = seen(client.ask(login("alice", "wrong")));
    assert_eq!(
        (expected.status, expected.code().as_str()),
        (401, "invalid_credentials")
    );
    let challenge = expected.header("www-authenticate");
    assert_eq!(challenge, Some(r#"Bearer realm="loopgate""#));
    assert_eq!(expected.header("set-cookie"), None);
    for (name, password) in [
        ("unknown", "password"),
        ("Alice", "password"),
        ("alicé", "password"),
        ("alice", "password "),
        ("alice", "Password"),
        ("nobody in particular", "wrong"),
        ("damaged", "password"),
        ("empty", "password"),
        ("decoy", "password"),
    ] {
        let answer = seen(client.ask(login(name, password)));
        assert_eq!(answer, expected, "{name:?} with {password:?}");
    }
}

#[test]
fn the_hash_of_an_unknown_user_costs_what_a_users_does() {
    let cost = |phc: &str| {
        let parts: Vec<_> = phc.split('$').map(str::to_owned).collect();
        (parts[..4].to_vec(), parts[4].len(), parts[5].len())
    };
    for cost_asked in [HashCost::TOKEN, HashCost::DEFAULT] {
        let real = loopgate::work::password::hash(b"password", [7; 16], cost_asked);
        assert_eq!(cost(&decoy(cost_asked)), cost(&real));
    }
}

#[test]
fn an_unknown_user_waits_for_a_hash_like_a_known_one() {
    let mut config = config();
    config.limits.hash_jobs_max = 1;
    let (server, hold) = TestServer::held(config);
    let (mut nobody, mut alice) = (server.connect(), server.connect());
    nobody.send(login("nobody", "password"));
    server.catch_up();
    // The one place in the queue is taken, so it is the unknown user's login that waits there.
    let refused = alice.ask(login("alice", "password"));
    assert_eq!((refused.status, refused.code().as_str()), (503, "busy"));
    assert!(refused.header("retry-after").is_some());
    hold.let_go();
    assert_eq!(nobody.answer().status, 401);
    assert_eq!(alice.ask(login("alice", "password")).status, 200);
}

#[test]
fn what_cannot_be_a_login_is_refused_with_a_clear_code() {
    let server = TestServer::start();
    let mut client = server.connect();
    let json = |name: &str, password: &str| {
        serde_json::json!({"username": name, "password": password}).to_string()
    };
    let (name_max, password_max) = ("é".repeat(128), "x".repeat(1024));
    for (kind, body, code) in [
        (JSON, String::new(), "malformed_json"),
        (JSON, "{".into(), "malformed_json"),
        (JSON, "null".into(), "malformed_json"),
        (JSON, r#"["alice","password"]"#.into(), "malformed_json"),
        (JSON, r#""alice""#.into(), "malformed_json"),
        (JSON, r#"{"username":"alice"}"#.into(), "malformed_json"),
        (JSON, r#"{"password":"password"}"#.into(), "malformed_json"),
        (
            JSON,
            r#"{"username":1,"password":"p"}"#.into(),
            "malformed_json",
        ),
        (
            JSON,
            r#"{"username":"alice","password":null}"#.into(),
            "malformed_json",
        ),
        (
            JSON,
            r#"{"username":"bob","username":"alice","password":"password"}"#.into(),
            "malformed_json",
        ),
        (JSON, json("alice", "password") + "x", "malformed_json"),
        (JSON, json("", "password"), "invalid_username"),
        (
            JSON,
            json(&(name_max.clone() + "e"), "p"),
            "invalid_username",
        ),
        (JSON, json("ali\nce", "password"), "invalid_username"),
        (JSON, json("ali\u{0}ce", "password"), "invalid_username"),
        (JSON, json("ali\u{85}ce", "password"), "invalid_username"),
        (JSON, json("alice", ""), "invalid_password"),
        (
            JSON,
            json("alice", &(password_max.clone() + "x")),
            "invalid_password",
        ),
        (FORM, String::new(), "malformed_form"),
        (FORM, "username=alice".into(), "malformed_form"),
        (FORM, "password=password".into(), "malformed_form"),
        (
            FORM,
            "username=bob&username=alice&password=password".into(),
            "malformed_form",
        ),
        (
            FORM,
            "username=alice&password=password&password=".into(),
            "malformed_form",
        ),
        (
            FORM,
            "username=alice%ff&password=password".into(),
            "malformed_form",
        ),
        (
            FORM,
            "username=alice%00&password=password".into(),
            "invalid_username",
        ),
        (
            FORM,
            "username=&password=password".into(),
            "invalid_username",
        ),
        (FORM, "username=alice&password=".into(), "invalid_password"),
    ] {
        let answer = client.ask(post("/login", kind, &body));
        assert_eq!(
            (answer.status, &*answer.code()),
            (400, code),
            "{kind}: {body}"
        );
        let kind = answer.header("content-type");
        assert_eq!(kind, Some("application/problem+json"));
    }
    // The longest that there can be are looked at, and found wrong.
    assert_eq!(client.ask(login(&name_max, &password_max)).status, 401);
    // After all that the connection is as good as new.
    assert_eq!(client.ask(login("alice", "password")).status, 200);
}

#[test]
fn a_body_of_another_type_is_refused() {
    let server = TestServer::start();
    let mut client = server.connect();
    let body = r#"{"username":"alice","password":"password"}"#;
    for kind in [
        "text/plain",
        "application/jsonp",
        "application/xml",
        "",
        "json",
    ] {
        let answer = client.ask(post("/login", kind, body));
        let expected = (415, "unsupported_media_type");
        assert_eq!((answer.status, &*answer.code()), expected, "{kind:?}");
        assert!(
            answer
                .header("accept")
                .is_some_and(|accept| accept.contains(JSON))
        );
    }
    for kind in ["application/json; charset=utf-8", "Application/JSON"] {
        assert_eq!(
            client.ask(post("/login", kind, body)).status,
            200,
            "{kind:?}"
        );
    }
    let length = body.len().to_string();
    let untyped = request("POST", "/login", &[("Content-Length", &length)]) + body;
    assert_eq!(client.ask(untyped).status, 415);
}

#[test]
fn a_login_sets_a_cookie_that_scripts_do_not_see_and_caches_do_not_keep() {
    let server = TestServer::start();
    let answer = server.connect().ask(login("alice", "password"));
    let confirmed = answer.json();
    let sign = confirmed["user_sign"].as_str().unwrap();
    let cookie = answer.header("set-cookie").expect("a cookie");
    let mut parts = cookie.split("; ");
    assert_eq!(parts.next(), Some(&*format!("session={sign}")));
    let attributes: Vec<_> = parts.collect();
    for wanted in ["HttpOnly", "SameSite=Lax", "Path=/", "Max-Age=86400"] {
        assert!(attributes.contains(&wanted), "{wanted} is not in {cookie}");
    }
    assert!(!cookie.contains("Domain"), "{cookie}");
    assert_eq!(answer.header("cache-control"), Some("no-store"));
}

#[test]
fn a_weak_hash_is_replaced_at_login() {
    let stored = Stored::new();
    let phc_of = |name: &str| {
        let users = stored.snapshot().users;
        let user = users.into_iter().find(|user| user.name == name);
        user.expect("a user").password
    };
    let (weak, others) = (phc_of("alice"), phc_of("admin"));
    let mut config = stored.config();
    config.hash_cost = HashCost {
        memory_kib: 16,
        passes: 2,
        lanes: 1,
    };
    for round in 0..2 {
        let server = TestServer::with(config.clone(), |_| {});
        let mut client = server.connect();
        assert_eq!(client.ask(login("alice", "wrong")).status, 401);
        for _ in 0..2 {
            assert_eq!(
                client.ask(login("alice", "password")).status,
                200,
                "round {round}"
            );
        }
        server.stop();
        let strong = phc_of("alice");
        assert!(
            weak.contains("m=8,t=1,p=1") && strong.contains("m=16,t=2,p=1"),
            "{strong}"
        );
    }
    assert_eq!(
        phc_of("admin"),
        others,
        "who did not log in keeps what was stored"
    );
}
