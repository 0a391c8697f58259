//! Which files are opened, and that refused files stay as they were.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};

use super::*;

/// Every file of a folder with its bytes, except lock files.
fn contents(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let files = fs::read_dir(folder).unwrap().map(|entry| {
        let entry = entry.unwrap();
        let bytes = fs::read(entry.path()).unwrap_or_default();
        (entry.file_name().into_string().unwrap(), bytes)
    });
    files.filter(|(name, _)| !name.contains(".lock")).collect()
}

/// A store with some pages, closed.
fn filled(path: &Path) {
    let mut store = open(path).unwrap();
    store.apply(changes([add_user("alice")])).unwrap();
    for _ in 0..50 {
        store.apply(events(&["a", "b", "c", "d"])).unwrap();
    }
}

fn patch(path: &Path, at: usize, with: &[u8]) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at..at + with.len()].copy_from_slice(with);
    fs::write(path, bytes).unwrap();
}

fn foreign(path: &Path) {
    let other = Connection::open(path).unwrap();
    other
        .execute_batch("CREATE TABLE notes (text); INSERT INTO notes VALUES ('mine')")
        .unwrap();
}

/// What the file is, how it is made, how it is refused, and whether a lock file may appear.
type Case = (&'static str, fn(&Path), fn(&StoreError) -> bool, bool);

const REFUSED: &[Case] = &[
    (
        "text",
        |path| fs::write(path, "Dear diary,\n".repeat(1000)).unwrap(),
        |why| matches!(why, StoreError::Foreign { .. }),
        false,
    ),
    (
        "a header cut short",
        |path| {
            filled(path);
            fs::write(path, &fs::read(path).unwrap()[..50]).unwrap();
        },
        |why| matches!(why, StoreError::Foreign { .. }),
        false,
    ),
    (
        "another program's database",
        foreign,
        |why| matches!(why, StoreError::Foreign { .. }),
        false,
    ),
    (
        "another program's database in WAL mode",
        |path| {
            foreign(path);
            let other = Connection::open(path).unwrap();
            other
                .query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))
                .unwrap();
        },
        |why| matches!(why, StoreError::Foreign { .. }),
        false,
    ),
    (
        "a newer store",
        |path| {
            filled(path);
            patch(path, 60, &9_u32.to_be_bytes());
        },
        |why| {
            matches!(
                why,
                StoreError::Newer {
                    found: 9,
                    known: 1,
                    ..
                }
            )
        },
        false,
    ),
    (
        "a damaged page",
        |path| {
            filled(path);
            let page = fs::read(path).unwrap().len() - 4096;
            patch(path, page, &[0xa5; 100]);
        },
        |why| matches!(why, StoreError::Damaged { .. }),
        true,
    ),
    (
        "a file cut short",
        |path| {
            filled(path);
            let bytes = fs::read(path).unwrap();
            fs::write(path, &bytes[..bytes.len() - 4096]).unwrap();
        },
        |why| matches!(why, StoreError::Damaged { .. }),
        true,
    ),
    (
        "a store without its tables",
        |path| {
            foreign(path);
            fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
            patch(path, 68, &schema::APPLICATION_ID.to_be_bytes());
            patch(path, 60, &1_u32.to_be_bytes());
        },
        |why| matches!(why, StoreError::Damaged { .. }),
        true,
    ),
    (
        "a store that others may read",
        |path| {
            filled(path);
            fs::set_permissions(path, Permissions::from_mode(0o644)).unwrap();
        },
        |why| matches!(why, StoreError::Exposed { .. }),
        false,
    ),
    (
        "a log without its file",
        |path| fs::write(format!("{}-wal", path.display()), "log").unwrap(),
        |why| matches!(why, StoreError::Damaged { .. }),
        true,
    ),
];

#[test]
fn a_file_that_is_refused_stays_as_it_was() {
    for (what, make, is_expected, may_lock) in REFUSED {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s.db");
        make(&path);
        let lock = folder.path().join("s.db.lock");
        let _ = fs::remove_file(&lock);
        let before = contents(folder.path());
        let why = open(&path).unwrap_err();
        assert!(is_expected(&why), "{what}: {why:?}");
        assert!(contents(folder.path()) == before, "{what} was changed");
        assert!(*may_lock || !lock.exists(), "{what} has a lock file");
    }
}

#[test]
fn a_store_that_may_not_be_written_to_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s.db");
    filled(&path);
    let before = contents(folder.path());
    for (place, writable) in [(path.as_path(), 0o600), (folder.path(), 0o700)] {
        fs::set_permissions(place, Permissions::from_mode(writable & 0o555)).unwrap();
        let refused = open(&path).unwrap_err();
        fs::set_permissions(place, Permissions::from_mode(writable)).unwrap();
        assert!(matches!(refused, StoreError::ReadOnly { .. }), "{refused}");
    }
    assert_eq!(contents(folder.path()), before);
    open(&path).unwrap();
}

#[test]
fn a_path_without_a_possible_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    for (path, why) in [
        (folder.path().to_owned(), "it is a directory"),
        (folder.path().join("none/s.db"), "does not exist"),
        ("/dev/null".into(), "it is not a file"),
    ] {
        let refused = open(&path).unwrap_err();
        assert!(matches!(refused, StoreError::Unwritable { .. }));
        assert!(refused.to_string().contains(why), "{refused}");
    }
    assert!(contents(folder.path()).is_empty());
}

#[test]
fn a_second_server_is_refused_by_name_until_the_first_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let (path, link) = (folder.path().join("s.db"), folder.path().join("link.db"));
    let first = open(&path).unwrap();
    symlink(&path, &link).unwrap();
    for path in [&path, &link] {
        let refused = open(path).unwrap_err();
        let pid = Some(std::process::id());
        assert!(matches!(&refused, StoreError::Locked { pid: found, .. } if *found == pid));
        let named = format!("process {}", std::process::id());
        assert!(refused.to_string().contains(&named), "{refused}");
    }
    drop(first);
    open(&link).unwrap();
}

#[test]
fn a_lock_of_another_program_is_named_as_such() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s.db");
    filled(&path);
    let other = Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    assert!(matches!(open(&path).unwrap_err(), StoreError::InUse { .. }));
    other.execute_batch("COMMIT").unwrap();
    let mut store = open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let refused = store.apply(events(&["a"])).unwrap_err();
    assert!(matches!(refused, StoreError::InUse { .. }));
    other.execute_batch("COMMIT").unwrap();
    assert_eq!(ids(&store.apply(events(&["a"])).unwrap().events), [201]);
}

#[test]
fn only_the_owner_may_read_a_new_store() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("odd ?#%41 näme.db");
    // An empty file, such as mktemp makes, counts as missing.
    fs::write(&path, "").unwrap();
    let mut store = open(&path).unwrap();
    store.apply(events(&["a"])).unwrap();
    let files = contents(folder.path());
    assert!(files.len() >= 2, "{:?}", files.keys());
    for name in files.keys() {
        let mode = fs::metadata(folder.path().join(name)).unwrap();
        assert_eq!(mode.permissions().mode() & 0o777, 0o600, "{name}");
    }
    drop(store);
    assert_eq!(open(&path).unwrap().load().unwrap().last_event_id, 1);
}

/// The files of a killed server: the file and its log, copied while the store is open.
fn killed(folder: &Path) -> std::path::PathBuf {
    let (path, left) = (folder.join("s.db"), folder.join("left.db"));
    filled(&path);
    let mut store = open(&path).unwrap();
    for _ in 0..50 {
        store.apply(events(&["e", "f", "g", "h"])).unwrap();
    }
    fs::copy(&path, &left).unwrap();
    fs::copy(folder.join("s.db-wal"), folder.join("left.db-wal")).unwrap();
    left
}

#[test]
fn a_checkpoint_cut_short_is_not_damage() {
    let folder = tempfile::tempdir().unwrap();
    let left = killed(folder.path());
    // The store has been closed since, so its file is complete; the killed one got as far as page 1.
    let whole = fs::read(folder.path().join("s.db")).unwrap();
    assert!(whole.len() > fs::read(&left).unwrap().len());
    patch(&left, 0, &whole[..4096]);
    let mut store = open(&left).unwrap();
    assert_eq!(store.load().unwrap().last_event_id, 400);
    assert_eq!(store.events_since(0, 1000).unwrap().len(), 400);
}

/// Replaces the only occurrence of `what` in the file.
fn misspell(path: &Path, what: &[u8], with: &[u8]) {
    let bytes = fs::read(path).unwrap();
    let at = bytes.windows(what.len()).position(|bytes| bytes == what);
    patch(path, at.unwrap(), with);
}

#[test]
fn what_could_not_be_loaded_is_refused_before_the_log_goes_into_the_file() {
    let damages: [(&[u8], &[u8]); 2] = [(b"(name,seq)", b"(name,six)"), (b"alice", b"ali\xffe")];
    for (what, with) in damages {
        let folder = tempfile::tempdir().unwrap();
        let (path, left) = (folder.path().join("s.db"), folder.path().join("left.db"));
        let mut store = open(&path).unwrap();
        store.apply(changes([add_user("alice")])).unwrap();
        drop(store);
        let mut store = open(&path).unwrap();
        store.apply(events(&["a"])).unwrap();
        fs::copy(&path, &left).unwrap();
        fs::copy(
            folder.path().join("s.db-wal"),
            folder.path().join("left.db-wal"),
        )
        .unwrap();
        drop(store);
        misspell(&left, what, with);
        let before = contents(folder.path());
        let refused = open(&left).and_then(|mut store| store.load()).unwrap_err();
        assert!(matches!(refused, StoreError::Damaged { .. }), "{refused:?}");
        assert!(contents(folder.path()) == before, "{refused}");
    }
}

#[test]
fn a_damaged_store_with_a_log_keeps_both_as_they_were() {
    let folder = tempfile::tempdir().unwrap();
    let left = killed(folder.path());
    // Page 2 holds users and is only in the file.
    patch(&left, 4096, &[0xa5; 4096]);
    let before = contents(folder.path());
    let refused = open(&left).unwrap_err();
    assert!(matches!(refused, StoreError::Damaged { .. }), "{refused:?}");
    assert!(contents(folder.path()) == before);
}
