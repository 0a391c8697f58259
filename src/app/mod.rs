//! Decisions, without I/O: what each user may do, and how requests are answered.
//!
//! A handler is a function from a [`Request`] and a [`Context`] to a [`Reply`]. It sees the state of the
//! application and never a socket, a thread or a file: blocking work is returned, and done elsewhere. `routes`
//! is the table that finds the handler; `login` and `logout` are the two that the rest is built around; `caller`
//! finds the user and session of a request, for all handlers. `replica` is the one place where memory follows
//! what was committed.

mod arriving;
mod caller;
mod cookie;
mod events;
mod friendly;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod handshake;
mod home;
mod hub;
mod login;
mod logout;
mod maintenance;
pub mod monitor;
pub(crate) mod origin;
mod page;
mod produced;
mod replica;
mod reply;
mod request;
mod routes;
mod session;
mod session_events;
pub mod sessions;
mod status;
mod streams;
#[cfg(test)]
mod tests;
pub mod throttle;
pub mod users;

use std::borrow::Cow;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use serde_json::{Value, json};

pub(crate) use caller::session_needed;
pub use events::polled;
pub use friendly::limited_peer;
pub(crate) use handshake::endpoint;
pub use hub::{
    After, Balance, Encoding, Feed, FeedId, Hub, Missed, Subscriber, SubscriptionId, Waiting,
    gap_json,
};
pub use produced::{event_of_line, name_of_command};
pub use replica::Confirmed;
pub use reply::{
    Continuation, Conversation, Follow, Job, JobError, Later, Output, Reply, Socket, Stream,
    TakeSnapshot, Upgrade, Wait, internal_error,
};
pub use request::{Parameters, Request};
pub use routes::{Found, Handler, Methods, Routes};
pub use streams::{Standing, Streams};

use crate::config::{Config, ListenAddr};
pub use crate::event::{Audience, Interest, Pattern, Patterns};
use crate::event::{NewEvent, is_name};
use crate::http::{Blank, Body, Method, Response};
use crate::ledger::Ledger;
use crate::reactor::{Delivered, Entropy, Moment};
use crate::token::Keys;
use crate::work::password::{self, Argon2id, Hasher};
use arriving::Arriving;
use sessions::Sessions;
use throttle::Throttle;
use users::Users;

/// The application's state. The loop's thread owns it; no other thread sees it.
pub struct App {
    /// The configuration that the server was started with.
    pub config: Config,
    /// Where the server listens, with the ports that the system chose.
    pub addresses: Vec<ListenAddr>,
    /// The users that can log in.
    pub users: Users,
    /// The sessions of users that are logged in.
    pub sessions: Sessions,
    /// The keys that sign sessions.
    pub keys: Keys,
    /// Names and addresses with failed logins.
    pub throttle: Throttle,
    /// Logins whose sessions are not committed yet.
    pub arriving: Arriving,
    /// The user for whom the present handler or continuation runs, as far as it has found out: for the access log.
    pub asker: Option<i64>,
    /// The subscribers of events.
    pub hub: Hub,
    /// The streams that are open for as long as their session lasts.
    pub streams: Streams,
    /// The server is shutting down.
    pub draining: bool,
    /// The event that announces the shutdown is on disk, or cannot be written; streams do not know yet.
    pub end_announced: bool,
    /// Numbers for the monitor that are not the application's: taken when all sources have been looked
    /// at.
    pub vitals: monitor::Vitals,
    /// Set while an observer watches the loop.
    pub watch: Option<monitor::Watch>,
    /// Verifies passwords.
    pub hasher: Arc<dyn Hasher>,
    /// The hash that is checked for names that no user has, so that they cost as much as others.
    decoy: String,
    answers: status::Answers,
    /// The memory of the last answer, to be reused.
    blank: Blank,
    maintenance: maintenance::MaintenanceState,
    /// Emitted outside of any request's transaction; committed at the end of the turn.
    outgoing: Vec<NewEvent>,
    error_handlers: Vec<ErrorHandler>,
}

/// An error inside the server. The loop continues.
#[derive(Clone, Debug)]
pub struct Incident {
    /// Which kind: `handler_panicked`, `subscriber_panicked`, `error_lost` (a subscriber panicked
    /// over an `error`), `job_panicked`, `store_failed`.
    pub code: &'static str,
    /// What exactly, for the log.
    pub detail: String,
}

type ErrorHandler = Box<dyn FnMut(&Incident)>;

/// Most events that are kept for another try after the store refused them.
const OUTGOING_MAX: usize = 4096;

/// What a handler may use.
pub struct Context<'c> {
    /// The application's state.
    pub app: &'c mut App,
    /// Monotonic time.
    pub now: Moment,
    /// Wall-clock time in milliseconds since 1970 (UTC).
    pub unix_ms: u64,
    /// Randomness fit for secrets.
    pub entropy: &'c mut dyn Entropy,
    /// The record of what the loop did.
    pub ledger: &'c mut Ledger,
}

/// A handler that every server has.
pub type BuiltIn = fn(&Request<'_>, &mut Context<'_>) -> Result<Reply, Reply>;

const GET: Methods = Methods::One(Method::Get);
const POST: Methods = Methods::One(Method::Post);
const DELETE: Methods = Methods::One(Method::Delete);

/// The handlers that every server has.
pub const HANDLERS: [(Methods, &str, BuiltIn); 13] = [
    (GET, "/", home::home),
    (GET, "/home.css", home::style),
    (GET, "/home.js", home::script),
    (POST, "/login", login::login),
    (POST, "/logout", logout::logout),
    (GET, "/session", session::show),
    (GET, "/sessions", session::list),
    (DELETE, "/sessions/{id}", logout::revoke),
    (Methods::Any, "/verify", session::verify),
    (GET, "/events", events::follow),
    (POST, "/events", events::publish),
    (GET, "/healthz", status::healthz),
    (GET, "/readyz", status::readyz),
];

impl App {
    /// Takes the memory of an answer that has been encoded, for the next answer.
    pub fn reuse(&mut self, response: Response) {
        if let Body::Bytes(_) = response.body {
            self.blank = response.into_blank();
        }
    }

    /// The state of a server that starts with these users, sessions and keys.
    #[must_use]
    pub fn new(config: Config, users: Users, sessions: Sessions, keys: Keys) -> Self {
        let hub = Hub::new(Waiting::new(config.limits.waiting_bytes_max));
        let throttle = Throttle::new(throttle::CAPACITY, &config.limits);
        Self {
            hasher: Argon2id::shared(),
            decoy: password::decoy(config.hash_cost),
            answers: status::Answers::default(),
            blank: Blank::default(),
            config,
            addresses: Vec::new(),
            users,
            sessions,
            keys,
            throttle,
            arriving: Arriving::default(),
            asker: None,
            hub,
            streams: Streams::default(),
            draining: false,
            end_announced: false,
            vitals: monitor::Vitals::default(),
            watch: None,
            maintenance: maintenance::MaintenanceState::default(),
            outgoing: Vec::new(),
            error_handlers: Vec::new(),
        }
    }

    /// Calls `handler` for every incident.
    pub fn on_error(&mut self, handler: impl FnMut(&Incident) + 'static) {
        self.error_handlers.push(Box::new(handler));
    }

    /// Emits an event: it is committed with the others of this turn, and delivered when it has an
    /// id.
    ///
    /// # Panics
    /// If its name [is invalid](is_name): no pattern could match it, and in server-sent events it could be two lines.
    pub fn emit(&mut self, event: NewEvent) {
        let name = &event.name;
        assert!(
            is_name(name),
            "an event's name is 1 to 128 ASCII letters, digits and . _ - : /, and not {name:?}"
        );
        self.outgoing.push(event);
    }

    /// Takes back events that the store had no room for, to be tried again with the next that are emitted. At most
    /// `OUTGOING_MAX` are kept: a store that fails for long must not fill the memory.
    pub fn emit_again(&mut self, mut events: Vec<NewEvent>) {
        let lost = (events.len() + self.outgoing.len()).saturating_sub(OUTGOING_MAX);
        if lost > 0 {
            log::error!("the store took no events for too long: {lost} are lost");
            events.truncate(events.len().saturating_sub(lost));
        }
        // They were emitted first.
        events.append(&mut self.outgoing);
        self.outgoing = events;
    }

    /// The events that were emitted outside of a request's transaction since the last call.
    pub fn take_outgoing(&mut self) -> Vec<NewEvent> {
        std::mem::take(&mut self.outgoing)
    }

    /// Logs an incident, calls the error handlers, and emits `error`. Without a handler and
    /// without a subscriber nothing else happens: an error without listeners does not end the program.
    pub fn report(&mut self, code: &'static str, detail: String, unix_ms: u64) {
        let incident = Incident { code, detail };
        log::error!("{}: {}", incident.code, incident.detail.escape_debug());
        for handler in &mut self.error_handlers {
            // An error handler that panics must neither end the loop nor be called about its own panic.
            if catch_unwind(AssertUnwindSafe(|| handler(&incident))).is_err() {
                log::error!("an error handler panicked");
            }
        }
        // A failing store would fail to store this event, and a subscriber that panics over errors would
        // panic over this one. Each would report again, for ever.
        if !matches!(code, "store_failed" | "error_lost") {
            let data = json!({"code": code, "detail": incident.detail});
            self.announce("error", data, unix_ms);
        }
    }

    /// Emits an event of the server itself, which concerns no user.
    pub fn announce(&mut self, name: &'static str, data: Value, unix_ms: u64) {
        self.emit(NewEvent {
            unix_ms,
            name: name.into(),
            sender: "loopgate".into(),
            user_id: None,
            data,
        });
    }

    /// Delivers the events that were confirmed in this turn, or the first of them if they are too many.
    pub fn deliver_events(&mut self, unix_ms: u64) -> Delivered {
        let (count, missed) = self.hub.deliver();
        for Missed { id, was_error } in missed {
            let code = if was_error {
                "error_lost"
            } else {
                "subscriber_panicked"
            };
            let detail = format!("a subscriber panicked over event {id} and missed it");
            self.report(code, detail, unix_ms);
        }
        let more = self.hub.has_more();
        Delivered { count, more }
    }
}

impl Context<'_> {
    /// Wall-clock time in whole seconds since 1970 (UTC), as signatures have it.
    #[must_use]
    pub fn unix_s(&self) -> i64 {
        (self.unix_ms / 1000).cast_signed()
    }

    /// The memory of the last answer, for [`Response::reusing`] and [`Response::json_reusing`]: a handler
    /// that answers in it does not allocate.
    pub fn blank(&mut self) -> Blank {
        std::mem::take(&mut self.app.blank)
    }

    /// `N` random bytes.
    pub fn random<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.entropy.fill(&mut bytes);
        bytes
    }

    /// Emits an event, which goes to all subscribers to its name.
    ///
    /// # Panics
    /// If the [name](is_name) is invalid, as [`App::emit`].
    pub fn emit(&mut self, name: impl Into<Cow<'static, str>>, data: Value) {
        let event = self.event(name, "handler", None, data);
        self.app.emit(event);
    }

    /// An event with the present time.
    fn event(
        &self,
        name: impl Into<Cow<'static, str>>,
        sender: &'static str,
        user_id: Option<i64>,
        data: Value,
    ) -> NewEvent {
        NewEvent {
            unix_ms: self.unix_ms,
            name: name.into(),
            sender: sender.into(),
            user_id,
            data,
        }
    }
}

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("App")
            .field("users", &self.users.len())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Context<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("unix_ms", &self.unix_ms)
            .finish_non_exhaustive()
    }
}
