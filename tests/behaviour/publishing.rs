//! Which users may publish an event, and which users see it.

use serde_json::{Value, json};

use crate::harness::{Answer, Client, TestServer, config, post, request, signed};
use crate::listeners::{Sse, Ws, events_of, id_of, name_of, poll, publication, publish};

fn ask_to_publish(client: &mut Client, sign: &str, body: &Value) -> Answer {
    client.ask(publication(sign, body))
}

#[test]
fn producers_and_admins_publish_and_users_do_not() {
    let server = TestServer::start();
    let mut client = server.connect();
    for (user, status) in [("admin", 202), ("button", 202), ("alice", 403)] {
        let sign = client.log_in(user);
        let event = json!({"name": "button_clicked", "data": {"count": 1}});
        let answer = ask_to_publish(&mut client, &sign, &event);
        assert_eq!(answer.status, status, "{answer:?}");
        if status == 403 {
            assert_eq!(answer.code(), "not_a_producer");
            continue;
        }
        let id = id_of(&answer.json());
        let query = format!("since={}", id - 1);
        let events = events_of(&poll(&mut client, &sign, &query));
        assert_eq!(events.len(), 1);
        assert_eq!(id_of(&events[0]), id);
        assert_eq!(name_of(&events[0]), "button_clicked");
        assert_eq!(events[0]["sender"], *user, "the user is the sender");
        assert_eq!(events[0]["data"], json!({"count": 1}));
    }
}

#[test]
fn what_is_no_event_is_refused_and_takes_no_id() {
    let server = TestServer::start();
    let mut client = server.connect();
    let sign = client.log_in("admin");
    let first = publish(&mut client, &sign, "first", &Value::Null);
    let long = "x".repeat(129);
    for (body, code) in [
        (json!({}), "malformed_event"),
        (json!([]), "malformed_event"),
        (json!(["name", 1]), "malformed_event"),
        (json!({"name": 1}), "malformed_event"),
        (json!({"name": ""}), "malformed_event"),
        (json!({"name": "a b"}), "malformed_event"),
        (json!({"name": "a\nb"}), "malformed_event"),
        (json!({"name": "a.*"}), "malformed_event"),
        (json!({"name": long}), "malformed_event"),
        (json!({"name": "a", "sender": "login"}), "malformed_event"),
        (json!({"name": "a", "id": 7}), "malformed_event"),
        (json!({"name": "user.logged_in"}), "reserved_name"),
        (json!({"name": "session.expired"}), "reserved_name"),
        (json!({"name": "server.draining"}), "reserved_name"),
        (json!({"name": "error"}), "reserved_name"),
        (json!({"name": "gap"}), "reserved_name"),
        (json!({"name": "a", "user_id": "99"}), "no_such_user"),
        (json!({"name": "a", "user_id": "alice"}), "no_such_user"),
        (json!({"name": "a", "user_id": 1}), "malformed_event"),
    ] {
        let answer = ask_to_publish(&mut client, &sign, &body);
        assert_eq!(
            (answer.status, answer.code()),
            (400, code.to_owned()),
            "{body}"
        );
    }
    for (content_type, body, status) in [
        ("application/json", "{\"name\":\"a\"", 400),
        ("application/json", "", 400),
        ("text/plain", "{\"name\":\"a\"}", 415),
        ("application/x-www-form-urlencoded", "name=a", 415),
    ] {
        let request = post("/events", content_type, body);
        let signed = format!("\r\nAuthorization: Bearer {sign}\r\n\r\n");
        let answer = client.ask(request.replacen("\r\n\r\n", &signed, 1));
        assert_eq!(answer.status, status, "{content_type} {body}");
    }
    assert_eq!(
        publish(&mut client, &sign, "second", &Value::Null),
        first + 1
    );
}

#[test]
fn without_a_session_or_from_another_site_nothing_is_published_or_followed() {
    let server = TestServer::start();
    let mut client = server.connect();
    let sign = client.log_in("admin");
    let (cookie, bearer) = (format!("session={sign}"), format!("Bearer {sign}"));
    let body = json!({"name": "a"}).to_string();
    for (fields, publishes, follows, opens) in [
        (&[][..], 401, 401, Some(401)),
        (&[("Authorization", "Bearer nonsense")], 401, 401, Some(401)),
        (&[("Cookie", &*cookie)], 403, 200, Some(403)),
        (
            &[("Cookie", &*cookie), ("Origin", "https://evil.example")],
            403,
            403,
            Some(403),
        ),
        (
            &[("Cookie", &*cookie), ("Sec-Fetch-Site", "cross-site")],
            403,
            403,
            Some(403),
        ),
        (
            &[("Cookie", &*cookie), ("Sec-Fetch-Site", "same-site")],
            403,
            403,
            Some(403),
        ),
        (
            // The user typed the address, or opened a bookmark.
            &[("Cookie", &*cookie), ("Sec-Fetch-Site", "none")],
            202,
            200,
            None,
        ),
        (
            // A client that presents the signature itself is no page of another site, from any origin.
            &[
                ("Authorization", &*bearer),
                ("Sec-Fetch-Site", "cross-site"),
            ],
            202,
            200,
            None,
        ),
        (
            &[("Cookie", &*cookie), ("Sec-Fetch-Site", "same-origin")],
            202,
            200,
            None,
        ),
    ] {
        let length = body.len().to_string();
        let mut with_body = fields.to_vec();
        with_body.extend([
            ("Content-Type", "application/json"),
            ("Content-Length", &length),
        ]);
        let answer = client.ask(request("POST", "/events", &with_body) + &body);
        assert_eq!(answer.status, publishes, "POST {fields:?}");
        // A page of another site could not read the answer, but it could take the session's places.
        let answer = client.ask(request("GET", "/events", fields));
        assert_eq!(answer.status, follows, "GET {fields:?}");
        if follows != 200 {
            let stream = [fields, &[("Accept", "text/event-stream")]].concat();
            let answer = client.ask(request("GET", "/events", &stream));
            assert_eq!(answer.status, follows, "SSE {fields:?}");
        }
        let opened = Ws::try_open(server.address, "/events", fields).err();
        assert_eq!(opened, opens, "WebSocket {fields:?}");
    }
    let own = format!("http://{}", server.address);
    let fields = [("Cookie", &*cookie), ("Origin", &*own)];
    assert!(Ws::try_open(server.address, "/events", &fields).is_ok());
}

#[test]
fn a_user_sees_their_own_events_on_every_transport_and_an_admin_sees_all() {
    let server = TestServer::start();
    let mut client = server.connect();
    let [admin, alice, button] = ["admin", "alice", "button"].map(|user| client.log_in(user));
    let alice_id = client.ask(signed("GET", "/session", &alice)).json()["user_id"].clone();
    let mut sse = Sse::open(server.connect(), &alice, "since=0");
    let mut websocket = Ws::open(server.address, &alice, "/events?since=0");
    for sign in [&admin, &button] {
        publish(&mut client, sign, "own", &Value::Null);
        let for_alice = json!({"name": "hers", "user_id": alice_id});
        assert_eq!(ask_to_publish(&mut client, sign, &for_alice).status, 202);
    }
    let hers = ["server.started", "user.logged_in", "hers", "hers"];
    let all = [
        "server.started",
        "user.logged_in",
        "user.logged_in",
        "user.logged_in",
        "own",
        "hers",
        "own",
        "hers",
    ];
    let names = |events: &[Value]| -> Vec<String> {
        events
            .iter()
            .map(|event| name_of(event).to_owned())
            .collect()
    };
    assert_eq!(names(&hers.map(|_| sse.event())), hers);
    assert_eq!(names(&hers.map(|_| websocket.event())), hers);
    for (sign, expected) in [
        (&alice, &hers[..]),
        (&admin, &all),
        (&button, &["server.started", "user.logged_in", "own"]),
    ] {
        let events = events_of(&poll(&mut client, sign, "since=0"));
        assert_eq!(names(&events), expected);
    }
    let events = events_of(&poll(&mut client, &alice, "since=0&pattern=hers,server.*"));
    assert_eq!(names(&events), ["server.started", "hers", "hers"]);
}

#[test]
fn a_subscriber_gets_the_patterns_that_it_asked_for_and_can_change_them() {
    let server = TestServer::start();
    let mut client = server.connect();
    let sign = client.log_in("admin");
    let mut socket = Ws::open(server.address, &sign, "/events?pattern=a");
    let code = |said: Value| {
        said["error"]["code"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    socket.say(&json!({"subscribe": "b.*"}));
    assert_eq!(socket.event(), json!({"subscribed": ["a", "b.*"]}));
    socket.say(&json!({"subscribe": "b.*"}));
    assert_eq!(socket.event(), json!({"subscribed": ["a", "b.*"]}));
    socket.say(&json!({"unsubscribe": "a"}));
    assert_eq!(socket.event(), json!({"subscribed": ["b.*"]}));
    for name in ["a", "b", "b.1", "c"] {
        publish(&mut client, &sign, name, &Value::Null);
    }
    assert_eq!(name_of(&socket.event()), "b.1");
    // What it cannot make sense of is answered, and is not the end.
    for (said, expected) in [
        (json!({"unsubscribe": "a"}), "not_subscribed"),
        (json!({"subscribe": "**"}), "malformed_pattern"),
        (json!({"subscribe": 1}), "malformed_message"),
        (json!({"dance": "a"}), "malformed_message"),
        (json!("publish"), "malformed_message"),
        (
            json!({"publish": {"name": "user.logged_in"}}),
            "reserved_name",
        ),
        (json!({"publish": {"nome": "a"}}), "malformed_event"),
        (
            json!({"publish": {"name": "a", "user_id": "99"}}),
            "no_such_user",
        ),
        (json!({"publish": ["a"]}), "malformed_message"),
    ] {
        socket.say(&said);
        assert_eq!(code(socket.event()), expected, "{said}");
    }
    for n in 0..70 {
        socket.say(&json!({"subscribe": format!("pattern{n}")}));
        let answer = socket.event();
        let expected = if n < 63 { "" } else { "too_many_patterns" };
        assert_eq!(code(answer), expected, "pattern {n}");
    }
    socket
        .0
        .send(tungstenite::Message::binary(vec![0, 255]))
        .expect("it is open");
    assert_eq!(code(socket.event()), "malformed_message");
    socket.say(&json!({"publish": {"name": "b.2", "data": [1]}}));
    // The event itself and the confirmation are not in each other's order.
    let both = [socket.event(), socket.event()];
    let id = both
        .iter()
        .find_map(|said| said["published"]["id"].as_u64());
    let event = both.iter().find(|said| name_of(said) == "b.2");
    assert_eq!(event.map(id_of), id);
    assert!(id.is_some(), "{both:?}");

    let alice = client.log_in("alice");
    let mut socket = Ws::open(server.address, &alice, "/events?pattern=a");
    socket.say(&json!({"publish": {"name": "b.3"}}));
    assert_eq!(code(socket.event()), "not_a_producer");
}

#[test]
fn json_comes_in_pages_or_as_soon_as_there_is_something() {
    let server = TestServer::start();
    let mut client = server.connect();
    let sign = client.log_in("admin");
    for n in 0..5 {
        publish(&mut client, &sign, "tick", &json!(n));
    }
    let answer = poll(&mut client, &sign, "since=0&limit=3&pattern=tick");
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let ids: Vec<u64> = events_of(&answer).iter().map(id_of).collect();
    assert_eq!(ids, [3, 4, 5]);
    assert_eq!(
        (&answer.json()["last"], &answer.json()["more"]),
        (&json!(5), &json!(true))
    );
    // Without an id it begins with the oldest; where `last` is, nothing follows.
    let answer = poll(&mut client, &sign, "");
    assert_eq!(events_of(&answer).len(), 7);
    let newest = answer.json()["last"].as_u64().expect("where to go on");
    assert_eq!(answer.json()["more"], json!(false));
    let answer = poll(&mut client, &sign, &format!("since={newest}"));
    assert_eq!(
        answer.json(),
        json!({"events": [], "last": newest, "more": false})
    );
    // From an id that is not there, it tells where the sequence is, and that it is no longer the client's.
    let answer = poll(&mut client, &sign, &format!("since={}", u64::MAX));
    let undone = json!({"from": newest + 1, "to": u64::MAX, "last": newest});
    assert_eq!(
        answer.json(),
        json!({"events": [{"name": "gap", "data": undone}], "last": newest, "more": false})
    );

    // What does not concern it leaves it waiting; what does ends its wait.
    let mut waits = server.connect();
    waits.send(signed(
        "GET",
        &format!("/events?since={newest}&wait=60&pattern=alarm"),
        &sign,
    ));
    server.catch_up();
    publish(&mut client, &sign, "tick", &Value::Null);
    let alarm = publish(&mut client, &sign, "alarm", &Value::Null);
    let answer = waits.answer();
    let ids: Vec<u64> = events_of(&answer).iter().map(id_of).collect();
    assert_eq!(ids, [alarm]);
    assert_eq!(answer.json()["last"], json!(alarm));
    // A wait in vain ends with nothing, and the connection goes on.
    let query = format!("since={alarm}&wait=1");
    let answer = poll(&mut waits, &sign, &query);
    assert_eq!(
        answer.json(),
        json!({"events": [], "last": alarm, "more": false})
    );

    for query in [
        "since=x",
        "since=-1",
        "since=+1",
        "since=",
        "since=99999999999999999999",
        "limit=0",
        "limit=1001",
        "limit=ten",
        "wait=61",
        "wait=1s",
        "pattern=",
        "pattern=a,,b",
        "pattern=**",
    ] {
        let answer = poll(&mut client, &sign, query);
        assert_eq!(
            (answer.status, answer.code()),
            (400, "malformed_query".to_owned()),
            "{query}"
        );
    }
    let mut fields = request(
        "GET",
        "/events",
        &[
            ("Last-Event-ID", "x"),
            ("Cookie", &format!("session={sign}")),
        ],
    );
    assert_eq!(client.ask(&fields).status, 400);
    fields = request(
        "HEAD",
        "/events",
        &[
            ("Accept", "text/event-stream"),
            ("Cookie", &format!("session={sign}")),
        ],
    );
    client.send(fields);
    let head = client.answer_to_head();
    assert_eq!(head.header("content-type"), Some("text/event-stream"));
    // It says what GET says, and that ends with the connection.
    assert_eq!(head.header("connection"), Some("close"));
    assert!(client.ends(), "HEAD opens no stream");
}

#[test]
fn what_is_no_longer_kept_is_a_gap_on_every_transport() {
    let mut config = config();
    config.limits.events_kept_max = 10;
    let server = TestServer::with(config, |_| {});
    let mut client = server.connect();
    let sign = client.log_in("admin");
    let mut last = 0;
    for n in 0..30 {
        last = publish(&mut client, &sign, "tick", &json!(n));
    }
    let oldest = last - 9;
    let gap = json!({"name": "gap", "data": {"from": 3, "to": oldest - 1}});
    let mut sse = Sse::open(server.connect(), &sign, "since=2");
    let mut websocket = Ws::open(server.address, &sign, "/events?since=2");
    let listeners: [&mut dyn FnMut() -> Value; 2] =
        [&mut || sse.event(), &mut || websocket.event()];
    for next in listeners {
        assert_eq!(next(), gap);
        for id in oldest..=last {
            assert_eq!(id_of(&next()), id);
        }
    }
    let events = events_of(&poll(&mut client, &sign, "since=2"));
    assert_eq!(events[0], gap);
    assert_eq!(events.len(), 11);
    // A client that names no last id has missed nothing, and can wait for what comes.
    let events = events_of(&poll(&mut client, &sign, ""));
    assert_eq!(id_of(&events[0]), oldest);
    let answer = poll(&mut client, &sign, "pattern=none&wait=1");
    assert_eq!(
        answer.json(),
        json!({"events": [], "last": last, "more": false})
    );
}

#[test]
fn what_no_name_can_match_is_no_pattern_wherever_one_is_given() {
    let server = TestServer::start();
    let mut client = server.connect();
    let sign = client.log_in("admin");
    let mut socket = Ws::open(server.address, &sign, "/events?pattern=..,a:b/c-d_e.*");
    let (longest, too_long) = ("x".repeat(128), "x".repeat(129));
    for (written, text, is_pattern) in [
        ("*", "*", true),
        ("user.*", "user.*", true),
        (&longest, &longest, true),
        ("", "", false),
        ("%C3%A9", "é", false),
        ("a%20b", "a b", false),
        ("a+b", "a b", false),
        ("a%0Ab", "a\nb", false),
        ("user*", "user*", false),
        ("user.*.x", "user.*.x", false),
        ("*.user", "*.user", false),
        (&too_long, &too_long, false),
    ] {
        for accept in ["application/json", "text/event-stream"] {
            let bearer = format!("Bearer {sign}");
            let fields = [("Authorization", &*bearer), ("Accept", accept)];
            let mut client = server.connect();
            client.send(request(
                "GET",
                &format!("/events?pattern={written}"),
                &fields,
            ));
            let status = client.answer_to_head().status;
            assert_eq!(status == 200, is_pattern, "{text:?}: {status}");
            assert!([200, 400].contains(&status), "{text:?}: {status}");
        }
        for what in ["subscribe", "unsubscribe"] {
            socket.say(&json!({ what: text }));
            let said = socket.event();
            let refused = said["error"]["code"] == "malformed_pattern";
            assert_eq!(!refused, is_pattern, "{what} {text:?}: {said}");
        }
    }
}
