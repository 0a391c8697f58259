//! One option for each limit of the library.

use std::time::Duration;

use clap::Args;
use loopgate::config::Limits;

use super::options::time;

/// One option for each limit.
#[derive(Args, Debug)]
pub(super) struct LimitOptions {
    /// Longest request target in bytes; 414 above it
    #[arg(
        long,
        env = "LOOPGATE_TARGET_BYTES_MAX",
        value_name = "BYTES",
        default_value_t = 8192
    )]
    target_bytes_max: usize,
    /// Longest request head in bytes, at most 32768; 431 above it
    #[arg(
        long,
        env = "LOOPGATE_HEAD_BYTES_MAX",
        value_name = "BYTES",
        default_value_t = 16384
    )]
    head_bytes_max: usize,
    /// Most header fields, at most 100; 431 above it
    #[arg(
        long,
        env = "LOOPGATE_HEADERS_MAX",
        value_name = "N",
        default_value_t = 100
    )]
    headers_max: usize,
    /// Longest body in bytes; 413 above it
    #[arg(
        long,
        env = "LOOPGATE_BODY_BYTES_MAX",
        value_name = "BYTES",
        default_value_t = 65536
    )]
    body_bytes_max: usize,
    /// For a TLS handshake
    #[arg(long, env = "LOOPGATE_HANDSHAKE_TIMEOUT", value_name = "TIME", default_value = "10s", value_parser = time)]
    handshake_timeout: Duration,
    /// From the first byte of a head to its last; 408 after it
    #[arg(long, env = "LOOPGATE_HEAD_TIMEOUT", value_name = "TIME", default_value = "10s", value_parser = time)]
    head_timeout: Duration,
    /// For a body to arrive; 408 after it
    #[arg(long, env = "LOOPGATE_BODY_TIMEOUT", value_name = "TIME", default_value = "30s", value_parser = time)]
    body_timeout: Duration,
    /// A connection may be silent between requests
    #[arg(long, env = "LOOPGATE_IDLE_TIMEOUT", value_name = "TIME", default_value = "75s", value_parser = time)]
    idle_timeout: Duration,
    /// A client may take none of its answer
    #[arg(long, env = "LOOPGATE_WRITE_TIMEOUT", value_name = "TIME", default_value = "30s", value_parser = time)]
    write_timeout: Duration,
    /// Connections at the same time; fewer where the descriptor limit leaves fewer
    #[arg(
        long,
        env = "LOOPGATE_CONNECTIONS_MAX",
        value_name = "N",
        default_value_t = 10_000
    )]
    connections_max: usize,
    /// Connections at the same time from one address (a /64 of IPv6); 429 above it. Loopback, unix sockets
    /// and trusted proxies do not count
    #[arg(
        long,
        env = "LOOPGATE_CONNECTIONS_PER_ADDRESS_MAX",
        value_name = "N",
        default_value_t = 1000
    )]
    connections_per_address_max: usize,
    /// Bytes of requests that are not whole, of all connections together; 503 above it
    #[arg(
        long,
        env = "LOOPGATE_UNFINISHED_BYTES_MAX",
        value_name = "BYTES",
        default_value_t = 67_108_864
    )]
    unfinished_bytes_max: usize,
    /// Passwords waiting to be hashed, served in turn by address; above it, 503 for the address that has most
    /// waiting, and 429 above half of it for one user
    #[arg(
        long,
        env = "LOOPGATE_HASH_JOBS_MAX",
        value_name = "N",
        default_value_t = 128
    )]
    hash_jobs_max: usize,
    /// Streams of events that one session may have open; 429 above it
    #[arg(
        long,
        env = "LOOPGATE_STREAMS_PER_SESSION_MAX",
        value_name = "N",
        default_value_t = 5
    )]
    streams_per_session_max: usize,
    /// Sessions that one user may have: with one more login the oldest ends; 0 for no limit [default: 100; 0 in a
    /// demo]
    #[arg(long, env = "LOOPGATE_SESSIONS_PER_USER_MAX", value_name = "N")]
    sessions_per_user_max: Option<usize>,
    /// Bytes of events that may wait for one subscriber, at least 4096
    #[arg(
        long,
        env = "LOOPGATE_OUTBOX_BYTES_MAX",
        value_name = "BYTES",
        default_value_t = 1_048_576
    )]
    outbox_bytes_max: usize,
    /// Bytes of events and answers that may wait for all peers together, at least 4096; above it, those that are slow
    /// may have their share of it waiting
    #[arg(
        long,
        env = "LOOPGATE_WAITING_BYTES_MAX",
        value_name = "BYTES",
        default_value_t = 67_108_864
    )]
    waiting_bytes_max: usize,
    /// Shutting down may take
    #[arg(long, env = "LOOPGATE_DRAIN_TIMEOUT", value_name = "TIME", default_value = "10s", value_parser = time)]
    drain_timeout: Duration,
}

impl LimitOptions {
    /// The limits that these options ask for; those of a demo differ in one.
    pub(super) fn limits(self, demo: bool) -> Limits {
        let defaults = Limits::default();
        let Self {
            target_bytes_max,
            head_bytes_max,
            headers_max,
            body_bytes_max,
            handshake_timeout,
            head_timeout,
            body_timeout,
            idle_timeout,
            write_timeout,
            connections_max,
            connections_per_address_max,
            unfinished_bytes_max,
            hash_jobs_max,
            streams_per_session_max,
            sessions_per_user_max,
            outbox_bytes_max,
            waiting_bytes_max,
            drain_timeout,
        } = self;
        let sessions_of_many = if demo {
            0
        } else {
            defaults.sessions_per_user_max
        };
        Limits {
            target_bytes_max,
            head_bytes_max,
            headers_max,
            body_bytes_max,
            handshake_timeout,
            head_timeout,
            body_timeout,
            idle_timeout,
            write_timeout,
            connections_max,
            connections_per_address_max,
            unfinished_bytes_max,
            hash_jobs_max,
            streams_per_session_max,
            sessions_per_user_max: sessions_per_user_max.unwrap_or(sessions_of_many),
            outbox_bytes_max,
            waiting_bytes_max,
            drain_timeout,
            ..defaults
        }
    }
}
