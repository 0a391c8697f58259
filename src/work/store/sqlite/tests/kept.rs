//! How many events are kept, and how long the files are.

use std::fs;

use super::*;

const MIB: u64 = 1024 * 1024;

/// An event whose data takes so many bytes.
fn long(bytes: usize) -> NewEvent {
    NewEvent {
        data: json!("x".repeat(bytes - 2)),
        ..event("long")
    }
}

fn publish(store: &mut Sqlite, times: usize, event: &NewEvent) {
    for _ in 0..times {
        let events = vec![event.clone()];
        let transaction = Transaction {
            events,
            ..Transaction::default()
        };
        store.apply(transaction).unwrap();
    }
}

/// Does not wait for the disk, which does not change the lengths.
fn hurry(store: &Sqlite) {
    let connection = &store.connection;
    connection
        .pragma_update(None, "synchronous", "OFF")
        .unwrap();
}

/// A limit of so many bytes, in any number of events.
fn bytes_max(bytes: u64) -> Keep {
    Keep { bytes, ..Keep::ALL }
}

/// Asserts that the store's count matches its contents.
fn assert_right(store: &Sqlite) {
    assert_eq!(
        store.kept.bytes,
        Kept::read(&store.connection).unwrap().bytes
    );
}

fn oldest(store: &mut Sqlite) -> u64 {
    store.events_since(0, 1).unwrap()[0].id
}

fn length(path: &Path, suffix: &str) -> u64 {
    let path = format!("{}{suffix}", path.display());
    fs::metadata(path).map_or(0, |found| found.len())
}

#[test]
fn the_newest_events_are_kept_so_many_bytes_of_them() {
    let mut store = Sqlite::open(&StorePath::Memory, bytes_max(MIB)).unwrap();
    // With its name, its sender and the fixed bytes for each event, it counts as 64 KiB.
    let event = long(64 * 1024 - 64 - 4 - 4);
    publish(&mut store, 40, &event);
    assert_right(&store);
    assert_eq!((store.kept.bytes, oldest(&mut store)), (MIB, 25));
    // One small event is one too many.
    publish(&mut store, 1, &super::event("small"));
    assert_right(&store);
    assert_eq!(oldest(&mut store), 26);
}

#[test]
fn many_small_events_make_room_for_few_long_ones() {
    let mut store = Sqlite::open(&StorePath::Memory, bytes_max(MIB)).unwrap();
    for _ in 0..100 {
        store.apply(events(&["small"; 200])).unwrap();
    }
    for _ in 0..20 {
        publish(&mut store, 1, &long(60_000));
        assert_right(&store);
        assert!(store.kept.bytes <= MIB);
    }
}

#[test]
fn an_event_that_is_longer_than_all_that_may_be_kept_is_not() {
    let mut store = Sqlite::open(&StorePath::Memory, bytes_max(1000)).unwrap();
    publish(&mut store, 3, &long(5000));
    assert_right(&store);
    assert_eq!((store.kept.bytes, store.last_event_id), (0, 3));
    let query = Query {
        since: 0,
        events_max: 9,
        bytes_max: usize::MAX,
        wanted: Interest::everything(),
    };
    assert_eq!(
        store.page(&query).unwrap().oldest,
        4,
        "a reader is told a gap"
    );
}

#[test]
fn what_a_transaction_that_fails_would_have_added_does_not_count() {
    let mut store = in_memory();
    let mut refused = changes([Change::RemoveUser { user_id: 5 }]);
    refused.events = vec![long(1000)];
    let group = vec![events(&["a"]), refused, events(&["b"])];
    store.commit_group(group).unwrap();
    assert_right(&store);
}

#[test]
fn one_commit_removes_a_bounded_part_of_what_is_too_much() {
    let mut store = in_memory();
    publish(&mut store, 100, &long(60_000));
    // As if the limit had been higher until now.
    store.keep = bytes_max(MIB);
    let before = store.kept.bytes;
    publish(&mut store, 1, &super::event("small"));
    assert_right(&store);
    let removed = before - store.kept.bytes;
    assert!(
        (256 * 1024 - 100..400 * 1024).contains(&removed),
        "{removed}"
    );
    for _ in 0..40 {
        publish(&mut store, 1, &super::event("small"));
    }
    assert!(store.kept.bytes <= MIB);
}

#[test]
fn a_store_with_too_many_events_is_trimmed_and_shorter_when_it_is_opened() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s.db");
    let mut store = open(&path).unwrap();
    hurry(&store);
    publish(&mut store, 500, &long(64_000));
    drop(store);
    assert!(length(&path, "") > 30 * MIB);
    let keep = bytes_max(4 * MIB);
    let mut store = Sqlite::open(&StorePath::File(path.clone()), keep).unwrap();
    assert_right(&store);
    assert!(store.kept.bytes <= 4 * MIB);
    assert_eq!(store.last_event_id, 500);
    publish(&mut store, 1, &long(1000));
    drop(store);
    assert!(length(&path, "") < 8 * MIB, "{}", length(&path, ""));
    assert_eq!(
        ids(&open(&path).unwrap().events_since(499, 9).unwrap()),
        [500, 501]
    );
}

#[test]
fn the_file_and_its_log_stay_within_bounds_whatever_is_published() {
    for bytes in [100, 2100, 4100, 64_000] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s.db");
        let keep = bytes_max(2 * MIB);
        let mut store = Sqlite::open(&StorePath::File(path.clone()), keep).unwrap();
        hurry(&store);
        for _ in 0..8 * MIB as usize / bytes / 16 {
            let transaction = Transaction {
                events: vec![long(bytes); 16],
                ..Transaction::default()
            };
            store.apply(transaction).unwrap();
        }
        let (file, log) = (length(&path, ""), length(&path, "-wal"));
        assert!(file <= 2 * 2 * MIB + MIB, "{bytes}: {file}");
        assert!(log <= 6 * MIB, "{bytes}: {log}");
    }
}

#[test]
fn a_log_that_grew_under_a_reader_is_cut_when_the_reader_has_gone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s.db");
    let keep = bytes_max(2 * MIB);
    let mut store = Sqlite::open(&StorePath::File(path.clone()), keep).unwrap();
    let reader = Connection::open(&path).unwrap();
    let count = "SELECT count(*) FROM users";
    reader.execute_batch("BEGIN").unwrap();
    reader.query_row(count, [], |_| Ok(())).unwrap();
    hurry(&store);
    publish(&mut store, 300, &long(64_000));
    let grown = length(&path, "-wal");
    assert!(grown > 15 * MIB, "{grown}");
    drop(reader);
    publish(&mut store, 2, &event("small"));
    let cut = length(&path, "-wal");
    assert!(cut <= 1000 * 4096, "{cut}");
}
