//! Replays a recording: the same turns again, without a network.

use std::collections::HashMap;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use thiserror::Error;

use super::OTHER_SIGNALS;
use super::blocks::{Blocks, Damaged};
use super::entry::{Entry, Head, MAGIC, MAGIC_OF_ALL};
use super::played::{
    PlayedAcceptor, PlayedClock, PlayedEngine, PlayedEntropy, PlayedHasher, PlayedSelector,
    PlayedStream,
};
use super::player::{LastWait, Player, Stop};
use crate::config::{Config, StorePath};
use crate::ledger::Phase;
use crate::net::Realm;
use crate::reactor::Seams;
use crate::server::{Server, StartError, World, describe};
use crate::token::Keys;
use crate::work::fake::FakeCrew;
use crate::work::{Store, StoreError};

/// Options of a replay.
pub struct Options<'o> {
    /// The last turn that is played.
    pub turns_max: u64,
    /// Called for each turn in which something happened; `false` ends the replay.
    pub listener: Option<&'o mut dyn FnMut(&str) -> bool>,
}

impl fmt::Debug for Options<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options").finish_non_exhaustive()
    }
}

/// The result of a replay that met nothing unexpected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replayed {
    /// Turns that were played.
    pub turns: u64,
    /// States that were compared and were equal.
    pub states: u64,
    /// The state at the end.
    pub digest: [u8; 32],
    /// Why the recording was ended; `None` if it is truncated, as when the server was killed, or if it was not
    /// played to the end.
    pub ended: Option<String>,
    /// The recording was played to its end.
    pub played_all: bool,
    /// It does not have passwords and signatures.
    pub masked: bool,
}

/// Why a recording was not played to its end.
#[derive(Debug, Error)]
pub enum ReplayError {
    /// The file cannot be read.
    #[error("cannot read {0}: {1}")]
    File(PathBuf, io::Error),
    /// It is not a recording, or a damaged one.
    #[error("this is no recording of loopgate's, or a damaged one: {0}")]
    Damaged(String),
    /// It has a format that this version does not play; the version that made it, if that is known.
    #[error(
        "this recording has another format than loopgate {} plays; play it with {}",
        env!("CARGO_PKG_VERSION"),
        .0.as_deref().unwrap_or("the version that made it")
    )]
    OtherFormat(Option<String>),
    /// The server of the recording cannot be made.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The server did something other than what was recorded.
    #[error("turn {turn} went another way: {what}; {}", advice(.version.as_deref()))]
    Diverged {
        /// In this turn.
        turn: u64,
        /// What it did.
        what: String,
        /// The version that made the recording, if it differs.
        version: Option<String>,
    },
}

/// What to do about a replay that diverged.
fn advice(version: Option<&str>) -> String {
    match version {
        Some(version) => format!(
            "it was recorded by loopgate {version}, and this is {}: play it with that one",
            env!("CARGO_PKG_VERSION")
        ),
        None => "the server has changed since, or has a fault that no seam shows".into(),
    }
}

impl From<StoreError> for ReplayError {
    fn from(error: StoreError) -> Self {
        Self::Start(error.into())
    }
}

/// Plays the recording at `path`, compares each recorded state, and returns the result.
///
/// # Errors
/// If it cannot be played, or diverges.
pub fn replay(path: &Path, mut options: Options<'_>) -> Result<Replayed, ReplayError> {
    let bytes = fs::read(path).map_err(|why| ReplayError::File(path.into(), why))?;
    let (mut head, tape) = read(&bytes)?;
    let crew = FakeCrew::default();
    let mut inputs = Vec::new();
    let mut entries = Vec::new();
    for entry in tape {
        match entry {
            Entry::Bytes(stream, bytes) => {
                if inputs.len() <= stream {
                    inputs.resize_with(stream + 1, Vec::new);
                }
                inputs[stream].extend(bytes);
            }
            Entry::Session { was, is } => {
                let sessions = head.store.sessions.iter_mut();
                sessions
                    .filter(|row| row.hash == was)
                    .for_each(|row| row.hash = is);
            }
            other => entries.push(other),
        }
    }
    let player = Player::new(entries, inputs, crew.clone());
    let masked = head.masked;
    let version = (head.version != env!("CARGO_PKG_VERSION")).then(|| head.version.clone());
    let mut server = server(head, &player, crew)?;
    let mut outcome = Replayed {
        turns: 0,
        states: 0,
        digest: [0; 32],
        ended: None,
        played_all: false,
        masked,
    };
    let mut teller = Teller::default();
    while !player.is_at_the_end() && outcome.turns < options.turns_max {
        let turned = server.turn();
        let diverged = |what| ReplayError::Diverged {
            turn: outcome.turns + 1,
            what,
            version: version.clone(),
        };
        match player.stopped() {
            Some(Stop::Diverged(what)) => return Err(diverged(what)),
            Some(Stop::Over) => break,
            None => turned.map_err(|why| diverged(why.to_string()))?,
        }
        if let Some((_, digest)) = player.take_state() {
            outcome.states += 1;
            if digest != server.digest() {
                return Err(diverged("the server has come to another state".into()));
            }
        }
        outcome.turns += 1;
        outcome.ended = player.take_end();
        if let Some(listener) = &mut options.listener
            && let Some(text) = teller.turn(&mut server, &player.last_wait())
            && !listener(&text)
        {
            break;
        }
    }
    outcome.played_all = player.is_at_the_end();
    outcome.digest = server.digest();
    Ok(outcome)
}

/// The two parts of a recording. A truncated recording has what was written.
fn read(bytes: &[u8]) -> Result<(Head, Vec<Entry>), ReplayError> {
    let damaged = |why: &str| ReplayError::Damaged(why.into());
    let Some(rest) = bytes.strip_prefix(MAGIC) else {
        let of_another_format = bytes.starts_with(MAGIC_OF_ALL);
        return Err(if of_another_format {
            ReplayError::OtherFormat(version_of_format_1(bytes))
        } else {
            damaged("it does not begin like one")
        });
    };
    let mut blocks = Blocks::new(rest);
    let mut next = || {
        let block = blocks.next();
        block.map_err(|Damaged { bytes_left }| {
            let at = bytes.len() - bytes_left;
            damaged(&format!("what stands at byte {at} was changed"))
        })
    };
    let head = next()?.ok_or_else(|| damaged("it ends in its head"))?;
    let head = serde_json::from_slice(head).map_err(|why| damaged(&format!("its head: {why}")))?;
    let mut entries = Vec::new();
    while let Some(mut block) = next()? {
        while !block.is_empty() {
            let (entry, after) = postcard::take_from_bytes(block)
                .map_err(|why| damaged(&format!("what is no entry ({why})")))?;
            entries.push(entry);
            block = after;
        }
    }
    Ok((head, entries))
}

/// The version that made a recording of the first format, whose second line was its head.
fn version_of_format_1(bytes: &[u8]) -> Option<String> {
    let head = bytes.split(|byte| *byte == b'\n').nth(1)?;
    let head: serde_json::Value = serde_json::from_slice(head).ok()?;
    Some(head["version"].as_str()?.into())
}

/// The server as it was when the recording began.
fn server(head: Head, player: &Player, mut crew: FakeCrew) -> Result<Server, ReplayError> {
    let Head {
        config,
        listeners,
        keys,
        store,
        ..
    } = head;
    let config = Config {
        store: StorePath::Memory,
        tls: None,
        monitor: None,
        subscribe: Vec::new(),
        produce: Vec::new(),
        ..config
    };
    let world = World {
        store: Store::on(PlayedEngine(Store::from_snapshot(&store)?)),
        keys: Keys::from_json(&keys).map_err(ReplayError::Damaged)?,
        seams: Seams {
            clock: Box::new(PlayedClock(player.clone())),
            entropy: Box::new(PlayedEntropy(player.clone())),
            selector: Box::new(PlayedSelector(player.clone())),
        },
        crew: &mut crew,
        hasher: Arc::new(PlayedHasher),
    };
    let addresses = config.listen.clone();
    let mut server = Server::in_world(config, world)?;
    server.ledger().remember_more(); // of a turn, all that was done in it is told
    server.time_requests(player.take_times_requests().unwrap_or_default());
    let acceptors = (0..listeners).map(|at| {
        let address = addresses.get(at).or(addresses.first());
        let address = address
            .cloned()
            .unwrap_or(crate::config::ListenAddr::Unix("?".into()));
        (PlayedAcceptor(player.clone()), Realm::Clients, address)
    });
    let os = |why| ReplayError::Start(StartError::Os(why));
    server.open(acceptors).map_err(os)?;
    for _ in 0..2 {
        server
            .shut_down_on(PlayedStream::new(player, false))
            .map_err(os)?;
    }
    for _ in 0..OTHER_SIGNALS {
        server
            .on_bytes(PlayedStream::new(player, false), |_, _| {})
            .map_err(os)?;
    }
    Ok(server)
}

/// Describes turns in words, and names the connections.
#[derive(Default)]
struct Teller {
    /// Names of connections by their tokens, numbered in the order in which they first appeared.
    names: HashMap<u64, String>,
    met: usize,
    quiet: u64,
}

impl Teller {
    /// What happened in the last turn; `None` if nothing did.
    fn turn(&mut self, server: &mut Server, wait: &LastWait) -> Option<String> {
        let turn = *server.ledger().turns().next_back()?;
        let newcomers: Vec<u64> = describe::dispatches(server.ledger(), &turn)
            .iter()
            .filter(|dispatch| server.ledger().name(dispatch.kind) == "connection")
            .map(|dispatch| dispatch.token)
            .collect();
        for token in newcomers {
            self.names.entry(token).or_insert_with(|| {
                self.met += 1;
                format!("connection {}", self.met)
            });
        }
        let names = &self.names;
        let who = |token: u64| names.get(&token).cloned();
        let mut causes: Vec<String> = wait
            .ready
            .iter()
            .map(|(token, readiness)| {
                let who = who(*token).unwrap_or_else(|| server.kind_of(*token));
                format!("{who} {}", describe::in_words(*readiness))
            })
            .collect();
        causes.extend(
            wait.delivered
                .iter()
                .map(|name| format!("{name} has finished")),
        );
        let text = describe::turn(server.ledger(), &turn, &causes, "no source is ready", who);
        if text.is_none() {
            self.quiet += 1;
        }
        let text = text?;
        let slept_us = turn.phase_ns[Phase::Wait as usize] / 1000;
        let quiet = match std::mem::take(&mut self.quiet) {
            0 => String::new(),
            turns => format!("{turns} turns with nothing to do\n"),
        };
        let at_ms = turn.began_ns / 1_000_000;
        Some(format!(
            "{quiet}[{at_ms} ms, slept {slept_us} \u{b5}s] {text}"
        ))
    }
}
