//! Every limit, in one table.
//!
//! A row makes the field of [`Limits`] with its documentation, its default and its range, and an entry of [`LIMITS`].
//! From that entry the program makes the option, its variable and its help (`src/cli/limits.rs`), and a test keeps the
//! row in `docs/limits.md` (`tests/readme.rs`). A new limit is a row here, and the code that enforces it.

use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{HEAD_BYTES_CEILING, HEADERS_CEILING, OUTBOX_BYTES_FLOOR};

/// The type of a field.
macro_rules! type_of {
    (Number) => {
        usize
    };
    (Time) => {
        Duration
    };
}

macro_rules! limits {
    ($($(#[doc = $line:literal])+ $field:ident: $kind:ident = $default:expr, in $range:expr;)+) => {
        /// What a peer may ask of the server, and for how long; what is kept, and for how long.
        #[derive(Clone, Debug, Serialize, Deserialize)]
        pub struct Limits {
            $($(#[doc = $line])+ pub $field: type_of!($kind),)+
        }

        impl Default for Limits {
            fn default() -> Self {
                Self { $($field: $default,)+ }
            }
        }

        /// All limits, in the order of the documentation.
        pub static LIMITS: &[Limit] = &[$(Limit {
            field: stringify!($field),
            lines: concat!($($line),+),
            amount: Amount::$kind(Bounds {
                default: $default,
                range: $range,
                get: |limits| limits.$field,
                set: |limits, value| limits.$field = value,
            }),
        },)+];
    };
}

// A bound is far beyond what a server can use, and well below values that would end the process, overflow a sum, or
// have another meaning.
limits! {
    /// Longest request target, in bytes; 414 above it.
    target_bytes_max: Number = 8 * KIB, in 1..=HEAD_BYTES_CEILING;
    /// Longest request head, in bytes; 431 above it.
    head_bytes_max: Number = 16 * KIB, in 1..=HEAD_BYTES_CEILING;
    /// Most header fields; 431 above it.
    headers_max: Number = HEADERS_CEILING, in 1..=HEADERS_CEILING;
    /// Longest body, in bytes; 413 above it, before it is read if the length says so.
    body_bytes_max: Number = 64 * KIB, in 0..=ONE_BYTES_MAX;
    /// From the connection to the end of its TLS handshake; then the connection ends.
    handshake_timeout: Time = seconds(10), in INSTANT..=TIME_MAX;
    /// From the first byte of a head to its last; 408 after it.
    head_timeout: Time = seconds(10), in INSTANT..=TIME_MAX;
    /// From the end of a head to the end of its body; 408 after it.
    body_timeout: Time = seconds(30), in INSTANT..=TIME_MAX;
    /// How long a connection may be silent between requests; then it ends.
    idle_timeout: Time = seconds(75), in INSTANT..=TIME_MAX;
    /// How long a peer may take none of the bytes that wait for it; then the connection ends.
    write_timeout: Time = seconds(30), in INSTANT..=TIME_MAX;
    /// Connections at the same time, fewer where the descriptor limit leaves fewer. The next one waits until there is
    /// room.
    connections_max: Number = 10_000, in 1..=COUNT_MAX;
    /// Connections at the same time from one IPv4 address or one /64 of IPv6; 429 above it. Loopback, unix sockets and
    /// trusted proxies do not count.
    connections_per_address_max: Number = 1_000, in 1..=COUNT_MAX;
    /// Bytes of requests, messages, TLS handshakes and records that are not whole, of all connections together; above
    /// it, 503 for the client that adds to them. A request that comes in one piece does not count.
    unfinished_bytes_max: Number = 64 * MIB, in 1..=ALL_BYTES_MAX;
    /// Passwords waiting to be hashed, served in turn by address. Above it the address that has most of them waiting
    /// gives way, with 503. One user has half of it under way; 429 above that.
    hash_jobs_max: Number = 128, in 1..=10_000;
    /// Failed logins of one user name in two minutes; then 429, for 30 s at first and up to 15 minutes.
    failed_logins_per_name_max: Number = 5, in 1..=1_000;
    /// Failed logins of one IPv4 address or one /64 of IPv6 in two minutes; then 429, for 30 s at first and up to 15
    /// minutes. By loopback, a unix socket or a trusted proxy, the address counts for which the request was forwarded.
    failed_logins_per_address_max: Number = 50, in 1..=1_000;
    /// Streams of events that one session may have open: server-sent events, a WebSocket, a request that waits; 429
    /// above it. Browsers open six connections to a site, so the default leaves one for everything else.
    streams_per_session_max: Number = 5, in 1..=COUNT_MAX;
    /// Sessions that one user may have. With one more login the oldest ends, and a `session.revoked` tells of it; 0 does
    /// not limit them, and is the default of a demo.
    sessions_per_user_max: Number = 100, in 0..=10_000;
    /// Longest message, in bytes, on a WebSocket; close code 1009 above it. `GET /events` has a lower limit of its own.
    websocket_bytes_max: Number = MIB, in 1..=ONE_BYTES_MAX;
    /// Longest message, in bytes, that a client may send over the WebSocket of `GET /events`; close code 1009 above it.
    event_message_bytes_max: Number = 16 * KIB, in 1..=ONE_BYTES_MAX;
    /// Bytes of events that may wait for one subscriber. What does not fit is dropped, and a `gap` tells of it; or the
    /// subscriber is disconnected.
    outbox_bytes_max: Number = MIB, in OUTBOX_BYTES_FLOOR..=ONE_BYTES_MAX;
    /// Bytes of events and answers that may wait for all peers together; an event that waits for many counts once, and
    /// what is written in the turn in which it was made does not count. Above it, a subscriber that has not taken what it
    /// was offered may have its share of this waiting, in place of its outbox, and catches up by shorter pages. A
    /// connection that has more than its share of answers waiting, and more than 4 KiB, ends.
    waiting_bytes_max: Number = 64 * MIB, in OUTBOX_BYTES_FLOOR..=ALL_BYTES_MAX;
    /// How long shutting down may take; then what is open is cut.
    drain_timeout: Time = seconds(10), in Duration::ZERO..=TIME_MAX;
    /// A session ends when it was not used for so long.
    session_idle: Time = seconds(30 * 60), in INSTANT..=TIME_MAX;
    /// A session ends so long after its login, however often it is used.
    session_absolute: Time = seconds(24 * 60 * 60), in INSTANT..=TIME_MAX;
    /// How many of the newest events are kept.
    events_kept_max: Number = 100_000, in 0..=1_000_000_000;
    /// Bytes of the newest events that are kept: of names, senders and data, and 64 for each event.
    events_kept_bytes_max: Number = 256 * MIB, in 0..=ALL_BYTES_MAX;
}

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;
/// Most connections, logins or sessions that a limit may allow.
const COUNT_MAX: usize = 10_000_000;
/// Most bytes that one client or subscriber may make the server hold.
const ONE_BYTES_MAX: usize = 1 << 30;
/// Most bytes that all clients and subscribers together may make the server hold.
const ALL_BYTES_MAX: usize = match MIB.checked_mul(MIB) {
    Some(tebibyte) => tebibyte,
    None => usize::MAX,
};
/// Longest time that an option may set: ten years. Deadlines are added to the present.
pub const TIME_MAX: Duration = seconds(10 * 365 * 24 * 60 * 60);
/// The shortest time above zero.
const INSTANT: Duration = Duration::from_nanos(1);

const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// The description of a limit, for an option, a check or a page.
#[derive(Debug)]
pub struct Limit {
    /// The name of its field in [`Limits`].
    pub field: &'static str,
    /// The field's documentation as the compiler gives it: with a space before each line.
    lines: &'static str,
    /// Its type and bounds.
    pub amount: Amount,
}

/// The type of a limit.
#[derive(Debug)]
pub enum Amount {
    /// A number of things or bytes.
    Number(Bounds<usize>),
    /// A time.
    Time(Bounds<Duration>),
}

/// A limit's bounds, and access to its field.
#[derive(Debug)]
pub struct Bounds<T> {
    /// Its default.
    pub default: T,
    /// Its allowed values.
    pub range: RangeInclusive<T>,
    /// Reads its field.
    pub get: fn(&Limits) -> T,
    /// Changes its field.
    pub set: fn(&mut Limits, T),
}

impl Limit {
    /// Its name on the command line, without the dashes before it.
    #[must_use]
    pub fn option(&self) -> String {
        self.field.replace('_', "-")
    }

    /// Its environment variable.
    #[must_use]
    pub fn variable(&self) -> String {
        format!("LOOPGATE_{}", self.field.to_uppercase())
    }

    /// What it limits, and what happens above it, in whole sentences.
    #[must_use]
    pub fn text(&self) -> &'static str {
        self.lines.trim_start()
    }

    /// The placeholder of its value: `BYTES`, `N` or `TIME`.
    #[must_use]
    pub fn unit(&self) -> &'static str {
        match self.amount {
            Amount::Time(_) => "TIME",
            Amount::Number(_) if self.field.contains("_bytes_") => "BYTES",
            Amount::Number(_) => "N",
        }
    }

    /// Its default, as a user would write it.
    #[must_use]
    pub fn default_text(&self) -> String {
        match &self.amount {
            Amount::Number(bounds) => bounds.default.to_string(),
            Amount::Time(bounds) => Written(bounds.default).to_string(),
        }
    }

    /// Its allowed values, in words.
    #[must_use]
    pub fn range_text(&self) -> String {
        match &self.amount {
            Amount::Number(bounds) => format!("{} to {}", bounds.range.start(), bounds.range.end()),
            Amount::Time(bounds) if bounds.range.start().is_zero() => {
                format!("0 to {}", Written(*bounds.range.end()))
            }
            Amount::Time(bounds) => format!("up to {}", Written(*bounds.range.end())),
        }
    }
}

/// A time as people write it, in the largest unit that has no fraction.
struct Written(Duration);

impl fmt::Display for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = self.0.as_millis();
        for (unit, unit_ms) in [("h", 3_600_000), ("m", 60_000), ("s", 1000)] {
            if ms.is_multiple_of(unit_ms) {
                return write!(f, "{}{unit}", ms / unit_ms);
            }
        }
        write!(f, "{ms}ms")
    }
}

impl Limits {
    /// Reports the first limit that is out of its range.
    pub(super) fn check(&self) -> Result<(), String> {
        LIMITS.iter().try_for_each(|limit| match &limit.amount {
            Amount::Number(bounds) => {
                check_number(&limit.option(), (bounds.get)(self), &bounds.range)
            }
            Amount::Time(bounds) => check_time(&limit.option(), (bounds.get)(self), &bounds.range),
        })
    }
}

pub(super) fn check_number(
    name: &str,
    value: usize,
    range: &RangeInclusive<usize>,
) -> Result<(), String> {
    let (least, most) = (range.start(), range.end());
    if value < *least {
        Err(format!("{name} must be at least {least}"))
    } else if value > *most {
        Err(format!("{name} must be at most {most}"))
    } else {
        Ok(())
    }
}

pub(super) fn check_time(
    name: &str,
    value: Duration,
    range: &RangeInclusive<Duration>,
) -> Result<(), String> {
    if value < *range.start() {
        Err(format!("{name} must be longer than nothing"))
    } else if value > *range.end() {
        let hours = range.end().as_secs() / 3600;
        Err(format!("{name} must be at most {hours} hours"))
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sets a limit to a value beyond its range and returns the check's error, or `None` if there is no such value.
    fn refused(limit: &Limit, above: bool) -> Option<String> {
        let mut limits = Limits::default();
        match &limit.amount {
            Amount::Number(Bounds { range, set, .. }) => {
                let value = if above {
                    range.end().checked_add(1)
                } else {
                    range.start().checked_sub(1)
                };
                set(&mut limits, value?);
            }
            Amount::Time(Bounds { range, set, .. }) => {
                let step = Duration::from_nanos(1);
                let value = if above {
                    range.end().checked_add(step)
                } else {
                    range.start().checked_sub(step)
                };
                set(&mut limits, value?);
            }
        }
        Some(limits.check().expect_err("it is out of range"))
    }

    #[test]
    fn every_limit_is_checked_at_both_ends_of_its_range() {
        assert_eq!(Limits::default().check(), Ok(()));
        for limit in LIMITS {
            let name = limit.option();
            let most = refused(limit, true).expect("every limit has a most");
            assert!(
                most.starts_with(&format!("{name} must be at most ")),
                "{most}"
            );
            if let Some(least) = refused(limit, false) {
                let known = [
                    "must be at least 1",
                    "must be at least 4096",
                    "must be longer than nothing",
                ];
                assert!(
                    known.iter().any(|known| least == format!("{name} {known}")),
                    "{least}"
                );
            }
        }
    }

    #[test]
    fn times_are_written_in_the_largest_unit_that_fits() {
        for (ms, text) in [
            (250, "250ms"),
            (75_000, "75s"),
            (1_800_000, "30m"),
            (86_400_000, "24h"),
        ] {
            assert_eq!(Written(Duration::from_millis(ms)).to_string(), text);
        }
    }
}
