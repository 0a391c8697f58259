use std::rc::Rc;

use loopgate::app::Reply;
use loopgate::config::{Limits, SlowPolicy};
use loopgate::http::{Chunked, Framing, HeaderSlots, Method, Response, Status, parse_head};

use super::choice;
use super::world::World;

/// Turns after which a connection whose peer has ended must be gone, however long its deadlines are.
const TURNS_MAX: usize = 10_000;

thread_local! {
    /// One for all inputs: to start one takes longer than to serve one.
    static WORLD: World = World::new(SlowPolicy::DropOldest, add_handlers);
}

/// Bytes from one client to the whole server, in memory: the first byte chooses how they are cut, and
/// how much the client takes at a time. `SIGN` in them becomes a valid signature.
///
/// - Nothing panics, neither the loop nor a handler.
/// - The server answers what a plain reader understands, in order, and nothing else; the same however
///   the bytes are cut, and however slowly the answers are taken.
/// - When the client has ended, the connection is freed.
pub fn connection(data: &[u8]) {
    let (choice, bytes) = choice(data);
    WORLD.with(|world| {
        let bytes = signed(world, bytes);
        let whole = converse(world, [&bytes[..]], usize::MAX);
        let expected = understand(&bytes, &world.limits);
        check(&whole, &expected);
        let step = 1 + usize::from(choice);
        let cut = converse(world, bytes.chunks(step), usize::MAX);
        let slow = converse(world, bytes.chunks(step * 16), step);
        if expected.asks_first {
            // Whether it is told to go on depends on what has arrived by then.
            check(&cut, &expected);
            check(&slow, &expected);
        } else {
            assert_same(&cut, &whole);
            assert_same(&slow, &whole);
        }
    });
}

/// What waits for threads of its own accord is replaced: answers must not depend on which thread is faster.
fn add_handlers(world: &World) {
    let mut server = world.server.borrow_mut();
    for (method, path) in [
        (Method::Post, "/login"),
        (Method::Post, "/logout"),
        (Method::Get, "/events"),
        (Method::Post, "/events"),
        (Method::Delete, "/sessions/{id}"),
    ] {
        server.on(method, path, |_, _| Reply::empty(Status::NO_CONTENT));
    }
    server.on(Method::Post, "/echo", |request, _| {
        Reply::text(200, String::from_utf8_lossy(request.body()).into_owned())
    });
    let jobs = Rc::clone(&world.jobs);
    server.on(Method::Get, "/later", move |_, _| {
        jobs.set(jobs.get() + 1);
        let jobs = Rc::clone(&jobs);
        Reply::later(
            || 6 * 7,
            move |number, _| {
                jobs.set(jobs.get() - 1);
                Reply::text(200, format!("{number:?}"))
            },
        )
    });
    server.on(Method::Get, "/stream", |_, _| {
        let head = Response::text(Status::OK, "");
        Reply::stream(head, (0..3).map(|number| vec![b'0' + number; 40]))
    });
    server.websocket("/ws", |message, socket| socket.send(message));
}

fn signed(world: &World, bytes: &[u8]) -> Vec<u8> {
    let mut signed = Vec::new();
    let mut rest = bytes;
    while let Some(at) = rest.windows(4).position(|word| word == b"SIGN") {
        signed.extend_from_slice(&rest[..at]);
        signed.extend_from_slice(&world.sign);
        rest = &rest[at + 4..];
    }
    signed.extend_from_slice(rest);
    signed
}

/// What the server answers to a client that sends these pieces, one after the other, and takes
/// `taken` bytes at a time.
fn converse<'b>(
    world: &World,
    pieces: impl IntoIterator<Item = &'b [u8]>,
    taken: usize,
) -> Vec<u8> {
    world.network.hold_clock(true);
    let peer = world.network.connect();
    let mut received = Vec::new();
    let take = |received: &mut Vec<u8>| loop {
        if taken < usize::MAX {
            peer.take_only(taken);
            peer.becomes_writable();
        }
        world.settle();
        let bytes = peer.received();
        if bytes.is_empty() || taken == usize::MAX {
            received.extend(bytes);
            return;
        }
        received.extend(bytes);
    };
    for piece in pieces {
        peer.send(piece);
        take(&mut received);
    }
    peer.end();
    take(&mut received);
    world.network.hold_clock(false);
    let mut turns = 0;
    while !peer.freed() {
        world.turn();
        turns += 1;
        assert!(turns < TURNS_MAX, "the connection is never freed");
    }
    received.extend(peer.received());
    world.network.forget_freed();
    received
}
/// What some bytes are, read the plain way.
#[derive(Debug, Default)]
struct Expected {
    /// The whole requests; whether each was HEAD.
    requests: Vec<bool>,
    /// What follows them is no request.
    fault: Option<u16>,
    /// One of them waits for `100 Continue`.
    asks_first: bool,
    /// What follows may be in another protocol.
    upgrades: bool,
}

fn understand(bytes: &[u8], limits: &Limits) -> Expected {
    let mut expected = Expected::default();
    let mut rest = bytes;
    while !rest.is_empty() {
        let mut slots = HeaderSlots::new();
        let head = match parse_head(rest, &mut slots, limits) {
            Ok(Some(head)) => head,
            Ok(None) => break,
            Err(fault) => {
                expected.fault = Some(fault.status.code());
                break;
            }
        };
        let from_head = head.target.decoded_path().as_deref() == Ok("/verify");
        let too_long = matches!(head.framing, Framing::Length(length) if length > limits.body_bytes_max as u64);
        if !from_head && (head.method == Method::Other || too_long) {
            let unknown = head.method == Method::Other;
            expected.fault = Some(if unknown { 501 } else { 413 });
            break;
        }
        if from_head && head.framing != Framing::Length(0) {
            // Its body is not read, and so nothing behind it.
            expected.requests.push(head.method == Method::Head);
            expected.upgrades = false;
            break;
        }
        expected.asks_first |= head.expect_continue;
        let after = &rest[head.length..];
        let taken = match head.framing {
            Framing::Length(length) => (length <= after.len() as u64).then_some(length as usize),
            Framing::Chunked => {
                let mut body = Vec::new();
                match Chunked::new().decode(after, &mut body, limits.body_bytes_max) {
                    Ok(progress) => progress.done.then_some(progress.consumed),
                    Err(fault) => {
                        expected.fault = Some(fault.status.code());
                        break;
                    }
                }
            }
        };
        let Some(taken) = taken else { break };
        expected.requests.push(head.method == Method::Head);
        expected.upgrades = head.upgrade;
        if !head.keep_alive || head.upgrade {
            break;
        }
        rest = &after[taken..];
    }
    expected
}

/// The answers are to these requests.
fn check(answers: &[u8], expected: &Expected) {
    let mut rest = answers;
    let mut requests = expected.requests.iter();
    let mut faulted = false;
    let show = || String::from_utf8_lossy(answers).into_owned();
    while !rest.is_empty() {
        let end = rest.windows(4).position(|bytes| bytes == b"\r\n\r\n");
        let end = end.unwrap_or_else(|| panic!("half of a head: {}", show())) + 4;
        let head = std::str::from_utf8(&rest[..end]).expect("heads are text");
        rest = &rest[end..];
        let status: u16 = head.strip_prefix("HTTP/1.1 ").expect("a status line")[..3]
            .parse()
            .expect("a status");
        assert_ne!(status, 500, "something panicked: {}", show());
        if status == 100 {
            assert!(expected.asks_first, "no client asked: {}", show());
            continue;
        }
        let Some(is_head) = requests.next() else {
            if expected.upgrades {
                return; // the upgrade was refused, and requests go on
            }
            assert!(
                !faulted && expected.fault == Some(status),
                "{expected:?} {}",
                show()
            );
            faulted = true;
            rest = &rest[body_length(head, rest, false)..];
            continue;
        };
        if status == 101 {
            return; // the rest is frames
        }
        rest = &rest[body_length(head, rest, *is_head)..];
    }
    // A body that is not wanted is not waited for: such an answer is the last.
    if !expected.asks_first && !expected.upgrades {
        assert_eq!(requests.next(), None, "not answered: {}", show());
        assert_eq!(faulted, expected.fault.is_some(), "{expected:?} {}", show());
    }
}

fn body_length(head: &str, rest: &[u8], is_head: bool) -> usize {
    let lower = head.to_ascii_lowercase();
    let field = |name: &str| {
        lower
            .split(name)
            .nth(1)?
            .split("\r\n")
            .next()
            .map(str::to_owned)
    };
    if is_head || lower.starts_with("http/1.1 204") {
        return 0;
    }
    if let Some(length) = field("\r\ncontent-length: ") {
        return length.parse().expect("a length");
    }
    if field("\r\ntransfer-encoding: ").is_some() {
        let mut body = Vec::new();
        let progress = Chunked::new().decode(rest, &mut body, 1 << 20);
        let progress = progress.expect("chunks");
        assert!(progress.done, "half of a body");
        return progress.consumed;
    }
    rest.len()
}

/// But for the time, which goes on.
fn assert_same(one: &[u8], other: &[u8]) {
    let (one, other) = (timeless(one), timeless(other));
    assert_eq!(one, other);
}

fn timeless(answers: &[u8]) -> String {
    let answers = String::from_utf8_lossy(answers);
    let mut parts = answers.split("\r\nDate: ");
    let mut timeless = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        timeless += "\r\n";
        timeless += part.split_once("\r\n").map_or("", |(_, rest)| rest);
    }
    timeless
}
