//! What do the parts of a request cost, one by one and warm?
//!
//! In a server each of them runs with the kernel's work in between, which takes its cache lines: expect
//! twice these figures there. They are for comparing two versions of one part.
//!
//! `cargo bench --bench micro` runs all, `cargo bench --bench micro -- head` those with that name.

use divan::{Bencher, black_box};
use loopgate::app::sessions::{Session, Sessions};
use loopgate::app::{
    Audience, Context, Encoding as FeedEncoding, Feed, Hub, Interest, Pattern, Reply, Request,
    Routes,
};
use loopgate::config::{Config, Limits, SlowPolicy};
use loopgate::event::{Event, NewEvent, rfc3339};
use loopgate::http::{
    Blank, Date, HeaderSlots, Method, Prepared, Response, Status, Version, WireOptions, encode,
    parse_head,
};
use loopgate::ledger::Label;
use loopgate::reactor::{Arming, Moment, Slots, Timers, Token};
use loopgate::token::{Claims, Keys, fingerprint, sign, verify};

fn main() {
    divan::main();
}

const FROM_WRK: &str = "GET /healthz HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n";
const FROM_BROWSER: &str = "GET /session?from=home HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\
    Connection: keep-alive\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Firefox/128.0\r\n\
    Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n\
    Accept-Language: en-US,en;q=0.5\r\nAccept-Encoding: gzip, deflate, br, zstd\r\n\
    Sec-Fetch-Dest: document\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Site: none\r\n\r\n";
const PLAIN: WireOptions<'static> = WireOptions {
    version: Version::Http11,
    head_only: false,
    close: false,
    fields: &[],
};
const NOW_S: i64 = 1_795_000_000;

#[divan::bench(args = ["wrk", "browser"])]
fn head(bencher: Bencher, from: &str) {
    let (limits, from_wrk) = (Limits::default(), from == "wrk");
    let request = if from_wrk { FROM_WRK } else { FROM_BROWSER };
    bencher.bench_local(|| {
        let mut slots = HeaderSlots::new();
        let head = parse_head(black_box(request.as_bytes()), &mut slots, &limits);
        head.expect("it is valid").expect("it is whole").length
    });
}

#[divan::bench(args = ["/healthz", "/sessions/abc", "/nothing"])]
fn route(bencher: Bencher, path: &str) {
    let mut routes = Routes::default();
    for row in [
        "/",
        "/login",
        "/logout",
        "/session",
        "/sessions",
        "/sessions/{id}",
        "/healthz",
    ] {
        let handler = Box::new(|_: &Request<'_>, _: &mut Context<'_>| Reply::empty(204));
        routes.on(Method::Get, row, Label::NONE, handler);
    }
    bencher.bench_local(|| drop(black_box(routes.find(Method::Get, black_box(path)))));
}

#[divan::bench]
fn answer_prepared(bencher: Bencher) {
    let (date, mut out) = (Date::new(NOW_S.cast_unsigned()), Vec::with_capacity(4096));
    let response = Response::static_body(Status::OK, "application/json", b"{\"status\":\"ok\"}\n");
    let prepared = Prepared::new(response);
    bencher.bench_local(|| {
        out.clear();
        black_box(&prepared).encode(PLAIN, &date, &mut out);
    });
}

#[divan::bench]
fn answer_encoded(bencher: Bencher) {
    let (date, mut out) = (Date::new(NOW_S.cast_unsigned()), Vec::with_capacity(4096));
    let response = Response::text(Status::OK, "ok").no_store();
    bencher.bench_local(|| {
        out.clear();
        encode(black_box(&response), PLAIN, &date, &mut out);
    });
}

#[divan::bench]
fn answer_json(bencher: Bencher) {
    let mut blank = Blank::default();
    bencher.bench_local(|| {
        let value = (rfc3339(black_box(1_795_000_000_000)), "admin", "admin");
        let response = Response::json_reusing(std::mem::take(&mut blank), Status::OK, &value);
        blank = response.into_blank();
    });
}

#[divan::bench(args = [64, 10_000])]
fn slot_found(bencher: Bencher, count: usize) {
    let mut slots: Slots<[u64; 6]> = Slots::default();
    let tokens: Vec<Token> = (0..count).map(|_| slots.insert([0; 6])).collect();
    let mut at = 0;
    bencher.bench_local(|| {
        at = (at + 7919) % count; // no prefetcher guesses it
        slots
            .get_mut(black_box(tokens[at]))
            .map(|value| value[0] += 1)
    });
}

#[divan::bench(args = [64, 10_000])]
fn deadline_moved(bencher: Bencher, count: usize) {
    let mut timers: Timers<usize> = Timers::default();
    let mut armings = vec![Arming::until(Moment::from_ns(1)); count];
    for (key, arming) in armings.iter_mut().enumerate() {
        timers.arm(key, arming);
    }
    let (mut at, mut ns) = (0, 1);
    bencher.bench_local(|| {
        (at, ns) = ((at + 7919) % count, ns + 1);
        armings[at].deadline = Moment::from_ns(ns);
        timers.arm(at, &mut armings[at]);
    });
}

fn signed() -> (String, Keys) {
    let keys = Keys::ephemeral(1, [7; 32], NOW_S);
    let claims = Claims {
        iss: "loopgate".into(),
        sub: "1".into(),
        sid: "AAECAwQFBgcICQoLDA0ODw".into(),
        iat: NOW_S,
        exp: NOW_S + 86_400,
    };
    (sign(&claims, keys.current()), keys)
}

/// What the server does with a signature: one hash, one look-up.
#[divan::bench(args = [1, 1_000_000])]
fn session_checked(bencher: Bencher, count: usize) {
    let mut sessions = Sessions::new(&Config::default().limits);
    sessions.reserve(count);
    let session = Session {
        user_id: 1,
        sid: [0; 16],
        key_id: 1,
        issued_s: NOW_S,
        last_used_s: NOW_S,
    };
    for number in 1..count {
        sessions.insert(fingerprint(&number.to_be_bytes()), session);
    }
    let (sign, _) = signed();
    sessions.insert(fingerprint(sign.as_bytes()), session);
    bencher.bench_local(|| {
        let hash = fingerprint(black_box(sign.as_bytes()));
        sessions.check(&hash, NOW_S).map(|session| session.user_id)
    });
}

/// What a program without the session table does: HMAC and JSON.
#[divan::bench]
fn signature_verified(bencher: Bencher) {
    let (sign, keys) = signed();
    bencher.bench_local(|| verify(black_box(&sign), &keys, NOW_S).map(|claims| claims.exp));
}

/// One event to many feeds, encoded once, and taken from each.
#[divan::bench(args = [1, 1_000])]
fn fan_out(bencher: Bencher, count: usize) {
    let mut hub = Hub::default();
    let mut owners: Slots<()> = Slots::default();
    let feeds: Vec<_> = (0..count)
        .map(|_| {
            let interest = Interest {
                patterns: vec![Pattern::All].into(),
                audience: Audience::Everything,
            };
            let feed = Feed::new(
                FeedEncoding::Sse,
                interest,
                None,
                1 << 20,
                SlowPolicy::DropOldest,
            );
            hub.follow(owners.insert(()), feed)
        })
        .collect();
    let mut id = 0;
    bencher.bench_local(|| {
        id += 1;
        let fact = NewEvent {
            unix_ms: 1_795_000_000_000,
            name: "button_clicked".into(),
            sender: "admin".into(),
            user_id: None,
            data: serde_json::Value::Null,
        };
        hub.confirmed(vec![Event { id, fact }]);
        let delivered = hub.deliver();
        hub.take_touched(|_| {});
        for feed in &feeds {
            let feed = hub.feed(*feed).expect("it follows");
            let bytes = feed.sole().map_or(0, <[u8]>::len);
            feed.wrote(bytes);
        }
        delivered.0
    });
}
