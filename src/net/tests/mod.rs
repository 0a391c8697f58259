//! Connections in a scripted world: a fake clock, selector and streams, and every byte accounted for.
//! Only the workers are real threads.

mod connections;
mod limits;
mod sessions;
mod streams;
mod watching;
mod websockets;

use std::convert::Infallible;
use std::time::{Duration, Instant};

use super::{Admission, Completion, Maintenance, Realm, Service, Workers};
use crate::app::sessions::Sessions;
use crate::app::{App, Context, HANDLERS, Reply, Request};
use crate::config::{Config, HashCost, Limits, StorePath};
use crate::http::{Method, Response, Status};
use crate::ledger::{Label, Phase};
use crate::reactor::fake::{FakeClock, FakePeer, Network, fake_seams};
use crate::reactor::{Listener, Reactor};
use crate::token::Keys;
use crate::work::fake::HeldReads;
use crate::work::{Change, Pool, Store, Threads, Transaction, password};

const HEALTHZ: &[u8] = b"GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n";

struct World {
    reactor: Reactor<Service>,
    clock: FakeClock,
    network: Network,
    reads: HeldReads,
}

fn world() -> World {
    let reads = HeldReads::default();
    let clock = FakeClock::default();
    let (seams, network) = fake_seams(&clock);
    let reactor = Reactor::with_seams(seams, |completer| {
        let config = Config {
            hash_cost: HashCost::TOKEN,
            ..Config::default()
        };
        let mut store = Store::open(&StorePath::Memory, 1000).unwrap();
        store.apply(add_admin(config.hash_cost)).unwrap();
        let users = store.load().unwrap().users.into_iter().collect();
        let stored = completer.clone();
        let deliver = move |id, outcome, _| stored.complete(Completion::Stored(id, outcome, None));
        let workers = Workers {
            pool: Pool::start(&mut Threads, 1, 1).unwrap(),
            writer: Store::on(reads.hold(store))
                .into_writer(&mut Threads, deliver)
                .unwrap(),
        };
        let sessions = Sessions::new(&config.limits);
        let app = App::new(config, users, sessions, Keys::ephemeral(1, [1; 32], 0));
        Ok::<_, Infallible>(Service::new(app, workers, completer, 1000))
    });
    let Ok(mut reactor) = reactor;
    for (methods, path, handler) in HANDLERS {
        let routes = &mut reactor.program.routes;
        let handler =
            move |request: &Request<'_>, cx: &mut Context<'_>| handler(request, cx).into();
        routes.on(methods, path, Label::NONE, Box::new(handler));
    }
    let listener = Listener::new(network.acceptor(), Admission(Realm::Clients));
    reactor.add(Box::new(listener)).unwrap();
    reactor.add(Box::new(Maintenance::default())).unwrap();
    World {
        reactor,
        clock,
        network,
        reads,
    }
}

/// Adds the user `admin`, whose password is `password`.
fn add_admin(cost: HashCost) -> Transaction {
    let changes = vec![Change::AddUser {
        name: "admin".into(),
        role: "admin".into(),
        password: password::hash(b"password", [7; 16], cost),
        created_s: 0,
    }];
    Transaction {
        changes,
        ..Transaction::default()
    }
}

impl World {
    fn connect(&mut self) -> FakePeer {
        let peer = self.network.connect();
        self.settle();
        peer
    }

    fn limits(&mut self) -> &mut Limits {
        &mut self.reactor.program.app.config.limits
    }

    /// Turns until no source is ready; no time passes meanwhile.
    fn settle(&mut self) {
        self.network.hold_clock(true);
        let before = self.network.idle();
        for _ in 0..1000 {
            self.reactor.turn().unwrap();
            if self.network.idle() > before {
                self.network.hold_clock(false);
                return;
            }
        }
        panic!("the loop never came to rest");
    }

    /// Turns until a condition that needs the workers holds; no time passes meanwhile.
    fn until(&mut self, what: &str, mut is_so: impl FnMut(&mut Self) -> bool) {
        self.network.hold_clock(true);
        let began = Instant::now();
        while !is_so(self) {
            assert!(began.elapsed() < Duration::from_secs(20), "never: {what}");
            self.reactor.turn().unwrap();
            std::thread::yield_now();
        }
        self.network.hold_clock(false);
    }

    /// Lets time pass, and timers fire.
    fn pass(&mut self, time: Duration) {
        self.clock.advance(time);
        self.settle();
    }

    fn on(&mut self, path: &str, handler: impl Fn() -> Reply + 'static) {
        let handler = Box::new(move |_: &Request<'_>, _: &mut Context<'_>| handler());
        let routes = &mut self.reactor.program.routes;
        routes.on(Method::Get, path, Label::NONE, handler);
    }
}

fn text(peer: &FakePeer) -> String {
    String::from_utf8(peer.received()).unwrap()
}

fn statuses(peer: &FakePeer) -> Vec<String> {
    let text = text(peer);
    let lines = text.match_indices("HTTP/1.1 ");
    lines
        .map(|(at, _)| text[at + 9..at + 12].to_owned())
        .collect()
}
