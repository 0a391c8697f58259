use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use loopgate::config::StorePath;
use loopgate::event::NewEvent;
use loopgate::work::{Change, SessionRow, Store, StoreError, Transaction};

use super::choice;

/// A good store: its file, and as it is while a server runs, with a log.
static GOOD: LazyLock<[Files; 2]> = LazyLock::new(good);

/// By the end of the name: "", "-wal".
type Files = BTreeMap<&'static str, Vec<u8>>;

/// The files of a store: the first byte chooses what the rest is.
///
/// - The store's file; or changes to a good one, to one with a log, or to its log, or where these end.
/// - It is refused, and then nothing is changed and nothing appears but the lock; or it is read. Nothing
///   panics, not even where a store that is read is written to.
pub fn store(data: &[u8]) {
    let (choice, bytes) = choice(data);
    let mut files = GOOD[usize::from(choice % 5 > 1)].clone();
    match choice % 5 {
        0 | 2 => change(files.get_mut("").expect("it is there"), bytes),
        1 => drop(files.insert("", bytes.to_vec())),
        3 => change(files.get_mut("-wal").expect("it is there"), bytes),
        _ => drop(files.insert("-wal", bytes.to_vec())),
    }
    let folder = tempfile::tempdir_in(memory()).expect("a directory");
    let path = folder.path().join("s.db");
    for (end, bytes) in &files {
        fs::write(beside(&path, end), bytes).expect("there is room");
    }
    if let Err(why) = open(&path) {
        assert!(!why.to_string().is_empty());
        let mut left = left_in(folder.path());
        left.remove("s.db.lock");
        let before: BTreeMap<String, Vec<u8>> = files
            .into_iter()
            .map(|(end, bytes)| (format!("s.db{end}"), bytes))
            .collect();
        assert!(left == before, "{why}, but now there is {:?}", left.keys());
    }
}

/// As a server does it; what cannot be written later is another matter.
fn open(path: &Path) -> Result<(), StoreError> {
    let mut store = Store::open(&StorePath::File(path.into()), 100)?;
    let snapshot = store.load()?;
    let _ = store.events_since(0, 1000);
    let _ = store.apply(Transaction {
        changes: snapshot
            .sessions
            .first()
            .map(|row| Change::RemoveSessions(vec![row.hash]))
            .into_iter()
            .collect(),
        events: vec![event(1)],
        ..Transaction::default()
    });
    Ok(())
}

/// Four bytes a change: what to do (two bits), where (22 bits), and a byte. Counted are only places near
/// bytes that are not zero: most of a store's file is empty.
fn change(file: &mut Vec<u8>, changes: &[u8]) {
    let is_used = |at: &usize| (at.saturating_sub(2)..=*at).any(|at| file[at] != 0);
    let used: Vec<usize> = (0..file.len()).filter(is_used).collect();
    for change in changes.chunks_exact(4) {
        let place = u32::from_be_bytes([0, change[0] & 0x3f, change[1], change[2]]) as usize;
        let place = used[place % used.len()].min(file.len());
        match change[0] >> 6 {
            0 | 1 if place < file.len() => file[place] = change[3],
            2 if place < file.len() => file[place] ^= 1 << (change[3] % 8),
            3 if change[3] < 16 => file.truncate(place),
            _ => file.insert(place, change[3]),
        }
    }
}

/// Nothing here is worth a disk's time.
fn memory() -> PathBuf {
    let shared = PathBuf::from("/dev/shm");
    if shared.is_dir() {
        shared
    } else {
        std::env::temp_dir()
    }
}

fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    name.into()
}

fn left_in(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(folder).expect("it is there");
    let read = |entry: std::io::Result<fs::DirEntry>| {
        let entry = entry.expect("an entry");
        let bytes = fs::read(entry.path()).expect("a file");
        (entry.file_name().to_string_lossy().into_owned(), bytes)
    };
    entries.map(read).collect()
}

fn good() -> [Files; 2] {
    let folder = tempfile::tempdir_in(memory()).expect("a directory");
    let path = folder.path().join("good.db");
    let fill = |numbers: std::ops::Range<u8>| {
        let mut store = Store::open(&StorePath::File(path.clone()), 100).expect("a new store");
        for number in numbers {
            let session = SessionRow {
                hash: [number; 32],
                sid: [number; 16],
                user_id: i64::from(number),
                key_id: 1,
                issued_s: 1_795_000_000,
                last_used_s: 1_795_000_000,
            };
            let user = Change::AddUser {
                name: format!("user{number}"),
                role: "user".into(),
                password: "$argon2id$v=19$m=8,t=1,p=1$BwcHBwcHBwc$AAAA".into(),
                created_s: 0,
            };
            let transaction = Transaction {
                changes: vec![user, Change::AddSession(session)],
                events: vec![event(number)],
                ..Transaction::default()
            };
            store.apply(transaction).expect("there is room");
        }
        store
    };
    let read = |end| fs::read(beside(&path, end)).expect("it is there");
    drop(fill(1..4));
    let closed = BTreeMap::from([("", read(""))]);
    let open = fill(4..8);
    let with_log = BTreeMap::from([("", read("")), ("-wal", read("-wal"))]);
    drop(open);
    assert!(
        !with_log["-wal"].is_empty(),
        "the log has been written back"
    );
    [closed, with_log]
}

fn event(number: u8) -> NewEvent {
    NewEvent {
        unix_ms: 1_795_000_000_000,
        name: "user.logged_in".into(),
        sender: "login".into(),
        user_id: Some(i64::from(number)),
        data: serde_json::json!({"number": number}),
    }
}
