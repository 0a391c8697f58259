//! Which sessions a logout ends, on disk first, and what its event says.

use super::*;

#[test]
fn a_logout_ends_this_session_with_its_streams_and_clears_its_cookie() {
    let mut world = world();
    let [sign, other] = [(); 2].map(|()| world.log_in(ALICE));
    let hash = token::fingerprint(sign.as_bytes());
    for number in 1..=2 {
        let stream = Token::from_u64(number << 32);
        let opened = world.with_context(|_, cx| cx.open_stream(hash, stream).is_ok());
        assert!(opened);
    }
    let response = world.call("POST /logout", &bearer(&sign), "");
    assert_eq!(response.status, Status::OK);
    let body = json(&response);
    assert_eq!(
        (&body["revoked"], &body["streams_closed"]),
        (&json!(1), &json!(2))
    );
    let cookie = response.header("Set-Cookie").expect("a cookie");
    assert!(cookie.contains("Max-Age=0"), "{cookie}");
    assert_eq!(world.session(&format!("Authorization: Bearer {sign}")), 401);
    assert_eq!(
        world.session(&format!("Authorization: Bearer {other}")),
        200
    );
    assert_eq!(world.rows.len(), 1);
    assert_eq!(
        world.events.last().map(String::as_str),
        Some("user.logged_out")
    );
    assert_eq!(
        world.call("POST /logout", &bearer(&sign), "").status.code(),
        401
    );
}

#[test]
fn of_two_logouts_at_once_one_is_confirmed() {
    let mut world = world();
    let sign = world.log_in(ALICE);
    let both = [(); 2].map(|()| world.begin("POST /logout", &bearer(&sign), ""));
    let statuses = both.map(|reply| world.carry_on(reply).status.code());
    assert_eq!(statuses, [200, 401]);
    let logouts = world
        .events
        .iter()
        .filter(|name| *name == "user.logged_out");
    assert_eq!(logouts.count(), 1);
}

#[test]
fn a_logout_everywhere_ends_logins_that_were_confirmed_meanwhile() {
    for everywhere in ["true", "false"] {
        let mut world = world();
        let [sign, other] = [(); 2].map(|()| world.log_in(ALICE));
        let bob = world.log_in("username=bob&password=password");
        let line = format!("POST /logout?everywhere={everywhere}");
        let logout = world.begin(&line, &bearer(&sign), "");
        let late = world.log_in(ALICE);
        let response = world.carry_on(logout);
        let (revoked, status) = if everywhere == "true" {
            (3, 401)
        } else {
            (1, 200)
        };
        assert_eq!(json(&response)["revoked"], revoked);
        for others in [other, late] {
            assert_eq!(
                world.session(&format!("Authorization: Bearer {others}")),
                status
            );
        }
        assert_eq!(world.session(&format!("Authorization: Bearer {bob}")), 200);
    }
}

#[test]
fn a_logout_everywhere_that_the_store_breaks_off_says_what_has_ended() {
    let mut world = world();
    let sign = world.log_in(ALICE);
    // From the start: nothing has ended.
    world.store_fails = true;
    let response = world.call("POST /logout?everywhere=true", &bearer(&sign), "");
    assert_eq!(json(&response)["code"], "store_unavailable");
    assert_eq!(response.header("Set-Cookie"), None);
    assert_eq!(world.session(&format!("Authorization: Bearer {sign}")), 200);
    // In the middle: a login was confirmed meanwhile, and cannot be ended.
    world.store_fails = false;
    let logout = world.begin("POST /logout?everywhere=true", &bearer(&sign), "");
    let late = world.log_in(ALICE);
    let Reply::Later(Later::Commit(transaction, then)) = logout else {
        panic!("a logout begins with a commit")
    };
    let committed = world.commit(transaction);
    let rest = world.with_context(|_, cx| then(committed, cx));
    world.store_fails = true;
    let response = world.carry_on(rest);
    assert_eq!(response.status, Status::SERVICE_UNAVAILABLE);
    assert_eq!(json(&response)["code"], "logout_incomplete");
    assert!(
        response.header("Set-Cookie").is_some(),
        "their own has ended"
    );
    assert_eq!(world.session(&format!("Authorization: Bearer {sign}")), 401);
    assert_eq!(world.session(&format!("Authorization: Bearer {late}")), 200);
}

#[test]
fn a_session_is_revoked_by_its_id_and_the_cookie_goes_only_with_ones_own() {
    let mut world = world();
    let [sign, other] = [(); 2].map(|()| world.log_in(ALICE));
    let bob = world.log_in("username=bob&password=password");
    let id = |world: &World, sign: &str| {
        let session = world
            .app
            .sessions
            .get(&token::fingerprint(sign.as_bytes()), 0);
        token::base64url(&session.expect("it is there").sid)
    };
    let revoke = |world: &mut World, id: &str| {
        world.call(&format!("DELETE /sessions/{id}"), &bearer(&sign), "")
    };
    let [others, own, bobs] = [&other, &sign, &bob].map(|sign| id(&world, sign));
    assert_eq!(revoke(&mut world, &bobs).status.code(), 404, "a stranger's");
    let response = revoke(&mut world, &others);
    assert_eq!(json(&response)["message"], "session revoked");
    assert_eq!(response.header("Set-Cookie"), None);
    assert_eq!(revoke(&mut world, &others).status.code(), 404, "it is gone");
    assert!(revoke(&mut world, &own).header("Set-Cookie").is_some());
    assert_eq!(world.events[3..], ["session.revoked"; 2]);
}
