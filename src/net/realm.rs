//! Who may connect where.

/// Which handler table answers on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Realm {
    /// The server's own.
    Clients,
    /// The monitor's, for the operator.
    Monitor,
}

impl Realm {
    /// Its connections, as the ledger calls them.
    pub(super) fn name_of_connections(self) -> &'static str {
        match self {
            Self::Clients => "connection",
            Self::Monitor => "observer",
        }
    }
}

/// Connections of the monitor's at the same time: it answers also when clients have all of theirs.
pub(super) const OBSERVERS_MAX: usize = 32;
