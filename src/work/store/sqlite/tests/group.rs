//! What a transaction does, alone and in a group.

use super::*;

#[test]
fn what_was_stored_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s.db");
    let mut store = open(&path).unwrap();
    assert_eq!(store.load().unwrap().last_event_id, 0);
    let added = store.apply(changes([add_user("alice")])).unwrap();
    assert_eq!((added.rows, added.added_users), (1, vec![1]));
    let sessions = [session(1, 1), session(2, 1), session(3, 1)];
    let login = Transaction {
        changes: sessions.iter().cloned().map(Change::AddSession).collect(),
        events: vec![event("user.logged_in")],
        events_only_if_changed: false,
    };
    assert_eq!(ids(&store.apply(login).unwrap().events), [1]);
    let used = Change::TouchSessions(vec![([1; 32], 99), ([9; 32], 99)]);
    let left = Change::RemoveSessions(vec![[2; 32], [9; 32]]);
    assert_eq!(store.apply(changes([used, left])).unwrap().rows, 2);
    let password = "$new".to_owned();
    let changed = changes([Change::SetPassword {
        user_id: 1,
        password,
    }]);
    assert_eq!(store.apply(changed).unwrap().rows, 1);
    drop(store);

    let mut store = open(&path).unwrap();
    let found = store.load().unwrap();
    assert_eq!(found.users.len(), 1);
    assert_eq!(found.users[0].name, "alice");
    assert_eq!(found.users[0].password, "$new");
    assert_eq!(found.users[0].created_s, 7);
    let touched = SessionRow {
        last_used_s: 99,
        ..session(1, 1)
    };
    assert_eq!(found.sessions, [touched, session(3, 1)]);
    assert_eq!(found.last_event_id, 1);
    let events = store.events_since(0, 10).unwrap();
    assert_eq!(events[0].fact, event("user.logged_in"));
}

#[test]
fn a_transaction_that_contradicts_the_tables_is_undone_alone() {
    let mut store = in_memory();
    store.apply(changes([add_user("alice")])).unwrap();
    let half = Transaction {
        changes: vec![add_user("carol"), add_user("alice")],
        events: vec![event("lost")],
        events_only_if_changed: false,
    };
    let outcomes = store
        .commit_group(vec![events(&["a"]), half, events(&["b", "c"])])
        .unwrap();
    assert_eq!(ids(&outcomes[0].as_ref().unwrap().events), [1]);
    assert_eq!(outcomes[1], Err(StoreError::UserExists("alice".into())));
    assert_eq!(ids(&outcomes[2].as_ref().unwrap().events), [2, 3]);
    let names: Vec<_> = store.load().unwrap().users;
    assert_eq!(names.len(), 1, "carol came with alice and goes with her");
    assert_eq!(ids(&store.events_since(0, 10).unwrap()), [1, 2, 3]);
}

#[test]
fn a_user_who_is_gone_gets_no_session_and_no_password() {
    let mut store = in_memory();
    store
        .apply(changes([add_user("alice"), add_user("bob")]))
        .unwrap();
    let sessions = [(1, 1), (2, 1), (3, 2)].map(|(n, user)| Change::AddSession(session(n, user)));
    store.apply(changes(sessions)).unwrap();
    let removal = changes([Change::RemoveUser { user_id: 1 }]);
    assert_eq!(store.apply(removal.clone()).unwrap().rows, 3);
    assert_eq!(store.load().unwrap().sessions, [session(3, 2)]);
    let password = String::new();
    for refused in [
        removal,
        changes([Change::AddSession(session(4, 1))]),
        changes([Change::SetPassword {
            user_id: 1,
            password,
        }]),
    ] {
        assert_eq!(store.apply(refused), Err(StoreError::NoSuchUser));
    }
    let again = store.apply(changes([add_user("alice")])).unwrap();
    assert_eq!(again.added_users, [3], "an id is never used twice");
}

#[test]
fn logging_out_twice_is_one_event() {
    let mut store = in_memory();
    store.apply(changes([add_user("alice")])).unwrap();
    store
        .apply(changes([Change::AddSession(session(1, 1))]))
        .unwrap();
    let logout = Transaction {
        changes: vec![Change::RemoveSessions(vec![[1; 32]])],
        events: vec![event("user.logged_out")],
        events_only_if_changed: true,
    };
    let first = store.apply(logout.clone()).unwrap();
    assert_eq!((first.rows, ids(&first.events)), (1, vec![1]));
    let second = store.apply(logout).unwrap();
    assert_eq!((second.rows, ids(&second.events)), (0, vec![]));
    assert_eq!(store.events_since(0, 10).unwrap(), first.events);
}

#[test]
fn event_ids_go_on_after_trimming_failure_and_reopening() {
    for kept in [0, 1, 3] {
        let folder = tempfile::tempdir().unwrap();
        let path = StorePath::File(folder.path().join("s.db"));
        let mut expected = 0;
        for _ in 0..3 {
            let mut store = Sqlite::open(&path, kept.into()).unwrap();
            assert_eq!(store.load().unwrap().last_event_id, expected);
            for _ in 0..2 {
                let commit = store.apply(events(&["a", "b"])).unwrap();
                assert_eq!(ids(&commit.events), [expected + 1, expected + 2]);
                expected += 2;
                let mut refused = changes([Change::RemoveUser { user_id: 5 }]);
                refused.events = vec![event("lost")];
                assert_eq!(store.apply(refused), Err(StoreError::NoSuchUser));
            }
            let found = ids(&store.events_since(0, 100).unwrap());
            let oldest = expected + 1 - kept.min(expected);
            assert_eq!(found, (oldest..=expected).collect::<Vec<_>>());
        }
    }
}

#[test]
fn events_are_read_from_an_id_up_to_a_limit() {
    let mut store = in_memory();
    store.apply(events(&["a", "b", "c", "d"])).unwrap();
    for (since, limit, found) in [
        (0, 2, vec![1, 2]),
        (2, 9, vec![3, 4]),
        (4, 9, vec![]),
        (u64::MAX, usize::MAX, vec![]),
    ] {
        assert_eq!(ids(&store.events_since(since, limit).unwrap()), found);
    }
}

#[test]
fn a_full_disk_costs_the_group_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s.db");
    let mut store = open(&path).unwrap();
    store.apply(events(&["a"])).unwrap();
    leave_room(&store, 50);
    let large = Transaction {
        events: vec![large_event()],
        ..changes([add_user("alice")])
    };
    let failed = store.commit_group(vec![events(&["b"]), large]);
    assert_eq!(failed, Err(StoreError::Full));
    assert_eq!(ids(&store.apply(events(&["c"])).unwrap().events), [2]);
    drop(store);
    let mut store = open(&path).unwrap();
    let names: Vec<_> = store.events_since(0, 9).unwrap();
    let names: Vec<_> = names.iter().map(|event| &*event.fact.name).collect();
    assert_eq!(names, ["a", "c"]);
    assert!(store.load().unwrap().users.is_empty());
}

#[test]
fn what_prints_a_change_does_not_print_a_password() {
    let mut store = in_memory();
    let transaction = changes([add_user("alice")]);
    assert_eq!(
        format!("{:?}", transaction.changes),
        r#"[AddUser("alice")]"#
    );
    store.apply(transaction).unwrap();
    assert!(!format!("{:?}", store.load().unwrap()).contains("argon2id"));
}
