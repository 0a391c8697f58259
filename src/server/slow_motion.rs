//! The monitor of a loop that is slowed down: a separate server on a separate thread, since a loop that stands
//! still cannot answer. It shows what that loop has left at its gate.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{self, SyncSender};
use std::time::Duration;

use super::{Handle, Server, StartError, World};
use crate::app::Reply;
use crate::app::monitor::{Gate, Sight, sources_json};
use crate::config::{Config, ListenAddr, Pace, StorePath};
use crate::http::{Method, Status};
use crate::net::{Broadcaster, Paced, Realm};
use crate::reactor::{Attention, Moment, OsAcceptor, OsClock, Seams};
use crate::work::password::Argon2id;
use crate::work::watchdog::Watchdog;
use crate::work::{Crew as _, Hired, Once, Store, Threads};

/// A socket, its realm, and its address.
type OpenSocket = (OsAcceptor, Realm, ListenAddr);

impl Server {
    /// Takes out the monitor's socket, if the loop is slowed down: then another thread serves it.
    pub(super) fn take_slow_motion_socket(
        &self,
        sockets: &mut Vec<OpenSocket>,
    ) -> Option<OpenSocket> {
        let is_monitors = |(_, realm, _): &OpenSocket| *realm == Realm::Monitor;
        let socket = sockets.iter().position(is_monitors)?;
        (self.reactor.program.app.config.pace != Pace::Free).then(|| sockets.remove(socket))
    }

    /// If there is a monitor, adds the broadcaster, which sends to observers what happens, and the watchdog, which reports a
    /// stuck loop; or, if the loop is slowed down, shows it from another thread, at its `socket`.
    pub(super) fn show_itself(&mut self, socket: Option<OpenSocket>) -> Result<(), StartError> {
        let config = &self.reactor.program.app.config;
        if config.monitor.is_none() {
            return Ok(());
        }
        let pace = config.pace;
        self.ledger().remember_more();
        let broadcaster = Box::new(Broadcaster::default());
        let broadcaster = self.reactor.add(broadcaster).map_err(StartError::Os)?;
        self.reactor.program.broadcast_by(broadcaster);
        let Some((acceptor, _, address)) = socket else {
            let pulse = self.ledger().pulse();
            let say = |turn: u64, running: &str| {
                log::warn!("turn {turn} has not ended for a second: {running} holds the loop");
            };
            self.watchdog = Some(Watchdog::start(pulse, say).map_err(StartError::Os)?);
            return Ok(());
        };
        let gate = Arc::new(Gate::new(pace));
        // Shown to observers that connect before the first turn.
        let unix_ms = self.reactor.unix_ms();
        let (program, ledger) = self.reactor.program_and_ledger();
        let sight = Sight {
            now: Moment::default(),
            unix_ms,
            deadlines: Vec::new(),
            stands_still: true,
        };
        let nobody = sources_json(&[], &program.app, ledger, &sight);
        gate.show(program.app.greeting(ledger, &sight).into(), Some(nobody));
        let (slow_motion, paced) = SlowMotion::open(&acceptor, gate)?;
        self.slow_motion = Some(slow_motion);
        self.monitor_address = Some(address);
        let (program, ledger) = self.reactor.program_and_ledger();
        program.pace(paced, ledger);
        self.reactor.pay_attention(Attention::EachPhase);
        Ok(())
    }
}

/// The server that shows a loop that is slowed down.
pub(super) struct SlowMotion {
    gate: Arc<Gate>,
    handle: Handle,
    /// The last field, since dropping it waits for the thread.
    _thread: Hired,
}

impl SlowMotion {
    /// Shows the loop that stops at `gate` to observers that connect to `acceptor`. Returns what that loop has to do.
    fn open(acceptor: &OsAcceptor, gate: Arc<Gate>) -> Result<(Self, Paced), StartError> {
        let descriptor = acceptor
            .as_fd()
            .try_clone_to_owned()
            .map_err(StartError::Os)?;
        let (ready, began) = mpsc::sync_channel(1);
        let shown = Arc::clone(&gate);
        let work = Once::new(move || show(descriptor, &shown, &ready));
        let thread = Threads.hire("loopgate-monitor".into(), Box::new(work));
        let thread = thread.map_err(StartError::Os)?;
        let handle = began
            .recv()
            .map_err(|_| StartError::Os(io::Error::other("its thread ended")))??;
        let batches = handle.clone();
        let paced = Paced {
            gate: Arc::clone(&gate),
            tell: Box::new(move |batch| batches.broadcast(batch)),
        };
        let slow_motion = Self {
            gate,
            handle,
            _thread: thread,
        };
        Ok((slow_motion, paced))
    }

    /// The flag to set when the process is to end.
    pub(super) fn ended(&self) -> Arc<AtomicBool> {
        self.gate.ended()
    }
}

impl Drop for SlowMotion {
    fn drop(&mut self) {
        self.gate.open();
        self.handle.drain();
    }
}

/// The work of that thread: serves until it is told to end.
fn show(descriptor: OwnedFd, gate: &Arc<Gate>, ready: &SyncSender<Result<Handle, StartError>>) {
    match server(descriptor, gate) {
        Ok(mut server) => {
            let _ = ready.send(Ok(server.handle()));
            if let Err(error) = server.run() {
                log::error!("the monitor ends: {error}");
            }
        }
        Err(error) => {
            let _ = ready.send(Err(error));
        }
    }
}

/// A server that only has the monitor of another loop.
fn server(descriptor: OwnedFd, gate: &Arc<Gate>) -> Result<Server, StartError> {
    let mut config = Config {
        store: StorePath::Memory,
        workers: 1,
        ..Config::default()
    };
    config.limits.drain_timeout = Duration::from_secs(1);
    let world = World {
        store: Store::open(&config.store, &config)?,
        keys: super::keys_of(&config.store)?,
        seams: Seams::of_os(OsClock::default()).map_err(StartError::Os)?,
        crew: &mut Threads,
        hasher: Argon2id::shared(),
    };
    let mut server = Server::in_world(config, world)?;
    let shown = Arc::clone(gate);
    server.on_monitor(Method::Get, "/live", move |_, _| Ok(shown.live()));
    let shown = Arc::clone(gate);
    server.on_monitor(Method::Get, "/ps", move |_, _| Ok(shown.sources()));
    let steps = Arc::clone(gate);
    server.on_monitor(Method::Post, "/gate", move |request, _| steps.step(request));
    for (method, path) in [
        (Method::Get, "/metrics"),
        (Method::Get, "/ps/{id}"),
        (Method::Delete, "/ps/{id}"),
        (Method::Get, "/slow"),
        (Method::Get, "/turns"),
        (Method::Get, "/trace.json"),
    ] {
        server.on_monitor(method, path, |_, _| {
            let detail = "the loop is slowed down, and answers to its clients only; start the server without --slow-turn and --gate";
            Err(Reply::problem(Status::SERVICE_UNAVAILABLE, "slowed_down", detail))
        });
    }
    let acceptor = OsAcceptor::adopt(descriptor, None).map_err(StartError::Socket)?;
    let address: ListenAddr = acceptor.local_addr().map_err(StartError::Os)?;
    server
        .open([(acceptor, Realm::Monitor, address)])
        .map_err(StartError::Os)?;
    Ok(server)
}
