//! The connected clients, and how much they hold of the resources that all share.

use std::os::fd::OwnedFd;

use super::addresses::Addresses;
use super::realm::{OBSERVERS_MAX, Realm};
use super::tally::Tally;
use crate::config::Config;
use crate::reactor::{Peer, Reason};

/// Steps of TLS handshakes in one turn: each may take a millisecond of computing, and a connected client must
/// not wait for the handshakes of all clients that connect at once.
const HANDSHAKES_PER_TURN: usize = 8;

/// A connection that one process hands to another: between two requests, or with a part of one.
#[derive(Debug)]
pub struct HandedOver {
    /// The socket.
    pub descriptor: OwnedFd,
    /// Bytes that the peer has sent and that do not make a complete request.
    pub input: Vec<u8>,
    /// Bytes of answers that the peer has not taken.
    pub output: Vec<u8>,
}

/// The connected clients.
#[derive(Debug)]
pub struct Clients {
    /// Connections that are open.
    pub(super) open: usize,
    /// How many connections may be open.
    pub(super) open_max: usize,
    /// Open connections of the monitor, which are not included in `open`.
    pub(super) observers: usize,
    addresses: Addresses,
    /// Bytes that connections hold of requests and messages that are not complete.
    pub(super) unfinished_bytes: usize,
    /// Steps of handshakes that may still be taken in this turn.
    handshakes_left: usize,
    /// Connections for another process.
    pub(super) handed_over: Vec<HandedOver>,
    /// Counts of the connections that have ended.
    pub tally: Tally,
}

impl Clients {
    pub(super) fn new(open_max: usize) -> Self {
        Self {
            open: 0,
            open_max,
            observers: 0,
            addresses: Addresses::default(),
            unfinished_bytes: 0,
            handshakes_left: HANDSHAKES_PER_TURN,
            handed_over: Vec::new(),
            tally: Tally::default(),
        }
    }

    /// Whether there is room for one more connection in that realm.
    pub(super) fn have_room(&self, realm: Realm) -> bool {
        match realm {
            Realm::Clients => self.open < self.open_max,
            Realm::Monitor => self.observers < OBSERVERS_MAX,
        }
    }

    /// A client connected: returns whether its network is within its limit of connections.
    pub(super) fn opened(&mut self, peer: Peer, realm: Realm, config: &Config) -> bool {
        if realm == Realm::Monitor {
            self.observers += 1;
            return true;
        }
        self.open += 1;
        let of_network = self.addresses.opened(peer, &config.trust_proxy);
        of_network.is_none_or(|open| open <= config.limits.connections_per_address_max)
    }

    /// A connection has ended.
    pub(super) fn ended(
        &mut self,
        peer: Peer,
        realm: Realm,
        requests: u32,
        reason: Reason,
        config: &Config,
    ) {
        if realm == Realm::Monitor {
            self.observers -= 1;
            return;
        }
        self.tally.connection_ended(requests, reason);
        self.open -= 1;
        self.addresses.ended(peer, &config.trust_proxy);
    }

    /// Networks with counted connections.
    pub(super) fn networks(&self) -> usize {
        self.addresses.len()
    }

    /// A turn ends: in the next turn, steps of handshakes may be taken again.
    pub(super) fn end_turn(&mut self) {
        self.handshakes_left = HANDSHAKES_PER_TURN;
    }

    /// Whether one more step of a handshake may be taken in this turn. If not, it has to wait for the next.
    pub(super) fn may_shake_hands(&mut self) -> bool {
        let left = self.handshakes_left.checked_sub(1);
        self.handshakes_left = left.unwrap_or(0);
        left.is_some()
    }
}
