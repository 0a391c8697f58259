//! Wires everything together: a store, an application, a reactor, listeners.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::rc::Rc;

use crate::app::sessions::{Session, Sessions};
use crate::app::users::Users;
use crate::app::{
    App, Context, HANDLERS, Incident, Pattern, Reply, Request, Socket, Subscriber, SubscriptionId,
    endpoint,
};
use crate::config::{Config, ListenAddr, StorePath};
use crate::http::Method;
use crate::ledger::Ledger;
use crate::net::{Child, Chores, Completion, Door, Role, Service, Workers};
use crate::reactor::{
    CompleterOf, Entropy, Listener, Os, OsAcceptor, OsClock, OsEntropy, OsSelector, Reactor, Seams,
    Signal, SignalSource, Turn,
};
use crate::token::{KeyError, Keys};
use crate::websocket::Message;
use crate::work::{Pool, Store, StoreError};

/// Descriptors that are not for connections: the store's files, the log, listeners, the selector.
const DESCRIPTORS_RESERVED: usize = 32;

/// A login/logout server on its event loop.
pub struct Server<S: Seams = Os> {
    reactor: Reactor<Service<S>>,
    addresses: Vec<ListenAddr>,
}

/// How a server came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// Everything that was under way was finished.
    Drained,
    /// It was told twice, or draining took longer than allowed: connections were cut.
    AtOnce,
}

/// Why a server could not start: what, why, and what to do.
#[derive(Debug)]
pub enum StartError {
    /// Options that contradict each other.
    Config(String),
    /// The store cannot be used.
    Store(StoreError),
    /// The key file cannot be used.
    Key(KeyError),
    /// Somebody else has the address, or it is not ours.
    Listen(ListenAddr, io::Error),
    /// The system gave no thread or descriptor.
    Os(io::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(what) => f.write_str(what),
            Self::Store(error) => error.fmt(f),
            Self::Key(error) => error.fmt(f),
            Self::Listen(address, error) => {
                let address = address.to_string();
                let address = address.trim_start_matches("http://");
                write!(f, "cannot listen on {address}: ")?;
                match error.kind() {
                    io::ErrorKind::AddrInUse => f.write_str(
                        "the address is in use; stop the other server, or choose another address with --listen",
                    ),
                    io::ErrorKind::PermissionDenied => f.write_str(
                        "permission denied; choose a port above 1023 or a directory you may write, with --listen",
                    ),
                    io::ErrorKind::AddrNotAvailable => {
                        f.write_str("this machine does not have that address; choose one of its own with --listen")
                    }
                    _ => write!(f, "{error}; choose another address with --listen"),
                }
            }
            Self::Os(error) => write!(
                f,
                "the system gave no thread or descriptor: {error}; raise its limits (ulimit -n, ulimit -u)"
            ),
        }
    }
}

impl std::error::Error for StartError {}

impl From<StoreError> for StartError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<KeyError> for StartError {
    fn from(error: KeyError) -> Self {
        Self::Key(error)
    }
}

/// Where the key file of a store is: beside it. A store in memory has none.
#[must_use]
pub fn key_path(store: &StorePath) -> Option<PathBuf> {
    match store {
        StorePath::Memory => None,
        StorePath::File(path) => Some(path.with_extension("key")),
    }
}

impl Server<Os> {
    /// Opens the store, which makes it if there is none, reads it, and listens. Requests are answered
    /// as soon as the server runs.
    ///
    /// # Errors
    /// Whatever keeps it from starting.
    pub fn bind(config: Config) -> Result<Self, StartError> {
        config.check().map_err(StartError::Config)?;
        let store = Store::open(&config.store, config.events_kept_max)?;
        Self::with_store(config, store)
    }

    /// The same with a store that is open already.
    ///
    /// # Errors
    /// Whatever keeps it from starting.
    pub fn with_store(config: Config, store: Store) -> Result<Self, StartError> {
        config.check().map_err(StartError::Config)?;
        // First: what cannot be listened on is the most common mistake, and costs nothing.
        let mut acceptors = Vec::new();
        for address in &config.listen {
            acceptors.push(listen(address).map_err(|e| StartError::Listen(address.clone(), e))?);
        }
        let selector = OsSelector::new().map_err(StartError::Os)?;
        let (clock, entropy) = (OsClock::default(), OsEntropy);
        let reactor = Reactor::with_seams(clock, entropy, selector, |completer| {
            service::<Os>(config, store, completer, &mut OsEntropy)
        })?;
        let mut server = Self {
            reactor,
            addresses: Vec::new(),
        };
        server.add_handlers().map_err(StartError::Os)?;
        for acceptor in acceptors {
            server
                .addresses
                .push(acceptor.local_addr().map_err(StartError::Os)?);
            let listener = Box::new(Listener::new(acceptor, Door));
            server.reactor.add(listener).map_err(StartError::Os)?;
        }
        server.add_children().map_err(StartError::Os)?;
        let (version, unix_ms) = (env!("CARGO_PKG_VERSION"), server.reactor.unix_ms());
        let data = serde_json::json!({ "version": version });
        let app = &mut server.reactor.program.app;
        app.announce("server.started", data, unix_ms);
        Ok(server)
    }

    /// The processes that the configuration names, which are started in the first turn.
    fn add_children(&mut self) -> io::Result<()> {
        let config = &self.reactor.program.app.config;
        let children: Vec<Child> = [
            (Role::Subscriber, &config.subscribe),
            (Role::Producer, &config.produce),
        ]
        .into_iter()
        .flat_map(|(role, commands)| {
            commands
                .iter()
                .map(move |command| Child::new(role, command))
        })
        .collect();
        if children.is_empty() {
            return Ok(());
        }
        let act = |service: &mut Service<Os>, turn: &mut Turn<'_, Service<Os>>| {
            service.child_ended(turn);
        };
        self.reactor
            .add(Box::new(SignalSource::new(Signal::Child.stream()?, act)))?;
        self.reactor.program.expect_children(children.len());
        for child in children {
            self.reactor.add(Box::new(child))?;
        }
        Ok(())
    }

    /// Shuts down on SIGTERM and SIGINT: the first drains, a second one stops at once. SIGHUP
    /// reads the key file again.
    ///
    /// # Errors
    /// When the system gives no descriptors.
    pub fn handle_signals(&mut self) -> io::Result<()> {
        for signal in [Signal::Terminate, Signal::Interrupt] {
            let act = |service: &mut Service<Os>, turn: &mut Turn<'_, Service<Os>>| {
                if service.is_draining() {
                    log::warn!("told twice to shut down: stopping at once");
                    turn.stop();
                } else {
                    service.drain(turn);
                }
            };
            self.reactor
                .add(Box::new(SignalSource::new(signal.stream()?, act)))?;
        }
        let act = |service: &mut Service<Os>, turn: &mut Turn<'_, Service<Os>>| {
            if let Some(path) = key_path(&service.app.config.store) {
                service.do_unasked(read_keys(path), turn);
            }
        };
        self.reactor
            .add(Box::new(SignalSource::new(Signal::Hangup.stream()?, act)))?;
        Ok(())
    }

    /// Calls `act` on the loop whenever `signal` arrives; it must not block.
    ///
    /// # Errors
    /// When the system gives no descriptors.
    pub fn on_signal(&mut self, signal: Signal, mut act: impl FnMut() + 'static) -> io::Result<()> {
        let act = move |_: &mut Service<Os>, _: &mut Turn<'_, Service<Os>>| act();
        self.reactor
            .add(Box::new(SignalSource::new(signal.stream()?, act)))?;
        Ok(())
    }
}

impl<S: Seams> Server<S> {
    /// Adds a row to the handler table. `path` may have `{name}` as a whole segment; a row for the
    /// same method and path, one of the server's own too, is replaced.
    ///
    /// The handler returns a [`Reply`], or a `Result` of two of them, so that it can use `?`.
    pub fn on<R: Into<Reply>>(
        &mut self,
        method: Method,
        path: &str,
        handler: impl Fn(&Request<'_>, &mut Context<'_>) -> R + 'static,
    ) {
        let label = self
            .reactor
            .ledger()
            .label(&format!("{} {path}", method.as_str()));
        let handler = Box::new(move |request: &Request<'_>, cx: &mut Context<'_>| {
            handler(request, cx).into()
        });
        self.reactor.program.routes.on(method, path, label, handler);
    }

    /// Adds a WebSocket at `path`: `handler` is called with every message and the socket it came from.
    /// Messages have at most `limits.websocket_bytes_max` bytes. Clients need no session; whose it is,
    /// if one came along, the socket tells. It must not block.
    pub fn websocket(&mut self, path: &str, handler: impl Fn(Message, &mut Socket<'_>) + 'static) {
        self.on(Method::Get, path, endpoint(Rc::new(handler)));
    }

    /// Calls `subscriber` for every event whose name matches `pattern`: a name, `user.*`, or `*`.
    /// Subscribers are called on the loop, in the order in which they were registered, until they are
    /// unsubscribed or answer [`After::Unsubscribe`](crate::app::After).
    pub fn subscribe(
        &mut self,
        pattern: impl Into<Pattern>,
        subscriber: impl Subscriber + 'static,
    ) -> SubscriptionId {
        let hub = &mut self.reactor.program.app.hub;
        hub.subscribe(pattern, subscriber)
    }

    /// Calls that subscriber no more. Handlers do the same with `cx.app.hub`.
    pub fn unsubscribe(&mut self, id: SubscriptionId) {
        self.reactor.program.app.hub.unsubscribe(id);
    }

    /// Calls `handler` for everything that goes wrong inside the server.
    pub fn on_error(&mut self, handler: impl FnMut(&Incident) + 'static) {
        self.reactor.program.app.on_error(handler);
    }

    /// Turns the loop until the server has shut down.
    ///
    /// # Errors
    /// Only when the system's selector fails.
    pub fn run(&mut self) -> io::Result<Stopped> {
        while !self.reactor.stopped() && !self.reactor.program.is_drained() {
            self.reactor.turn()?;
        }
        let drained = self.reactor.program.is_drained();
        self.reactor.program.kill_children();
        Ok(if drained {
            Stopped::Drained
        } else {
            Stopped::AtOnce
        })
    }

    /// Where the server listens, with the ports that the system chose.
    #[must_use]
    pub fn addresses(&self) -> &[ListenAddr] {
        &self.addresses
    }

    /// The record of what the loop did.
    pub fn ledger(&mut self) -> &mut Ledger {
        self.reactor.ledger()
    }

    /// Shuts the server down from another thread.
    #[must_use]
    pub fn handle(&self) -> Handle<S> {
        Handle(self.reactor.completer())
    }

    fn add_handlers(&mut self) -> io::Result<()> {
        for (method, path, handler) in HANDLERS {
            self.on(method, path, handler);
        }
        self.reactor.add(Box::new(Chores::default()))?;
        Ok(())
    }
}

impl<S: Seams> Drop for Server<S> {
    /// Nothing that the server started outlives it.
    fn drop(&mut self) {
        self.reactor.program.kill_children();
    }
}

/// Shuts a server down from any thread.
pub struct Handle<S: Seams = Os>(CompleterOf<Service<S>>);

impl<S: Seams> Handle<S> {
    /// Begins to drain, as SIGTERM does.
    pub fn drain(&self) {
        self.0.complete(Completion::Drain);
    }
}

impl<S: Seams> Clone for Handle<S> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

fn listen(address: &ListenAddr) -> io::Result<OsAcceptor> {
    match address {
        ListenAddr::Tcp(address) => OsAcceptor::tcp(*address),
        ListenAddr::Unix(path) => OsAcceptor::unix(path),
    }
}

/// What the sources of a server share, made from what the store remembers.
fn service<S: Seams>(
    config: Config,
    store: Store,
    completer: CompleterOf<Service<S>>,
    entropy: &mut impl Entropy,
) -> Result<Service<S>, StartError> {
    let now_s = unix_s();
    let keys = open_keys(&config.store, entropy, now_s)?;
    let snapshot = store.load()?;
    let users: Users = snapshot.users.into_iter().collect();
    let mut sessions = Sessions::new(config.sessions);
    sessions.reserve(snapshot.sessions.len());
    for row in snapshot.sessions {
        let (hash, mut session) = (row.hash, Session::from(row));
        // Whoever took a key away wanted its signatures to end: they have expired, all of them.
        if !keys.valid(session.key_id, now_s) {
            session.issued_s = i64::MIN;
        }
        sessions.insert(hash, session);
    }
    log::info!(
        "{} users, {} sessions, last event {}",
        users.len(),
        sessions.len(),
        snapshot.last_event_id
    );
    let pool = Pool::start(config.workers, config.limits.hash_jobs_max).map_err(StartError::Os)?;
    let stored = completer.clone();
    let writer = store
        .into_writer(move |id, outcome| stored.complete(Completion::Stored(id, outcome)))
        .map_err(StartError::Os)?;
    let connections_max = connections_max(config.limits.connections_max);
    let mut app = App::new(config, users, sessions, keys);
    app.hub.begin_after(snapshot.last_event_id);
    Ok(Service::new(
        app,
        Workers { pool, writer },
        completer,
        connections_max,
    ))
}

/// The key file beside the store, made at the first start; for a store in memory, a new key.
fn open_keys(
    store: &StorePath,
    entropy: &mut impl Entropy,
    now_s: i64,
) -> Result<Keys, StartError> {
    let (id, secret) = (u32::from_le_bytes(entropy.bytes()), entropy.bytes());
    let Some(path) = key_path(store) else {
        return Ok(Keys::ephemeral(id, secret, now_s));
    };
    match Keys::load(&path)? {
        Some(keys) => Ok(keys),
        None => Ok(Keys::create(&path, id, secret, now_s)?),
    }
}

/// Reads the key file on a worker thread, then signs with what it says.
fn read_keys(path: PathBuf) -> Reply {
    Reply::later(
        move || Keys::load(&path),
        |keys, cx| {
            match keys {
                Ok(Ok(Some(keys))) => {
                    log::info!("the key file was read again");
                    cx.app.keys = keys;
                }
                Ok(Ok(None)) => log::warn!("the key file is gone; the keys in use are kept"),
                Ok(Err(error)) => log::warn!("the keys in use are kept: {error}"),
                Err(error) => log::warn!("the keys in use are kept: {error}"),
            }
            Reply::empty(204)
        },
    )
}

/// As many connections as the option and the descriptor limit allow.
fn connections_max(option: usize) -> usize {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    let descriptors = limit.map_or(usize::MAX, |limit| {
        usize::try_from(limit).unwrap_or(usize::MAX)
    });
    option.min(descriptors.saturating_sub(DESCRIPTORS_RESERVED).max(1))
}

fn unix_s() -> i64 {
    use crate::reactor::Clock as _;
    (OsClock::default().unix_ms() / 1000).cast_signed()
}

impl<S: Seams> fmt::Debug for Server<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("addresses", &self.addresses)
            .finish_non_exhaustive()
    }
}

impl<S: Seams> fmt::Debug for Handle<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Handle")
    }
}
