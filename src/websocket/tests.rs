//! The requirements of RFC 6455 on a server, row by row. Every row is read whole, byte by byte, and cut at
//! every offset, always with the same outcome.

use super::*;

/// The result of some bytes on a socket with room for messages of 32 bytes.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    heard: Vec<Heard>,
    violation: Option<u16>,
    /// The protocol's own answers.
    answered: Vec<u8>,
}

const MAX: usize = 32;

fn read(pieces: &[&[u8]]) -> Outcome {
    let (mut incoming, mut answered) = (Incoming::new(MAX), Vec::new());
    let (mut heard, mut violation) = (Vec::new(), None);
    for piece in pieces {
        let mut input = *piece;
        loop {
            match incoming.next(&mut input, &mut answered) {
                Ok(Some(something)) => heard.push(something),
                Ok(None) => break,
                Err(Violation { code, .. }) => {
                    assert_eq!(violation.replace(code), None, "one violation is enough");
                    break;
                }
            }
        }
        assert!(input.is_empty(), "everything is taken");
    }
    Outcome {
        heard,
        violation,
        answered,
    }
}

/// A frame as a client sends it: first byte, payload.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mask = [0x37, 0xfa, 0x21, 0x3d];
    let mut bytes = vec![first];
    match payload.len() {
        short @ 0..=125 => bytes.push(0x80 | short as u8),
        medium @ 126..=0xffff => {
            bytes.push(0xfe);
            bytes.extend_from_slice(&(medium as u16).to_be_bytes());
        }
        long => {
            bytes.push(0xff);
            bytes.extend_from_slice(&(long as u64).to_be_bytes());
        }
    }
    bytes.extend_from_slice(&mask);
    bytes.extend(
        payload
            .iter()
            .zip(mask.iter().cycle())
            .map(|(byte, mask)| byte ^ mask),
    );
    bytes
}

fn close(code: u16, reason: &[u8]) -> Vec<u8> {
    frame(0x88, &[&code.to_be_bytes(), reason].concat())
}

fn text(text: &str) -> Heard {
    Heard::Message(text.into())
}

/// Reads the row with every cut.
fn check(what: &str, bytes: &[u8], heard: &[Heard], violation: Option<u16>, answered: &[u8]) {
    let expected = Outcome {
        heard: heard.to_vec(),
        violation,
        answered: answered.to_vec(),
    };
    assert_eq!(read(&[bytes]), expected, "{what}, whole");
    let singles: Vec<&[u8]> = bytes.chunks(1).collect();
    assert_eq!(read(&singles), expected, "{what}, byte by byte");
    for at in 0..=bytes.len() {
        let (front, back) = bytes.split_at(at);
        assert_eq!(read(&[front, back]), expected, "{what}, cut at {at}");
    }
}

/// A description, the frames, the expected messages, and the protocol's own answers.
type Row = (&'static str, Vec<Vec<u8>>, Vec<Heard>, &'static [u8]);

#[test]
fn messages_come_whole_or_in_parts_with_control_frames_between() {
    let half = "Grüße 𝄞".as_bytes();
    let rows: [Row; 13] = [
        (
            "text",
            vec![frame(0x81, b"hello")],
            vec![text("hello")],
            b"",
        ),
        ("empty text", vec![frame(0x81, b"")], vec![text("")], b""),
        (
            "bytes",
            vec![frame(0x82, &[0, 255])],
            vec![Heard::Message(vec![0, 255].into())],
            b"",
        ),
        (
            "empty bytes",
            vec![frame(0x82, b"")],
            vec![Heard::Message(vec![].into())],
            b"",
        ),
        (
            "three parts",
            vec![frame(0x01, b"he"), frame(0x00, b"ll"), frame(0x80, b"o")],
            vec![text("hello")],
            b"",
        ),
        (
            "empty parts",
            vec![frame(0x01, b""), frame(0x00, b""), frame(0x80, b"")],
            vec![text("")],
            b"",
        ),
        (
            "two messages",
            vec![frame(0x81, b"a"), frame(0x82, b"b")],
            vec![text("a"), Heard::Message(b"b".to_vec().into())],
            b"",
        ),
        (
            "the longest",
            vec![frame(0x81, &[b'x'; MAX])],
            vec![text(&"x".repeat(MAX))],
            b"",
        ),
        (
            "ping",
            vec![frame(0x89, b"sonar")],
            vec![],
            b"\x8a\x05sonar",
        ),
        ("empty ping", vec![frame(0x89, b"")], vec![], b"\x8a\x00"),
        (
            "pong",
            vec![frame(0x8a, b"unasked")],
            vec![Heard::Pong],
            b"",
        ),
        (
            "control frames within a message",
            vec![
                frame(0x01, b"he"),
                frame(0x89, b"1"),
                frame(0x00, b"ll"),
                frame(0x8a, b""),
                frame(0x80, b"o"),
            ],
            vec![Heard::Pong, text("hello")],
            b"\x8a\x011",
        ),
        (
            "characters cut between parts",
            vec![
                frame(0x01, &half[..3]),
                frame(0x00, &half[3..10]),
                frame(0x80, &half[10..]),
            ],
            vec![text("Grüße 𝄞")],
            b"",
        ),
    ];
    for (what, frames, heard, answered) in rows {
        check(what, &frames.concat(), &heard, None, answered);
    }
}

#[test]
fn what_the_protocol_does_not_allow_ends_it_with_1002() {
    let long_control = [&[0x89u8, 0xfe, 0, 126][..], &[0; 4], &[0; 126]].concat();
    let rows: Vec<(String, Vec<u8>)> = [
        ("text without a mask", vec![0x81, 0x01, b'a']),
        ("ping without a mask", vec![0x89, 0x00]),
        ("bit rsv1", frame(0xc1, b"a")),
        ("bit rsv2", frame(0xa1, b"a")),
        ("bit rsv3", frame(0x91, b"a")),
        ("bit rsv1 of a ping", frame(0xc9, b"")),
        ("ping in parts", frame(0x09, b"a")),
        ("pong in parts", frame(0x0a, b"a")),
        ("close in parts", frame(0x08, b"")),
        ("ping of 126 bytes", long_control),
        ("close of 126 bytes", close(1000, &[b'x'; 124])),
        ("continuation of nothing", frame(0x80, b"a")),
        ("continuation in parts of nothing", frame(0x00, b"a")),
        (
            "text within text",
            [frame(0x01, b"a"), frame(0x81, b"b")].concat(),
        ),
        (
            "bytes within text",
            [frame(0x01, b"a"), frame(0x02, b"b")].concat(),
        ),
        (
            "7 bits of length in 16",
            [&[0x81u8, 0xfe, 0, 5][..], &[0; 9]].concat(),
        ),
        (
            "16 bits of length in 64",
            [&[0x81u8, 0xff, 0, 0, 0, 0, 0, 0, 0, 200][..], &[0; 4]].concat(),
        ),
        (
            "64 bits of length",
            [&[0x81u8, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0][..], &[0; 4]].concat(),
        ),
        ("half a close code", frame(0x88, b"\x03")),
    ]
    .into_iter()
    .map(|(what, bytes)| (what.to_owned(), bytes))
    .chain(
        [0x3, 0x4, 0x5, 0x6, 0x7, 0xb, 0xc, 0xd, 0xe, 0xf].map(|opcode| {
            (
                format!("reserved opcode {opcode:#x}"),
                frame(0x80 | opcode, b""),
            )
        }),
    )
    .chain(
        [
            0, 1, 999, 1004, 1005, 1006, 1014, 1015, 1016, 1100, 2000, 2999, 5000, 65535,
        ]
        .map(|code| (format!("close code {code}"), close(code, b""))),
    )
    .collect();
    for (what, bytes) in rows {
        check(&what, &bytes, &[], Some(PROTOCOL_ERROR), b"");
        let then_text = [bytes, frame(0x81, b"ignored")].concat();
        check(&what, &then_text, &[], Some(PROTOCOL_ERROR), b"");
    }
}

#[test]
fn text_that_is_not_utf8_ends_it_with_1007_as_soon_as_it_is_seen() {
    for (what, bytes) in [
        ("a lone continuation byte", frame(0x81, b"a\x80")),
        ("an overlong slash", frame(0x81, b"\xc0\xaf")),
        ("a surrogate", frame(0x81, b"\xed\xa0\x80")),
        (
            "beyond the last character",
            frame(0x81, b"\xf4\x90\x80\x80"),
        ),
        ("a character cut off", frame(0x81, b"\xe2\x82")),
        (
            "a character cut off in the last part",
            [frame(0x01, b"\xe2"), frame(0x80, b"\x82")].concat(),
        ),
        ("in the first part of three", frame(0x01, b"\xff")),
        (
            "in a part that has only begun",
            frame(0x01, b"\xffabcdef")[..8].to_vec(),
        ),
        ("in a close reason", close(1000, b"\xff")),
    ] {
        check(what, &bytes, &[], Some(INVALID_TEXT), b"");
    }
    check(
        "bytes need not be text",
        &frame(0x82, b"\xff"),
        &[Heard::Message(vec![255].into())],
        None,
        b"",
    );
}

#[test]
fn what_is_too_long_ends_it_with_1009_before_it_arrives() {
    let header_only = |length: u64| [&[0x82u8, 0xff][..], &length.to_be_bytes(), &[0; 4]].concat();
    for (what, bytes) in [
        ("one frame", frame(0x82, &[0; MAX + 1])),
        (
            "in parts",
            [frame(0x02, &[0; MAX]), frame(0x80, &[0])].concat(),
        ),
        ("a gigabyte, declared", header_only(1 << 30)),
        ("all that 63 bits can say", header_only(i64::MAX as u64)),
    ] {
        check(what, &bytes, &[], Some(TOO_LONG), b"");
    }
}

#[test]
fn a_close_is_answered_with_its_code_and_nothing_is_heard_after_it() {
    let after = frame(0x81, b"ignored");
    for code in [
        1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 3000, 3999, 4000, 4999,
    ] {
        let bytes = [close(code, "tschüß".as_bytes()), after.clone()].concat();
        let echo = [&[0x88, 2][..], &code.to_be_bytes()].concat();
        check(&code.to_string(), &bytes, &[Heard::Closed], None, &echo);
    }
    check(
        "without a code",
        &[frame(0x88, b""), after].concat(),
        &[Heard::Closed],
        None,
        b"\x88\x00",
    );
}

#[test]
fn a_socket_that_says_nothing_holds_no_memory() {
    let mut incoming = Incoming::new(1 << 20);
    let mut out = Vec::new();
    for bytes in [
        frame(0x81, &[b'x'; 5000]),
        frame(0x89, b"ping"),
        frame(0x8a, b"pong"),
    ] {
        let mut input = &bytes[..];
        while let Ok(Some(_)) = incoming.next(&mut input, &mut out) {}
    }
    assert!(incoming.unfinished.is_none());
    assert!(size_of::<Incoming>() <= 24, "{}", size_of::<Incoming>());
}

#[test]
fn frames_of_all_lengths_are_written_as_the_standard_has_them() {
    for (length, header) in [
        (0usize, &[0x82u8, 0][..]),
        (125, &[0x82, 125]),
        (126, &[0x82, 126, 0, 126]),
        (65535, &[0x82, 126, 0xff, 0xff]),
        (65536, &[0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
    ] {
        let payload = vec![7; length];
        let mut out = Vec::new();
        encode_message(&payload.clone().into(), &mut out);
        assert_eq!(out, [header, &payload].concat());
    }
    let mut out = Vec::new();
    encode_message(&"hi".into(), &mut out);
    encode_ping(b"!", &mut out);
    encode_close(SESSION_ENDED, "over", &mut out);
    assert_eq!(out, b"\x81\x02hi\x89\x01!\x88\x06\x11\x31over");
}

#[test]
fn a_close_reason_is_cut_between_characters() {
    let mut out = Vec::new();
    encode_close(NORMAL, &"ä".repeat(100), &mut out);
    assert_eq!(out.len(), 2 + 2 + 122);
    assert!(std::str::from_utf8(&out[4..]).is_ok());
}

#[test]
fn the_handshake_is_answered_as_in_the_standards_example() {
    let accepted = accept(b"dGhlIHNhbXBsZSBub25jZQ==");
    assert_eq!(accepted.as_deref(), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    for wrong in [
        "",
        "dGhlIHNhbXBsZSBub25jZQ",
        "dGhlIHNhbXBsZSBub25j",
        "not base64 at all!!!!!!!",
    ] {
        assert_eq!(accept(wrong.as_bytes()), None, "{wrong}");
    }
}
