//! Heads that must be read, heads that must be refused, and both cut at every byte.

mod refused;

use fastrand::Rng;

use super::*;

fn parse(bytes: &[u8], limits: &Limits) -> Result<Option<String>, Fault> {
    let mut slots = HeaderSlots::new();
    Ok(parse_head(bytes, &mut slots, limits)?.map(|head| summary(&head)))
}

/// Everything a connection would act upon, in one line.
fn summary(head: &Head<'_>) -> String {
    let Target { path, query, .. } = head.target;
    let query = query.map_or(String::new(), |query| format!("?{query}"));
    let host = head
        .host()
        .map_or("none", |host| std::str::from_utf8(host).unwrap());
    let framing = match head.framing {
        Framing::Length(0) => String::new(),
        Framing::Length(length) => format!(" length={length}"),
        Framing::Chunked => " chunked".into(),
    };
    let word = |set: bool, word: &'static str| if set { word } else { "" };
    [
        &format!(
            "{} {path}{query} {:?} host={host}",
            head.method, head.version
        ),
        framing.as_str(),
        word(head.keep_alive, " keep-alive"),
        word(head.expect_continue, " expect-continue"),
        word(head.upgrade, " upgrade"),
    ]
    .concat()
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
            "BREW /pot HTTP/1.1\r\nHost: x\r\n\r\n",
            "OTHER /pot Http11 host=x keep-alive",
        ),
        (
            "get http://y/ HTTP/1.1\r\nHost: x\r\n\r\n",
            "OTHER / Http11 host=y keep-alive",
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
fn fields_as_long_as_those_that_frame_a_message_are_just_fields() {
    let fields = "Date: x\r\nCookie: a=b\r\nReferer: /\r\nConnection: upgrade\r\n\
                  User-Agent: \"a\" (b)\r\nAccept-Charset: utf-8\r\nIf-Modified-Since: x";
    accepts(&with_fields(fields), "POST / Http11 host=x keep-alive");
}

#[test]
fn framing_expectation_and_upgrade_are_read() {
    for (fields, expected) in [
        ("Content-Length: 0", ""),
        ("content-length: 0065536", " length=65536"),
        // Above the limit of a body: code that reads the body has to refuse it.
        ("Content-Length: 65537", " length=65537"),
        (
            "Content-Length: 18446744073709551615",
            " length=18446744073709551615",
        ),
        (
            "Content-Length: 99999999999999999999",
            " length=18446744073709551615",
        ),
        ("Transfer-Encoding: Chunked", " chunked"),
    ] {
        let expected = format!("POST / Http11 host=x{expected} keep-alive");
        accepts(&with_fields(fields), &expected);
    }
    let waits = " length=5 keep-alive expect-continue";
    for (fields, expected) in [
        ("Expect: 100-Continue\r\nContent-Length: 5", waits),
        ("Expect: 100-continue", " keep-alive"),
        ("Expect: 100-continue,\r\nContent-Length: 5", waits),
        (
            "Expect: , ,\t100-CONTINUE ,100-continue\r\nContent-Length: 5",
            waits,
        ),
        (
            "Expect: 100-continue\r\nContent-Length: 5\r\nExpect:",
            waits,
        ),
        (
            "Expect:\r\nContent-Length: 5\r\nExpect: ,",
            " length=5 keep-alive",
        ),
        (
            "Connection: keep-alive, Upgrade\r\nUpgrade: websocket",
            " keep-alive upgrade",
        ),
        ("Upgrade: websocket", " keep-alive"),
        ("Connection: upgrade", " keep-alive"),
        ("Connection: upgrade\r\nUpgrade: , ,", " keep-alive"),
        (
            "Connection: upgrade\r\nUpgrade:\r\nUpgrade: ,websocket",
            " keep-alive upgrade",
        ),
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

    let longest = [&[b'A'; METHOD_BYTES_MAX][..], b" "].concat();
    assert_eq!(refused_after(&longest, &limits), None);
    let endless = [b'A'; METHOD_BYTES_MAX + 1];
    let expected = Some((endless.len(), Fault::METHOD_NOT_IMPLEMENTED));
    assert_eq!(refused_after(&endless, &limits), expected);
}

#[test]
fn of_two_faults_the_first_counts_however_much_has_arrived() {
    let limits = Limits {
        target_bytes_max: 10,
        ..Limits::default()
    };
    let method = "A".repeat(METHOD_BYTES_MAX + 1);
    for (head, fault) in [
        ("GET / HTTP/1.1\nHost : h\r\n", Fault::BAD_LINE_END),
        ("GET / HTTP/1.1\r\nHost : h\n", Fault::BAD_HEADER),
        ("GET /2345678901\0", Fault::TARGET_TOO_LONG),
        ("GET /23456789\0 1", Fault::BAD_REQUEST_LINE),
        (&format!("{method}\0"), Fault::METHOD_NOT_IMPLEMENTED),
        (&format!("{method} /"), Fault::METHOD_NOT_IMPLEMENTED),
    ] {
        let first = refused_after(head.as_bytes(), &limits).map(|(_, fault)| fault);
        assert_eq!(first, Some(fault), "{head:?} byte by byte");
        let whole = parse(head.as_bytes(), &limits);
        assert_eq!(whole, Err(fault), "{head:?} whole");
    }
}

#[test]
fn a_verdict_comes_at_the_byte_that_allows_no_other() {
    for (line, fault) in [
        ("\r\n\r\n\r", Fault::TOO_MANY_EMPTY_LINES),
        ("GET / HTTP/2.0", Fault::UNSUPPORTED_VERSION),
        ("GET / HTTP/2x", Fault::BAD_REQUEST_LINE),
        ("GET /\r", Fault::BAD_REQUEST_LINE),
        ("GET / HTTP/1.1\r\nHost ", Fault::BAD_HEADER),
    ] {
        let expected = Some((line.len(), fault));
        assert_eq!(refused_after(line.as_bytes(), &Limits::default()), expected);
    }
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

/// A head with a few bytes replaced, the same for the same seed.
fn damaged(seed: u64) -> Vec<u8> {
    let mut bytes = b"\r\nPOST /a%20b?c=d HTTP/1.1\r\nHost: x:1\r\nContent-Length: 5\r\n\
        Connection: upgrade\r\nTransfer-Encoding: chunked\r\n\r\nhello"
        .to_vec();
    let mut random = Rng::with_seed(seed);
    for _ in 0..=random.usize(..3) {
        let at = random.usize(..bytes.len());
        let byte = b"\r\n\0 :;,/%#*\tHt5\x80"[random.usize(..16)];
        match random.usize(..3) {
            0 => bytes[at] = byte,
            1 => bytes.insert(at, byte),
            _ => drop(bytes.drain(at..bytes.len().min(at + random.usize(..30)))),
        }
    }
    bytes
}

#[test]
fn no_verdict_on_a_damaged_head_is_taken_back_when_more_arrives() {
    let limits = Limits::default();
    let mut read = 0;
    for seed in 0..1000 {
        let bytes = damaged(seed);
        let whole = parse(&bytes, &limits);
        read += u32::from(matches!(whole, Ok(Some(_))));
        for cut in 0..bytes.len() {
            match (parse(&bytes[..cut], &limits), &whole) {
                (Ok(None), _) => {}
                (Ok(Some(early)), Ok(Some(late))) if early == *late => {}
                (Err(early), Err(late)) if early == *late => {}
                (early, late) => panic!("{early:?} at {cut}, then {late:?}: {bytes:?}"),
            }
        }
    }
    assert!(read > 20, "only {read} heads could still be read");
}
