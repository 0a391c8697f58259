//! Whole answers, as the peer sees them.

use super::*;
use crate::http::{Body, Chunked, Fault};

const NOW: &str = "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n";

const MODERN: WireOptions<'_> = WireOptions {
    version: Version::Http11,
    head_only: false,
    close: false,
    fields: &[],
};
const OLD: WireOptions<'_> = WireOptions {
    version: Version::Http10,
    ..MODERN
};

/// The answer without its date, which must occur once.
#[track_caller]
fn undated(answer: &[u8]) -> String {
    let text = std::str::from_utf8(answer).unwrap();
    assert_eq!(text.matches("Date: ").count(), 1, "{text}");
    text.replacen(NOW, "", 1)
}

fn encoded(response: &Response, wire: WireOptions<'_>) -> String {
    let mut out = Vec::new();
    encode(response, wire, &Date::new(784_111_777), &mut out);
    undated(&out)
}

#[test]
fn an_answer_has_its_fields_in_order() {
    let response = Response::text(Status::OK, "hello").with_header("X-User-Id", "7");
    let mut out = b"HTTP/1.1 200 OK\r\n...".to_vec();
    encode(&response, MODERN, &Date::new(784_111_777), &mut out);
    let expected = format!(
        "HTTP/1.1 200 OK\r\n...\
         HTTP/1.1 200 OK\r\n{NOW}Content-Type: text/plain; charset=utf-8\r\n\
         X-Content-Type-Options: nosniff\r\nContent-Length: 5\r\nX-User-Id: 7\r\n\r\nhello"
    );
    assert_eq!(std::str::from_utf8(&out), Ok(expected.as_str()));
}

#[test]
fn the_connection_field_says_what_the_peer_cannot_assume() {
    let close = |wire| WireOptions {
        close: true,
        ..wire
    };
    let upgrade = Status::UPGRADE_REQUIRED;
    for (status, wire, line) in [
        (Status::OK, MODERN, ""),
        (Status::OK, close(MODERN), "Connection: close\r\n"),
        (Status::OK, OLD, "Connection: keep-alive\r\n"),
        (Status::OK, close(OLD), "Connection: close\r\n"),
        (upgrade, MODERN, "Connection: Upgrade\r\n"),
        (upgrade, close(MODERN), "Connection: Upgrade, close\r\n"),
        (upgrade, OLD, "Connection: keep-alive\r\n"),
    ] {
        let expected = format!(
            "HTTP/1.1 {status} {}\r\nContent-Length: 0\r\n{line}\r\n",
            status.reason()
        );
        assert_eq!(encoded(&Response::new(status), wire), expected);
    }
    for wire in [close(MODERN), OLD] {
        let interim = encoded(&Response::new(Status::CONTINUE), wire);
        assert_eq!(interim, "HTTP/1.1 100 Continue\r\n\r\n");
    }
}

#[test]
fn statuses_without_content_have_neither_content_nor_a_length() {
    for code in [100, 101, 102, 204, 304] {
        let response = Response::text(Status::from(code), "must not be seen");
        let answer = encoded(&response, MODERN);
        let (_, fields) = answer.split_once("\r\n").unwrap();
        let connection = if code == 101 {
            "Connection: Upgrade\r\n"
        } else {
            ""
        };
        assert_eq!(fields, format!("{connection}\r\n"), "{code}");
    }
    let reset = encoded(&Response::text(Status::RESET_CONTENT, "x"), MODERN);
    assert!(reset.contains("Content-Length: 0\r\n") && reset.ends_with("\r\n\r\n"));
}

#[test]
fn a_head_request_is_answered_with_the_length_and_without_the_content() {
    // actix-web sent the content when HEAD was pipelined.
    let response = Response::json(Status::OK, &[1, 2, 3]);
    let head_only = WireOptions {
        head_only: true,
        ..MODERN
    };
    let get = encoded(&response, MODERN);
    assert_eq!(
        encoded(&response, head_only),
        get.trim_end_matches("[1,2,3]\n")
    );
    assert!(get.contains("Content-Length: 8\r\n"));
}

#[test]
fn a_connections_own_fields_are_in_every_answer() {
    let own = WireOptions {
        fields: b"Strict-Transport-Security: max-age=1\r\n",
        ..MODERN
    };
    let ok = encoded(&Response::text(Status::OK, "ok"), own);
    assert!(ok.contains("\r\nStrict-Transport-Security: max-age=1\r\n"));
    let mut head = Vec::new();
    let response = Response::new(Status::NO_CONTENT);
    let chunked = encode_stream_head(&response, own, &Date::new(0), true, &mut head);
    assert!(!chunked && head.ends_with(b"Strict-Transport-Security: max-age=1\r\n\r\n"));
}

#[test]
fn any_status_has_a_line_with_three_digits_and_its_space() {
    for code in 100..600 {
        let answer = encoded(&Response::new(Status::from(code)), MODERN);
        let reason = Status::from(code).reason();
        assert!(answer.starts_with(&format!("HTTP/1.1 {code} {reason}\r\n")));
    }
}

#[test]
fn lengths_are_written_in_full() {
    for length in [0, 1, 9, 10, 99, 100, 1234, 65_536, u64::MAX] {
        let mut out = Vec::new();
        push_decimal(length, &mut out);
        assert_eq!(out, length.to_string().as_bytes());
    }
    let response = Response::text(Status::OK, "x".repeat(1000));
    assert!(encoded(&response, MODERN).contains("Content-Length: 1000\r\n"));
}

#[test]
fn no_header_value_can_end_its_line() {
    let value = String::from("7\r\nSet-Cookie: a=b\r\n\r\nHTTP/1.1 200 OK");
    let answer = encoded(&Response::new(Status::OK).with_header("X-A", value), MODERN);
    assert_eq!(answer.matches("\r\n").count(), 4, "{answer}");
}

#[test]
fn a_fault_is_answered_as_a_problem() {
    let close = WireOptions {
        close: true,
        ..MODERN
    };
    for fault in Fault::ALL {
        let answer = encoded(&Response::from(*fault), close);
        assert!(answer.starts_with(&format!("HTTP/1.1 {} ", fault.status)));
        assert!(answer.contains("\r\nContent-Type: application/problem+json\r\n"));
        assert!(answer.contains("\r\nConnection: close\r\n"));
        assert!(answer.contains(&format!("\"code\":\"{}\"", fault.code)));
    }
}

#[test]
fn an_answer_takes_little_more_memory_than_it_is_long() {
    let response = Response::text(Status::OK, "x".repeat(10_000));
    let mut out = Vec::new();
    encode(&response, MODERN, &Date::new(0), &mut out);
    assert!(out.capacity() < 11_000, "{}", out.capacity());
}

#[test]
fn an_answer_into_a_roomy_buffer_does_not_move_it() {
    let response = Response::static_body(Status::OK, "application/json", b"{\"status\":\"ok\"}");
    let mut out = Vec::with_capacity(4096);
    let before = out.as_ptr();
    encode(&response, MODERN, &Date::new(0), &mut out);
    assert!(std::ptr::eq(before, out.as_ptr()));
}

#[test]
fn streams_are_chunked_where_the_peer_knows_chunks() {
    let chunked = "Transfer-Encoding: chunked\r\n";
    let closed = "Connection: close\r\n";
    for (wire, wanted, fields) in [
        (MODERN, true, chunked),
        (MODERN, false, closed),
        (OLD, true, closed),
        (OLD, false, closed),
    ] {
        let response = Response::static_body(Status::OK, "text/event-stream", b"not sent");
        let mut out = Vec::new();
        let date = Date::new(784_111_777);
        let is_chunked = encode_stream_head(&response, wire, &date, wanted, &mut out);
        assert_eq!(is_chunked, fields == chunked);
        let expected = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\
             X-Content-Type-Options: nosniff\r\n{fields}\r\n"
        );
        assert_eq!(undated(&out), expected);
    }
    let mut out = Vec::new();
    let empty = Response::new(Status::NO_CONTENT);
    assert!(!encode_stream_head(
        &empty,
        MODERN,
        &Date::new(784_111_777),
        true,
        &mut out
    ));
    assert_eq!(undated(&out), "HTTP/1.1 204 No Content\r\n\r\n");
}

#[test]
fn chunks_are_read_back_as_they_were() {
    for length in [1, 9, 15, 16, 17, 255, 256, 4095, 4096, 65_536] {
        let data = vec![b'x'; length];
        let mut out = Vec::new();
        encode_chunk(&data, &mut out);
        encode_chunk(b"", &mut out); // must not end the body
        encode_chunk(b"end", &mut out);
        encode_last_chunk(&mut out);
        assert!(out.starts_with(format!("{length:x}\r\n").as_bytes()));
        let mut body = Vec::new();
        let progress = Chunked::new().decode(&out, &mut body, usize::MAX).unwrap();
        assert_eq!((progress.consumed, progress.done), (out.len(), true));
        assert_eq!(body, [&data[..], b"end"].concat());
    }
}

#[test]
fn no_content_is_taken_for_what_its_type_does_not_say() {
    let mut untyped = Response::new(Status::OK);
    untyped.body = Body::Bytes(b"<script>".to_vec());
    for (response, has_content) in [
        (Response::json(Status::OK, &1), true),
        (Response::problem(Status::NOT_FOUND, "a", "b"), true),
        (Response::text(Status::OK, ""), true),
        (Response::static_body(Status::OK, "text/css", b"a"), true),
        (untyped, true),
        (Response::new(Status::OK), false),
        (Response::new(Status::NO_CONTENT), false),
        (Response::new(Status::SWITCHING_PROTOCOLS), false),
        (Response::text(Status::from(304), "unchanged"), false),
    ] {
        let count = |answer: &str| {
            answer
                .matches("X-Content-Type-Options: nosniff\r\n")
                .count()
        };
        let expected = usize::from(has_content);
        assert_eq!(count(&encoded(&response, MODERN)), expected, "{response:?}");
        let head = WireOptions {
            head_only: true,
            ..OLD
        };
        assert_eq!(count(&encoded(&response, head)), expected, "{response:?}");
    }
    let mut head = Vec::new();
    let stream = Response::text(Status::OK, "").with_header("Content-Type", "text/event-stream");
    let _ = encode_stream_head(&stream, MODERN, &Date::new(0), true, &mut head);
    assert!(String::from_utf8_lossy(&head).contains("\r\nX-Content-Type-Options: nosniff\r\n"));
}
