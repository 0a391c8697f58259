use loopgate::config::Limits;
use loopgate::http::{Fault, Framing, HeaderSlots, Method, Version, parse_head};

use super::choice;

/// What a head means, in types of its own.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Meaning {
    method: Method,
    version: Version,
    path: String,
    query: Option<String>,
    authority: Option<String>,
    host: Option<Vec<u8>>,
    length: usize,
    framing: Framing,
    /// `keep_alive`, `expect_continue`, `upgrade`.
    flags: [bool; 3],
    fields: usize,
}

type Outcome = Result<Option<Meaning>, Fault>;

/// Request heads: the first byte chooses the limits, and at which steps the rest is cut.
///
/// - However much has arrived, the answer is the same or "not yet"; a head that is good when it is
///   whole is never refused before.
/// - What follows a head does not matter.
/// - A head says what a reader that splits at `CRLF` and `:` finds in it, and written anew it means
///   the same.
pub fn head(data: &[u8]) {
    let (choice, bytes) = choice(data);
    let limits = limits(choice);
    let whole = read(bytes, &limits);
    let step = 1 + usize::from(choice >> 2);
    for cut in (0..bytes.len()).step_by(step) {
        match (read(&bytes[..cut], &limits), &whole) {
            (Ok(None), _) => {}
            (early, whole) => assert_eq!(&early, whole, "cut at {cut}"),
        }
    }
    if let Ok(Some(meaning)) = &whole {
        let own = &bytes[..meaning.length];
        assert_eq!(read(own, &limits), whole, "without what follows");
        agrees_with_a_naive_reader(own, meaning, &limits);
    }
}

/// The default ones, or such that a short head can exceed.
fn limits(choice: u8) -> Limits {
    let mut limits = Limits::default();
    if choice & 1 == 1 {
        limits.target_bytes_max = 24;
        limits.head_bytes_max = 160;
        limits.headers_max = 6;
    }
    limits
}

fn read(bytes: &[u8], limits: &Limits) -> Outcome {
    let mut slots = HeaderSlots::new();
    let head = parse_head(bytes, &mut slots, limits)?;
    Ok(head.map(|head| Meaning {
        method: head.method,
        version: head.version,
        path: head.target.path.to_owned(),
        query: head.target.query.map(str::to_owned),
        authority: head.target.authority.map(str::to_owned),
        host: head.host().map(<[u8]>::to_vec),
        length: head.length,
        framing: head.framing,
        flags: [head.keep_alive, head.expect_continue, head.upgrade],
        fields: head.headers_count(),
    }))
}

/// A name and all values that fields of that name have, in any case.
type Field<'b> = (&'b str, &'b [u8]);

fn agrees_with_a_naive_reader(bytes: &[u8], meaning: &Meaning, limits: &Limits) {
    let start = bytes.iter().position(|byte| !b"\r\n".contains(byte));
    let text = &bytes[start.expect("a head is not empty")..];
    let mut lines = lines(text);
    assert_eq!(lines.pop(), Some(&b""[..]), "behind the last line end");
    assert_eq!(lines.pop(), Some(&b""[..]), "the empty line");
    let request: Vec<&[u8]> = lines[0].split(|byte| *byte == b' ').collect();
    let [method, target, version] = request[..] else {
        panic!("three words make a request line");
    };
    let method_read = Method::from_bytes(method).unwrap_or(Method::Other);
    assert_eq!(method_read, meaning.method);
    let version_read = match version {
        b"HTTP/1.0" => Version::Http10,
        b"HTTP/1.1" => Version::Http11,
        _ => panic!("a version of ours"),
    };
    assert_eq!(version_read, meaning.version);
    let fields: Vec<Field> = lines[1..].iter().map(|line| field(line)).collect();
    assert_eq!(fields.len(), meaning.fields);
    says_all_fields(bytes, &fields, limits);
    frames_alike(&fields, meaning);

    let mut again = [method, b" ", target, b" ", version, b"\r\n"].concat();
    for (name, value) in &fields {
        again.extend_from_slice(&[name.as_bytes(), b":", value, b"\r\n"].concat());
    }
    again.extend_from_slice(b"\r\n");
    let expected = Meaning {
        length: again.len(),
        ..meaning.clone()
    };
    assert_eq!(read(&again, limits), Ok(Some(expected)), "written anew");
}

fn lines(text: &[u8]) -> Vec<&[u8]> {
    let mut lines = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.windows(2).position(|pair| pair == b"\r\n") {
        lines.push(&rest[..at]);
        rest = &rest[at + 2..];
    }
    lines.push(rest);
    lines
}

fn field(line: &[u8]) -> Field<'_> {
    let colon = line.iter().position(|byte| *byte == b':');
    let (name, value) = line.split_at(colon.expect("a field has a colon"));
    let is_space = |byte: &u8| b" \t".contains(byte);
    let begin = value.iter().skip(1).position(|byte| !is_space(byte));
    let value = begin.map_or(&b""[..], |begin| &value[1 + begin..]);
    let end = value.iter().rposition(|byte| !is_space(byte));
    let value = end.map_or(&b""[..], |end| &value[..=end]);
    (std::str::from_utf8(name).expect("a name is ASCII"), value)
}

fn says_all_fields(bytes: &[u8], fields: &[Field<'_>], limits: &Limits) {
    let mut slots = HeaderSlots::new();
    let head = parse_head(bytes, &mut slots, limits);
    let head = head.expect("it was read before").expect("as a whole");
    for (name, _) in fields {
        let same = |(other, _): &&Field| other.eq_ignore_ascii_case(name);
        let values = fields.iter().filter(same).map(|(_, value)| *value);
        assert!(head.headers(name).eq(values), "the values of {name}");
    }
}

/// Exactly one of the two fields that frame a body, or none; and it says what was understood.
fn frames_alike(fields: &[Field<'_>], meaning: &Meaning) {
    let all = |wanted: &str| -> Vec<&[u8]> {
        let named = fields
            .iter()
            .filter(|(name, _)| name.eq_ignore_ascii_case(wanted));
        named.map(|(_, value)| *value).collect()
    };
    let (lengths, codings) = (all("content-length"), all("transfer-encoding"));
    match (&lengths[..], &codings[..], meaning.framing) {
        ([], [], Framing::Length(0)) => {}
        ([digits], [], Framing::Length(length)) => {
            let digits = std::str::from_utf8(digits).expect("digits");
            assert!(digits.bytes().all(|byte| byte.is_ascii_digit()));
            // Digits alone: what does not parse is more than 64 bits hold.
            assert_eq!(digits.parse().unwrap_or(u64::MAX), length);
        }
        ([], [coding], Framing::Chunked) => {
            assert!(coding.eq_ignore_ascii_case(b"chunked"));
            assert_eq!(meaning.version, Version::Http11);
        }
        other => panic!("framed in two ways: {other:?}"),
    }
    assert!(all("host").len() <= 1, "one host");
}
