//! The storage thread, seen from the loop's side.

use std::sync::mpsc;
use std::thread;

use super::*;
use crate::event::Pattern;
use crate::work::fake::HeldReads;
use crate::work::store::TRANSACTIONS_WAITING_MAX;
use crate::work::{Busy, Threads};

type Delivered = (u32, Result<Commit, StoreError>);

fn committed(outcome: Outcome) -> Result<Commit, StoreError> {
    match outcome {
        Outcome::Committed(committed) => committed,
        Outcome::Read(page) => panic!("nothing was to be read: {page:?}"),
    }
}

/// A writer that stops in its first delivery until the sender is dropped.
fn held(engine: Sqlite) -> (Writer<u32>, mpsc::Receiver<Delivered>, mpsc::Sender<()>) {
    let (send, delivered) = mpsc::channel();
    let (release, released) = mpsc::channel();
    let deliver = move |tag, outcome, _| {
        let _ = send.send((tag, committed(outcome)));
        let _ = released.recv();
    };
    (
        Store::on(engine)
            .into_writer(&mut Threads, deliver)
            .unwrap(),
        delivered,
        release,
    )
}

#[test]
fn what_gathers_during_a_commit_becomes_one_commit() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder.path().join("s.db")).unwrap();
    let (writer, delivered, release) = held(store);
    writer.submit(0, events(&["first"])).unwrap();
    let first = delivered.recv().unwrap();
    assert_eq!(ids(&first.1.unwrap().events), [1]);
    for tag in 1..=50 {
        let transaction = if tag == 20 {
            changes([Change::RemoveUser { user_id: 1 }])
        } else {
            events(&["next"])
        };
        writer.submit(tag, transaction).unwrap();
    }
    drop(release);
    let mut last_id = 1;
    for expected in 1..=50 {
        let (tag, outcome) = delivered.recv().unwrap();
        assert_eq!(tag, expected);
        if tag == 20 {
            assert_eq!(outcome, Err(StoreError::NoSuchUser));
        } else {
            last_id += 1;
            assert_eq!(ids(&outcome.unwrap().events), [last_id]);
        }
    }
    assert_eq!(writer.commits(), 2);
}

#[test]
fn nothing_is_delivered_before_it_is_on_disk() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s.db");
    let copies = folder.path().join("copies");
    std::fs::create_dir(&copies).unwrap();
    let (send, delivered) = mpsc::channel();
    let (from, to) = (path.clone(), copies.join("s.db"));
    let deliver = move |(), outcome: Outcome, _| {
        // The files that a kill at this moment would leave behind.
        for suffix in ["", "-wal"] {
            let name = |path: &Path| format!("{}{suffix}", path.display());
            std::fs::copy(name(&from), name(&to)).unwrap();
        }
        let survived = open(&to).unwrap().events_since(0, 10).unwrap();
        let commit = committed(outcome).unwrap();
        send.send((commit.events, survived)).unwrap();
    };
    let writer = Store::on(open(&path).unwrap())
        .into_writer(&mut Threads, deliver)
        .unwrap();
    writer.submit((), events(&["a", "b"])).unwrap();
    let (confirmed, survived) = delivered.recv().unwrap();
    assert_eq!(confirmed, survived);
    assert_eq!(ids(&confirmed), [1, 2]);
}

#[test]
fn dropping_the_writer_commits_and_delivers_what_was_submitted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s.db");
    let (writer, delivered, release) = held(open(&path).unwrap());
    for tag in 0..100 {
        writer.submit(tag, events(&["a"])).unwrap();
    }
    let dropping = thread::spawn(move || drop(writer));
    drop(release);
    dropping.join().unwrap();
    assert_eq!(delivered.iter().count(), 100);
    let left: Vec<_> = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name != "s.db.lock")
        .collect();
    assert_eq!(left, ["s.db"], "the log was folded into the file");
    assert_eq!(open(&path).unwrap().load().unwrap().last_event_id, 100);
}

#[test]
fn a_full_queue_refuses_and_the_rest_is_committed() {
    let (writer, delivered, release) = held(in_memory());
    writer.submit(0, events(&["first"])).unwrap();
    assert!(delivered.recv().unwrap().1.is_ok());
    for _ in 0..TRANSACTIONS_WAITING_MAX {
        writer.submit(1, Transaction::default()).unwrap();
    }
    assert_eq!(writer.submit(2, Transaction::default()), Err(Busy));
    drop(release);
    drop(writer);
    assert_eq!(delivered.iter().count(), TRANSACTIONS_WAITING_MAX);
}

#[test]
fn the_thread_outlives_a_full_disk() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder.path().join("s.db")).unwrap();
    leave_room(&store, 50);
    let (writer, delivered, release) = held(store);
    drop(release);
    let large = Transaction {
        events: vec![large_event()],
        ..Transaction::default()
    };
    writer.submit(1, large).unwrap();
    assert_eq!(delivered.recv().unwrap(), (1, Err(StoreError::Full)));
    writer.submit(2, events(&["small"])).unwrap();
    let (tag, outcome) = delivered.recv().unwrap();
    assert_eq!((tag, ids(&outcome.unwrap().events)), (2, vec![1]));
}

#[test]
fn a_delivery_that_panics_closes_the_queue() {
    let (send, thread_ended) = mpsc::channel::<()>();
    let deliver = move |(), _, _| {
        let _dropped_with_the_thread = &send;
        panic!("this panic belongs to the test");
    };
    let writer = Store::on(in_memory())
        .into_writer(&mut Threads, deliver)
        .unwrap();
    writer.submit((), Transaction::default()).unwrap();
    assert!(thread_ended.recv().is_err());
    assert_eq!(writer.submit((), Transaction::default()), Err(Busy));
}

#[test]
fn what_is_read_contains_what_was_submitted_before() {
    let (send, delivered) = mpsc::channel();
    let deliver = move |tag, outcome, _| send.send((tag, outcome)).unwrap();
    let writer = Store::on(in_memory())
        .into_writer(&mut Threads, deliver)
        .unwrap();
    for round in 1..=20 {
        writer.submit("commit", events(&["a", "b"])).unwrap();
        let query = Query {
            since: 0,
            events_max: 100,
            bytes_max: usize::MAX,
            wanted: Interest {
                patterns: vec![Pattern::Exact("b".into())].into(),
                ..Interest::everything()
            },
        };
        writer.read("read", query).unwrap();
        let (first, _) = delivered.recv().unwrap();
        let (second, Outcome::Read(Ok(page))) = delivered.recv().unwrap() else {
            panic!("the reading comes after the commit that it could see")
        };
        assert_eq!((first, second), ("commit", "read"));
        assert_eq!(
            (page.through, page.more, page.oldest),
            (2 * round, false, 1)
        );
        let even: Vec<u64> = (1..=round).map(|half| 2 * half).collect();
        assert_eq!(ids(&page.events), even);
    }
}

#[test]
fn a_transaction_waits_for_one_reading_and_not_for_all() {
    let mut store = in_memory();
    store.apply(events(&["a"])).unwrap();
    let (send, delivered) = mpsc::channel();
    let deliver = move |tag: u32, _, _| {
        let _ = send.send(tag);
    };
    let reads = HeldReads::default();
    let engine = reads.hold(Store::on(store));
    let writer = Store::on(engine)
        .into_writer(&mut Threads, deliver)
        .unwrap();
    // The thread is held in the middle of the first reading, while other readings and a transaction arrive.
    let (begun, release) = reads.next();
    let query = Query {
        since: 0,
        events_max: 1,
        bytes_max: usize::MAX,
        wanted: Interest::everything(),
    };
    writer.read(1, query.clone()).unwrap();
    begun.recv().unwrap();
    for tag in [2, 3] {
        writer.read(tag, query.clone()).unwrap();
    }
    writer.submit(4, events(&["b"])).unwrap();
    drop(release);
    drop(writer);
    assert_eq!(delivered.iter().collect::<Vec<_>>(), [1, 4, 2, 3]);
}
