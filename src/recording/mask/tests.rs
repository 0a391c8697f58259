use super::*;
use crate::recording::secrets::tests::{nothing_stored, secrets};

/// The masked bytes, which must be the same for every cut in two, and byte by byte.
fn masked(bytes: &str) -> String {
    let whole = |cuts: &[usize]| {
        let (mut mask, mut secrets) = (Mask::default(), secrets(&nothing_stored()));
        let (mut out, mut from) = (Vec::new(), 0);
        for cut in cuts.iter().copied().chain([bytes.len()]) {
            out.extend(mask.read(&bytes.as_bytes()[from..cut], &mut secrets));
            from = cut;
        }
        out.extend(mask.end(&mut secrets));
        String::from_utf8(out).unwrap()
    };
    let expected = whole(&[]);
    for cut in 0..bytes.len() {
        assert_eq!(whole(&[cut]), expected, "cut at {cut}");
    }
    let every: Vec<usize> = (0..bytes.len()).collect();
    assert_eq!(whole(&every), expected);
    assert_eq!(expected.len(), bytes.len());
    expected
}

fn login(kind: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "POST /login HTTP/1.1\r\nHost: x\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n{body}"
    )
}

#[test]
fn no_password_passes_and_what_follows_is_as_it_was() {
    let next = "GET /session HTTP/1.1\r\nHost: x\r\n\r\n";
    let form = "application/x-www-form-urlencoded";
    let json = "application/json; charset=utf-8";
    for request in [
        login(form, "username=a&password=hunter2"),
        login(form, "password=hunter2&username=a"),
        login(form, "%70assword=hunter2"),
        login(json, r#"{"username":"a","password":"hunter2"}"#),
        login(json, r#"{"passw\u006frd" : "hunter2"}"#),
        login(json, r#"{"password":"hunter2"#),
        login("text/plain", "hunter2"),
        "POST /%6cogin HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\
         Content-Type: application/x-www-form-urlencoded\r\n\r\n\
         c\r\npassword=hun\r\n4\r\nter2\r\n0\r\n\r\n"
            .into(),
    ] {
        let masked = masked(&format!("{request}{next}"));
        for secret in ["hunter2", "hun\r", "ter2"] {
            assert!(!masked.contains(secret), "{masked}");
        }
        assert!(masked.ends_with(next), "{masked}");
    }
}

#[test]
fn what_breaks_off_tells_nothing_either() {
    let form = login(
        "application/x-www-form-urlencoded",
        "username=a&password=hunter2",
    );
    for length in 0..form.len() {
        let masked = masked(&form[..length]);
        assert!(!masked.contains("hun"), "{masked}");
    }
    let masked = masked("GET / HTTP/1.1\r\nCookie: a=hunter2");
    assert!(!masked.contains("hun"), "{masked}");
}

#[test]
fn what_follows_a_refused_head_is_masked() {
    let masked = masked("GET / HTTP/1.1\r\nno colon\r\n\r\npassword=hunter2");
    assert!(!masked.contains("hun"), "{masked}");
}

const OFFER: &str =
    "GET /events HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";

#[test]
fn frames_pass_as_they_are_and_what_is_none_does_not() {
    let long = format!("\u{1}\u{7e}\u{1}\u{0}{}", "long".repeat(64));
    let frames = format!("\u{1}\u{5}hello{long}\u{0}\u{0}");
    let bytes = format!("{OFFER}{frames}POST /login hunter2");
    let masked = masked(&bytes);
    assert!(masked.starts_with(&format!("{OFFER}{frames}")), "{masked}");
    assert!(!masked.contains("hun"), "{masked}");
}

#[test]
fn requests_that_follow_an_offer_are_masked_as_ever() {
    let form = "application/x-www-form-urlencoded";
    let masked = masked(&format!("{OFFER}{}", login(form, "password=hunter2")));
    assert!(!masked.contains("hun"), "{masked}");
}
