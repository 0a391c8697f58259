//! Bytes made of the words of each language, most of them nearly right; and what is right by
//! construction, of which the outcome is known.

use std::fmt::Write as _;

use loopgate::app::Pattern;
use loopgate::event::is_name;
use loopgate::http::percent_decode;
use loopgate::websocket::{Heard, Incoming, Message};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::checks;

/// A byte that chooses, then some of these words, and now and then any other byte.
fn made_of(words: &'static [&'static str]) -> impl Strategy<Value = Vec<u8>> {
    let words = select(words).prop_map(|word| word.as_bytes().to_vec());
    let word = prop_oneof![20 => words, 1 => vec(any::<u8>(), 1)];
    let choice = any::<u8>().prop_map(|choice| vec![choice]);
    (choice, vec(word, 0..14)).prop_map(|(choice, words)| [choice, words.concat()].concat())
}

const HEAD: &[&str] = &[
    "GET / HTTP/1.1\r\n",
    "GET / HTTP/1.1\r\nHost: h\r\n",
    "POST /a?b HTTP/1.1\r\nHost: h\r\n",
    "OPTIONS * HTTP/1.0\r\n",
    "HEAD http://h:80/x HTTP/1.1\r\nHost: y\r\n",
    "GET / HTTP/2.0\r\n",
    "METHODS-OF-MORE-THAN-THIRTY-TWO-BYTES /",
    "/a/target/of/more/than/24/bytes",
    "Content-Length: 5\r\n",
    "Content-Length: 05",
    "Transfer-Encoding: chunked\r\n",
    "Expect: 100-continue\r\n",
    "Connection: close, Upgrade\r\n",
    "Upgrade: websocket\r\n",
    "X-Long: 0123456789012345678901234567890123456789\r\n",
    "a:\t b \r\n",
    "a : b\r\n",
    " folded\r\n",
    "\r\n",
    "\r\n",
    "\r\n\r\n",
    "\n",
    "\r",
];

const REQUESTS: &[&str] = &[
    "GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n",
    "HEAD /healthz HTTP/1.1\r\nHost: h\r\n\r\n",
    "GET /session HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer SIGN\r\n\r\n",
    "GET /later HTTP/1.1\r\nHost: h\r\n\r\n",
    "GET /stream HTTP/1.1\r\nHost: h\r\n\r\n",
    "GET /stream HTTP/1.0\r\n\r\n",
    "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello",
    "POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n",
    "5\r\nhello\r\n",
    "5 ; a=\"b;\\\"\";c=d\r\nhello\r\n",
    "1;\r\n",
    "0\r\n\r\n",
    "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\nhi",
    "GET /nothing HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
    "OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n",
    "PROPFIND /verify HTTP/1.1\r\nHost: h\r\n\r\n",
    "OPTIONS /verify HTTP/1.1\r\nHost: h\r\nContent-Length: 99999\r\nExpect: ,100-continue\r\n\r\n",
    "POST /verify HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n",
    "PROPFIND /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n",
    "PUT /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\n",
    "\r\n",
];

const TARGET: &[&str] = &[
    "/", "a", "?", "=", "&", "+", "%20", "%00", "%c3%bc", "%C3", "%", "#", "*", "http://", "h:80",
    "[::1]", "@", "\u{fc}", "\0", "..",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn heads_mean_the_same_however_they_are_cut(bytes in made_of(HEAD)) {
        checks::head(&bytes);
    }

    #[test]
    fn targets_are_decoded_the_plain_way(bytes in made_of(TARGET)) {
        checks::target(&bytes[1..]);
    }

    #[test]
    fn any_text_comes_back_from_its_escapes(text in "[^\\x00]*", escaped in vec(any::<bool>(), 0..64)) {
        let mut written = String::new();
        let mut escaped = escaped.into_iter().chain(std::iter::repeat(false));
        for c in text.chars() {
            if escaped.next() == Some(true) || c == '%' {
                for byte in c.to_string().bytes() {
                    let _ = write!(written, "%{byte:02X}");
                }
            } else {
                written.push(c);
            }
        }
        let decoded = percent_decode(&written);
        prop_assert_eq!(decoded.as_deref(), Ok(&text[..]));
    }

    #[test]
    fn signatures_say_what_was_signed_and_nothing_else(bytes in vec(any::<u8>(), 0..60)) {
        checks::token(&bytes);
    }

    #[test]
    fn frames_mean_the_same_however_they_are_cut(bytes in vec(any::<u8>(), 0..40)) {
        checks::websocket(&bytes);
    }

    #[test]
    fn a_pattern_is_shown_as_it_was_written_and_matches_by_prefix(
        text in "[ab.*\u{e9} ]{0,5}",
        name in "[ab.]{1,6}",
    ) {
        let prefix = text.strip_suffix('*').filter(|prefix| prefix.is_empty() || prefix.ends_with('.'));
        let (fixed, rest) = prefix.map_or((&text[..], ""), |prefix| (prefix, "a"));
        match Pattern::parse(&text) {
            Some(pattern) => {
                let expected = match prefix {
                    Some(prefix) => name.starts_with(prefix) && name != prefix,
                    None => name == text,
                };
                prop_assert_eq!(pattern.matches(&name), expected);
                let some_name = format!("{fixed}{rest}");
                prop_assert!(is_name(&some_name) && pattern.matches(&some_name));
                prop_assert_eq!(pattern.to_string(), text);
            }
            // Nothing that begins like that is a name.
            None => prop_assert!(!is_name(&format!("{fixed}{rest}")), "{}", text),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn a_follower_is_told_everything_or_of_a_gap(bytes in vec(any::<u8>(), 1..60)) {
        checks::streams(&bytes);
    }

    #[test]
    fn a_damaged_store_is_read_or_left_alone(bytes in vec(any::<u8>(), 1..13)) {
        checks::store(&bytes);
    }

    #[test]
    fn connections_answer_the_same_however_they_are_cut(bytes in made_of(REQUESTS)) {
        checks::connection(&bytes);
    }
}

/// A message, and how many bytes its frames have; a ping stands before each.
fn messages() -> impl Strategy<Value = Vec<(Message, usize)>> {
    let text = ".{0,20}".prop_map(Message::Text);
    let bytes = vec(any::<u8>(), 0..70).prop_map(Message::Binary);
    vec((prop_oneof![text, bytes], 1_usize..40), 0..5)
}

fn frame(first: u8, payload: &[u8], mask: [u8; 4], out: &mut Vec<u8>) {
    out.extend([
        first,
        0x80 | u8::try_from(payload.len()).expect("a short one"),
    ]);
    out.extend(mask);
    let masks = mask.iter().cycle();
    out.extend(payload.iter().zip(masks).map(|(byte, mask)| byte ^ mask));
}

proptest! {
    #[test]
    fn messages_are_heard_whole_in_any_frames(
        messages in messages(),
        mask: [u8; 4],
        cut in 1_usize..50,
    ) {
        let (mut bytes, mut pongs) = (Vec::new(), Vec::new());
        for (message, length) in &messages {
            let (opcode, payload) = match message {
                Message::Text(text) => (1, text.as_bytes()),
                Message::Binary(bytes) => (2, &bytes[..]),
            };
            let mut parts = payload.chunks(*length).peekable();
            let mut opcode = opcode;
            loop {
                let part = parts.next().unwrap_or_default();
                frame(0x89, &part[..part.len().min(9)], mask, &mut bytes);
                pongs.extend([0x8a, part.len().min(9) as u8]);
                pongs.extend(&part[..part.len().min(9)]);
                let last = parts.peek().is_none();
                frame(opcode | u8::from(last) << 7, part, mask, &mut bytes);
                opcode = 0;
                if last {
                    break;
                }
            }
        }
        let (mut incoming, mut heard, mut answered) = (Incoming::new(100), Vec::new(), Vec::new());
        for mut piece in bytes.chunks(cut) {
            while let Some(message) = incoming.next(&mut piece, &mut answered).expect("all is right") {
                heard.push(message);
            }
        }
        let sent: Vec<Heard> = messages.into_iter().map(|(message, _)| Heard::Message(message)).collect();
        prop_assert_eq!(heard, sent);
        prop_assert_eq!(answered, pongs);
    }
}
