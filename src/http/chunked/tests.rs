//! Bodies whole, byte by byte and in two pieces, and everything that must not be accepted as a body.

use super::*;

const BODY_BYTES_MAX: usize = 100_000;

/// The result of input that arrived in pieces: the content, and how many bytes belonged to the body.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Done { body: Vec<u8>, consumed: usize },
    Incomplete,
    Refused(Fault),
}

fn decode(pieces: &[&[u8]], body_bytes_max: usize) -> Outcome {
    let mut decoder = Chunked::new();
    let (mut body, mut consumed) = (Vec::new(), 0);
    for piece in pieces {
        match decoder.decode(piece, &mut body, body_bytes_max) {
            Err(fault) => return Outcome::Refused(fault),
            Ok(progress) => {
                assert!(progress.done || progress.consumed == piece.len());
                consumed += progress.consumed;
                if progress.done {
                    return Outcome::Done { body, consumed };
                }
            }
        }
    }
    Outcome::Incomplete
}

/// The outcome of `input`, which must not depend on how it is cut.
#[track_caller]
fn outcome(input: &[u8]) -> Outcome {
    let whole = decode(&[input], BODY_BYTES_MAX);
    let bytes: Vec<&[u8]> = input.chunks(1).collect();
    assert_eq!(
        decode(&bytes, BODY_BYTES_MAX),
        whole,
        "{input:?} byte by byte"
    );
    for cut in 0..=input.len() {
        let (first, second) = input.split_at(cut);
        let split = decode(&[first, second], BODY_BYTES_MAX);
        assert_eq!(split, whole, "{input:?} cut at {cut}");
    }
    whole
}

#[test]
fn bodies_are_decoded_however_they_arrive() {
    for (input, body) in [
        ("0\r\n\r\n", ""),
        ("5\r\nhello\r\n0\r\n\r\n", "hello"),
        (
            "3\r\nfoo\r\n00A\r\n0123456789\r\n000\r\n\r\n",
            "foo0123456789",
        ),
        ("0000000000000001\r\nx\r\n0\r\n\r\n", "x"),
        (
            "a\r\n\r\n0\r\n\r\n\r\n\r\r\n0\r\n\r\n",
            "\r\n0\r\n\r\n\r\n\r",
        ),
        ("1;a\r\nx\r\n0;b=\"c;\td\"\r\n\r\n", "x"),
        ("1;a=b;c;d=\"\"\r\nx\r\n0\r\n\r\n", "x"),
        ("1 ;a=b\r\nx\r\n0\t \t;\t a\t =\t b\t ;\tc\r\n\r\n", "x"),
        (
            "1;a=\"\\\"\\\\;=\u{fc}\\\u{fc}\" ; b\r\nx\r\n0\r\n\r\n",
            "x",
        ),
        ("1;!#$%&'*+-.^_`|~=1\r\nx\r\n0\r\n\r\n", "x"),
        // Trailers are no headers: aiohttp CVE-2026-22815, http4s, lighttpd CVE-2025-12642.
        (
            "1\r\nx\r\n0\r\nContent-Length: 9\r\nA:\r\nB: c\td\r\n\r\n",
            "x",
        ),
    ] {
        let expected = Outcome::Done {
            body: body.into(),
            consumed: input.len(),
        };
        assert_eq!(outcome(input.as_bytes()), expected, "{input:?}");
        // The next request follows, with any content.
        let followed = [input.as_bytes(), b"\n\0GET"].concat();
        assert_eq!(outcome(&followed), expected, "{input:?} followed by more");
        for cut in 0..input.len() {
            assert_eq!(outcome(&input.as_bytes()[..cut]), Outcome::Incomplete);
        }
    }
}

#[test]
fn malformed_chunks_are_refused() {
    for (origin, input) in [
        ("no size", "\r\n"),
        ("no size", ";a\r\n"),
        ("sign", "+5\r\nhello\r\n"),
        ("sign", "-1\r\n"),
        ("prefix", "0x5\r\nhello\r\n"),
        ("underscore", "5_0\r\n"),
        ("space before", " 5\r\nhello\r\n"),
        ("space behind", "5 \r\nhello\r\n"),
        ("tab behind", "5\t\r\nhello\r\n"),
        ("no name", "5;\r\nhello\r\n"),
        ("no name", "5; \r\nhello\r\n"),
        ("no name", "5;=x\r\nhello\r\n"),
        ("no name", "5;;a\r\nhello\r\n"),
        ("no name", "5;a;\r\nhello\r\n"),
        ("quotes for a name", "5;\"a\"\r\nhello\r\n"),
        ("no semicolon", "5 a\r\nhello\r\n"),
        ("no semicolon", "5;a b\r\nhello\r\n"),
        ("no semicolon", "5;a=b c\r\nhello\r\n"),
        ("no semicolon", "5;a=\"b\"c\r\nhello\r\n"),
        ("no value", "5;a=\r\nhello\r\n"),
        ("no value", "5;a=;b\r\nhello\r\n"),
        ("two values", "5;a=b=c\r\nhello\r\n"),
        ("quotes behind a token", "5;a=b\"c\"\r\nhello\r\n"),
        ("open quotes", "5;a=\"b\r\nhello\r\n"),
        ("escaped quotes", "5;a=\"b\\\"\r\nhello\r\n"),
        ("an escaped line end", "5;a=\"b\\\r\n\"\r\nhello\r\n"),
        ("white space before the line end", "5;a \r\nhello\r\n"),
        ("white space before the line end", "5;a=b\t\r\nhello\r\n"),
        ("white space before the line end", "5;a=\"b\" \r\nhello\r\n"),
        ("a letter above ASCII", "5;\u{fc}\r\nhello\r\n"),
        ("a byte that is none of a token", "5;a=b/c\r\nhello\r\n"),
        ("Unicode digit", "\u{665}\r\nhello\r\n"),
        ("no hexadecimal digit", "g\r\n"),
        ("seventeen digits", "00000000000000005\r\nhello\r\n"),
        ("bare LF, Go CVE-2025-22871", "5\nhello\r\n0\r\n\r\n"),
        (
            "bare LF in extension, Kestrel CVE-2025-55315",
            "5;a\nhello\r\n",
        ),
        ("bare CR in extension", "5;a\rb\r\nhello\r\n"),
        ("NUL in quotes", "5;a=\"\0\"\r\nhello\r\n"),
        ("escaped DEL", "5;a=\"\\\x7f\"\r\nhello\r\n"),
        ("NUL in extension", "5;a\0\r\nhello\r\n"),
        ("DEL in extension", "5;\x7f\r\nhello\r\n"),
        ("bare CR behind size", "5\rhello\r\n"),
        ("two CR", "5\r\r\nhello\r\n"),
        (
            "chunk end not checked, h11 CVE-2025-43859",
            "5\r\nhelloXX0\r\n\r\n",
        ),
        ("bare LF behind data", "5\r\nhello\n0\r\n\r\n"),
        ("bare CR behind data", "5\r\nhello\r0\r\n\r\n"),
        ("data too long", "4\r\nhello\r\n0\r\n\r\n"),
        ("bare LF behind last size", "0\n\r\n"),
    ] {
        let refused = Outcome::Refused(Fault::BAD_CHUNK);
        assert_eq!(outcome(input.as_bytes()), refused, "{origin}: {input:?}");
    }
}

#[test]
fn malformed_trailers_are_refused() {
    for (origin, lines) in [
        ("the next request", "GET / HTTP/1.1\r\n\r\n"),
        ("bare LF", "\n"),
        ("bare LF", "A: b\n\r\n"),
        ("bare LF at the end", "A: b\r\n\n"),
        ("bare CR", "A: b\rC: d\r\n\r\n"),
        ("bare CR at the end", "\rX"),
        ("space before the colon", "A : b\r\n\r\n"),
        ("no colon", "A\r\n\r\n"),
        ("empty name", ": b\r\n\r\n"),
        ("folding", "A: b\r\n c\r\n\r\n"),
        ("NUL", "A: \0\r\n\r\n"),
        ("DEL in name", "A\x7f: b\r\n\r\n"),
    ] {
        let input = format!("0\r\n{lines}");
        let refused = Outcome::Refused(Fault::BAD_TRAILER);
        assert_eq!(outcome(input.as_bytes()), refused, "{origin}: {input:?}");
    }
}

#[test]
fn sizes_are_refused_at_the_digit_that_is_too_much() {
    // hyper CVE-2021-32714; and tiny_http 0.12, which allocates the declared size.
    let most = usize::MAX - 1;
    for (fitting, digit, limit) in [
        ("", "6", 5),
        ("1", "0", 15),
        ("186a", "1", 100_000),
        ("fff", "f0000000000000000", 0xfff),
        ("fffffffffffffff", "f", most),
    ] {
        let (mut decoder, mut body) = (Chunked::new(), Vec::new());
        let progress = decoder.decode(fitting.as_bytes(), &mut body, limit);
        assert!(progress.is_ok(), "{fitting} with {limit}");
        let refused = decoder.decode(digit.as_bytes(), &mut body, limit);
        assert_eq!(refused, Err(Fault::BODY_TOO_LARGE), "{fitting}{digit}");
        assert_eq!(body.capacity(), 0);
    }
    let mut body = Vec::new();
    let progress = Chunked::new().decode(b"ffffffffffffffff\r\nx", &mut body, usize::MAX);
    assert!(progress.is_ok_and(|progress| !progress.done));
    assert!(body.capacity() < 64, "a declared size was allocated");
}

#[test]
fn the_content_of_all_chunks_counts() {
    let input = b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
    let whole = Outcome::Done {
        body: b"abcde".to_vec(),
        consumed: input.len(),
    };
    assert_eq!(decode(&[input], 5), whole);
    assert_eq!(decode(&[input], 4), Outcome::Refused(Fault::BODY_TOO_LARGE));
    // The limit is for the whole body, even if the caller has taken the content in between.
    let mut decoder = Chunked::new();
    let first = decoder.decode(b"3\r\nabc\r\n", &mut Vec::new(), 4);
    assert!(first.is_ok());
    let second = decoder.decode(b"2", &mut Vec::new(), 4);
    assert_eq!(second, Err(Fault::BODY_TOO_LARGE));
}

#[test]
fn extensions_have_one_limit_for_the_whole_body() {
    // Node CVE-2024-22019. Each chunk has one byte of content and 64 bytes of extension.
    let chunk = format!("1;{}\r\nx\r\n", "e".repeat(63));
    let fitting = EXTENSION_BYTES_MAX / 64;
    let body = |chunks: usize, last: &str| chunk.repeat(chunks) + last + "\r\n\r\n";
    let done = decode(&[body(fitting, "0").as_bytes()], BODY_BYTES_MAX);
    assert!(matches!(done, Outcome::Done { .. }), "{done:?}");
    let refused = Outcome::Refused(Fault::CHUNK_EXTENSIONS_TOO_LARGE);
    assert_eq!(outcome(body(fitting, "0;").as_bytes()), refused);
    let spaces = format!("1{};a", " ".repeat(EXTENSION_BYTES_MAX));
    assert_eq!(decode(&[spaces.as_bytes()], BODY_BYTES_MAX), refused);
    // Refused at the limit, not at the end of the line.
    let endless = format!("1;{}", "e".repeat(EXTENSION_BYTES_MAX));
    assert_eq!(decode(&[endless.as_bytes()], BODY_BYTES_MAX), refused);
}

#[test]
fn trailers_have_one_limit_for_all_lines() {
    let line = format!("{}:{}\r\n", "a".repeat(31), "b".repeat(32));
    let fitting = TRAILER_BYTES_MAX / 64;
    let done = format!("0\r\n{}\r\n", line.repeat(fitting));
    let outcome = decode(&[done.as_bytes()], BODY_BYTES_MAX);
    assert!(matches!(outcome, Outcome::Done { .. }), "{outcome:?}");
    let refused = Outcome::Refused(Fault::TRAILERS_TOO_LARGE);
    let more = format!("0\r\n{}a", line.repeat(fitting));
    assert_eq!(decode(&[more.as_bytes()], BODY_BYTES_MAX), refused);
    let endless = format!("0\r\na:{}", "b".repeat(TRAILER_BYTES_MAX));
    assert_eq!(decode(&[endless.as_bytes()], BODY_BYTES_MAX), refused);
}

#[test]
fn a_decoder_stays_done_and_stays_refused() {
    let (mut decoder, mut body) = (Chunked::new(), Vec::new());
    let first = decoder.decode(b"0\r\n\r\n", &mut body, 0).unwrap();
    assert_eq!((first.consumed, first.done), (5, true));
    let second = decoder.decode(b"1\r\nx\r\n", &mut body, 9).unwrap();
    assert_eq!((second.consumed, second.done), (0, true));

    let mut decoder = Chunked::new();
    assert!(decoder.decode(b"z", &mut body, 9).is_err());
    assert!(decoder.decode(b"\r\n", &mut body, 9).is_err());
}

#[test]
fn a_damaged_body_means_the_same_however_it_is_cut() {
    let body = b"5;a=b ; c=\"d\"\r\nhello\r\n1\r\nx\r\n0\r\nA: b\r\n\r\n";
    for at in 0..body.len() {
        for byte in *b"\r\n\0 :;=\"\\50fg+" {
            let mut replaced = body.to_vec();
            replaced[at] = byte;
            outcome(&replaced);
            let mut inserted = body.to_vec();
            inserted.insert(at, byte);
            outcome(&inserted);
        }
    }
}
