//! Heads that must be read, heads that must be refused, and both cut at every byte.

use super::*;

fn parse(bytes: &[u8], limits: &Limits) -> Result<Option<String>, Fault> {
    let mut slots = HeaderSlots::new();
    Ok(parse_head(bytes, &mut slots, limits)?.map(|head| summary(&head)))
}

/// Everything a connection would act upon, in one line.
fn summary(head: &Head<'_>) -> String {
    let Target { path, query, .. } = head.target;
    let query = query.map_or(String::new(), |query| format!("?{query}"));
    let mut line = format!("{} {path}{query} {:?}", head.method, head.version);
    line.push_str(&format!(" host={}", head.host().unwrap_or("none")));
    match head.framing {
        Framing::Length(0) => {}
        Framing::Length(length) => line += &format!(" length={length}"),
        Framing::Chunked => line += " chunked",
    }
    for (set, word) in [
        (head.keep_alive, " keep-alive"),
        (head.expect_continue, " expect-continue"),
        (head.upgrade, " upgrade"),
    ] {
        line += if set { word } else { "" };
    }
    line
}

/// Whole, followed by other bytes, and cut at every byte.
#[track_caller]
fn accepts(head: &str, expected: &str) {
    let limits = Limits::default();
    let bytes = head.as_bytes();
    assert_eq!(parse(bytes, &limits), Ok(Some(expected.into())), "{head:?}");
    for cut in 0..bytes.len() {
        let outcome = parse(&bytes[..cut], &limits);
        assert_eq!(outcome, Ok(None), "{head:?} cut at {cut}");
    }
    // Valid requests that are dropped because garbage follows: llhttp.
    for behind in ["\n\n\0garbage", "GET / HTTP/1.1\nHost", "\r"] {
        let both = [bytes, behind.as_bytes()].concat();
        let mut slots = HeaderSlots::new();
        let head = parse_head(&both, &mut slots, &limits).unwrap().unwrap();
        assert_eq!(head.length, bytes.len(), "{head:?} before {behind:?}");
        assert_eq!(summary(&head), expected);
    }
}

/// Whole and followed by more; cut anywhere it is either refused for the same status or waits.
#[track_caller]
fn refuses(head: &str, fault: Fault, origin: &str) {
    let limits = Limits::default();
    let bytes = head.as_bytes();
    assert_eq!(parse(bytes, &limits), Err(fault), "{origin}: {head:?}");
    for cut in 0..bytes.len() {
        match parse(&bytes[..cut], &limits) {
            Ok(None) => {}
            Ok(Some(read)) => panic!("{origin}: {head:?} cut at {cut} was read as {read}"),
            Err(early) => assert_eq!(early.status, fault.status, "{origin}: {head:?} at {cut}"),
        }
    }
    let both = [bytes, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"].concat();
    assert_eq!(parse(&both, &limits), Err(fault), "{origin}: {head:?}");
}

/// `fields` in an otherwise good request.
fn with_fields(fields: &str) -> String {
    format!("POST / HTTP/1.1\r\nHost: x\r\n{fields}\r\n\r\n")
}

#[test]
fn requests_are_read() {
    for (head, expected) in [
        (
            "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET /healthz Http11 host=x keep-alive",
        ),
        (
            "HEAD /a%20b?since=4&limit=%2B HTTP/1.1\r\nhOST:\t127.0.0.1:8080 \r\n\r\n",
            "HEAD /a%20b?since=4&limit=%2B Http11 host=127.0.0.1:8080 keep-alive",
        ),
        ("GET / HTTP/1.0\r\n\r\n", "GET / Http10 host=none"),
        (
            "GET / HTTP/1.0\r\nHost: [::1]:80\r\nConnection: foo, Keep-Alive\r\n\r\n",
            "GET / Http10 host=[::1]:80 keep-alive",
        ),
        (
            "GET / HTTP/1.1\r\nHost:\r\nConnection: ,close ,\r\n\r\n",
            "GET / Http11 host=",
        ),
        (
            "GET / HTTP/1.1\r\nHost: x\r\nConnection: keep-alive\r\nConnection: CLOSE\r\n\r\n",
            "GET / Http11 host=x",
        ),
        (
            "\r\n\r\nDELETE /sessions/1 HTTP/1.1\r\nHost: x\r\n\r\n",
            "DELETE /sessions/1 Http11 host=x keep-alive",
        ),
        (
            "GET http://example.org:81/a?b HTTP/1.1\r\nHost: other\r\n\r\n",
            "GET /a?b Http11 host=example.org:81 keep-alive",
        ),
        (
            "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
            "OPTIONS * Http11 host=x keep-alive",
        ),
        (
            "GET / HTTP/1.1\r\nHost: x\r\nX-Empty:\r\nX-Text: \t gr\u{fc}n\tblau  \r\n\r\n",
            "GET / Http11 host=x keep-alive",
        ),
    ] {
        accepts(head, expected);
    }
}

#[test]
fn framing_expectation_and_upgrade_are_read() {
    for (fields, expected) in [
        ("Content-Length: 0", ""),
        ("content-length: 0065536", " length=65536"),
        ("Transfer-Encoding: Chunked", " chunked"),
    ] {
        let expected = format!("POST / Http11 host=x{expected} keep-alive");
        accepts(&with_fields(fields), &expected);
    }
    let waits = " length=5 keep-alive expect-continue";
    for (fields, expected) in [
        ("Expect: 100-Continue\r\nContent-Length: 5", waits),
        ("Expect: 100-continue", " keep-alive"),
        (
            "Connection: keep-alive, Upgrade\r\nUpgrade: websocket",
            " keep-alive upgrade",
        ),
        ("Upgrade: websocket", " keep-alive"),
        ("Connection: upgrade", " keep-alive"),
        // Upgrade with a body: the body is read, the offer is ignored. curl --http2 -d sends it.
        (
            "Connection: upgrade\r\nUpgrade: h2c\r\nContent-Length: 1",
            " length=1 keep-alive",
        ),
        (
            "Connection: upgrade\r\nUpgrade: h2c\r\nTransfer-Encoding: chunked",
            " chunked keep-alive",
        ),
    ] {
        accepts(
            &with_fields(fields),
            &format!("POST / Http11 host=x{expected}"),
        );
    }
}

#[test]
fn what_1_0_cannot_know_is_ignored_there() {
    let fields = "Expect: 100-continue\r\nConnection: upgrade\r\nUpgrade: websocket";
    accepts(
        &format!("POST / HTTP/1.0\r\nContent-Length: 2\r\n{fields}\r\n\r\n"),
        "POST / Http10 host=none length=2",
    );
    accepts(
        &format!("POST / HTTP/1.0\r\n{fields}\r\n\r\n"),
        "POST / Http10 host=none",
    );
}

#[test]
fn ambiguous_framing_is_refused() {
    use Fault as F;
    for (origin, fields, fault) in [
        (
            "tiny-http #173",
            "Transfer-Encoding : chunked",
            F::BAD_HEADER,
        ),
        ("tiny-http #173", "Content-Length\t: 5", F::BAD_HEADER),
        (
            "hyper #3860",
            "Content-Length: 5\r\nTransfer-Encoding: chunked",
            F::AMBIGUOUS_FRAMING,
        ),
        (
            "hyper #3860",
            "Transfer-Encoding: chunked\r\nContent-Length: 0",
            F::AMBIGUOUS_FRAMING,
        ),
        (
            "RFC 9112 6.1",
            "Transfer-Encoding:",
            F::BAD_TRANSFER_ENCODING,
        ),
        (
            "RFC 9112 6.1",
            "Transfer-Encoding: chunked\r\ntransfer-encoding: chunked",
            F::BAD_TRANSFER_ENCODING,
        ),
        (
            "several lengths",
            "Content-Length: 5\r\nContent-Length: 6",
            F::BAD_CONTENT_LENGTH,
        ),
        (
            "several lengths",
            "Content-Length: 5\r\nContent-Length: 5",
            F::BAD_CONTENT_LENGTH,
        ),
        (
            "CL in Connection",
            "Content-Length: 5\r\nConnection: close, content-length",
            F::BAD_CONNECTION,
        ),
        (
            "TE in Connection",
            "Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked",
            F::BAD_CONNECTION,
        ),
        ("Host in Connection", "Connection: host", F::BAD_CONNECTION),
        ("not a token", "Connection: keep alive", F::BAD_CONNECTION),
    ] {
        refuses(&with_fields(fields), fault, origin);
    }
    for coding in [
        "chunked123", // aiohttp CVE-2023-47641
        "xchunked",
        "\"chunked\"",
        "chunked, chunked",
        "gzip, chunked",
        "chunked, identity",
        "identity",
        "gzip",
        ",chunked",
        "chunked;q=1",
        "chunked\x0b",
        "chun\u{212a}ed",
    ] {
        let fault = if coding.contains('\x0b') {
            F::BAD_HEADER
        } else {
            F::BAD_TRANSFER_ENCODING
        };
        refuses(
            &with_fields(&format!("Transfer-Encoding: {coding}")),
            fault,
            "coding",
        );
    }
    for length in [
        "", "+5", "-5", "0x5", "5_0", "5 0", "5,5", "5, 6", "5.0", "5e1", "\u{665}", "five", "5;",
    ] {
        let head = with_fields(&format!("Content-Length: {length}"));
        refuses(&head, F::BAD_CONTENT_LENGTH, "bad length becomes 0");
    }
    for length in [
        "65537",
        "18446744073709551615",
        "18446744073709551616",
        "99999999999999999999999",
    ] {
        let head = with_fields(&format!("Content-Length: {length}"));
        refuses(&head, F::BODY_TOO_LARGE, "length overflow");
    }
    let modern_body = "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n";
    refuses(modern_body, F::BAD_TRANSFER_ENCODING, "chunks in 1.0");
}

#[test]
fn malformed_lines_are_refused() {
    use Fault as F;
    for (origin, head, fault) in [
        (
            "bare LF",
            "GET / HTTP/1.1\nHost: x\r\n\r\n",
            F::BAD_LINE_END,
        ),
        (
            "bare LF",
            "GET / HTTP/1.1\r\nHost: x\n\r\n",
            F::BAD_LINE_END,
        ),
        (
            "bare LF",
            "GET / HTTP/1.1\r\nHost: x\r\n\n",
            F::BAD_LINE_END,
        ),
        (
            "bare LF",
            "GET / HTTP/1.1\r\nHost: x\r\nA: b\nC: d\r\n\r\n",
            F::BAD_LINE_END,
        ),
        (
            "bare LF",
            "\nGET / HTTP/1.1\r\nHost: x\r\n\r\n",
            F::BAD_LINE_END,
        ),
        (
            "bare LF",
            "\r\n\nGET / HTTP/1.1\r\nHost: x\r\n\r\n",
            F::BAD_LINE_END,
        ),
        (
            "bare CR",
            "GET / HTTP/1.1\rHost: x\r\n\r\n",
            F::BAD_LINE_END,
        ),
        (
            "bare CR",
            "\rGET / HTTP/1.1\r\nHost: x\r\n\r\n",
            F::BAD_LINE_END,
        ),
        (
            "bare CR, Node CVE-2022-32214",
            "GET / HTTP/1.1\r\nHost: x\r\nA: b\rC: d\r\n\r\n",
            F::BAD_HEADER,
        ),
        (
            "bare CR",
            "GET / HTTP/1.1\r\nHost: x\r\nA: \rb\r\n\r\n",
            F::BAD_HEADER,
        ),
        (
            "obs-fold",
            "GET / HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n",
            F::BAD_HEADER,
        ),
        (
            "obs-fold",
            "GET / HTTP/1.1\r\nHost: x\r\nA:\r\n\tc\r\n\r\n",
            F::BAD_HEADER,
        ),
        (
            "space before the first field",
            "GET / HTTP/1.1\r\n Host: x\r\n\r\n",
            F::BAD_HEADER,
        ),
        (
            "empty name",
            "GET / HTTP/1.1\r\nHost: x\r\n: b\r\n\r\n",
            F::BAD_HEADER,
        ),
        (
            "no colon",
            "GET / HTTP/1.1\r\nHost: x\r\nA\r\n\r\n",
            F::BAD_HEADER,
        ),
        (
            "control byte first",
            "\x01GET / HTTP/1.1\r\nHost: x\r\n\r\n",
            F::BAD_REQUEST_LINE,
        ),
        (
            "control byte first",
            "\r\n\0GET / HTTP/1.1\r\nHost: x\r\n\r\n",
            F::BAD_REQUEST_LINE,
        ),
        ("TLS hello", "\x16\x03\x01\x02\0\x01", F::BAD_REQUEST_LINE),
        (
            "leading space",
            " GET / HTTP/1.1\r\nHost: x\r\n\r\n",
            F::BAD_REQUEST_LINE,
        ),
        (
            "two spaces",
            "GET  / HTTP/1.1\r\nHost: x\r\n\r\n",
            F::BAD_REQUEST_LINE,
        ),
        (
            "two spaces",
            "GET /  HTTP/1.1\r\nHost: x\r\n\r\n",
            F::BAD_REQUEST_LINE,
        ),
        (
            "tab",
            "GET\t/ HTTP/1.1\r\nHost: x\r\n\r\n",
            F::BAD_REQUEST_LINE,
        ),
        ("HTTP/0.9", "GET /\r\n", F::BAD_REQUEST_LINE),
        (
            "method is no token",
            "GE(T / HTTP/1.1\r\nHost: x\r\n\r\n",
            F::BAD_REQUEST_LINE,
        ),
        (
            "five empty line ends",
            "\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n",
            F::TOO_MANY_EMPTY_LINES,
        ),
        (
            "more than a version",
            "GET / HTTP/1.1 \r\nHost: x\r\n\r\n",
            F::BAD_LINE_END,
        ),
        (
            "more than a version",
            "GET / HTTP/1.10\r\nHost: x\r\n\r\n",
            F::BAD_LINE_END,
        ),
        (
            "version",
            "GET / http/1.1\r\nHost: x\r\n\r\n",
            F::BAD_REQUEST_LINE,
        ),
        (
            "version",
            "GET / HTTP/1,1\r\nHost: x\r\n\r\n",
            F::BAD_REQUEST_LINE,
        ),
        (
            "version",
            "GET / HTTP/11\r\nHost: x\r\n\r\n",
            F::BAD_REQUEST_LINE,
        ),
        (
            "version",
            "GET / HTTP/1.x\r\nHost: x\r\n\r\n",
            F::BAD_REQUEST_LINE,
        ),
        (
            "version",
            "GET / ICY/1.1 \r\nHost: x\r\n\r\n",
            F::BAD_REQUEST_LINE,
        ),
    ] {
        refuses(head, fault, origin);
    }
}

#[test]
fn no_control_byte_passes_at_any_place_of_a_name_or_value() {
    // Long enough for every width of vector that httparse compares at once, and its remainder.
    let text = "a".repeat(70);
    for control in (0..=8_u8).chain(11..=12).chain(14..=31).chain([127]) {
        for at in [0, 1, 7, 15, 16, 31, 32, 33, 63, 64, 69] {
            let mut text = text.clone();
            text.insert(at, char::from(control));
            refuses(
                &with_fields(&format!("{text}: b")),
                Fault::BAD_HEADER,
                "name",
            );
            refuses(
                &with_fields(&format!("A: {text}")),
                Fault::BAD_HEADER,
                "value",
            );
            let head = format!("GET /{text} HTTP/1.1\r\nHost: x\r\n\r\n");
            refuses(&head, Fault::BAD_REQUEST_LINE, "target");
        }
    }
}

#[test]
fn host_is_there_once_and_is_a_host() {
    refuses(
        "GET / HTTP/1.1\r\n\r\n",
        Fault::MISSING_HOST,
        "RFC 9112 3.2",
    );
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
            refuses(&head, Fault::BAD_HOST, origin);
        }
    }
    // An absolute target does not excuse a bad Host: a proxy behind us might look at that one.
    let absolute = "GET http://a/ HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n";
    refuses(absolute, Fault::BAD_HOST, "absolute-form");
}

#[test]
fn what_is_well_formed_but_not_ours_has_its_own_status() {
    use Fault as F;
    for (head, fault) in [
        (
            "BREW / HTTP/1.1\r\nHost: x\r\n\r\n",
            F::METHOD_NOT_IMPLEMENTED,
        ),
        (
            "get / HTTP/1.1\r\nHost: x\r\n\r\n",
            F::METHOD_NOT_IMPLEMENTED,
        ),
        (
            "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n",
            F::METHOD_NOT_IMPLEMENTED,
        ),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", F::UNSUPPORTED_VERSION),
        ("GET / HTTP/1.2\r\nHost: x\r\n\r\n", F::UNSUPPORTED_VERSION),
        ("GET / HTTP/0.9\r\nHost: x\r\n\r\n", F::UNSUPPORTED_VERSION),
        (
            "\r\nGET / HTTP/3.0\r\nHost: x\r\n\r\n",
            F::UNSUPPORTED_VERSION,
        ),
        ("GET a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n", F::BAD_TARGET),
        ("GET * HTTP/1.1\r\nHost: x\r\n\r\n", F::BAD_TARGET),
        ("GET /a#b HTTP/1.1\r\nHost: x\r\n\r\n", F::BAD_TARGET),
        ("GET /%00 HTTP/1.1\r\nHost: x\r\n\r\n", F::BAD_ESCAPE),
    ] {
        refuses(head, fault, "status");
    }
    for expectation in ["200-ok", "100-continue, x", ""] {
        let head = with_fields(&format!("Content-Length: 1\r\nExpect: {expectation}"));
        refuses(&head, F::UNKNOWN_EXPECTATION, "expectation");
    }
}

/// The number of bytes after which `bytes`, growing one by one, is refused, and how.
fn refused_after(bytes: &[u8], limits: &Limits) -> Option<(usize, Fault)> {
    (0..=bytes.len()).find_map(|cut| match parse(&bytes[..cut], limits) {
        Err(fault) => Some((cut, fault)),
        Ok(_) => None,
    })
}

#[test]
fn limits_hold_to_the_byte_and_count_over_all_reads() {
    let limits = Limits {
        target_bytes_max: 10,
        head_bytes_max: 60,
        headers_max: 3,
        ..Limits::default()
    };
    let target = |length: usize| "/".repeat(length);
    let fitting = format!("GET {} HTTP/1.1\r\nHost: x\r\n\r\n", target(10));
    assert_eq!(refused_after(fitting.as_bytes(), &limits), None);
    // Refused at its eleventh byte, long before the line ends.
    let longer = format!("\r\nGET {}", target(11));
    let expected = Some((longer.len(), Fault::TARGET_TOO_LONG));
    assert_eq!(refused_after(longer.as_bytes(), &limits), expected);
    let whole = format!("GET {} HTTP/1.1\r\nHost: x\r\n\r\n", target(11));
    assert_eq!(
        parse(whole.as_bytes(), &limits),
        Err(Fault::TARGET_TOO_LONG)
    );

    let head = |value: usize| {
        format!(
            "GET / HTTP/1.1\r\nHost: x\r\nA: {}\r\n\r\n",
            "b".repeat(value)
        )
    };
    let overhead = head(0).len();
    let fitting = head(60 - overhead);
    assert_eq!(refused_after(fitting.as_bytes(), &limits), None);
    // At 60 bytes without an end there is no room for the end.
    let longer = head(61 - overhead);
    let expected = Some((60, Fault::HEAD_TOO_LARGE));
    assert_eq!(refused_after(longer.as_bytes(), &limits), expected);
    assert_eq!(
        parse(longer.as_bytes(), &limits),
        Err(Fault::HEAD_TOO_LARGE)
    );

    let fitting = "GET / HTTP/1.1\r\nHost: x\r\nA: b\r\nC: d\r\n\r\n";
    assert_eq!(refused_after(fitting.as_bytes(), &limits), None);
    let more = "GET / HTTP/1.1\r\nHost: x\r\nA: b\r\nC: d\r\nE: f\r\n";
    let expected = Some((more.len(), Fault::TOO_MANY_HEADERS));
    assert_eq!(refused_after(more.as_bytes(), &limits), expected);

    let endless = [b'A'; METHOD_BYTES_MAX + 1];
    let expected = Some((endless.len(), Fault::METHOD_NOT_IMPLEMENTED));
    assert_eq!(refused_after(&endless, &limits), expected);
}

#[test]
fn a_bare_line_feed_is_refused_at_once() {
    for head in ["GET / HTTP/1.1\n", "GET / HTTP/1.1\r\nHost: x\n", "\n"] {
        let expected = Some((head.len(), Fault::BAD_LINE_END));
        assert_eq!(refused_after(head.as_bytes(), &Limits::default()), expected);
    }
}

#[test]
fn headers_max_above_the_ceiling_is_the_ceiling() {
    let limits = Limits {
        headers_max: HEADERS_CEILING + 1,
        ..Limits::default()
    };
    let head = |count: usize| format!("GET / HTTP/1.0\r\n{}\r\n", "A: b\r\n".repeat(count));
    assert!(matches!(
        parse(head(HEADERS_CEILING).as_bytes(), &limits),
        Ok(Some(_))
    ));
    let more = head(HEADERS_CEILING + 1);
    assert_eq!(
        parse(more.as_bytes(), &limits),
        Err(Fault::TOO_MANY_HEADERS)
    );
}

#[test]
fn fields_are_found_by_name_in_any_case() {
    let bytes = b"GET / HTTP/1.1\r\nHost: x\r\nCookie: a=1\r\nX-A: \xff \r\ncookie: b=2\r\n\r\n";
    let mut slots = HeaderSlots::new();
    let limits = Limits::default();
    let head = parse_head(bytes, &mut slots, &limits).unwrap().unwrap();
    assert_eq!(head.headers_count(), 4);
    assert_eq!(head.header("COOKIE"), Some(&b"a=1"[..]));
    assert_eq!(head.headers("Cookie").collect::<Vec<_>>(), [b"a=1", b"b=2"]);
    assert_eq!(head.header("x-a"), Some(&b"\xff"[..]));
    assert_eq!(head.header("cooki"), None);
}
