//! Records what a real server meets, and replays it without a network.
//!
//! Everything that the server does not decide itself enters through its seams: time, randomness, readiness, bytes,
//! and the results of workers. [`Recording`] writes all of it into a file while the server runs; [`replay`] makes a
//! server whose seams answer as the file says, so that it takes the same turns and ends in the same state. A bug report
//! is then one file.
//!
//! Passwords and signatures are left out by default; what is known to be public is included. `public` decides that for
//! heads, `bodies` for bodies, and `secrets` has the replacements for the rest. `mask` follows what a client sends.
//!
//! Read next: `entry`, the contents of the file; `seams`, which write; `player` and `played`, which read.

/// `Debug` for types that have nothing to show.
macro_rules! opaque {
    ($($name:ident),*) => {$(
        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct(stringify!($name)).finish_non_exhaustive()
            }
        }
    )*};
}

mod blocks;
mod bodies;
mod entry;
mod json;
mod mask;
mod played;
mod player;
mod public;
mod replay;
mod seams;
mod secrets;
mod tape;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

pub use played::{PlayedAcceptor, PlayedClock, PlayedEntropy, PlayedSelector, PlayedStream};
pub use replay::{Options, ReplayError, Replayed, replay};
pub use seams::{
    RecordedAcceptor, RecordedClock, RecordedEntropy, RecordedSelector, RecordedStream,
};

use crate::config::CheckedConfig;
use crate::reactor::{OsClock, Seams, Signal};
use crate::server::{Server, Sockets, StartError, Stopped, World, acceptors, keys_of};
use crate::work::Store;
use entry::Entry;
use seams::{RecordedEngine, RecordedHasher};
use tape::Tape;

/// How a server is recorded.
#[derive(Clone, Debug)]
pub struct RecordOptions {
    /// The file, which must not exist yet.
    pub path: PathBuf,
    /// Most bytes of the file; after that the server continues without being recorded.
    pub bytes_max: u64,
    /// Keep passwords, signatures and signing keys as they are.
    pub secrets: bool,
}

/// Turns between two recorded states; the last state is always recorded.
const TURNS_PER_STATE: u64 = 4096;

/// A server that is being recorded.
#[derive(Debug)]
pub struct Recording {
    server: Server,
    tape: Tape,
    path: PathBuf,
}

impl Recording {
    /// Makes a server on these sockets, and begins to record what it meets. It reacts to SIGTERM and SIGINT; SIGHUP
    /// and SIGUSR2 only write a line to the log, since what they read or start is not behind a seam.
    ///
    /// # Errors
    /// Everything that can keep the server or the recording from starting.
    pub fn begin(
        options: &RecordOptions,
        config: CheckedConfig,
        mut store: Store,
        sockets: &Sockets,
    ) -> Result<Self, StartError> {
        let acceptors = acceptors(&config, sockets)?;
        let keys = keys_of(&config.store)?;
        let RecordOptions {
            path,
            bytes_max,
            secrets,
        } = options;
        let tape = Tape::begin(
            path,
            *bytes_max,
            *secrets,
            &config,
            &keys,
            &mut store,
            acceptors.len(),
        )
        .map_err(StartError::Config)?;
        let selector = RecordedSelector::new(tape.clone()).map_err(StartError::Os)?;
        let world = World {
            store: Store::on(RecordedEngine(store)),
            keys,
            crew: &mut selector.crew.clone(),
            seams: Seams {
                clock: Box::new(RecordedClock {
                    inner: OsClock::default(),
                    tape: tape.clone(),
                }),
                entropy: Box::new(RecordedEntropy(tape.clone())),
                selector: Box::new(selector),
            },
            hasher: Arc::new(RecordedHasher),
        };
        let mut server = Server::in_world(config.into(), world)?;
        // With or without an access log, which may be asked for later.
        server.time_requests(true);
        tape.add(&Entry::TimesRequests(true));
        let acceptors = acceptors.into_iter().map(|(inner, realm, address)| {
            let tape = tape.clone();
            (RecordedAcceptor { inner, tape }, realm, address)
        });
        server.open(acceptors).map_err(StartError::Os)?;
        for signal in [Signal::Terminate, Signal::Interrupt] {
            let stream = signal.stream().map_err(StartError::Os)?;
            let stream = RecordedStream::new(stream, false, &tape);
            server.shut_down_on(stream).map_err(StartError::Os)?;
        }
        let path = path.clone();
        let mut recording = Self { server, tape, path };
        recording.on_signal(Signal::Hangup, || {
            log::warn!("keys and certificate are not read again while the server is recorded");
        })?;
        recording.on_signal(Signal::User2, || {
            log::warn!("cannot restart: a recording ends with its process");
        })?;
        Ok(recording)
    }

    /// The server.
    pub fn server(&mut self) -> &mut Server {
        &mut self.server
    }

    /// Calls `act` whenever `signal` arrives. It must not change the server: a replay does not call it.
    ///
    /// # Errors
    /// When the system gives no descriptors.
    pub fn on_signal(
        &mut self,
        signal: Signal,
        mut act: impl FnMut() + 'static,
    ) -> Result<(), StartError> {
        let stream = signal.stream().map_err(StartError::Os)?;
        let stream = RecordedStream::new(stream, false, &self.tape);
        self.server
            .on_bytes(stream, move |_, _| act())
            .map_err(StartError::Os)
    }

    /// Turns the loop until the server has shut down.
    ///
    /// # Errors
    /// Only when the system's selector fails.
    pub fn run(&mut self) -> io::Result<Stopped> {
        while !self.server.is_over() {
            self.server.turn()?;
            if self.tape.is_over() {
                continue;
            }
            if self.tape.turn_ended() {
                self.end("it has as many bytes as it may have");
            } else if self.tape.turns().is_multiple_of(TURNS_PER_STATE) {
                self.tape.state(self.server.digest());
            }
        }
        let stopped = self.server.finish();
        if !self.tape.is_over() {
            self.end(match stopped {
                Stopped::AtOnce => "the server stopped at once",
                _ => "the server has shut down",
            });
        }
        Ok(stopped)
    }

    fn end(&mut self, why: &str) {
        self.tape.state(self.server.digest());
        let failure = self.tape.end(why);
        let (path, turns, bytes) = (self.path.display(), self.tape.turns(), self.tape.written());
        match failure {
            Some(failure) => log::error!("the recording {path} is not whole: {failure}"),
            None => log::info!("recorded {turns} turns in {bytes} bytes to {path}: {why}"),
        }
    }
}

impl std::fmt::Debug for Tape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tape").finish_non_exhaustive()
    }
}

/// Signals of a recorded server other than those that shut it down; a replay has as many sources.
const OTHER_SIGNALS: usize = 3;
