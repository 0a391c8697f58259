//! The handlers without a server around them: requests go in, answers come out, and the test acts as the store.
//! These tests check what handlers decide; `tests/behaviour` checks what is sent.

mod events;
mod logins;
mod logouts;
mod sessions;

use std::collections::HashSet;

use super::*;
use crate::config::HashCost;
use crate::http::{HeaderSlots, Status, parse_head};
use crate::ledger::Label;
use crate::reactor::fake::FakeEntropy;
use crate::reactor::{Peer, Token};
use crate::token::{self, Fingerprint};
use crate::work::{Change, Commit, Findings, StoreError, Transaction, UserRow};

/// 2026-11-30T12:00:00Z.
const NOW_MS: u64 = 1_796_040_000_000;
const PAGE: &str = "Host: h\r\nOrigin: http://h\r\nSec-Fetch-Site: same-origin";
const FORM: &str = "Host: h\r\nContent-Type: application/x-www-form-urlencoded";
const ALICE: &str = "username=alice&password=password";

struct World {
    app: App,
    routes: Routes,
    ledger: Ledger,
    entropy: FakeEntropy,
    now: Moment,
    unix_ms: u64,
    /// The sessions that the store has.
    rows: HashSet<Fingerprint>,
    /// The names of the events that the store was given.
    events: Vec<String>,
    /// The data of those events.
    said: Vec<Value>,
    store_fails: bool,
}

/// A server with the users `alice` and `bob`, who have the same password.
fn world() -> World {
    let config = Config {
        hash_cost: HashCost::TOKEN,
        ..Config::default()
    };
    let password = password::hash(b"password", [7; 16], config.hash_cost);
    let user = |(id, name): (i64, &str)| UserRow {
        id,
        name: name.into(),
        role: "user".into(),
        password: password.clone(),
        created_s: 0,
    };
    let users = [(1, "alice"), (2, "bob")].into_iter().map(user).collect();
    let sessions = Sessions::new(&config.limits);
    let mut routes = Routes::default();
    for (methods, path, handler) in HANDLERS {
        let handler =
            move |request: &Request<'_>, cx: &mut Context<'_>| handler(request, cx).into();
        routes.on(methods, path, Label::NONE, Box::new(handler));
    }
    World {
        app: App::new(config, users, sessions, Keys::ephemeral(1, [1; 32], 0)),
        routes,
        ledger: Ledger::default(),
        entropy: FakeEntropy::new(1),
        now: Moment::from_ns(0),
        unix_ms: NOW_MS,
        rows: HashSet::new(),
        events: Vec::new(),
        said: Vec::new(),
        store_fails: false,
    }
}

impl World {
    fn with_context<T>(&mut self, act: impl FnOnce(&Routes, &mut Context<'_>) -> T) -> T {
        let mut cx = Context {
            app: &mut self.app,
            now: self.now,
            unix_ms: self.unix_ms,
            entropy: &mut self.entropy,
            ledger: &mut self.ledger,
        };
        act(&self.routes, &mut cx)
    }

    /// The handler's first reply: an answer, or work that has to be done before.
    fn begin(&mut self, line: &str, fields: &str, body: &str) -> Reply {
        let head = format!("{line} HTTP/1.1\r\n{fields}\r\n\r\n");
        let mut slots = HeaderSlots::new();
        let limits = self.app.config.limits.clone();
        let head = parse_head(head.as_bytes(), &mut slots, &limits)
            .expect("a head")
            .expect("a whole one");
        self.with_context(|routes, cx| {
            let Found::Handler {
                handler,
                parameters,
                ..
            } = routes.find(head.method, head.target.path)
            else {
                panic!("no handler for {line}")
            };
            let request = Request::new(&head, body.as_bytes(), Peer::Unix, parameters);
            handler(&request, cx)
        })
    }

    /// Does the work, as workers and the store would, until there is an answer.
    fn carry_on(&mut self, mut reply: Reply) -> Response {
        loop {
            reply = match reply {
                Reply::Now(response) => return response,
                Reply::Later(Later::Job(job, then)) => {
                    let output = (job.run)(&mut Findings::new());
                    self.with_context(|_, cx| then(Ok(output), cx))
                }
                Reply::Later(Later::Commit(transaction, then)) => {
                    let confirmed = self.commit(transaction);
                    self.with_context(|_, cx| then(confirmed, cx))
                }
                other => panic!("{other:?}"),
            };
        }
    }

    fn commit(&mut self, transaction: Transaction) -> Result<Confirmed, StoreError> {
        if self.store_fails {
            return Err(StoreError::Busy);
        }
        let mut rows = 0;
        for change in &transaction.changes {
            rows += match change {
                Change::AddSession(row) => usize::from(self.rows.insert(row.hash)),
                Change::RemoveSessions(hashes) => {
                    hashes.iter().filter(|hash| self.rows.remove(*hash)).count()
                }
                other => panic!("{other:?}"),
            };
        }
        if rows > 0 || !transaction.events_only_if_changed {
            let names = transaction
                .events
                .iter()
                .map(|event| event.name.to_string());
            self.events.extend(names);
            let said = transaction.events.into_iter().map(|event| event.data);
            self.said.extend(said);
        }
        Ok(self.app.follow(Commit {
            rows,
            changes: transaction.changes,
            added_users: Vec::new(),
            events: Vec::new(),
            last_event_id: 0,
        }))
    }

    fn call(&mut self, line: &str, fields: &str, body: &str) -> Response {
        let reply = self.begin(line, fields, body);
        self.carry_on(reply)
    }

    /// Logs in with a form; the signature.
    fn log_in(&mut self, body: &str) -> String {
        let response = self.call("POST /login", FORM, body);
        assert_eq!(response.status, Status::OK, "{:?}", json(&response));
        let sign = json(&response)["user_sign"].as_str().map(str::to_owned);
        sign.expect("a signature")
    }

    /// The status of `GET /session`.
    fn session(&mut self, fields: &str) -> u16 {
        let fields = format!("Host: h\r\n{fields}");
        self.call("GET /session", &fields, "").status.code()
    }

    fn pass(&mut self, s: u64) {
        self.unix_ms += s * 1000;
    }
}

fn json(response: &Response) -> Value {
    serde_json::from_slice(response.body.as_bytes()).expect("JSON")
}

fn bearer(sign: &str) -> String {
    format!("Host: h\r\nAuthorization: Bearer {sign}")
}

fn cookie(sign: &str) -> String {
    format!("Host: h\r\nCookie: session={sign}")
}
