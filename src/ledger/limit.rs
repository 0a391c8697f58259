//! The limits whose refusals are counted.

/// A limit on a shared resource, of which one peer may not take more than its share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// `connections_per_address_max`.
    ConnectionsPerAddress,
    /// `unfinished_bytes_max`.
    UnfinishedBytes,
    /// `waiting_bytes_max`.
    WaitingBytes,
    /// The longest target, head, body, or number of fields.
    RequestSize,
    /// The time for a head or a body to arrive.
    RequestTime,
    /// `hash_jobs_max`.
    Jobs,
    /// Transactions and readings that wait for the store.
    Transactions,
    /// Failed logins of one name or address.
    FailedLogins,
    /// `streams_per_session_max`.
    StreamsPerSession,
}

impl Limit {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::ConnectionsPerAddress,
        Self::UnfinishedBytes,
        Self::WaitingBytes,
        Self::RequestSize,
        Self::RequestTime,
        Self::Jobs,
        Self::Transactions,
        Self::FailedLogins,
        Self::StreamsPerSession,
    ];

    /// Its name, for people.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::ConnectionsPerAddress => "connections per address",
            Self::UnfinishedBytes => "bytes of unfinished requests",
            Self::WaitingBytes => "bytes that wait to be taken",
            Self::RequestSize => "size of a request",
            Self::RequestTime => "time for a request",
            Self::Jobs => "jobs that wait",
            Self::Transactions => "transactions that wait",
            Self::FailedLogins => "failed logins",
            Self::StreamsPerSession => "streams per session",
        }
    }
}
