//! Connects the parts: a store, an application, a reactor, listeners. `start` does what is done once,
//! at the beginning.

mod children;
#[cfg(feature = "simulation")]
pub(crate) mod describe;
mod descriptors;
mod error;
mod handle;
mod listening;
mod signals;
mod slow_motion;
mod start;
mod state;

use std::fmt;
use std::io;
use std::rc::Rc;
use std::sync::Arc;

pub use crate::net::{ACCESS, AccessFormat, HandedOver, Held};
pub use descriptors::raise_descriptor_limit;
pub use error::StartError;
pub use handle::Handle;
use listening::Listening;
pub use listening::{Asked, PassedSocket, Sockets};
pub use signals::Signals;
use slow_motion::SlowMotion;
#[cfg(feature = "simulation")]
pub(crate) use start::acceptors;
pub use start::key_path;
pub(crate) use start::keys_of;
use start::service;

use crate::app::{
    Context, HANDLERS, Incident, Methods, Reply, Request, Socket, Subscriber, SubscriptionId,
    endpoint, monitor,
};
use crate::config::{CheckedConfig, Config, ListenAddr};
use crate::http::Method;
use crate::net::{Admission, Maintenance, Realm, Service, adopt};
use crate::reactor::{Acceptor, Clock as _, Listener, OsClock, Reactor, Seams};
use crate::token::Keys;
use crate::websocket::Message;
use crate::work::log_writer::LogPipe;
use crate::work::password::{Argon2id, Hasher};
use crate::work::watchdog::Watchdog;
use crate::work::{Crew, Store, TimedThreads};

/// A login/logout server on its event loop.
pub struct Server {
    reactor: Reactor<Service>,
    monitor_address: Option<ListenAddr>,
    listening: Option<Rc<Listening>>,
    /// Reports when the loop is stuck, if there is a monitor.
    watchdog: Option<Watchdog>,
    /// Shows a loop that is slowed down.
    slow_motion: Option<SlowMotion>,
    /// Closed as soon as the server drains.
    sockets: Option<Sockets>,
}

/// The environment of a server: everything through which it interacts with the outside.
pub struct World<'c> {
    /// Its users, sessions and events.
    pub store: Store,
    /// The keys that it signs with.
    pub keys: Keys,
    /// The sources of time, randomness and readiness.
    pub seams: Seams,
    /// The crew that does blocking work.
    pub crew: &'c mut dyn Crew,
    /// Verifies passwords.
    pub hasher: Arc<dyn Hasher>,
}

impl fmt::Debug for World<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("World").finish_non_exhaustive()
    }
}

/// How a server ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// All requests under way were finished.
    Drained,
    /// Another process is to take over the sockets, the store and what [`Server::take_handed_over`] returns.
    HandedOver,
    /// It was told to stop twice, or draining took longer than allowed: connections were cut.
    AtOnce,
}

impl Server {
    /// Opens or creates the store, reads it, and listens. Requests are answered as soon as the server
    /// runs.
    ///
    /// # Errors
    /// Everything that can keep it from starting.
    pub fn bind(config: Config) -> Result<Self, StartError> {
        let config = config.checked().map_err(StartError::Config)?;
        let store = Store::open(&config.store, &*config)?;
        let sockets = Sockets::bind(&config)?;
        Self::with_sockets(config, store, sockets)
    }

    /// The same with a store that is open already.
    ///
    /// # Errors
    /// Everything that can keep it from starting.
    pub fn with_store(config: Config, store: Store) -> Result<Self, StartError> {
        let config = config.checked().map_err(StartError::Config)?;
        let sockets = Sockets::bind(&config)?;
        Self::with_sockets(config, store, sockets)
    }

    /// The same on sockets that already listen.
    ///
    /// # Errors
    /// Everything that can keep it from starting.
    pub fn with_sockets(
        config: CheckedConfig,
        store: Store,
        sockets: Sockets,
    ) -> Result<Self, StartError> {
        let listening = Listening::new(&config)?;
        let mut acceptors = listening.acceptors(&sockets).map_err(StartError::Os)?;
        let clock = OsClock::default();
        let of_workers = clock.clone();
        let mut crew = TimedThreads::new(move || of_workers.now().as_ns());
        let world = World {
            keys: keys_of(&config.store)?,
            store,
            crew: &mut crew,
            seams: Seams::of_os(clock).map_err(StartError::Os)?,
            hasher: Argon2id::shared(),
        };
        let mut server = Self::in_world(config.into(), world)?;
        server.listening = Some(Rc::new(listening));
        server.sockets = Some(sockets);
        let socket = server.take_slow_motion_socket(&mut acceptors);
        server.open(acceptors).map_err(StartError::Os)?;
        server.show_itself(socket)?;
        server.add_children().map_err(StartError::Os)?;
        Ok(server)
    }

    /// Checks the files that `config` names, before the store is opened.
    ///
    /// # Errors
    /// The first one that would keep a server from starting.
    pub fn check_files(config: &CheckedConfig) -> Result<(), StartError> {
        if let Some(path) = key_path(&config.store) {
            Keys::load(&path)?;
        }
        Listening::new(config).map(drop)
    }

    /// Takes over connections that another process handed over. Connections whose peer has gone are left out.
    pub fn adopt(&mut self, connections: Vec<HandedOver>) {
        for connection in connections {
            if let Err(error) = adopt(&mut self.reactor, connection) {
                log::debug!("a connection was not taken over: {error}");
            }
        }
    }
}

impl Server {
    /// A server in any world, which does not listen yet. It ignores the addresses, child processes and path of
    /// the store in `config`, and does not check whether its parts fit together.
    ///
    /// # Errors
    /// Everything that can keep it from starting.
    pub fn in_world(config: Config, world: World<'_>) -> Result<Self, StartError> {
        let World {
            store,
            keys,
            seams,
            crew,
            hasher,
        } = world;
        let unix_s = (seams.clock.unix_ms() / 1000).cast_signed();
        let reactor = Reactor::with_seams(seams, |completer| {
            service(config, store, keys, crew, hasher, completer, unix_s)
        })?;
        let mut server = Self {
            reactor,
            monitor_address: None,
            listening: None,
            watchdog: None,
            slow_motion: None,
            sockets: None,
        };
        server.add_handlers().map_err(StartError::Os)?;
        Ok(server)
    }

    /// Fixes whether requests are timed, whether or not the access log is read.
    #[cfg(feature = "simulation")]
    pub(crate) fn time_requests(&mut self, timed: bool) {
        self.reactor.program.time_requests(timed);
    }

    /// Has the lines of the access log written in that form, into `pipe`; without one, they are records of the target
    /// [`ACCESS`] for the program's own logger, which is so, in the plain form, unless this is called.
    pub fn log_access(&mut self, format: AccessFormat, pipe: Option<LogPipe>) {
        self.reactor.program.log_access(format, pipe);
    }

    /// Serves clients that connect there, and logs the addresses and that the server has started.
    ///
    /// # Errors
    /// When the system has no room for more registrations.
    pub(crate) fn open(
        &mut self,
        acceptors: impl IntoIterator<Item = (impl Acceptor, Realm, ListenAddr)>,
    ) -> io::Result<()> {
        for (acceptor, realm, address) in acceptors {
            match realm {
                Realm::Clients => self.reactor.program.app.addresses.push(address),
                Realm::Monitor => self.monitor_address = Some(address),
            }
            let listener = Box::new(Listener::new(acceptor, Admission(realm)));
            self.reactor.add(listener)?;
        }
        let (version, unix_ms) = (env!("CARGO_PKG_VERSION"), self.reactor.unix_ms());
        let data = serde_json::json!({ "version": version });
        let app = &mut self.reactor.program.app;
        app.announce("server.started", data, unix_ms);
        Ok(())
    }

    /// Serves clients that connect there.
    ///
    /// # Errors
    /// When the system has no room for one more registration.
    pub fn accept_from(&mut self, acceptor: impl Acceptor) -> io::Result<()> {
        let listener = Box::new(Listener::new(acceptor, Admission(Realm::Clients)));
        self.reactor.add(listener).map(drop)
    }

    /// Adds a row to the handler table. `path` may have `{name}` as a whole segment; a row for the
    /// same method and path is replaced, even one of the server's own.
    ///
    /// The handler returns a [`Reply`], or a `Result` of two of them, so that it can use `?`. With
    /// [`Methods::Any`] in place of a method it answers all of them, from the head alone.
    ///
    /// # Panics
    /// If `path` does not begin with a slash, or the method has no name.
    pub fn on<R: Into<Reply>>(
        &mut self,
        methods: impl Into<Methods>,
        path: &str,
        handler: impl Fn(&Request<'_>, &mut Context<'_>) -> R + 'static,
    ) {
        let methods = methods.into();
        let label = self.reactor.ledger().label(&format!("{methods} {path}"));
        let handler = Box::new(move |request: &Request<'_>, cx: &mut Context<'_>| {
            handler(request, cx).into()
        });
        let routes = &mut self.reactor.program.routes;
        routes.on(methods, path, label, handler);
    }

    /// Adds a WebSocket at `path`: `handler` is called with every message and the socket it came from.
    /// Messages have at most `limits.websocket_bytes_max` bytes. Clients need no session; if there is one,
    /// the socket tells whose it is. The handler must not block.
    pub fn websocket(&mut self, path: &str, handler: impl Fn(Message, &mut Socket<'_>) + 'static) {
        self.on(Method::Get, path, endpoint(Rc::new(handler)));
    }

    /// Calls `subscriber` for every event whose name matches `pattern`: a name, `user.*`, or `*`.
    /// Subscribers are called on the loop, in the order in which they were registered, until they are
    /// unsubscribed or answer [`After::Unsubscribe`](crate::app::After).
    ///
    /// # Panics
    /// If `pattern` is invalid: no event could ever match it. Check it with
    /// [`Pattern::parse`](crate::app::Pattern::parse).
    pub fn subscribe(
        &mut self,
        pattern: &str,
        subscriber: impl Subscriber + 'static,
    ) -> SubscriptionId {
        let hub = &mut self.reactor.program.app.hub;
        hub.subscribe(pattern, subscriber)
    }

    /// Removes that subscriber. Handlers do the same with `cx.app.hub`.
    pub fn unsubscribe(&mut self, id: SubscriptionId) {
        self.reactor.program.app.hub.unsubscribe(id);
    }

    /// Calls `handler` for everything that goes wrong inside the server.
    pub fn on_error(&mut self, handler: impl FnMut(&Incident) + 'static) {
        self.reactor.program.app.on_error(handler);
    }

    /// Turns the loop once.
    ///
    /// # Errors
    /// Only when the system's selector fails.
    #[inline]
    pub fn turn(&mut self) -> io::Result<()> {
        self.reactor.turn()?;
        let draining = self.reactor.program.lifecycle.is_draining();
        if let Some(sockets) = self.sockets.take_if(|_| draining) {
            sockets.close();
        }
        Ok(())
    }

    /// Turns the loop until the server has shut down.
    ///
    /// # Errors
    /// Only when the system's selector fails.
    pub fn run(&mut self) -> io::Result<Stopped> {
        while !self.is_over() {
            self.turn()?;
        }
        Ok(self.finish())
    }

    /// Ends what the server has started; returns how it ended.
    pub(crate) fn finish(&mut self) -> Stopped {
        let drained = self.reactor.program.is_drained();
        self.reactor.program.children.kill_all();
        if drained && self.reactor.program.lifecycle.is_handing_over() {
            Stopped::HandedOver
        } else if drained {
            Stopped::Drained
        } else {
            Stopped::AtOnce
        }
    }

    /// Whether the server has shut down: everything was finished, or was cut.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.reactor.stopped() || self.reactor.program.is_drained()
    }

    /// The connections that another process is to take over, after the server has
    /// [handed over](Stopped::HandedOver).
    #[must_use]
    pub fn take_handed_over(&mut self) -> Vec<HandedOver> {
        self.reactor.program.take_handed_over()
    }

    /// Where the server listens, with the ports that the system chose.
    #[must_use]
    pub fn addresses(&self) -> &[ListenAddr] {
        &self.reactor.program.app.addresses
    }

    /// Where its monitor listens, with the port that the system chose.
    #[must_use]
    pub fn monitor_address(&self) -> Option<&ListenAddr> {
        self.monitor_address.as_ref()
    }

    /// Shuts the server down from another thread.
    #[must_use]
    pub fn handle(&self) -> Handle {
        let goes_on = self.slow_motion.as_ref().map(SlowMotion::ended);
        Handle::new(self.reactor.completer(), goes_on)
    }

    fn add_handlers(&mut self) -> io::Result<()> {
        for (methods, path, handler) in HANDLERS {
            self.on(methods, path, handler);
        }
        for (methods, path, handler) in monitor::HANDLERS {
            self.on_monitor(methods, path, handler);
        }
        self.reactor.add(Box::new(Maintenance::default()))?;
        Ok(())
    }

    /// Adds a row to the monitor's table, or replaces one.
    fn on_monitor(
        &mut self,
        methods: impl Into<Methods>,
        path: &str,
        handler: impl Fn(&Request<'_>, &mut Context<'_>) -> Result<Reply, Reply> + 'static,
    ) {
        let methods = methods.into();
        let name = format!("{methods} monitor {path}");
        let label = self.reactor.ledger().label(&name);
        let handler = Box::new(move |request: &Request<'_>, cx: &mut Context<'_>| {
            monitor::admit(request)
                .and_then(|()| handler(request, cx))
                .into()
        });
        let table = &mut self.reactor.program.monitor_routes;
        table.on(methods, path, label, handler);
    }
}

impl Drop for Server {
    /// Ends everything that the server started.
    fn drop(&mut self) {
        self.reactor.program.children.kill_all();
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("addresses", &self.addresses())
            .finish_non_exhaustive()
    }
}
