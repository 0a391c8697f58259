//! What the loop is doing at this moment, for a thread that watches it: the loop itself cannot say so while it is
//! stuck.

use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use super::Label;

/// Written by the loop, with a few plain stores a turn; read by observers and the watchdog.
#[derive(Debug, Default)]
pub struct Pulse {
    /// The number of the turn whose work is under way; 0 while the loop sleeps.
    turn: AtomicU64,
    /// The label of the current dispatch.
    label: AtomicU16,
    /// The labels' names. They change only at registration, and so hardly ever.
    names: Mutex<Vec<String>>,
}

impl Pulse {
    // Relaxed: each value is read alone, a second apart.
    #[inline]
    pub(super) fn turn(&self, number: u64) {
        self.turn.store(number, Ordering::Relaxed);
    }

    #[inline]
    pub(super) fn label(&self, label: Label) {
        self.label.store(label.0, Ordering::Relaxed);
    }

    pub(super) fn name(&self, name: &str) {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        names.push(name.to_owned());
    }

    /// The turn whose work is under way; `None` while the loop sleeps.
    #[must_use]
    pub fn turn_under_way(&self) -> Option<u64> {
        Some(self.turn.load(Ordering::Relaxed)).filter(|number| *number > 0)
    }

    /// What is running, by name.
    #[must_use]
    pub fn running(&self) -> String {
        let label = usize::from(self.label.load(Ordering::Relaxed));
        let names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        match names.get(label).map(String::as_str) {
            None | Some("") => "the loop itself".into(),
            Some(name) => name.into(),
        }
    }
}
