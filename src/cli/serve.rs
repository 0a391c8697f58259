//! `loopgate serve`.

use std::io::{self, IsTerminal, Write};
use std::net::SocketAddr;
use std::os::fd::AsFd as _;
use std::path::PathBuf;
use std::rc::{Rc, Weak};

use loopgate::config::{CheckedConfig, Config, ListenAddr, StorePath};
use loopgate::event::Event;
use loopgate::ledger::{Ledger, Limit};
use loopgate::reactor::{OsEntropy, Signal, random};
use loopgate::recording::{RecordOptions, Recording};
use loopgate::server::{Server, Signals, Sockets, StartError, Stopped, raise_descriptor_limit};
use loopgate::token::base64url;
use loopgate::work::Store;

use super::handover::Predecessor;
use super::logging::Logs;
use super::options::ServeOptions;
use super::output::{count, say};
use super::program_path::program_path;
use super::restart::Restart;
use super::users::add_user;
use super::{Ending, Failure, supervisor};

const DEMO_BANNER: &str = "\
DEMO: no store is used and nothing is kept; the password is public. Loopback only.
      user admin, password `password`; try:
      curl -d 'username=admin&password=password' ";

/// Serves until told to stop.
pub(super) fn serve(
    store: &StorePath,
    log: Option<PathBuf>,
    options: ServeOptions,
) -> Result<Ending, Failure> {
    let demo = options.demo;
    let record = options.record.options();
    let access_log = options.access_log.clone();
    let config = match options.config(store).checked() {
        Ok(config) => config,
        Err(why) => return Ok(Ending::Usage(format!("--{why}"))),
    };
    if demo && let Some(reachable) = beyond_loopback(&config.listen) {
        return Ok(Ending::Usage(format!(
            "--demo listens on loopback only, and {reachable} is not; leave out --demo, or listen on 127.0.0.1"
        )));
    }
    if record.is_some() && !(config.subscribe.is_empty() && config.produce.is_empty()) {
        return Ok(Ending::Usage(
            "--record does not go with --subscribe and --produce: what child processes do cannot be played again; leave one of them out".into(),
        ));
    }
    if record.is_some() && config.monitor.is_some() {
        return Ok(Ending::Usage(
            "--record does not go with --monitor: who looks at a server changes what it does; leave one of them out".into(),
        ));
    }
    let logs = Logs::start(log, access_log)?;
    raise_descriptor_limit();
    let running = Running {
        config,
        demo,
        program: program_path()
            .inspect_err(|error| log::warn!("SIGUSR2 will not restart this process: {error}"))
            .ok(),
        logs: Rc::new(logs),
    };
    let stopped = match record {
        Some(record) => running.run_recorded(&record)?,
        None => running.run()?,
    };
    Ok(match stopped {
        Stopped::Drained | Stopped::HandedOver => Ending::Done,
        Stopped::AtOnce => Ending::Cut,
    })
}

/// What stays the same from one server to the next: after a failed handover the same process serves
/// again.
struct Running {
    config: CheckedConfig,
    demo: bool,
    /// The path of this program, determined at the start: a successor runs the program that is at this path then.
    program: Option<PathBuf>,
    logs: Rc<Logs>,
}

impl Running {
    fn run(self) -> Result<Stopped, Failure> {
        Server::check_files(&self.config)?;
        let mut predecessor = Predecessor::of_this_process()
            .map_err(|error| format!("cannot follow the process before this one: {error}"))?;
        let given = match &mut predecessor {
            Some(predecessor) => std::mem::take(&mut predecessor.sockets),
            None => supervisor::sockets().map_err(StartError::Socket)?,
        };
        let sockets = Sockets::take_over(given, &self.config)?;
        let mut connections = Vec::new();
        if let Some(predecessor) = &mut predecessor {
            connections = predecessor.wait_for_the_store()?;
        }
        let mut server = self.start(&sockets)?;
        let signals = Signals::listen(&[
            Signal::Terminate,
            Signal::Interrupt,
            Signal::Hangup,
            Signal::User1,
            Signal::User2,
        ])?;
        loop {
            server.adopt(connections);
            let restart = self.handle_signals(&mut server, &sockets, &signals)?;
            self.announce(&server);
            if let Some(mut predecessor) = predecessor.take() {
                sockets.own_paths(true);
                predecessor.may_go();
            }
            supervisor::tell("READY=1");
            let stopped = server.run()?;
            let (Stopped::HandedOver, Some(successor)) = (stopped, restart.finish()) else {
                self.end(server, |server| server, stopped);
                return Ok(stopped);
            };
            connections = server.take_handed_over();
            drop(server); // and closes the store
            let id = successor.id();
            let how_many = count(connections.len() as u64, "connection", "connections");
            let to_stop = [
                signals.of(Signal::Terminate)?.as_fd(),
                signals.of(Signal::Interrupt)?.as_fd(),
            ];
            match successor.give(&connections, &to_stop) {
                Ok(()) => {
                    log::info!("process {id} goes on, with {how_many}");
                    sockets.own_paths(false);
                    supervisor::tell(&format!("MAINPID={id}"));
                    self.finish_log();
                    return Ok(stopped);
                }
                Err(error) => log::error!("process {id} does not go on, so this one does: {error}"),
            }
            // The new server gets the signals that have arrived meanwhile, including SIGTERM.
            server = self.start(&sockets)?;
        }
    }

    /// Makes a server on the store.
    fn start(&self, sockets: &Sockets) -> Result<Server, Failure> {
        let store = self.open_store()?;
        let config = self.config.clone();
        let mut server = Server::with_sockets(config, store, sockets.clone())?;
        self.logs.of(&mut server);
        Ok(server)
    }

    /// Opens the store, and makes sure that it has a user.
    fn open_store(&self) -> Result<Store, Failure> {
        let config: &Config = &self.config;
        let mut store = Store::open(&config.store, config)?;
        if store.load()?.users.is_empty() {
            add_first_user(&mut store, config, self.demo)?;
        }
        Ok(store)
    }

    /// The same with a server that is recorded. Such a server neither takes over nor hands over.
    fn run_recorded(self, record: &RecordOptions) -> Result<Stopped, Failure> {
        Server::check_files(&self.config)?;
        if Predecessor::of_this_process()?.is_some() {
            return Err(
                "a server that is recorded cannot follow another one; start it anew".into(),
            );
        }
        let given = supervisor::sockets().map_err(StartError::Socket)?;
        let sockets = Sockets::take_over(given, &self.config)?;
        let store = self.open_store()?;
        let mut recording = Recording::begin(record, self.config.clone(), store, &sockets)?;
        self.logs.of(recording.server());
        let logs = Rc::downgrade(&self.logs);
        recording.on_signal(Signal::User1, move || reopen(&logs))?;
        self.announce(recording.server());
        say(format_args!("recording to {}", record.path.display()));
        supervisor::tell("READY=1");
        let stopped = recording.run()?;
        self.end(recording, Recording::server, stopped);
        Ok(stopped)
    }

    /// SIGUSR1 reopens the log; SIGUSR2 starts a process that is to take over from this one.
    fn handle_signals(
        &self,
        server: &mut Server,
        sockets: &Sockets,
        signals: &Signals,
    ) -> Result<Rc<Restart>, Failure> {
        server.handle_signals_of(signals)?;
        if std::process::id() == 1 {
            server.reap_orphans()?;
        }
        let logs = Rc::downgrade(&self.logs);
        server.on_signal_of(signals, Signal::User1, move || reopen(&logs))?;
        let restart = Rc::new(Restart::default());
        let (beginning, handle) = (Rc::clone(&restart), server.handle());
        let (program, sockets) = (self.program.clone(), sockets.clone());
        let keeps_nothing = self.config.store == StorePath::Memory;
        server.on_signal_of(signals, Signal::User2, move || {
            if keeps_nothing {
                log::warn!("cannot restart: a store in memory cannot be handed over");
            } else if std::process::id() == 1 {
                log::warn!(
                    "cannot restart: this is process 1, and its container would end with it; start a new container instead"
                );
            } else if let Some(program) = &program {
                beginning.begin(program, &sockets, handle.clone());
            } else {
                log::warn!("cannot restart: the system does not say where this program is");
            }
        })?;
        let cancelling = Rc::clone(&restart);
        server.subscribe("server.draining", move |event: &Event| {
            if event.fact.data["restarting"] == false {
                cancelling.cancel();
            }
        });
        Ok(restart)
    }

    fn announce(&self, server: &Server) {
        if self.demo
            && let Some(address) = server.addresses().first()
        {
            say(format_args!("{DEMO_BANNER}{address}/login"));
        }
        for address in server.addresses() {
            say(format_args!("listening on {address}"));
        }
        if let Some(address) = server.monitor_address() {
            say(format_args!("monitor on {address}"));
        }
        let _ = io::stdout().flush();
    }

    /// Drops the server, or its owner.
    fn end<T>(self, mut owner: T, server: impl Fn(&mut T) -> &mut Server, stopped: Stopped) {
        if stopped == Stopped::AtOnce {
            // Do not wait for the workers any longer. What was confirmed is already on disk.
            std::mem::forget(owner);
            log::warn!("stopped before all was finished");
        } else {
            let tally = server(&mut owner).tally().clone();
            let refusals = refusals(server(&mut owner).ledger());
            drop(owner);
            log::info!("drained: {tally}{refusals}");
        }
        self.finish_log();
    }

    fn finish_log(self) {
        if let Some(logs) = Rc::into_inner(self.logs) {
            logs.finish();
        }
    }
}

/// Reopens the logs, if they are still written.
fn reopen(logs: &Weak<Logs>) {
    if let Some(logs) = logs.upgrade() {
        logs.reopen();
    }
}

/// Which limits were reached, and how often.
fn refusals(ledger: &Ledger) -> String {
    let reached = Limit::ALL
        .into_iter()
        .map(|limit| (limit, ledger.refusals(limit)));
    let reached = reached.filter(|(_, count)| *count > 0);
    let each = reached.map(|(limit, count)| format!("; {} refused for {}", count, limit.name()));
    each.collect()
}

/// An address that other machines can reach: the demo's password is public.
fn beyond_loopback(addresses: &[ListenAddr]) -> Option<SocketAddr> {
    addresses.iter().find_map(|address| match address {
        ListenAddr::Tcp(tcp) | ListenAddr::Tls(tcp) if !tcp.ip().is_loopback() => Some(*tcp),
        _ => None,
    })
}

/// Makes `admin`, and prints its password on the terminal. Only there: an output that is not a terminal
/// may be a log.
fn add_first_user(store: &mut Store, config: &Config, demo: bool) -> Result<(), Failure> {
    if demo {
        return add_user(store, "admin", "admin", b"password", config.hash_cost);
    }
    let mut terminal: Box<dyn Write> = if io::stdout().is_terminal() {
        Box::new(io::stdout())
    } else if io::stderr().is_terminal() {
        Box::new(io::stderr())
    } else {
        log::warn!(
            "there are no users, and no terminal to tell a first password to; stop the server and run: loopgate user add admin --role admin"
        );
        return Ok(());
    };
    let password = base64url(&random::<15>(&mut OsEntropy));
    let cost = config.hash_cost;
    add_user(store, "admin", "admin", password.as_bytes(), cost)?;
    writeln!(
        terminal,
        "first start: created the user admin with the password {password}"
    )?;
    Ok(())
}
