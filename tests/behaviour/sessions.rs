//! Sessions: how a client presents one, which ones a user sees, and how they end when a user ends them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::thread;

use loopgate::event::Event;
use serde_json::Value;

use crate::harness::{Answer, Client, PATIENCE, TestServer, config, get, login, request, signed};
use crate::stored::Stored;

/// A server that tells what happens to sessions.
fn heard() -> (TestServer, Receiver<Event>) {
    let (heard, events) = mpsc::channel();
    let server = TestServer::with(config(), move |server| {
        server.subscribe("*", move |event: &Event| drop(heard.send(event.clone())));
    });
    (server, events)
}

/// The next event of that name.
fn next(events: &Receiver<Event>, name: &str) -> Event {
    loop {
        let event = events.recv_timeout(PATIENCE).expect("an event");
        if event.fact.name == name {
            return event;
        }
    }
}

fn list(client: &mut Client, sign: &str) -> Vec<Value> {
    let answer = client.ask(signed("GET", "/sessions", sign));
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["sessions"]
        .as_array()
        .expect("a list")
        .clone()
}

fn id_of(client: &mut Client, sign: &str) -> String {
    let sessions = list(client, sign);
    let mut current = sessions.iter().filter(|session| session["current"] == true);
    let own = current.next().expect("the one that asks");
    assert_eq!(current.next(), None, "only one asks");
    own["id"].as_str().unwrap().to_owned()
}

fn assert_no_session(answer: &Answer) {
    assert_eq!(
        (answer.status, &*answer.code()),
        (401, "no_session"),
        "{answer:?}"
    );
    let challenge = answer.header("www-authenticate");
    assert_eq!(challenge, Some(r#"Bearer realm="loopgate""#));
}

#[test]
fn a_session_is_presented_as_bearer_or_as_cookie() {
    let server = TestServer::start();
    let mut client = server.connect();
    let sign = client.log_in("alice");
    let (bearer, cookie) = (format!("Bearer {sign}"), format!("a=b; session={sign}"));
    for headers in [
        &[("Authorization", &*bearer)][..],
        &[("authorization", &*bearer.replace("Bearer", "bearer"))],
        &[("Cookie", &*cookie)],
        &[("Cookie", "theme=dark"), ("Cookie", &*cookie)],
        &[("Cookie", &*cookie), ("Cookie", &*cookie)],
        &[("Authorization", "Basic YTpi"), ("Cookie", &*cookie)],
        &[("Authorization", &*bearer), ("Cookie", "session=other")],
    ] {
        for target in ["/session", "/sessions"] {
            let answer = client.ask(request("GET", target, headers));
            assert_eq!(answer.status, 200, "{headers:?}");
            assert_eq!(answer.header("cache-control"), Some("no-store"));
        }
        let answer = client.ask(request("GET", "/session", headers)).json();
        assert_eq!(
            (&answer["username"], &answer["role"]),
            (&"alice".into(), &"user".into())
        );
    }
}

#[test]
fn what_is_no_clear_signature_never_passes() {
    let server = TestServer::start();
    let mut client = server.connect();
    let (sign, other) = (client.log_in("alice"), client.log_in("alice"));
    let bearer = format!("Bearer {sign}");
    let authorizations = [
        String::new(),
        "Bearer".into(),
        "Bearer ".into(),
        sign.clone(),
        format!("Bearer{sign}"),
        format!("Bearer\t{sign}"),
        format!("Bearer {sign} {sign}"),
        format!("Bearer {sign},"),
        format!("Bearer \"{sign}\""),
        format!("Bearer {sign}="),
        format!("Bearer {sign}\u{e9}"),
        format!("Bearer {sign}\0"),
        format!("Bearer {}", &sign[1..]),
        format!("Bearer {}", &sign[..sign.len() - 1]),
        format!("Bearer {}", sign.to_uppercase()),
        format!("Bearer {}", sign.replace('.', "")),
        format!("Bearer {sign}.{sign}"),
        format!("Basic {sign}"),
        format!("Digest {bearer}"),
        format!("{bearer}, {bearer}"),
    ];
    let cookies = [
        String::new(),
        "session".into(),
        "session=".into(),
        sign.clone(),
        format!("Session={sign}"),
        format!("session ={sign}"),
        format!("session=\"{sign}\""),
        format!("session={sign},"),
        format!("session={sign}; session={other}"),
        format!("session={other}; session="),
        format!("session=; session={sign}"),
        format!("xsession={sign}"),
        format!("session={}", &sign[..sign.len() - 1]),
    ];
    let mut cases: Vec<Vec<(&str, &str)>> = vec![
        vec![],
        vec![("Authorization", &bearer), ("Authorization", &bearer)],
        vec![("Authorization", "Basic YTpi"), ("Authorization", &bearer)],
        vec![("Proxy-Authorization", &bearer)],
        vec![("X-Authorization", &bearer)],
    ];
    cases.extend(
        authorizations
            .iter()
            .map(|value| vec![("Authorization", &**value)]),
    );
    cases.extend(cookies.iter().map(|value| vec![("Cookie", &**value)]));
    // An unclear header is not made good by a clear cookie.
    let cookie = format!("session={sign}");
    cases.push(vec![("Authorization", "Bearer"), ("Cookie", &cookie)]);
    let second = format!("session={other}");
    cases.push(vec![("Cookie", &cookie), ("Cookie", &second)]);
    for headers in cases {
        for target in ["/verify", "/verify?x=1", "/session", "/sessions"] {
            let answer = server.connect().ask(request("GET", target, &headers));
            match answer.status {
                401 => assert_no_session(&answer),
                400 => {}
                _ => panic!("{target} with {headers:?}: {answer:?}"),
            }
        }
    }
    assert_eq!(client.ask(signed("GET", "/verify", &sign)).status, 204);
}

#[test]
fn a_proxy_learns_whose_request_it_holds() {
    let stored = Stored::new();
    stored.add("Ærø 100%", "producer");
    let server = TestServer::with(stored.config(), |_| {});
    let mut client = server.connect();
    for (name, in_header, role) in [
        ("alice", "alice", "user"),
        ("Ærø 100%", "%C3%86r%C3%B8 100%25", "producer"),
    ] {
        let answer = client.ask(login(name, "password")).json();
        let sign = answer["user_sign"].as_str().unwrap();
        let verified = client.ask(signed("GET", "/verify", sign));
        assert_eq!((verified.status, &*verified.body), (204, ""));
        let header = |name| verified.header(name);
        assert_eq!(header("x-user-id"), answer["user_id"].as_str());
        assert_eq!(header("x-user-name"), Some(in_header));
        assert_eq!(header("x-user-role"), Some(role));
        assert_eq!(header("cache-control"), Some("no-store"));
        let session = client.ask(signed("GET", "/session", sign)).json();
        assert_eq!(session["username"], name);
    }
}

#[test]
fn users_list_and_revoke_their_own_sessions_only() {
    let (server, events) = heard();
    let mut client = server.connect();
    let (first, second) = (client.log_in("alice"), client.log_in("alice"));
    let stranger = client.log_in("admin");
    let [first_id, second_id, stranger_id] =
        [&first, &second, &stranger].map(|sign| id_of(&mut client, sign));
    let mut ids: Vec<_> = list(&mut client, &first)
        .iter()
        .map(|session| session["id"].as_str().unwrap().to_owned())
        .collect();
    ids.sort();
    let mut expected = vec![first_id.clone(), second_id.clone()];
    expected.sort();
    assert_eq!(ids, expected);

    let mut revoke =
        |id: &str, sign: &str| client.ask(signed("DELETE", &format!("/sessions/{id}"), sign));
    for id in [
        &*stranger_id,
        "x",
        "AAAAAAAAAAAAAAAAAAAAAA",
        "%2e%2e",
        "%ff",
        &first_id[1..],
    ] {
        let answer = revoke(id, &first);
        assert!([400, 404].contains(&answer.status), "{id}: {answer:?}");
        if id == stranger_id {
            assert_eq!((answer.status, &*answer.code()), (404, "no_such_session"));
        }
    }
    let answer = revoke(&second_id, &first);
    assert_eq!(
        (answer.status, &answer.json()["revoked"]),
        (200, &1.into()),
        "{answer:?}"
    );
    let event = next(&events, "session.revoked");
    assert_eq!(event.fact.data["session_id"], *second_id);
    assert_eq!(answer.header("set-cookie"), None, "the own cookie stays");
    assert_eq!(revoke(&second_id, &first).status, 404, "it is gone");
    assert_no_session(&client.ask(signed("GET", "/session", &second)));
    for sign in [&first, &stranger] {
        assert_eq!(client.ask(signed("GET", "/session", sign)).status, 200);
    }
}

#[test]
fn revoking_twice_at_once_does_not_deny_the_caller() {
    let (server, events) = heard();
    let (mut left, mut right) = (server.connect(), server.connect());
    for _ in 0..ROUNDS {
        let (own, other) = (left.log_in("alice"), left.log_in("alice"));
        let target = format!("/sessions/{}", id_of(&mut left, &other));
        left.send(signed("DELETE", &target, &own));
        right.send(signed("DELETE", &target, &own));
        let mut answers = [left.answer(), right.answer()];
        answers.sort_by_key(|answer| answer.status);
        let seen = [answers[0].status, answers[1].status];
        assert_eq!(seen, [200, 404], "{answers:?}");
        assert_eq!(left.ask(signed("POST", "/logout", &own)).status, 200);
        next(&events, "session.revoked");
    }
    server.stop();
    assert!(
        events
            .iter()
            .all(|event| event.fact.name != "session.revoked")
    );
}

#[test]
fn logging_out_everywhere_ends_all_sessions_of_the_user() {
    let (server, events) = heard();
    let mut client = server.connect();
    let signs: Vec<_> = (0..3).map(|_| client.log_in("alice")).collect();
    let stranger = client.log_in("admin");
    for nonsense in ["nonsense", "TRUE", "2", "%00"] {
        let target = format!("/logout?everywhere={nonsense}");
        let answer = server.connect().ask(signed("POST", &target, &signs[0]));
        assert_eq!(answer.status, 400, "{nonsense}");
    }
    assert_eq!(client.ask(signed("GET", "/session", &signs[0])).status, 200);
    let answer = client.ask(signed("POST", "/logout?everywhere=true", &signs[1]));
    assert_eq!(
        (answer.status, &answer.json()["revoked"]),
        (200, &3.into()),
        "{answer:?}"
    );
    assert_eq!(
        next(&events, "user.logged_out").fact.data["everywhere"],
        true
    );
    for sign in &signs {
        assert_no_session(&client.ask(signed("GET", "/session", sign)));
        assert_no_session(&client.ask(signed("POST", "/logout", sign)));
    }
    assert_eq!(client.ask(signed("GET", "/session", &stranger)).status, 200);
}

#[test]
fn logging_out_everywhere_ends_what_was_confirmed_while_it_was_under_way() {
    let (server, events) = heard();
    let address = server.address;
    let done = AtomicBool::new(false);
    let mut client = server.connect();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut client = Client::connect(address);
                while !done.load(Ordering::Relaxed) {
                    client.log_in("alice");
                }
            });
        }
        for _ in 0..100 {
            let sign = client.log_in("alice");
            let answer = client.ask(signed("POST", "/logout?everywhere=true", &sign));
            assert_eq!(answer.status, 200);
        }
        done.store(true, Ordering::Relaxed);
    });
    let last = client.log_in("alice");
    let living = client.ask(signed("GET", "/sessions", &last)).json();
    let living = living["sessions"].as_array().expect("a list").clone();
    assert!(!living.is_empty());
    // What happened before the last logout, in the order in which it was written down.
    let all: Vec<Event> = std::iter::from_fn(|| events.try_recv().ok()).collect();
    let out = all
        .iter()
        .rposition(|event| event.fact.name == "user.logged_out");
    let before = &all[..out.expect("there was one")];
    let logins = before
        .iter()
        .filter(|event| event.fact.name == "user.logged_in");
    for login in logins {
        let id = &login.fact.data["session_id"];
        assert!(id.is_string());
        let lives = living.iter().any(|session| session["id"] == *id);
        assert!(!lives, "{login:?}");
    }
}

/// How often two try at once.
const ROUNDS: usize = 10;

#[test]
fn logging_out_twice_at_once_is_one_logout() {
    const ROUNDS: usize = 10;
    let (server, events) = heard();
    let (mut left, mut right) = (server.connect(), server.connect());
    for round in 0..ROUNDS {
        let sign = left.log_in("alice");
        let logout = signed("POST", "/logout", &sign);
        let answers = if round % 2 == 0 {
            left.send(&logout);
            right.send(&logout);
            [left.answer(), right.answer()]
        } else {
            left.send(logout.repeat(2)); // pipelined
            [left.answer(), left.answer()]
        };
        let confirmed = answers.iter().filter(|answer| answer.status == 200).count();
        assert_eq!(confirmed, 1, "{answers:?}");
        let refused = answers.iter().find(|answer| answer.status != 200);
        assert_no_session(refused.expect("the other one"));
    }
    server.stop();
    let out = events
        .iter()
        .filter(|event| event.fact.name == "user.logged_out");
    assert_eq!(out.count(), ROUNDS);
}

#[test]
fn a_logout_ends_the_signature_and_clears_the_cookie() {
    let server = TestServer::start();
    let mut client = server.connect();
    let sign = client.log_in("alice");
    let answer = client.ask(signed("POST", "/logout", &sign));
    let cookie = answer.header("set-cookie").expect("a cookie");
    assert!(
        cookie.starts_with("session=;") && cookie.contains("Max-Age=0"),
        "{cookie}"
    );
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    for target in ["/session", "/sessions", "/verify"] {
        assert_no_session(&client.ask(signed("GET", target, &sign)));
    }
    assert_no_session(&client.ask(signed("POST", "/logout", &sign)));
    // Following a link must not log a user out.
    let sign = client.log_in("alice");
    assert_eq!(client.ask(signed("GET", "/logout", &sign)).status, 405);
    assert_eq!(client.ask(signed("GET", "/session", &sign)).status, 200);
}

#[test]
fn each_login_is_a_new_session() {
    let server = TestServer::start();
    let mut client = server.connect();
    let signs: Vec<_> = (0..5).map(|_| client.log_in("alice")).collect();
    let mut ids: Vec<_> = signs.iter().map(|sign| id_of(&mut client, sign)).collect();
    // A client that logs in while it has a session gets a new one.
    let cookie = format!("session={}", signs[0]);
    let headers = [("Cookie", &*cookie), ("Sec-Fetch-Site", "same-origin")];
    let again = client
        .ask(crate::login::login_with("alice", "password", &headers))
        .json();
    ids.push(id_of(&mut client, again["user_sign"].as_str().unwrap()));
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 6);
    assert_eq!(
        client.ask(get("/session")).status,
        401,
        "nothing sticks to a connection"
    );
}
