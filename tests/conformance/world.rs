//! loopgate in a written world: no network, no clock, no waiting. Thousands of connections in a second.

use std::cell::RefCell;
use std::rc::Rc;

use loopgate::app::{Reply, Request};
use loopgate::config::{Config, HashCost, Limits, StorePath};
use loopgate::http::Method;
use loopgate::reactor::fake::{Backend, FakeClock, FakePeer, Network, fake_seams};
use loopgate::server::Server;
use loopgate::token::Keys;
use loopgate::work::password::Argon2id;
use loopgate::work::{Store, Threads};

use crate::answers::Transcript;
use crate::judge::{HIDDEN, PROBE};
use crate::rows::{End, Row};

/// Paths that answer with their names.
const NAMES: [(&str, &str); 3] = [
    ("/next", "next"),
    ("/hidden", "hidden"),
    ("/probe", "probe"),
];

/// Requests that reached a handler: method and path.
pub(crate) type Seen = Rc<RefCell<Vec<String>>>;

/// Small limits, so that rows at a limit are short enough to be cut at every offset.
pub(crate) fn config() -> Config {
    Config {
        store: StorePath::Memory,
        hash_cost: HashCost::TOKEN,
        workers: 1,
        limits: Limits {
            target_bytes_max: 64,
            head_bytes_max: 512,
            headers_max: 8,
            body_bytes_max: 64,
            ..Limits::default()
        },
        ..Config::default()
    }
}

/// Adds what the rows ask for: `/t` says what it read, the others say their names.
pub(crate) fn add_routes(server: &mut Server, seen: &Seen) {
    let note = |seen: &Seen, request: &Request<'_>, path| {
        let line = format!("{} {path}", request.method().as_str());
        seen.borrow_mut().push(line);
    };
    for method in [
        Method::Get,
        Method::Post,
        Method::Put,
        Method::Patch,
        Method::Delete,
    ] {
        let seen = Rc::clone(seen);
        server.on(method, "/t", move |request, _| {
            note(&seen, request, "/t");
            Reply::text(200, String::from_utf8_lossy(request.body()).into_owned())
        });
    }
    for (path, says) in NAMES {
        let seen = Rc::clone(seen);
        server.on(Method::Get, path, move |request, _| {
            note(&seen, request, path);
            Reply::text(200, says)
        });
    }
    for (path, status) in [("/empty", 204), ("/unchanged", 304)] {
        server.on(Method::Get, path, move |_, _| Reply::empty(status));
    }
    server.websocket("/socket", |message, socket| socket.send(message));
    server.on(Method::Get, "/stream", |_, _| {
        let head = loopgate::http::Response::text(loopgate::http::Status::OK, "");
        Reply::stream(head, vec![b"one".to_vec(), b"two".to_vec()])
    });
}

pub(crate) struct World {
    server: Server,
    network: Network,
}

impl World {
    pub(crate) fn new(backend: Backend) -> Self {
        let (seams, network) = fake_seams(&FakeClock::default());
        network.report_as(backend);
        let store = Store::open(&StorePath::Memory, 1000).expect("memory");
        let world = loopgate::server::World {
            store,
            keys: Keys::ephemeral(1, [1; 32], 0),
            seams,
            crew: &mut Threads,
            hasher: Argon2id::shared(),
        };
        let mut server = Server::in_world(config(), world).expect("it starts");
        add_routes(&mut server, &Seen::default());
        server.accept_from(network.acceptor()).expect("room");
        network.hold_clock(true);
        Self { server, network }
    }

    /// Turns the loop until nothing moves any more.
    fn settle(&mut self) {
        let idle = self.network.idle();
        while self.network.idle() == idle {
            self.server.turn().expect("memory does not fail");
        }
    }

    /// Sends a row in these pieces, and a probe of how the connection is afterwards.
    pub(crate) fn run<'p>(
        &mut self,
        row: &Row,
        pieces: impl IntoIterator<Item = &'p [u8]>,
    ) -> Transcript {
        let peer = self.network.connect();
        for piece in pieces {
            peer.send(piece);
            self.settle();
        }
        match row.end {
            End::Open | End::Closed => self.send(&peer, PROBE),
            End::Refused => self.send(&peer, HIDDEN),
            End::Waits | End::Switched => {}
        }
        let heads: Vec<bool> = heads(row);
        let transcript = Transcript::of(&peer.received(), peer.ended(), &heads);
        // A peer that goes away gives its place back.
        peer.end();
        self.settle();
        if !peer.freed() {
            peer.fail(std::io::ErrorKind::ConnectionReset);
            self.settle();
        }
        assert!(peer.freed(), "a connection leaks: {}", row.name());
        transcript
    }

    fn send(&mut self, peer: &FakePeer, bytes: &[u8]) {
        peer.send(bytes);
        self.settle();
    }
}

/// Which of the final answers belong to a HEAD.
pub(crate) fn heads(row: &Row) -> Vec<bool> {
    let finals = row.wants.iter().filter(|want| want.status >= 200);
    finals.map(|want| want.head).collect()
}
