//! Heads that must be refused, each with the programs that made the mistake before.

use super::{refuses, with_fields};
use crate::http::Fault as F;

#[test]
fn ambiguous_framing_is_refused() {
    let chunked = "Transfer-Encoding: chunked";
    for (origin, first, second, fault) in [
        (
            "hyper #3860",
            "Content-Length: 5",
            chunked,
            F::AMBIGUOUS_FRAMING,
        ),
        (
            "hyper #3860",
            chunked,
            "Content-Length: 0",
            F::AMBIGUOUS_FRAMING,
        ),
        ("two codings", chunked, chunked, F::BAD_TRANSFER_ENCODING),
        (
            "last length wins",
            "Content-Length: 5",
            "Content-Length: 6",
            F::BAD_CONTENT_LENGTH,
        ),
        (
            "equal lengths",
            "Content-Length: 5",
            "content-length: 5",
            F::BAD_CONTENT_LENGTH,
        ),
        (
            "hop by hop",
            "Connection: Transfer-Encoding",
            chunked,
            F::BAD_CONNECTION,
        ),
        (
            "hop by hop",
            "Connection: a, content-length",
            "A: b",
            F::BAD_CONNECTION,
        ),
        (
            "hop by hop",
            "Connection: close,host",
            "A: b",
            F::BAD_CONNECTION,
        ),
        (
            "no token",
            "Connection: keep alive",
            "A: b",
            F::BAD_CONNECTION,
        ),
    ] {
        refuses(&with_fields(&format!("{first}\r\n{second}")), fault, origin);
    }
    for spaced in ["Transfer-Encoding : chunked", "Content-Length\t: 5"] {
        refuses(&with_fields(spaced), F::BAD_HEADER, "tiny-http #173");
    }
}

#[test]
fn no_coding_but_chunked_passes() {
    for coding in [
        "chunked123", // aiohttp CVE-2023-47641
        "xchunked",
        "",
        "\"chunked\"",
        "chunked, chunked",
        "gzip, chunked",
        "chunked, identity",
        "identity",
        "gzip",
        ",chunked",
        "chunked;q=1",
        "chun\u{212a}ed", // the Kelvin sign, a k to code that folds Unicode
    ] {
        let head = with_fields(&format!("Transfer-Encoding: {coding}"));
        refuses(&head, F::BAD_TRANSFER_ENCODING, "coding");
    }
    let spaced = with_fields("Transfer-Encoding: \x0bchunked");
    refuses(&spaced, F::BAD_HEADER, "vertical tab");
    let old = "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n";
    refuses(old, F::BAD_TRANSFER_ENCODING, "chunks in 1.0");
    let old = "POST / HTTP/1.0\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n";
    refuses(old, F::AMBIGUOUS_FRAMING, "chunks in 1.0");
}

#[test]
fn no_length_but_digits_passes() {
    for length in [
        "", "+5", "-5", "0x5", "5_0", "5 0", "5,5", "5, 6", "5.0", "5e1", "five", "5;",
        "\u{665}", // a five to code that uses Unicode digits
    ] {
        let head = with_fields(&format!("Content-Length: {length}"));
        refuses(&head, F::BAD_CONTENT_LENGTH, "bad length becomes 0");
    }
}

#[test]
fn lines_end_with_both_bytes() {
    for head in [
        "GET / HTTP/1.1\nHost: x\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\n\n",
        "GET / HTTP/1.1\r\nHost: x\r\nA:\nB: c\r\n\r\n",
        "\nGET / HTTP/1.1\r\nHost: x\r\n\r\n",
        "\r\n\nGET / HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET / HTTP/1.1\rHost: x\r\n\r\n",
        "\rGET / HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\n\r\r\n",
    ] {
        refuses(head, F::BAD_LINE_END, "Go CVE-2025-22871");
    }
}

#[test]
fn malformed_fields_are_refused() {
    for (origin, fields) in [
        ("bare CR, Node CVE-2022-32214", "A: b\rC: d"),
        ("bare CR", "A: \rb"),
        ("folding", "A: b\r\n c"),
        ("folding", "A:\r\n\tc"),
        ("empty name", ": b"),
        ("no colon", "A"),
        ("space in name", "A b: c"),
        ("name is no token", "A\u{e9}: b"),
    ] {
        refuses(&with_fields(fields), F::BAD_HEADER, origin);
    }
    let indented = "GET / HTTP/1.1\r\n Host: x\r\n\r\n";
    refuses(indented, F::BAD_HEADER, "space before the first field");
}

#[test]
fn malformed_request_lines_are_refused() {
    for (origin, line) in [
        ("control byte first", "\x01GET / HTTP/1.1"),
        ("control byte behind an empty line", "\r\n\0GET / HTTP/1.1"),
        ("TLS hello", "\x16\x03\x01\x02\0\x01"),
        ("leading space", " GET / HTTP/1.1"),
        ("two spaces", "GET  / HTTP/1.1"),
        ("two spaces", "GET /  HTTP/1.1"),
        ("tab", "GET\t/ HTTP/1.1"),
        ("HTTP/0.9", "GET /"),
        ("method is no token", "GE(T / HTTP/1.1"),
        ("version", "GET / http/1.1"),
        ("version", "GET / HTTP/1,1"),
        ("version", "GET / HTTP/11"),
        ("version", "GET / HTTP/1.x"),
        ("version", "GET / HTTP/\u{661}.1"),
        ("version", "GET / ICY/1.1 "),
    ] {
        let head = format!("{line}\r\nHost: x\r\n\r\n");
        refuses(&head, F::BAD_REQUEST_LINE, origin);
    }
    for line in ["GET / HTTP/1.1 ", "GET / HTTP/1.10"] {
        let head = format!("{line}\r\nHost: x\r\n\r\n");
        refuses(&head, F::BAD_LINE_END, "more than a version");
    }
    let empty_lines = "\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n";
    refuses(empty_lines, F::TOO_MANY_EMPTY_LINES, "empty lines");
}

#[test]
fn no_control_byte_passes_at_any_place_of_a_name_or_value() {
    // Long enough for every width of vector that httparse compares at once, and its remainder.
    let text = "a".repeat(70);
    for control in (0..=8_u8).chain(11..=12).chain(14..=31).chain([127]) {
        for at in [0, 1, 7, 15, 16, 31, 32, 33, 63, 64, 69] {
            let mut text = text.clone();
            text.insert(at, char::from(control));
            refuses(&with_fields(&format!("{text}: b")), F::BAD_HEADER, "name");
            refuses(&with_fields(&format!("A: {text}")), F::BAD_HEADER, "value");
            let head = format!("GET /{text} HTTP/1.1\r\nHost: x\r\n\r\n");
            refuses(&head, F::BAD_REQUEST_LINE, "target");
        }
    }
}

#[test]
fn host_is_there_once_and_is_a_host() {
    refuses("GET / HTTP/1.1\r\n\r\n", F::MISSING_HOST, "RFC 9112 3.2");
    for (origin, hosts) in [
        ("six of eleven servers accept two", "Host: a\r\nHost: b"),
        ("six of eleven servers accept two", "Host: a\r\nhost: a"),
        ("list", "Host: a, b"),
        ("list", "Host: a,b"),
        ("path", "Host: a/b"),
        ("user information", "Host: user@a"),
        ("space", "Host: a b"),
        ("port", "Host: a:+80"),
        ("not ASCII", "Host: \u{fc}"),
    ] {
        for version in ["1.0", "1.1"] {
            let head = format!("GET / HTTP/{version}\r\n{hosts}\r\n\r\n");
            refuses(&head, F::BAD_HOST, origin);
        }
    }
    // An absolute target does not excuse a bad Host: a proxy behind us might look at that one.
    let absolute = "GET http://a/ HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n";
    refuses(absolute, F::BAD_HOST, "absolute-form");
}

#[test]
fn what_is_well_formed_but_not_ours_has_its_own_status() {
    for (line, fault) in [
        ("BREW * HTTP/1.1", F::METHOD_NOT_IMPLEMENTED),
        ("BREW a:80 HTTP/1.1", F::METHOD_NOT_IMPLEMENTED),
        ("BREW /%00 HTTP/1.1", F::METHOD_NOT_IMPLEMENTED),
        (
            "A-METHOD-OF-MORE-THAN-THIRTY-TWO-BYTES / HTTP/1.1",
            F::METHOD_NOT_IMPLEMENTED,
        ),
        ("CONNECT a:443 HTTP/1.1", F::METHOD_NOT_IMPLEMENTED),
        ("PRI * HTTP/2.0", F::UNSUPPORTED_VERSION),
        ("GET / HTTP/1.2", F::UNSUPPORTED_VERSION),
        ("GET / HTTP/0.9", F::UNSUPPORTED_VERSION),
        ("\r\nGET / HTTP/3.0", F::UNSUPPORTED_VERSION),
        ("GET a:80 HTTP/1.1", F::BAD_TARGET),
        ("GET * HTTP/1.1", F::BAD_TARGET),
        ("GET /a#b HTTP/1.1", F::BAD_TARGET),
        ("GET /%00 HTTP/1.1", F::BAD_ESCAPE),
    ] {
        let head = format!("{line}\r\nHost: x\r\n\r\n");
        refuses(&head, fault, "status");
    }
    for expectation in [
        "200-ok",
        "100-continue, x",
        "x,100-continue",
        "100-continue;a=b",
        "100-continue 100-continue",
        "a=\",100-continue,\"",
        "100-continue\r\nExpect: x",
    ] {
        let head = with_fields(&format!("Content-Length: 1\r\nExpect: {expectation}"));
        refuses(&head, F::UNKNOWN_EXPECTATION, "expectation");
    }
}

#[test]
fn a_method_without_a_name_comes_before_all_else_that_is_wrong() {
    for head in [
        "BREW / HTTP/1.1\r\n\r\n",
        "BREW / HTTP/1.1\r\nHost: a b\r\n\r\n",
        "BREW / HTTP/1.1\r\nHost: x\r\nContent-Length: y\r\n\r\n",
        "BREW / HTTP/1.1\r\nHost: x\r\nExpect: y\r\n\r\n",
        "BREW /#a HTTP/1.1\r\nHost: x\r\n\r\n",
    ] {
        refuses(head, F::METHOD_NOT_IMPLEMENTED, "method");
    }
}
