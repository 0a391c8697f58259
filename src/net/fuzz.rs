//! Assertions about bodies and the output of child processes, for any bytes: for the fuzzer, and for the
//! test below, which reads the inputs in `tests/fuzz/corpus`.

use super::children::{Line, Lines};
use super::framing::{Body, Framed, frame};
use crate::app::{Reply, Routes};
use crate::config::Limits;
use crate::http::{
    Fault, Framing, HeaderSlots, Method, encode_chunk, encode_last_chunk, parse_head,
};
use crate::ledger::Label;

/// Longest body that is read here, in bytes: short enough to be exceeded.
const BODY_BYTES_MAX: usize = 12;
/// Longest line, too.
const LINE_BYTES_MAX: usize = 12;

/// The first byte is a choice, mostly of how the others are cut.
fn choice(data: &[u8]) -> (usize, &[u8]) {
    let (first, rest) = data.split_first().unwrap_or((&0, data));
    (usize::from(*first), rest)
}

/// A body and what follows it: the first byte chooses the framing and how the rest is cut.
///
/// - The content, the end and the fault are the same for every way of cutting; the bytes behind the body are left.
/// - No body is longer than allowed. A body that is written in chunks is read back.
///
/// # Panics
/// When that does not hold.
pub fn body(data: &[u8]) {
    let (choice, bytes) = choice(data);
    let framing = match choice % 4 {
        0 => Framing::Length(1 + (choice % BODY_BYTES_MAX) as u64),
        _ => Framing::Chunked,
    };
    let whole = read(framing, [bytes]);
    assert_eq!(read(framing, bytes.chunks(1 + choice / 4)), whole);
    assert_eq!(read(framing, bytes.chunks(1)), whole);
    if let Ok((_, content, _)) = &whole {
        assert!(content.len() <= BODY_BYTES_MAX, "{} bytes", content.len());
    }

    let content = &bytes[..bytes.len().min(BODY_BYTES_MAX)];
    let mut written = Vec::new();
    for piece in content.chunks(1 + choice / 4) {
        encode_chunk(piece, &mut written);
    }
    encode_last_chunk(&mut written);
    let length = written.len();
    written.extend_from_slice(bytes);
    let read = read(Framing::Chunked, [&written[..]]);
    assert_eq!(read, Ok((length, content.to_vec(), true)));
}

/// How many bytes the body took, its content so far, and whether that is all.
fn read<'b>(
    framing: Framing,
    pieces: impl IntoIterator<Item = &'b [u8]>,
) -> Result<(usize, Vec<u8>, bool), Fault> {
    let limits = Limits {
        body_bytes_max: BODY_BYTES_MAX,
        ..Limits::default()
    };
    let mut body = Body::new(b"", framing);
    let mut taken = 0;
    for piece in pieces {
        let (count, whole) = body.feed(piece, &limits)?;
        taken += count;
        if whole {
            return Ok((taken, body.bytes, true));
        }
        assert_eq!(count, piece.len(), "a body takes all there is");
    }
    Ok((taken, body.bytes, false))
}

/// The bytes of one client: the first byte chooses how they are cut.
///
/// - The requests are the same for every way of cutting, up to the fault or the body that is not read.
/// - Bytes that a client announces and does not send take no memory.
///
/// # Panics
/// When that does not hold.
pub fn requests(data: &[u8]) {
    let (choice, bytes) = choice(data);
    let mut table = Routes::default();
    let reads = |_: &crate::app::Request<'_>, _: &mut crate::app::Context<'_>| Reply::empty(204);
    table.on(Method::Post, "/reads", Label::NONE, Box::new(reads));
    let (whole, end) = requests_of([bytes], &table);
    for length in [1, 1 + choice] {
        let (cut, cut_end) = requests_of(bytes.chunks(length), &table);
        // If the cut is before the body, a client that asks before it sends is answered at once.
        if cut_end == RequestsEnd::Unread || end == RequestsEnd::Unread {
            let both = cut.len().min(whole.len());
            assert_eq!(cut[..both], whole[..both], "in pieces of {length}");
        } else {
            assert_eq!((&cut, &cut_end), (&whole, &end), "in pieces of {length}");
        }
    }
}

/// The bytes of a head, and those of the body.
type WholeRequest = (Vec<u8>, Vec<u8>);

/// Why no more requests were read.
#[derive(Debug, PartialEq)]
enum RequestsEnd {
    /// The bytes ended.
    Bytes,
    /// A body follows that no handler reads.
    Unread,
    Fault(Fault),
}

/// The heads' bytes and the bodies, as a connection would hand them to handlers.
fn requests_of<'b>(
    pieces: impl IntoIterator<Item = &'b [u8]>,
    table: &Routes,
) -> (Vec<WholeRequest>, RequestsEnd) {
    let limits = Limits {
        body_bytes_max: BODY_BYTES_MAX,
        ..Limits::default()
    };
    let (mut inbox, mut body, mut requests) = (Vec::new(), None::<Body>, Vec::new());
    for piece in pieces {
        inbox.extend_from_slice(piece);
        while !inbox.is_empty() {
            match next_request(&inbox, &mut body, table, &limits) {
                Ok((0, None)) => break,
                Ok((taken, request)) => {
                    inbox.drain(..taken);
                    requests.extend(request);
                }
                Err(end) => return (requests, end),
            }
            if let Some(body) = &body {
                assert!(body.held() <= limits.head_bytes_max + 2 * BODY_BYTES_MAX + 64);
            }
        }
    }
    (requests, RequestsEnd::Bytes)
}

/// How many bytes were taken, and the request that they complete.
fn next_request(
    input: &[u8],
    body: &mut Option<Body>,
    table: &Routes,
    limits: &Limits,
) -> Result<(usize, Option<WholeRequest>), RequestsEnd> {
    if let Some(begun) = body {
        let (count, whole) = begun.feed(input, limits).map_err(RequestsEnd::Fault)?;
        let request = whole.then(|| body.take()).flatten();
        return Ok((count, request.map(|body| (body.head, body.bytes))));
    }
    let mut slots = HeaderSlots::new();
    let head = parse_head(input, &mut slots, limits).map_err(RequestsEnd::Fault)?;
    let Some(head) = head else {
        return Ok((0, None));
    };
    let (bytes, rest) = input.split_at(head.length);
    match frame(&head, rest, table, limits).map_err(RequestsEnd::Fault)? {
        Framed::Whole(content) => {
            let request = (bytes.to_vec(), content.to_vec());
            Ok((bytes.len() + content.len(), Some(request)))
        }
        Framed::Unread => Err(RequestsEnd::Unread),
        Framed::Begun { .. } => {
            *body = Some(Body::new(bytes, head.framing));
            Ok((bytes.len(), None))
        }
    }
}

/// The output of a child process: the first byte chooses how it is cut. The lines are the same as those
/// of the uncut output.
///
/// # Panics
/// When that does not hold.
pub fn lines(data: &[u8]) {
    let (choice, bytes) = choice(data);
    let expected: Vec<Line> = bytes
        .split(|byte| *byte == b'\n')
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line))
        .filter(|line| !line.is_empty())
        .map(|line| match line.get(..LINE_BYTES_MAX) {
            Some(begin) if line.len() > LINE_BYTES_MAX => Line::TooLong(text(begin)),
            _ => Line::Text(text(line)),
        })
        .collect();
    for length in [1, 1 + choice, bytes.len().max(1)] {
        let (mut lines, mut read) = (Lines::new(LINE_BYTES_MAX), Vec::new());
        for piece in bytes.chunks(length) {
            lines.feed(piece, |line| read.push(line));
        }
        lines.finish(|line| read.push(line));
        assert_eq!(read, expected, "in pieces of {length}");
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;
    use crate::app::fuzz::replay;

    /// A byte of choice, then some of these words, and now and then any other byte.
    fn made_of(words: &'static [&'static str]) -> impl Strategy<Value = Vec<u8>> {
        let words = select(words).prop_map(|word| word.as_bytes().to_vec());
        let word = prop_oneof![20 => words, 1 => vec(any::<u8>(), 1)];
        (any::<u8>(), vec(word, 0..14))
            .prop_map(|(choice, words)| [vec![choice], words.concat()].concat())
    }

    const CHUNKS: &[&str] = &[
        "5\r\nhello\r\n",
        "5;a=b\r\nhello\r\n",
        "0\r\n",
        "X: y\r\n",
        "\r\n",
        "\n",
        "ff\r\n",
        "D\r\n",
    ];

    const REQUESTS: &[&str] = &[
        "POST /reads HTTP/1.1\r\nHost: a\r\n",
        "GET /nothing HTTP/1.1\r\nHost: a\r\n",
        "POST /nothing HTTP/1.1\r\nHost: a\r\n",
        "Content-Length: 5\r\n",
        "Content-Length: 13\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Expect: 100-continue\r\n",
        "\r\n",
        "hello",
        "5\r\nhello\r\n",
        "0\r\n\r\n",
    ];

    proptest! {
        #[test]
        fn requests_are_the_same_however_they_are_cut(bytes in made_of(REQUESTS)) {
            requests(&bytes);
        }

        #[test]
        fn bodies_are_the_same_however_they_are_cut(bytes in made_of(CHUNKS)) {
            body(&bytes);
        }

        #[test]
        fn lines_are_the_same_however_they_are_cut(
            bytes in made_of(&["\n", "\r\n", "\r", "one", "eleven more", "\u{fc}"]),
        ) {
            lines(&bytes);
        }
    }

    #[test]
    fn the_corpora_are_read() {
        replay("framing", requests);
        replay("body", body);
        replay("lines", lines);
    }
}
