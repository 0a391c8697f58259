//! Which handler table answers on a socket: the clients' or the monitor's.

use crate::reactor::Kind;

/// Which handler table answers on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Realm {
    /// The server's own table.
    Clients,
    /// The monitor's table, for the operator.
    Monitor,
}

impl Realm {
    /// The kind of its listeners.
    pub(super) fn kind_of_listeners(self) -> Kind {
        match self {
            Self::Clients => Kind::of("listener"),
            Self::Monitor => Kind::observer("monitor"),
        }
    }

    /// The kind of its connections.
    pub(super) fn kind_of_connections(self) -> Kind {
        match self {
            Self::Clients => Kind::of("connection"),
            Self::Monitor => Kind::observer("observer"),
        }
    }
}

/// Most connections of the monitor at the same time. They are separate, so that it answers even when clients have
/// all of theirs.
pub(super) const OBSERVERS_MAX: usize = 32;
