//! A store in a file: what it holds before a server has it, and after.

use std::path::Path;

use loopgate::config::{Config, HashCost, StorePath};
use loopgate::work::{Change, Snapshot, Store, StoreError, Transaction, password};
use tempfile::TempDir;

use crate::harness::{config, store};

/// A store with the users of [`store`], in a directory of its own.
pub(crate) struct Stored {
    directory: TempDir,
}

impl Stored {
    pub(crate) fn new() -> Self {
        let stored = Self {
            directory: tempfile::tempdir().expect("a directory"),
        };
        drop(store(&stored.config()));
        stored
    }

    /// A configuration for a server on this store.
    pub(crate) fn config(&self) -> Config {
        Config {
            store: StorePath::File(self.directory.path().join("store.db")),
            ..config()
        }
    }

    /// Adds a user with the password `password`.
    pub(crate) fn add(&self, name: &str, role: &str) {
        add(&self.directory.path().join("store.db"), name, role);
    }

    /// Adds a user with any text in place of a hash.
    pub(crate) fn add_hashed(&self, name: &str, role: &str, password: String) {
        add_hashed(&mut self.open(), name, role, password);
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        self.open().load().expect("the store loads")
    }

    pub(crate) fn open(&self) -> Store {
        open(&self.directory.path().join("store.db"))
    }
}

/// Opens a store that no server has.
pub(crate) fn open(path: &Path) -> Store {
    try_open(path).expect("no server has the store")
}

pub(crate) fn try_open(path: &Path) -> Result<Store, StoreError> {
    Store::open(&StorePath::File(path.into()), u64::MAX)
}

/// Adds a user with the password `password` to a store that no server has.
pub(crate) fn add(path: &Path, name: &str, role: &str) {
    let password = password::hash(b"password", [7; 16], HashCost::TOKEN);
    add_hashed(&mut open(path), name, role, password);
}

/// The same with any text in place of a hash.
pub(crate) fn add_hashed(store: &mut Store, name: &str, role: &str, password: String) {
    let changes = vec![Change::AddUser {
        name: name.into(),
        role: role.into(),
        password,
        created_s: 0,
    }];
    let transaction = Transaction {
        changes,
        ..Transaction::default()
    };
    store.apply(transaction).expect("a user is added");
}
