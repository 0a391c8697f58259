use std::rc::Rc;

use loopgate::app::Reply;
use loopgate::config::SlowPolicy;
use loopgate::event::NewEvent;
use loopgate::http::{Method, Status};
use loopgate::reactor::fake::FakePeer;
use loopgate::work::Transaction;
use serde_json::Value;

use super::choice;
use super::world::World;

/// As many pages as subscribers that went away may have asked for, and more.
const ROUNDS_MAX: usize = 200;

thread_local! {
    static WORLDS: [World; 2] =
        [SlowPolicy::DropOldest, SlowPolicy::DropNewest].map(|policy| World::new(policy, add_handlers));
}

/// What a follower was told of the sequence.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Told {
    Event(u64),
    Gap(u64, u64),
}

/// A subscriber that reads as slowly as it likes, and comes back where it was.
struct Follower<'w> {
    world: &'w World,
    /// The event after which it began.
    first: u64,
    over_websocket: bool,
    peer: FakePeer,
    received: Vec<u8>,
    /// In the order in which it came, over all connections.
    told: Vec<Told>,
}

/// The life of one follower of `GET /events`: the first byte chooses the transport and who is
/// dropped, the oldest or the newest events; then two bytes a
/// step: events are published, the follower takes some bytes, or goes away and resumes by the last id.
///
/// - Every event after the first that is known is told once, in order, or is in a gap that is told in
///   its place, however slow the follower and however often it comes back.
/// - Nothing panics, and every connection is freed.
pub fn streams(data: &[u8]) {
    let (choice, steps) = choice(data);
    WORLDS.with(|worlds| {
        let world = &worlds[usize::from(choice >> 1 & 1)];
        let first = publish(world, 1, 1);
        let mut follower = Follower::new(world, choice & 1 == 1, first);
        let mut last = first;
        for step in steps.chunks_exact(2).take(40) {
            match step[0] % 8 {
                0..3 => {
                    let (count, bytes) = (1 + step[0] / 32, usize::from(step[1]) * 4);
                    last = publish(world, count.into(), bytes);
                }
                3 | 4 => follower.take(usize::from(step[1]) * 8),
                5 => follower.peer.take_all(),
                6 => follower.resume(),
                _ => world.turn(),
            }
        }
        follower.take_everything(last);
        follower.leave();
        world.network.forget_freed();
        follower.check(last);
    });
}

fn add_handlers(world: &World) {
    let mut server = world.server.borrow_mut();
    let jobs = Rc::clone(&world.jobs);
    server.on(
        Method::Post,
        "/publish/{count}/{size}",
        move |request, cx| {
            let number = |name| request.parameter(name).and_then(|text| text.parse().ok());
            let event = NewEvent {
                unix_ms: cx.unix_ms,
                name: "tick".into(),
                sender: "fuzz".into(),
                user_id: None,
                data: "x".repeat(number("size").unwrap_or(0)).into(),
            };
            let transaction = Transaction {
                events: vec![event; number("count").unwrap_or(0)],
                ..Transaction::default()
            };
            jobs.set(jobs.get() + 1);
            let jobs = Rc::clone(&jobs);
            Reply::commit(transaction, move |committed, _| {
                jobs.set(jobs.get() - 1);
                Reply::json(Status::OK, &committed.expect("there is room").last_event_id)
            })
        },
    );
}

/// Publishes `count` events with so many bytes each; the id of the last.
fn publish(world: &World, count: usize, bytes: usize) -> u64 {
    let peer = world.network.connect();
    let path = format!("/publish/{count}/{bytes}");
    peer.send(format!("POST {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").as_bytes());
    world.settle();
    let answer = String::from_utf8(peer.received()).expect("text");
    peer.end();
    world.settle();
    assert!(peer.freed());
    let (_, id) = answer.split_once("\r\n\r\n").expect("a whole answer");
    id.trim_end().parse().expect("an id")
}

impl<'w> Follower<'w> {
    fn new(world: &'w World, over_websocket: bool, since: u64) -> Self {
        let mut follower = Self {
            world,
            first: since,
            over_websocket,
            peer: world.network.connect(),
            received: Vec::new(),
            told: Vec::new(),
        };
        follower.ask(since);
        follower
    }

    fn ask(&mut self, since: u64) {
        let sign = String::from_utf8_lossy(&self.world.sign);
        let kind = if self.over_websocket {
            "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="
        } else {
            "Accept: text/event-stream"
        };
        self.peer.send(
            format!(
                "GET /events?since={since}&pattern=tick HTTP/1.1\r\nHost: h\r\n\
                 Authorization: Bearer {sign}\r\n{kind}\r\n\r\n"
            )
            .as_bytes(),
        );
        self.world.settle();
    }

    /// Takes so many bytes, then nothing.
    fn take(&mut self, count: usize) {
        self.peer.take_only(count);
        self.peer.becomes_writable();
        self.world.settle();
        self.received.extend(self.peer.received());
    }

    /// Takes everything up to the event `last`, or as much as there is.
    fn take_everything(&mut self, last: u64) {
        self.peer.take_all();
        for _ in 0..ROUNDS_MAX {
            // Meanwhile the store reads at least one page of those that it was asked for.
            publish(self.world, 0, 0);
            self.received.extend(self.peer.received());
            let told = self.told_here();
            if self.last_of(&told) >= last {
                return;
            }
        }
    }

    fn leave(&mut self) {
        self.received.extend(self.peer.received());
        let told = self.told_here();
        self.told.extend(told);
        self.received.clear();
        self.peer.fail(std::io::ErrorKind::ConnectionReset);
        self.world.settle();
        assert!(self.peer.freed(), "the connection is never freed");
    }

    /// Goes away, and comes back for what follows the last that was told whole.
    fn resume(&mut self) {
        self.leave();
        self.peer = self.world.network.connect();
        self.ask(self.last_of(&[]));
    }

    /// The last event that was told of, if `here` is what the present connection told.
    fn last_of(&self, here: &[Told]) -> u64 {
        let last = here.last().or(self.told.last());
        last.map_or(self.first, |told| match told {
            Told::Event(id) | Told::Gap(_, id) => *id,
        })
    }

    /// What the present connection told, as far as it came whole.
    fn told_here(&self) -> Vec<Told> {
        let bytes = &self.received;
        let end = bytes.windows(4).position(|bytes| bytes == b"\r\n\r\n");
        let Some(end) = end else {
            return Vec::new();
        };
        let status: &[u8] = if self.over_websocket {
            b"HTTP/1.1 101"
        } else {
            b"HTTP/1.1 200"
        };
        assert!(
            bytes.starts_with(status),
            "{}",
            String::from_utf8_lossy(bytes)
        );
        let body = &bytes[end + 4..];
        let texts = if self.over_websocket {
            frames(body)
        } else {
            records(body)
        };
        texts.iter().map(|text| told_of(text)).collect()
    }

    fn check(&self, last: u64) {
        let mut next = self.first + 1;
        for told in &self.told {
            let (from, to) = match told {
                Told::Event(id) => (*id, *id),
                Told::Gap(from, to) => (*from, *to),
            };
            assert_eq!(from, next, "{:?}", self.told);
            assert!(to >= from, "{:?}", self.told);
            next = to + 1;
        }
        assert_eq!(next, last + 1, "{:?}", self.told);
    }
}

fn told_of(text: &str) -> Told {
    let said: Value = serde_json::from_str(text).expect("JSON");
    let number = |value: &Value| value.as_u64().expect("a number");
    if said["name"] == "gap" {
        let data = &said["data"];
        Told::Gap(number(&data["from"]), number(&data["to"]))
    } else {
        Told::Event(number(&said["id"]))
    }
}

/// The data of whole server-sent events.
fn records(body: &[u8]) -> Vec<String> {
    let text = std::str::from_utf8(body).expect("text");
    let whole = text.rfind("\n\n").map_or("", |end| &text[..end]);
    let data = |record: &str| {
        record
            .lines()
            .find_map(|line| line.strip_prefix("data: ").map(str::to_owned))
    };
    whole.split("\n\n").filter_map(data).collect()
}

/// The text of whole frames.
fn frames(body: &[u8]) -> Vec<String> {
    let (mut texts, mut rest) = (Vec::new(), body);
    while let [first, length, after @ ..] = rest {
        let (length, after) = match (length, after) {
            (126, [high, low, after @ ..]) => {
                (usize::from(u16::from_be_bytes([*high, *low])), after)
            }
            (126.., _) => break,
            (length, after) => (usize::from(*length), after),
        };
        if after.len() < length {
            break;
        }
        let (payload, after) = after.split_at(length);
        assert_eq!(*first, 0x81, "a text in one frame");
        texts.push(String::from_utf8(payload.to_vec()).expect("text"));
        rest = after;
    }
    texts
}
