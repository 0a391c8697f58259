//! Logins that are being tried at this moment, by name and by address: however good their passwords are,
//! nobody takes all the places that there are for hashes.

use std::collections::HashMap;
use std::net::IpAddr;

use super::{name_key, network};

/// Who has how many logins under way. As large as the queue of hashes, and no larger.
#[derive(Default)]
pub(super) struct UnderWay {
    of_names: HashMap<u128, usize>,
    of_addresses: HashMap<u128, usize>,
}

/// The place of one login; given back when its password has been looked at, or was not.
#[derive(Debug)]
#[must_use = "a place that is not given back is lost"]
pub struct Place {
    name: u128,
    /// None for this machine, on which a proxy or a test may speak for many.
    address: Option<u128>,
}

impl UnderWay {
    pub(super) fn begin(&mut self, name: &str, address: IpAddr, max: usize) -> Option<Place> {
        let here = address.is_loopback() || address.is_unspecified();
        let place = Place {
            name: name_key(name),
            address: (!here).then(|| network(address)),
        };
        let of_name = self.of_names.get(&place.name).copied().unwrap_or(0);
        let of_address = place.address.and_then(|key| self.of_addresses.get(&key));
        if of_name.max(of_address.copied().unwrap_or(0)) >= max {
            return None;
        }
        *self.of_names.entry(place.name).or_default() += 1;
        if let Some(key) = place.address {
            *self.of_addresses.entry(key).or_default() += 1;
        }
        Some(place)
    }

    pub(super) fn end(&mut self, place: &Place) {
        leave(&mut self.of_names, place.name);
        if let Some(key) = place.address {
            leave(&mut self.of_addresses, key);
        }
    }

    /// How many there are, of all names.
    pub(super) fn len(&self) -> usize {
        self.of_names.values().sum()
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.of_names.is_empty() && self.of_addresses.is_empty()
    }
}

fn leave(table: &mut HashMap<u128, usize>, key: u128) {
    if let Some(count) = table.get_mut(&key) {
        *count -= 1;
        if *count == 0 {
            table.remove(&key);
        }
    }
}
