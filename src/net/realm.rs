//! Which handler table answers on a socket: the clients' or the monitor's.

use crate::reactor::Kind;

/// Which handler table answers on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Realm {
    /// The server's own.
    Clients,
    /// The monitor's, for the operator.
    Monitor,
}

impl Realm {
    /// What its listeners are.
    pub(super) fn kind_of_listeners(self) -> Kind {
        match self {
            Self::Clients => Kind::of("listener"),
            Self::Monitor => Kind::observer("monitor"),
        }
    }

    /// What its connections are.
    pub(super) fn kind_of_connections(self) -> Kind {
        match self {
            Self::Clients => Kind::of("connection"),
            Self::Monitor => Kind::observer("observer"),
        }
    }
}

/// Connections of the monitor's at the same time: it answers also when clients have all of theirs.
pub(super) const OBSERVERS_MAX: usize = 32;
