//! Which logins succeed, how they are answered, and what is stored.

use super::*;

#[test]
fn a_page_of_another_site_logs_no_user_in() {
    let mut world = world();
    for (fields, status) in [
        (FORM.to_owned(), 200),
        (format!("{FORM}{}", &PAGE[7..]), 200),
        (format!("{FORM}\r\nOrigin: http://other"), 403),
        (format!("{FORM}\r\nSec-Fetch-Site: cross-site"), 403),
    ] {
        let response = world.call("POST /login", &fields, ALICE);
        assert_eq!(response.status.code(), status, "{fields}");
    }
}

#[test]
fn a_login_says_whose_it_is_and_until_when_and_is_stored_with_its_event() {
    let mut world = world();
    let response = world.call("POST /login", FORM, ALICE);
    let body = json(&response);
    assert_eq!(body["user_id"], "1");
    assert_eq!(
        body["expires_at"], "2026-11-30T12:30:00.000Z",
        "idle for half an hour"
    );
    let sign = body["user_sign"].as_str().expect("a signature");
    let claims = token::verify(sign, &world.app.keys, 1_796_040_000).expect("it is ours");
    assert_eq!((claims.iat, claims.exp), (1_796_040_000, 1_796_126_400));
    assert!(
        response
            .header("Set-Cookie")
            .is_some_and(|cookie| cookie.contains(sign))
    );
    assert_eq!(world.rows.len(), 1);
    assert_eq!(world.events, ["user.logged_in"]);
    world.pass(60);
    let shown = json(&world.call("GET /session", &bearer(sign), ""));
    assert_eq!(shown["issued_at"], "2026-11-30T12:00:00.000Z");
    assert_eq!(
        shown["expires_at"], "2026-11-30T12:31:00.000Z",
        "it has been used"
    );
}

#[test]
fn a_login_that_the_store_does_not_take_is_none() {
    let mut world = world();
    world.store_fails = true;
    let response = world.call("POST /login", FORM, ALICE);
    assert_eq!(response.status, Status::SERVICE_UNAVAILABLE);
    assert!(world.app.sessions.is_empty());
}

#[test]
fn a_login_that_fails_is_an_event_and_tells_nothing() {
    let mut world = world();
    let mut told = Vec::new();
    for body in [
        "username=alice&password=guess",
        "username=carol&password=password",
    ] {
        let response = world.call("POST /login", FORM, body);
        assert_eq!(response.status, Status::UNAUTHORIZED);
        told.push(json(&response));
    }
    assert_eq!(told[0], told[1]);
    assert_eq!(world.events, ["user.login_failed"; 2]);
    let names = [0, 1].map(|number| &world.said[number]["username"]);
    assert_eq!(
        names,
        [&json!("alice"), &Value::Null],
        "it may be a password"
    );
}

#[test]
fn a_name_and_a_password_come_as_a_form_or_as_json() {
    let json = r#"{"username":"alice","password":"password"}"#;
    let mut world = world();
    for (kind, body, status) in [
        ("application/x-www-form-urlencoded", ALICE, 200),
        ("application/x-www-form-urlencoded", "username=alice", 400),
        (
            "application/x-www-form-urlencoded",
            "password=password",
            400,
        ),
        (
            "application/x-www-form-urlencoded",
            "username=alice&username=alice&password=password",
            400,
        ),
        ("application/x-www-form-urlencoded", json, 400),
        ("application/json", json, 200),
        ("application/json; charset=utf-8", json, 200),
        ("application/json", ALICE, 400),
        ("application/json", r#"["alice","password"]"#, 400),
        ("text/plain", ALICE, 415),
    ] {
        let fields = format!("Host: h\r\nContent-Type: {kind}");
        let response = world.call("POST /login", &fields, body);
        assert_eq!(response.status.code(), status, "{kind}: {body}");
    }
}

#[test]
fn a_user_may_have_half_of_the_places_for_hashes() {
    let mut world = world();
    world.app.config.limits.hash_jobs_max = 4;
    let jobs: Vec<Reply> = (0..2)
        .map(|_| world.begin("POST /login", FORM, ALICE))
        .collect();
    let third = world.begin("POST /login", FORM, ALICE);
    assert_eq!(world.carry_on(third).status, Status::TOO_MANY_REQUESTS);
    for job in jobs {
        assert_eq!(world.carry_on(job).status, Status::OK);
    }
    assert_eq!(world.app.throttle.under_way(), 0);
}

#[test]
fn a_login_that_no_worker_takes_gives_its_place_back() {
    let mut world = world();
    let Reply::Later(Later::Job(_, then)) = world.begin("POST /login", FORM, ALICE) else {
        panic!("a login begins with a hash")
    };
    assert_eq!(world.app.throttle.under_way(), 1);
    let reply = world.with_context(|_, cx| then(Err(JobError::Busy), cx));
    assert_eq!(world.carry_on(reply).status, Status::SERVICE_UNAVAILABLE);
    assert_eq!(world.app.throttle.under_way(), 0);
}

#[test]
fn guessing_in_parallel_learns_no_more_than_guessing_one_by_one() {
    let mut world = world();
    let guesses: Vec<Reply> = (0..8)
        .map(|_| world.begin("POST /login", FORM, "username=alice&password=guess"))
        .collect();
    let statuses = guesses
        .into_iter()
        .map(|guess| world.carry_on(guess).status.code());
    let statuses: Vec<u16> = statuses.collect();
    assert_eq!(statuses, [401, 401, 401, 401, 401, 429, 429, 429]);
}
