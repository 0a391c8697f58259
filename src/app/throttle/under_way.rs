//! Logins under way, by name: even with the right password, one name cannot take all places in the queue of
//! hashes.

use std::collections::HashMap;

use super::name_key;

/// The number of logins under way for each name. At most as large as the queue of hashes.
#[derive(Default)]
pub(super) struct UnderWay {
    of_names: HashMap<u128, usize>,
}

/// The place of one login; given back when its password has been checked, or the check was given up.
#[derive(Debug)]
#[must_use = "a place that is not given back is lost"]
pub struct Place {
    name: u128,
}

impl UnderWay {
    pub(super) fn begin(&mut self, name: &str, max: usize) -> Option<Place> {
        let name = name_key(name);
        if self.of_names.get(&name).is_some_and(|count| *count >= max) {
            return None;
        }
        *self.of_names.entry(name).or_default() += 1;
        Some(Place { name })
    }

    pub(super) fn end(&mut self, place: &Place) {
        if let Some(count) = self.of_names.get_mut(&place.name) {
            *count -= 1;
            if *count == 0 {
                self.of_names.remove(&place.name);
            }
        }
    }

    /// Logins under way, of all names.
    pub(super) fn len(&self) -> usize {
        self.of_names.values().sum()
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.of_names.is_empty()
    }
}
