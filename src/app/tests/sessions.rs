//! When a signature is accepted, and when no longer; the list of sessions.

use std::rc::Rc;

use super::*;

#[test]
fn a_signature_opens_its_session_as_a_bearer_token_and_as_a_cookie() {
    let mut world = world();
    let sign = world.log_in(ALICE);
    for fields in [
        format!("Authorization: Bearer {sign}"),
        format!("Cookie: session={sign}"),
    ] {
        assert_eq!(world.session(&fields), 200, "{fields}");
        let changed = fields.replace(&sign, &sign.to_lowercase());
        assert_eq!(world.session(&changed), 401, "{changed}");
    }
    assert_eq!(world.session("X-Nothing: "), 401);
}

#[test]
fn a_session_opens_nothing_once_its_key_has_retired() {
    let mut world = world();
    let sign = world.log_in(ALICE);
    world.app.keys = Keys::ephemeral(2, [2; 32], 0);
    let newer = world.log_in(ALICE);
    for line in ["GET /session", "GET /verify", "GET /sessions"] {
        assert_eq!(
            world.call(line, &bearer(&sign), "").status.code(),
            401,
            "{line}"
        );
    }
    assert_eq!(
        world.call("POST /logout", &bearer(&sign), "").status.code(),
        401
    );
    let list = json(&world.call("GET /sessions", &bearer(&newer), ""));
    assert_eq!(list["total"], 1, "the old one is no session any more");
}

#[test]
fn no_cache_keeps_what_is_said_of_a_session() {
    let mut world = world();
    let sign = world.log_in(ALICE);
    for line in ["GET /session", "GET /verify", "GET /sessions"] {
        let response = world.call(line, &bearer(&sign), "");
        assert!(response.status.code() < 300, "{line}");
        assert_eq!(response.header("cache-control"), Some("no-store"), "{line}");
    }
}

#[test]
fn a_change_with_the_cookie_must_come_from_a_page_of_this_site() {
    let mut world = world();
    let sign = world.log_in(ALICE);
    let from_elsewhere = "\r\nOrigin: http://other\r\nSec-Fetch-Site: cross-site";
    for (fields, status) in [
        (cookie(&sign), 403),
        (cookie(&sign) + from_elsewhere, 403),
        // Browsers send no Authorization by themselves.
        (bearer(&sign) + from_elsewhere, 404),
        (cookie(&sign) + &PAGE[7..], 404),
    ] {
        let response = world.call("DELETE /sessions/none", &fields, "");
        assert_eq!(response.status.code(), status, "{fields}");
    }
}

#[test]
fn the_list_has_the_sessions_that_still_open_something() {
    let mut world = world();
    world.log_in("username=bob&password=password");
    let first = world.log_in(ALICE);
    world.pass(900);
    let second = world.log_in(ALICE);
    let list = json(&world.call("GET /sessions", &bearer(&second), ""));
    assert_eq!(list["total"], 2);
    let current: Vec<&Value> = [0, 1].map(|n| &list["sessions"][n]["current"]).into();
    assert_eq!(current, [true, false], "the newest first");
    assert_eq!(list["sessions"][1]["issued_at"], "2026-11-30T12:00:00.000Z");
    world.pass(900); // the first has been idle for too long, in this very second
    let list = json(&world.call("GET /sessions", &bearer(&second), ""));
    assert_eq!(list["total"], 1);
    assert_eq!(
        world.session(&format!("Authorization: Bearer {first}")),
        401
    );
}

#[test]
fn the_list_is_cut_but_says_how_many_there_are() {
    let mut world = world();
    let sign = world.log_in(ALICE);
    let own = token::fingerprint(sign.as_bytes());
    let session = *world.app.sessions.get(&own, 0).expect("it is there");
    for number in 0..102 {
        world.app.sessions.insert([number; 32], session);
    }
    let list = json(&world.call("GET /sessions", &bearer(&sign), ""));
    assert_eq!(list["total"], 103);
    assert_eq!(list["sessions"].as_array().map(Vec::len), Some(100));
}

#[test]
fn a_page_of_another_site_takes_no_place_for_streams() {
    let mut world = world();
    let sign = world.log_in(ALICE);
    for (fields, followed) in [
        (cookie(&sign), true), // no current browser
        (cookie(&sign) + "\r\nSec-Fetch-Site: cross-site", false),
        (cookie(&sign) + "\r\nSec-Fetch-Site: same-site", false),
        (cookie(&sign) + &PAGE[7..], true),
        (bearer(&sign) + "\r\nSec-Fetch-Site: cross-site", true),
    ] {
        let fields = fields + "\r\nAccept: text/event-stream";
        let reply = world.begin("GET /events", &fields, "");
        assert_eq!(matches!(reply, Reply::Events(_)), followed, "{fields}");
    }
}

#[test]
fn a_socket_that_needs_no_session_knows_whose_it_is_if_there_is_one() {
    let handshake = "\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                     Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
    let mut world = world();
    let echo = endpoint(Rc::new(|_, _: &mut Socket<'_>| {}));
    let echo = move |request: &Request<'_>, cx: &mut Context<'_>| echo(request, cx).into();
    world
        .routes
        .on(Method::Get, "/echo", Label::NONE, Box::new(echo));
    let sign = world.log_in(ALICE);
    for (fields, expected) in [
        ("Host: h".into(), Ok(None)),
        (bearer(&sign), Ok(Some(1))),
        (cookie(&sign) + &PAGE[7..], Ok(Some(1))),
        (cookie(&sign), Err(403)),
        (bearer("nothing"), Err(401)),
        (cookie("nothing"), Err(401)),
    ] {
        let fields: String = fields + handshake;
        let known = match world.begin("GET /echo", &fields, "") {
            Reply::WebSocket(upgrade) => Ok(upgrade.caller.map(|(user_id, _)| user_id)),
            refusal => Err(world.carry_on(refusal).status.code()),
        };
        assert_eq!(known, expected, "{fields}");
    }
}
