//! Makes the parts of a server when it starts.

use std::path::PathBuf;
use std::sync::Arc;

use super::error::StartError;
#[cfg(feature = "simulation")]
use super::{Sockets, listening::Listening};
use crate::app::App;
use crate::app::Reply;
use crate::app::sessions::{Session, Sessions};
use crate::app::users::Users;
#[cfg(feature = "simulation")]
use crate::config::ListenAddr;
use crate::config::{Config, StorePath};
#[cfg(feature = "simulation")]
use crate::net::Realm;
use crate::net::{Completion, Service, Workers};
#[cfg(feature = "simulation")]
use crate::reactor::OsAcceptor;
use crate::reactor::{Clock as _, Completer, OsClock, OsEntropy, random};
use crate::token::Keys;
use crate::work::password::Hasher;
use crate::work::{Crew, Pool, Store};

/// What an older version imported.
const TOLD_BY_TIME: &str = "a password hash so costly that the time of a failed login tells that the name exists; give a new password with `loopgate user passwd`";

/// Descriptors that are reserved for other uses than connections: the store's files, the log, listeners, the selector.
const DESCRIPTORS_RESERVED: usize = 32;

/// Descriptors of a child process: three pipes, and their other ends while it is started.
const DESCRIPTORS_OF_A_CHILD: usize = 8;

/// The path of a store's key file, which is beside it; `None` for a store in memory.
#[must_use]
pub fn key_path(store: &StorePath) -> Option<PathBuf> {
    match store {
        StorePath::Memory => None,
        StorePath::File(path) => Some(path.with_extension("key")),
    }
}

/// Makes what the sources of a server share from the contents of the store.
pub(super) fn service(
    config: Config,
    mut store: Store,
    keys: Keys,
    crew: &mut dyn Crew,
    hasher: Arc<dyn Hasher>,
    completer: Completer<Completion>,
    now_s: i64,
) -> Result<Service, StartError> {
    let mut snapshot = store.load()?;
    // The table takes the last inserted session of a user for the newest.
    snapshot
        .sessions
        .sort_unstable_by_key(|session| session.issued_s);
    let users: Users = snapshot.users.into_iter().collect();
    let mut sessions = Sessions::new(&config.limits);
    sessions.reserve(snapshot.sessions.len());
    for row in snapshot.sessions {
        let (hash, mut session) = (row.hash, Session::from(row));
        // An operator who removed a key wanted its signatures to end: all of them have expired.
        if !keys.valid(session.key_id, now_s) {
            session.issued_s = i64::MIN;
        }
        sessions.insert(hash, session);
    }
    log::info!(
        "stored users: {}, sessions: {}, id of the last event: {}",
        users.len(),
        sessions.len(),
        snapshot.last_event_id
    );
    match users.told_by_time() {
        0 => {}
        1 => log::warn!("1 user has {TOLD_BY_TIME}"),
        count => log::warn!("{count} users have {TOLD_BY_TIME}"),
    }
    let jobs_max = config.limits.hash_jobs_max;
    let pool = Pool::start(crew, config.workers, jobs_max).map_err(StartError::Os)?;
    let stored = completer.clone();
    let writer = store
        .into_writer(crew, move |id, outcome, worked| {
            stored.complete(Completion::Stored(id, outcome, worked));
        })
        .map_err(StartError::Os)?;
    let connections_max = connections_max(&config);
    let mut app = App::new(config, users, sessions, keys);
    app.hasher = hasher;
    app.hub.begin_after(snapshot.last_event_id);
    Ok(Service::new(
        app,
        Workers { pool, writer },
        completer,
        connections_max,
    ))
}

/// Reads the key file beside the store, made at the first start; for a store in memory, makes a new key.
pub(crate) fn keys_of(store: &StorePath) -> Result<Keys, StartError> {
    let (id, secret) = (
        u32::from_le_bytes(random(&mut OsEntropy)),
        random(&mut OsEntropy),
    );
    let now_s = (OsClock::default().unix_ms() / 1000).cast_signed();
    let Some(path) = key_path(store) else {
        return Ok(Keys::ephemeral(id, secret, now_s));
    };
    match Keys::load(&path)? {
        Some(keys) => Ok(keys),
        None => Ok(Keys::create(&path, id, secret, now_s)?),
    }
}

/// What a server accepts from.
///
/// # Errors
/// If the certificate cannot be used, or no descriptor is left.
#[cfg(feature = "simulation")]
pub(crate) fn acceptors(
    config: &Config,
    sockets: &Sockets,
) -> Result<Vec<(OsAcceptor, Realm, ListenAddr)>, StartError> {
    let listening = Listening::new(config)?;
    listening.acceptors(sockets).map_err(StartError::Os)
}

/// Reads the key file on a worker thread, then signs with its keys.
pub(super) fn read_keys(path: PathBuf) -> Reply {
    Reply::later(
        move || Keys::load(&path),
        |keys, cx| {
            match keys {
                Ok(Ok(Some(keys))) => {
                    log::info!("the key file was read again");
                    cx.app.change_keys(keys);
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
fn connections_max(config: &Config) -> usize {
    let children = config.subscribe.len() + config.produce.len();
    let reserved = DESCRIPTORS_RESERVED + children * DESCRIPTORS_OF_A_CHILD;
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    let descriptors = limit.map_or(usize::MAX, |limit| {
        usize::try_from(limit).unwrap_or(usize::MAX)
    });
    let left = descriptors.saturating_sub(reserved).max(1);
    config.limits.connections_max.min(left)
}
