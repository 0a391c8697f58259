//! What the tests of the store share.

mod group;
mod kept;
mod open;
mod writer;

use std::path::Path;

use serde_json::json;

use super::*;
use crate::event::{Event, Interest, NewEvent};
use crate::work::{Outcome, Store, Writer};

fn open(path: &Path) -> Result<Sqlite, StoreError> {
    Sqlite::open(&StorePath::File(path.into()), 1000.into())
}

fn in_memory() -> Sqlite {
    Sqlite::open(&StorePath::Memory, 1000.into()).unwrap()
}

fn add_user(name: &str) -> Change {
    Change::AddUser {
        name: name.into(),
        role: "user".into(),
        password: "$argon2id$…".into(),
        created_s: 7,
    }
}

fn session(number: u8, user_id: i64) -> SessionRow {
    SessionRow {
        hash: [number; 32],
        sid: [number; 16],
        user_id,
        key_id: 4_000_000_000,
        issued_s: 10,
        last_used_s: 11,
    }
}

fn event(name: &str) -> NewEvent {
    NewEvent {
        unix_ms: 1_795_326_480_123,
        name: name.to_owned().into(),
        sender: "test".into(),
        user_id: Some(1),
        data: json!({"a": [1, "b"]}),
    }
}

fn changes(changes: impl Into<Vec<Change>>) -> Transaction {
    Transaction {
        changes: changes.into(),
        ..Transaction::default()
    }
}

fn events(names: &[&str]) -> Transaction {
    Transaction {
        events: names.iter().map(|name| event(name)).collect(),
        ..Transaction::default()
    }
}

fn ids(events: &[Event]) -> Vec<u64> {
    events.iter().map(|event| event.id).collect()
}

/// Leaves the store room for `pages` more pages, as an almost full disk does.
fn leave_room(store: &Sqlite, pages: i64) {
    let used: i64 = store
        .connection
        .pragma_query_value(None, "page_count", |row| row.get(0))
        .unwrap();
    store
        .connection
        .pragma_update_and_check(None, "max_page_count", used + pages, |_| Ok(()))
        .unwrap();
}

/// An event that needs some 250 pages.
fn large_event() -> NewEvent {
    NewEvent {
        data: json!("x".repeat(1_000_000)),
        ..event("large")
    }
}

#[test]
fn a_commit_is_synced_as_fully_as_the_system_can() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory.path().join("store.db")).unwrap();
    let setting = |name| {
        let read = |row: &rusqlite::Row<'_>| row.get::<_, i64>(0);
        store.connection.pragma_query_value(None, name, read)
    };
    assert_eq!(setting("synchronous"), Ok(2)); // FULL
    assert_eq!(setting("fullfsync"), Ok(1));
    assert_eq!(setting("checkpoint_fullfsync"), Ok(1));
}
