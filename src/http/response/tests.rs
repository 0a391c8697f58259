//! Answers before they are bytes: problems, fields that cannot be forged, memory that is used again.

use super::*;

#[test]
fn a_fault_becomes_a_problem_with_its_code() {
    let response = Response::from(Fault::HEAD_TOO_LARGE);
    assert_eq!(response.status, Status::HEADER_FIELDS_TOO_LARGE);
    assert_eq!(response.content_type(), Some("application/problem+json"));
    let body: serde_json::Value = serde_json::from_slice(response.body.as_bytes()).unwrap();
    let expected = serde_json::json!({
        "type": "urn:loopgate:problem:head_too_large",
        "title": "Request Header Fields Too Large",
        "status": 431,
        "detail": Fault::HEAD_TOO_LARGE.detail,
        "code": "head_too_large",
    });
    assert_eq!(body, expected);
}

#[test]
fn control_characters_cannot_leave_a_header_value() {
    for (value, kept) in [
        ("plain", "plain"),
        ("a\tb", "a\tb"),
        (
            "a\r\nSet-Cookie: session=stolen",
            "a  Set-Cookie: session=stolen",
        ),
        ("a\nb\0c\x7fd\x1b", "a b c d "),
        ("grüße", "grüße"),
    ] {
        let response = Response::new(Status::OK).with_header("X-Name", value);
        assert_eq!(response.header("x-name"), Some(kept));
    }
}

#[test]
fn a_field_is_found_by_its_whole_name() {
    let response = Response::new(Status::OK)
        .with_header("X-Names", "many")
        .with_header("X-Name", "one: two")
        .no_store();
    assert_eq!(response.header("x-name"), Some("one: two"));
    assert_eq!(response.header("cache-control"), Some("no-store"));
    assert_eq!(response.header("X-Nam"), None);
    assert_eq!(response.header("one"), None);
}

#[test]
fn nothing_of_an_answer_is_in_the_next_one_that_reuses_its_memory() {
    let secret = Response::json(Status::OK, &"secret").with_header("X-Name", "secret");
    let next = Response::reusing(secret.into_blank(), Status::NO_CONTENT);
    assert_eq!(
        (next.body.as_bytes(), next.content_type()),
        (&b""[..], None)
    );
    assert!(next.field_lines().is_empty());
    let next = Response::json_reusing(next.into_blank(), Status::OK, &1);
    assert_eq!(next.body.as_bytes(), b"1\n");
}

#[test]
fn the_encoders_own_fields_cannot_be_set_and_the_content_type_is_replaced() {
    let mut response = Response::text(Status::OK, "a,b");
    for name in [
        "Connection",
        "content-length",
        "DATE",
        "Transfer-Encoding",
        "X-Content-Type-Options",
    ] {
        response = response.with_header(name, "7");
    }
    assert!(response.field_lines().is_empty());
    let response = response.with_header("content-type", "text/csv\r\n");
    assert_eq!(response.content_type(), Some("text/csv  "));
    assert!(response.field_lines().is_empty());
}

#[test]
#[cfg(debug_assertions)]
#[should_panic(expected = "is no field name")]
fn a_field_name_with_a_colon_is_a_bug_of_ours() {
    let _ = Response::new(Status::OK).with_header("X-Name:", "value");
}

#[test]
fn a_value_without_a_json_form_becomes_a_500() {
    let keyed_by_list = std::collections::BTreeMap::from([(vec![1], 1)]);
    let response = Response::json(Status::OK, &keyed_by_list);
    assert_eq!(response.status, Status::INTERNAL_SERVER_ERROR);
    assert_eq!(response.content_type(), Some("application/problem+json"));
}

#[test]
fn text_of_the_program_is_not_copied() {
    assert_eq!(Response::text(Status::OK, "ok").body, Body::Static(b"ok"));
    let made = Response::html(Status::OK, String::from("<p>"));
    assert_eq!(made.body, Body::Bytes(b"<p>".to_vec()));
    assert_eq!(made.content_type(), Some("text/html; charset=utf-8"));
}

#[test]
fn the_memory_of_an_answer_serves_the_next_one_unless_it_is_large() {
    for (bytes, kept) in [
        (100, true),
        (BLANK_BYTES_MAX, true),
        (BLANK_BYTES_MAX + 1, false),
    ] {
        let with_memory = Response {
            body: Body::Bytes(Vec::with_capacity(bytes)),
            fields: Vec::with_capacity(bytes),
            ..Response::new(Status::OK)
        };
        let blank = with_memory.into_blank();
        let expected = if kept { bytes } else { 0 };
        assert_eq!(blank.body.capacity(), expected);
        assert_eq!(blank.fields.capacity(), expected);
    }
}

#[test]
fn a_client_that_is_refused_for_a_moment_is_told_when_to_try_again() {
    let overloaded = Response::from(Fault::OVERLOADED);
    assert_eq!(overloaded.header("Retry-After"), Some("1"));
    let wrong = Response::from(Fault::BAD_HOST);
    assert_eq!(wrong.header("Retry-After"), None);
}

#[test]
fn an_answer_in_a_log_shows_its_status_and_length_but_nothing_of_what_it_says() {
    let answer = Response::text(Status::OK, "secret").with_header("X-Name", "secret");
    let shown = format!("{answer:?}");
    assert!(
        shown.contains("200") && shown.contains("6 bytes"),
        "{shown}"
    );
    assert!(!shown.contains("secret"), "{shown}");
}
