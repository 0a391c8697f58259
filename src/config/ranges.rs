//! The range of every number that may be changed.
//!
//! A bound is far beyond what a server can use and well below what would end the process, overflow a sum, or
//! mean something else than it says.

use std::time::Duration;

use super::{Config, HEAD_BYTES_CEILING, HEADERS_CEILING, OUTBOX_BYTES_FLOOR};

const GIB: u64 = 1 << 30;

/// Most worker threads. Linux gives a process some 16,000, and aborts one that starts more.
pub const WORKERS_MAX: usize = 1024;
/// Longest time that an option may say: ten years. Deadlines are added to the present.
pub const TIME_MAX: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);
/// Most connections, logins or sessions that a limit may allow.
const COUNT_MAX: u64 = 10_000_000;
/// Most bytes that one client or subscriber may make the server hold.
const ONE_BYTES_MAX: u64 = GIB;
/// Most bytes that all of them together may.
const ALL_BYTES_MAX: u64 = 1024 * GIB;

impl Config {
    /// Says which number is out of its range.
    pub(super) fn check_ranges(&self) -> Result<(), String> {
        let limits = &self.limits;
        let counts = [
            ("listen", self.listen.len(), 1, COUNT_MAX),
            ("workers", self.workers, 1, WORKERS_MAX as u64),
            (
                "target-bytes-max",
                limits.target_bytes_max,
                1,
                HEAD_BYTES_CEILING as u64,
            ),
            (
                "head-bytes-max",
                limits.head_bytes_max,
                1,
                HEAD_BYTES_CEILING as u64,
            ),
            ("headers-max", limits.headers_max, 1, HEADERS_CEILING as u64),
            ("body-bytes-max", limits.body_bytes_max, 0, ONE_BYTES_MAX),
            ("connections-max", limits.connections_max, 1, COUNT_MAX),
            (
                "connections-per-address-max",
                limits.connections_per_address_max,
                1,
                COUNT_MAX,
            ),
            (
                "unfinished-bytes-max",
                limits.unfinished_bytes_max,
                1,
                ALL_BYTES_MAX,
            ),
            ("hash-jobs-max", limits.hash_jobs_max, 1, 10_000),
            (
                "streams-per-session-max",
                limits.streams_per_session_max,
                1,
                COUNT_MAX,
            ),
            (
                "sessions-per-user-max",
                limits.sessions_per_user_max,
                0,
                10_000,
            ),
            (
                "websocket-bytes-max",
                limits.websocket_bytes_max,
                1,
                ONE_BYTES_MAX,
            ),
            (
                "outbox-bytes-max",
                limits.outbox_bytes_max,
                OUTBOX_BYTES_FLOOR as u64,
                ONE_BYTES_MAX,
            ),
            (
                "waiting-bytes-max",
                limits.waiting_bytes_max,
                OUTBOX_BYTES_FLOOR as u64,
                ALL_BYTES_MAX,
            ),
        ];
        let counts = counts.map(|(name, value, least, most)| (name, value as u64, least, most));
        let stored = [
            ("events-kept-max", self.events_kept_max, 0, 1_000_000_000),
            (
                "events-kept-bytes-max",
                self.events_kept_bytes_max,
                0,
                ALL_BYTES_MAX,
            ),
        ];
        for (name, value, least, most) in counts.into_iter().chain(stored) {
            if value < least {
                return Err(format!("{name} must be at least {least}"));
            }
            if value > most {
                return Err(format!("{name} must be at most {most}"));
            }
        }
        self.check_times()
    }

    fn check_times(&self) -> Result<(), String> {
        let limits = &self.limits;
        let (something, nothing) = (Duration::from_nanos(1), Duration::ZERO);
        for (name, value, least) in [
            ("handshake-timeout", limits.handshake_timeout, something),
            ("head-timeout", limits.head_timeout, something),
            ("body-timeout", limits.body_timeout, something),
            ("idle-timeout", limits.idle_timeout, something),
            ("write-timeout", limits.write_timeout, something),
            ("drain-timeout", limits.drain_timeout, nothing),
            ("session-idle", self.sessions.idle, something),
            ("session-absolute", self.sessions.absolute, something),
            ("hsts", self.hsts, nothing),
        ] {
            if value < least {
                return Err(format!("{name} must be longer than nothing"));
            }
            if value > TIME_MAX {
                return Err(format!(
                    "{name} must be at most {} hours",
                    TIME_MAX.as_secs() / 3600
                ));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_has_a_most() {
        type Change = fn(&mut Config);
        let changes: [(&str, Change); 16] = [
            ("workers", |config| config.workers = 20_000),
            ("target-bytes-max", |config| {
                config.limits.target_bytes_max = usize::MAX;
            }),
            ("head-bytes-max", |config| {
                config.limits.head_bytes_max = usize::MAX;
            }),
            ("headers-max", |config| {
                config.limits.headers_max = usize::MAX;
            }),
            ("body-bytes-max", |config| {
                config.limits.body_bytes_max = usize::MAX;
            }),
            ("connections-max", |config| {
                config.limits.connections_max = usize::MAX;
            }),
            ("connections-per-address-max", |config| {
                config.limits.connections_per_address_max = usize::MAX;
            }),
            ("unfinished-bytes-max", |config| {
                config.limits.unfinished_bytes_max = usize::MAX;
            }),
            ("hash-jobs-max", |config| {
                config.limits.hash_jobs_max = usize::MAX;
            }),
            ("streams-per-session-max", |config| {
                config.limits.streams_per_session_max = usize::MAX;
            }),
            ("outbox-bytes-max", |config| {
                config.limits.outbox_bytes_max = usize::MAX;
            }),
            ("waiting-bytes-max", |config| {
                config.limits.waiting_bytes_max = usize::MAX;
            }),
            ("events-kept-max", |config| {
                config.events_kept_max = u64::MAX;
            }),
            ("idle-timeout", |config| {
                config.limits.idle_timeout = Duration::MAX;
            }),
            ("session-absolute", |config| {
                config.sessions.absolute = Duration::MAX;
            }),
            ("hsts", |config| config.hsts = Duration::MAX),
        ];
        for (name, change) in changes {
            let mut config = Config::default();
            change(&mut config);
            let refused = config.check().unwrap_err();
            assert!(
                refused.starts_with(&format!("{name} must be at most ")),
                "{refused}"
            );
        }
    }
}
