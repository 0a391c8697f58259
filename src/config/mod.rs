//! Every number and path that a user may change, with its unit and default. Floor 0.
//!
//! Nothing here reads the environment or the command line: the program does that in `cli`, and an
//! embedder fills in a [`Config`] as it likes. The limits check each other, at compile time where
//! they are constants and in [`Config::checked`] where they are options. `limits` has the table of them.

mod address;
mod limits;
mod pace;
mod socket_mode;

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::Deref;
use std::path::PathBuf;
use std::time::Duration;

pub use address::ListenAddr;
pub use limits::{Amount, Bounds, LIMITS, Limit, Limits, TIME_MAX};
pub use pace::{Pace, SLOW_TURN_MAX};
use serde::{Deserialize, Serialize};
pub use socket_mode::SocketMode;

/// Most bytes that one read takes from a socket, and that one source may read in one turn.
pub const READ_BUFFER_BYTES: usize = 64 * 1024;
/// Longest request head, in bytes, that `head_bytes_max` may allow.
pub const HEAD_BYTES_CEILING: usize = READ_BUFFER_BYTES / 2;
/// Most header fields that `headers_max` may allow.
pub const HEADERS_CEILING: usize = 100;
/// Requests that one connection may have answered in one turn, and answers that may wait in its
/// outbox before it is read again.
pub const REQUESTS_PER_TURN: usize = 16;
/// Sources that may use all of that in one turn. If more are ready, each has less, down to one request: the turn
/// stays short, and a client with one request does not wait for many clients with thousands.
pub const SOURCES_WITH_ALL: usize = 64;
/// Least that `outbox_bytes_max` may allow: an ordinary event and more must fit.
pub const OUTBOX_BYTES_FLOOR: usize = 4 * 1024;
/// Most worker threads. Linux gives a process some 16,000, and aborts one that starts more.
pub const WORKERS_MAX: usize = 1024;
/// Longest user name, in characters.
pub const USERNAME_CHARS_MAX: usize = 128;
/// Longest password, in bytes.
pub const PASSWORD_BYTES_MAX: usize = 1024;

const _: () = assert!(
    HEAD_BYTES_CEILING < READ_BUFFER_BYTES,
    "a full head must fit one read"
);

/// Where users, sessions and events are kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StorePath {
    /// Nothing outlives the process.
    Memory,
    /// An `SQLite` file; its key file stands beside it.
    File(PathBuf),
}

impl std::str::FromStr for StorePath {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "" => Err("a store needs a file name, or :memory:".into()),
            ":memory:" => Ok(Self::Memory),
            path => Ok(Self::File(path.into())),
        }
    }
}

impl fmt::Display for StorePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory => f.write_str(":memory:"),
            Self::File(path) => path.display().fmt(f),
        }
    }
}

/// The paths of the server's certificate and its key, which are PEM files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TlsFiles {
    /// The certificate, and after it those that lead to its issuer.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// What happens to a subscriber whose outbox is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SlowPolicy {
    /// The oldest events that wait are dropped; a `gap` tells which.
    DropOldest,
    /// New events are dropped until there is room; a `gap` tells which.
    DropNewest,
    /// It is disconnected, and resumes at its position when it reconnects.
    Disconnect,
}

/// The cost of hashing one password: the three parameters of Argon2id (RFC 9106, section 3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HashCost {
    /// Memory, in KiB.
    pub memory_kib: u32,
    /// Passes over that memory.
    pub passes: u32,
    /// Lanes.
    pub lanes: u32,
}

impl HashCost {
    /// OWASP's first choice: 19 MiB, two passes, one lane.
    pub const DEFAULT: Self = Self {
        memory_kib: 19 * 1024,
        passes: 2,
        lanes: 1,
    };
    /// Almost no cost: for curl, wrk and classrooms, where the hash is not the subject.
    pub const TOKEN: Self = Self {
        memory_kib: 8,
        passes: 1,
        lanes: 1,
    };
}

/// Everything a server needs to know before it starts.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Config {
    /// Where to listen; at least one.
    pub listen: Vec<ListenAddr>,
    /// Which users may connect to the unix sockets in `listen`. The monitor's socket is for the server's own user.
    pub socket_mode: SocketMode,
    /// Where the server shows itself to its operator: a loopback address or a unix socket.
    pub monitor: Option<ListenAddr>,
    /// How the loop goes from phase to phase. A recorded server always goes as fast as it can.
    #[serde(skip)]
    pub pace: Pace,
    /// Where users, sessions and events are kept.
    pub store: StorePath,
    /// Commands for `sh -c` that get every event on their stdin, one line of JSON each.
    pub subscribe: Vec<String>,
    /// Commands for `sh -c` whose lines on stdout become events.
    pub produce: Vec<String>,
    /// Threads that hash passwords and run handlers' jobs.
    pub workers: usize,
    /// If set, clients on TCP use TLS; clients on unix sockets do not.
    pub tls: Option<TlsFiles>,
    /// How long browsers are told to use only TLS; with zero they are told nothing (RFC 6797).
    pub hsts: Duration,
    /// Proxies whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed.
    pub trust_proxy: Vec<IpAddr>,
    /// The limits on what a peer may ask, and on what is kept.
    pub limits: Limits,
    /// The cost of a password hash.
    pub hash_cost: HashCost,
    /// What happens to a subscriber that is too slow.
    pub slow_subscriber: SlowPolicy,
    /// Issuer of signatures: the claim `iss`.
    pub issuer: String,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: vec![ListenAddr::Tcp(SocketAddr::from((
                Ipv4Addr::LOCALHOST,
                8080,
            )))],
            socket_mode: SocketMode::default(),
            monitor: None,
            pace: Pace::Free,
            store: StorePath::Memory,
            subscribe: Vec::new(),
            produce: Vec::new(),
            workers: default_workers(),
            tls: None,
            hsts: Duration::from_secs(365 * 24 * 60 * 60),
            trust_proxy: Vec::new(),
            limits: Limits::default(),
            hash_cost: HashCost::DEFAULT,
            slow_subscriber: SlowPolicy::DropOldest,
            issuer: "loopgate".into(),
        }
    }
}

/// One thread for each core except the loop's; at least one.
#[must_use]
pub fn default_workers() -> usize {
    std::thread::available_parallelism().map_or(1, |cores| cores.get().saturating_sub(1).max(1))
}

/// A checked configuration: code that uses it need not check it again.
#[derive(Clone, Debug)]
pub struct CheckedConfig(Config);

impl Deref for CheckedConfig {
    type Target = Config;

    fn deref(&self) -> &Config {
        &self.0
    }
}

impl From<CheckedConfig> for Config {
    fn from(config: CheckedConfig) -> Self {
        config.0
    }
}

impl Config {
    /// Checks the configuration.
    ///
    /// # Errors
    /// The first option that is out of range or contradicts another, in a sentence for the user.
    pub fn checked(self) -> Result<CheckedConfig, String> {
        self.check()?;
        Ok(CheckedConfig(self))
    }

    fn check(&self) -> Result<(), String> {
        if let Some(address @ (ListenAddr::Tcp(tcp) | ListenAddr::Tls(tcp))) = &self.monitor
            && !tcp.ip().is_loopback()
        {
            return Err(format!(
                "monitor must be a loopback address or a unix socket, and {} can be reached from elsewhere: a client that reaches it sees all users and can end any connection; use 127.0.0.1 or unix:/path",
                address.to_string().trim_start_matches("http://")
            ));
        }
        self.pace.check(self.monitor.is_some())?;
        limits::check_number("listen", self.listen.len(), &(1..=usize::MAX))?;
        limits::check_number("workers", self.workers, &(1..=WORKERS_MAX))?;
        limits::check_time("hsts", self.hsts, &(Duration::ZERO..=TIME_MAX))?;
        self.limits.check()?;
        if self.limits.target_bytes_max >= self.limits.head_bytes_max {
            return Err("target-bytes-max must be below head-bytes-max, which contains it".into());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_fit_together() {
        assert_eq!(Config::default().check(), Ok(()));
    }

    #[test]
    fn a_target_longer_than_its_head_is_refused() {
        let mut config = Config::default();
        config.limits.head_bytes_max = config.limits.target_bytes_max;
        assert!(config.check().unwrap_err().contains("target-bytes-max"));
    }

    #[test]
    fn workers_and_the_time_for_tls_only_have_a_most() {
        let workers = Config {
            workers: 20_000,
            ..Config::default()
        };
        let hsts = Config {
            hsts: Duration::MAX,
            ..Config::default()
        };
        for (name, config) in [("workers", workers), ("hsts", hsts)] {
            let refused = config.check().unwrap_err();
            assert!(
                refused.starts_with(&format!("{name} must be at most ")),
                "{refused}"
            );
        }
    }

    #[test]
    fn the_monitor_is_for_this_machine_only() {
        for (address, is_refused) in [
            ("127.0.0.1:0", false),
            ("[::1]:9090", false),
            ("unix:/run/monitor", false),
            ("0.0.0.0:9090", true),
            ("192.0.2.1:9090", true),
            ("[::]:9090", true),
        ] {
            let config = Config {
                monitor: Some(address.parse().unwrap()),
                ..Config::default()
            };
            assert_eq!(config.check().is_err(), is_refused, "{address}");
        }
    }

    #[test]
    fn a_loop_is_slowed_down_only_with_a_monitor() {
        let slow = |s| Pace::Slow(Duration::from_secs(s));
        let monitor = Some("127.0.0.1:0".parse().unwrap());
        for (pace, monitor, is_refused) in [
            (Pace::Free, None, false),
            (Pace::Gate, None, true),
            (Pace::Gate, monitor.clone(), false),
            (slow(1), None, true),
            (slow(1), monitor.clone(), false),
            (slow(0), monitor.clone(), true),
            (slow(11), monitor, true),
        ] {
            let config = Config {
                monitor,
                pace,
                ..Config::default()
            };
            assert_eq!(config.check().is_err(), is_refused, "{pace:?}");
        }
    }
}
