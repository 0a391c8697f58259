//! The number of open connections of each address, so that one address cannot take them all.

use std::collections::HashMap;
use std::net::IpAddr;

use crate::app::limited_peer;
use crate::planted::{Bug, planted};
use crate::reactor::Peer;

/// Open connections of each counted network: an IPv4 address, or a /64 of IPv6.
///
/// Friendly peers do not count (`app::friendly`): local processes, and proxies, which carry the connections of
/// others. There is one entry for each network with an open connection, so the limit on connections bounds
/// this table, too.
#[derive(Debug, Default)]
pub(super) struct Addresses {
    open: HashMap<u128, u32>,
}

impl Addresses {
    /// A connection was opened: returns how many its network has now, if that network counts.
    pub(super) fn opened(&mut self, peer: Peer, proxies: &[IpAddr]) -> Option<usize> {
        let open = self.open.entry(limited_peer(peer, proxies)?).or_default();
        *open += 1;
        Some(*open as usize)
    }

    /// Networks that have connections.
    pub(super) fn len(&self) -> usize {
        self.open.len()
    }

    /// A connection that was opened has ended.
    pub(super) fn ended(&mut self, peer: Peer, proxies: &[IpAddr]) {
        let Some(network) = limited_peer(peer, proxies) else {
            return;
        };
        if let Some(open) = self.open.get_mut(&network) {
            *open -= u32::from(!planted(Bug::KeptCount));
            if *open == 0 {
                self.open.remove(&network);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::SocketAddr;

    fn peer(address: &str) -> Peer {
        Peer::Ip(SocketAddr::new(address.parse().unwrap(), 50_000))
    }

    #[test]
    fn a_network_is_counted_as_long_as_it_has_connections() {
        let mut addresses = Addresses::default();
        let proxies = ["192.0.2.7".parse().unwrap()];
        for (address, open) in [
            ("198.51.100.1", Some(1)),
            ("198.51.100.1", Some(2)),
            ("198.51.100.2", Some(1)),
            ("2001:db8::1", Some(1)),
            ("2001:db8::ffff", Some(2)),
            ("2001:db8:0:1::1", Some(1)),
            ("::ffff:198.51.100.1", Some(3)),
            ("127.0.0.1", None),
            ("127.9.9.9", None),
            ("::1", None),
            ("::ffff:127.0.0.1", None),
            ("192.0.2.7", None),
            ("::ffff:192.0.2.7", None),
        ] {
            assert_eq!(addresses.opened(peer(address), &proxies), open, "{address}");
        }
        assert_eq!(addresses.opened(Peer::Unix, &proxies), None);
        for address in ["198.51.100.1", "198.51.100.1", "::ffff:198.51.100.1"] {
            addresses.ended(peer(address), &proxies);
        }
        assert_eq!(addresses.opened(peer("198.51.100.1"), &proxies), Some(1));
        addresses.ended(peer("127.0.0.1"), &proxies);
        for address in [
            "198.51.100.1",
            "198.51.100.2",
            "2001:db8::1",
            "2001:db8::2",
            "2001:db8:0:1::2",
        ] {
            addresses.ended(peer(address), &proxies);
        }
        assert!(addresses.open.is_empty());
    }
}
