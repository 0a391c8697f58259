//! The table against its rules, against a naive model, and its memory per session.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use fastrand::Rng;

use super::*;

const IDLE_S: i64 = 1_800;
const ABSOLUTE_S: i64 = 86_400;

fn table() -> Sessions {
    Sessions::new(&Limits::default())
}

fn hash(number: u64) -> Fingerprint {
    crate::token::fingerprint(&number.to_be_bytes())
}

fn session(user_id: i64, number: u64, now_s: i64) -> Session {
    let mut sid = [0; 16];
    sid[..8].copy_from_slice(&number.to_be_bytes());
    Session {
        user_id,
        sid,
        key_id: 1,
        issued_s: now_s,
        last_used_s: now_s,
    }
}

#[test]
fn a_session_lasts_while_it_is_used_but_no_longer_than_a_day() {
    let mut sessions = table();
    sessions.insert(hash(1), session(1, 1, 0));
    assert!(sessions.get(&hash(1), IDLE_S - 1).is_some());
    assert!(sessions.get(&hash(1), IDLE_S).is_none());
    let mut now_s = 0;
    while now_s + IDLE_S - 1 < ABSOLUTE_S {
        now_s += IDLE_S - 1;
        assert!(sessions.check(&hash(1), now_s).is_some());
    }
    assert!(sessions.check(&hash(1), ABSOLUTE_S - 1).is_some());
    assert!(sessions.check(&hash(1), ABSOLUTE_S).is_none());
    assert_eq!(sessions.len(), 1); // `expire` has not run yet
    assert_eq!(sessions.expire(ABSOLUTE_S, 10).len(), 1);
    assert!(sessions.is_empty());
}

#[test]
fn an_expired_session_cannot_be_revived_by_a_use() {
    let mut sessions = table();
    sessions.insert(hash(1), session(1, 1, 0));
    assert!(sessions.check(&hash(1), IDLE_S).is_none());
    assert!(sessions.check(&hash(1), IDLE_S + 1).is_none());
    assert!(!sessions.has_touched());
}

#[test]
fn a_clock_that_goes_back_does_not_shorten_a_session() {
    let mut sessions = table();
    sessions.insert(hash(1), session(1, 1, 1_000));
    assert!(sessions.check(&hash(1), 500).is_some());
    assert!(sessions.get(&hash(1), 1_000 + IDLE_S - 1).is_some());
}

#[test]
fn a_use_is_reported_once_until_there_is_another() {
    let mut sessions = table();
    sessions.insert(hash(1), session(1, 1, 0));
    sessions.insert(hash(2), session(1, 2, 0));
    sessions.check(&hash(1), 0);
    assert!(!sessions.has_touched()); // the store knows of the login
    for now_s in [5, 6, 6] {
        sessions.check(&hash(1), now_s);
    }
    assert_eq!(sessions.take_touched(10), [(hash(1), 6)]);
    assert!(!sessions.has_touched());
    sessions.check(&hash(1), 6);
    assert!(!sessions.has_touched());
    sessions.check(&hash(1), 7);
    sessions.check(&hash(2), 7);
    assert_eq!(sessions.take_touched(1).len(), 1);
    assert_eq!(sessions.take_touched(1).len(), 1);
    assert!(sessions.take_touched(1).is_empty());
}

#[test]
fn a_session_that_ended_is_not_reported_as_used() {
    let mut sessions = table();
    for number in 0..4 {
        sessions.insert(hash(number), session(1, number, 0));
        sessions.check(&hash(number), 1);
    }
    sessions.remove(&hash(1));
    sessions.insert(hash(9), session(1, 9, 1)); // takes over its slot
    let touched: BTreeSet<_> = sessions.take_touched(10).into_iter().collect();
    assert_eq!(touched, [0, 2, 3].map(|number| (hash(number), 1)).into());
}

#[test]
fn the_sessions_of_a_user_are_listed_newest_first() {
    let mut sessions = table();
    for number in 0..6 {
        sessions.insert(hash(number), session(number.cast_signed() % 2, number, 0));
    }
    let listed = |sessions: &Sessions, user_id| -> Vec<Fingerprint> {
        sessions.of_user(user_id).map(|(hash, _)| *hash).collect()
    };
    assert_eq!(listed(&sessions, 0), [hash(4), hash(2), hash(0)]);
    sessions.remove(&hash(2));
    assert_eq!(listed(&sessions, 0), [hash(4), hash(0)]);
    sessions.remove(&hash(4));
    assert_eq!(listed(&sessions, 0), [hash(0)]);
    assert!(listed(&sessions, 7).is_empty());
    let sid = session(0, 0, 0).sid;
    assert_eq!(sessions.find_of_user(0, &sid).unwrap().0, &hash(0));
    assert!(sessions.find_of_user(1, &sid).is_none());
    assert_eq!(sessions.remove_user(1).len(), 3);
    assert!(sessions.remove_user(1).is_empty());
    assert_eq!(sessions.len(), 1);
}

#[test]
fn the_same_fingerprint_again_replaces_the_session() {
    let mut sessions = table();
    assert_eq!(sessions.insert(hash(1), session(1, 1, 0)), None);
    let former = sessions.insert(hash(1), session(2, 2, 9));
    assert_eq!(former, Some(session(1, 1, 0)));
    assert_eq!(sessions.len(), 1);
    assert_eq!(sessions.of_user(1).count(), 0);
    assert_eq!(sessions.get(&hash(1), 9), Some(&session(2, 2, 9)));
}

#[test]
fn sweeping_stops_at_its_budget_also_when_sessions_were_used() {
    let mut sessions = table();
    for number in 0..10 {
        sessions.insert(hash(number), session(1, number, 0));
    }
    for number in 0..5 {
        sessions.check(&hash(number), 100);
    }
    let mut expired = 0;
    let mut rounds = 0;
    while sessions
        .next_expiry_s()
        .is_some_and(|due_s| due_s <= IDLE_S)
    {
        expired += sessions.expire(IDLE_S, 3).len();
        rounds += 1;
    }
    assert_eq!((expired, rounds), (5, 4));
    assert_eq!(sessions.next_expiry_s(), Some(100 + IDLE_S));
}

#[test]
fn fractions_of_a_second_are_not_nothing() {
    let mut sessions = Sessions::new(&Limits {
        session_idle: Duration::from_millis(1),
        session_absolute: Duration::MAX,
        ..Limits::default()
    });
    sessions.insert(hash(1), session(1, 1, 5));
    assert!(sessions.get(&hash(1), 5).is_some());
    assert!(sessions.get(&hash(1), 6).is_none());
}

/// The model: slow, obvious, and without any structure that could be wrong.
#[derive(Default)]
struct Model {
    sessions: BTreeMap<Fingerprint, Session>,
    touched: BTreeSet<Fingerprint>,
}

impl Model {
    fn expires_s(session: &Session) -> i64 {
        (session.last_used_s + IDLE_S).min(session.issued_s + ABSOLUTE_S)
    }

    fn remove(&mut self, hash: &Fingerprint) -> Option<Session> {
        self.touched.remove(hash);
        self.sessions.remove(hash)
    }

    fn check(&mut self, hash: &Fingerprint, now_s: i64) -> Option<Session> {
        let session = self.sessions.get_mut(hash)?;
        if now_s >= Self::expires_s(session) {
            return None;
        }
        if session.last_used_s < now_s {
            session.last_used_s = now_s;
            self.touched.insert(*hash);
        }
        Some(*session)
    }

    fn remove_where(&mut self, gone: impl Fn(&Session) -> bool) -> BTreeMap<Fingerprint, Session> {
        let hashes = self.sessions.iter().filter(|(_, session)| gone(session));
        let hashes: Vec<_> = hashes.map(|(hash, _)| *hash).collect();
        let removed = hashes
            .iter()
            .map(|hash| (*hash, self.remove(hash).unwrap()));
        removed.collect()
    }
}

fn compare(sessions: &Sessions, model: &Model, users: i64) {
    let hashes: BTreeSet<Fingerprint> = sessions.hashes().collect();
    assert!(hashes.iter().eq(model.sessions.keys()));
    let mut all: Vec<&Session> = sessions.iter().collect();
    all.sort_by_key(|session| session.sid);
    let mut expected: Vec<&Session> = model.sessions.values().collect();
    expected.sort_by_key(|session| session.sid);
    assert_eq!(all, expected);
    assert_eq!(sessions.len(), model.sessions.len());
    assert_eq!(sessions.has_touched(), !model.touched.is_empty());
    let earliest = model.sessions.values().map(Model::expires_s).min();
    assert_eq!(sessions.next_expiry_s().is_some(), earliest.is_some());
    assert!(sessions.next_expiry_s() <= earliest);
    for user_id in 0..users {
        let listed: Vec<_> = sessions.of_user(user_id).map(|(h, s)| (*h, *s)).collect();
        let count = listed.len();
        let listed: BTreeMap<_, _> = listed.into_iter().collect();
        assert_eq!(listed.len(), count, "listed twice");
        let expected = model.sessions.iter().filter(|(_, s)| s.user_id == user_id);
        assert_eq!(listed, expected.map(|(h, s)| (*h, *s)).collect());
    }
}

fn step(sessions: &mut Sessions, model: &mut Model, random: &mut Rng, now_s: i64) {
    let number = random.u64(..400);
    let user_id = random.u64(..20).cast_signed();
    match random.u64(..100) {
        0..30 => {
            let new = session(user_id, number, now_s);
            let former = model.remove(&hash(number));
            model.sessions.insert(hash(number), new);
            assert_eq!(sessions.insert(hash(number), new), former);
        }
        30..70 => {
            let expected = model.check(&hash(number), now_s);
            assert_eq!(
                sessions.get(&hash(number), now_s).is_some(),
                expected.is_some()
            );
            assert_eq!(sessions.check(&hash(number), now_s).copied(), expected);
        }
        70..88 => assert_eq!(sessions.remove(&hash(number)), model.remove(&hash(number))),
        88..90 => {
            let expected = model.remove_where(|session| session.user_id == user_id);
            let removed: BTreeMap<_, _> = sessions.remove_user(user_id).into_iter().collect();
            assert_eq!(removed, expected);
        }
        90..95 => {
            let mut expired = BTreeMap::new();
            while sessions.next_expiry_s().is_some_and(|due_s| due_s <= now_s) {
                expired.extend(sessions.expire(now_s, 7));
            }
            let expected = model.remove_where(|session| Model::expires_s(session) <= now_s);
            assert_eq!(expired, expected);
        }
        _ => {
            for (hash, last_used_s) in sessions.take_touched(random.usize(..30)) {
                assert!(model.touched.remove(&hash));
                assert_eq!(model.sessions[&hash].last_used_s, last_used_s);
            }
        }
    }
}

#[test]
fn any_sequence_of_operations_agrees_with_a_naive_table() {
    for seed in 0..8 {
        let (mut sessions, mut model) = (table(), Model::default());
        let mut random = Rng::with_seed(seed);
        let mut now_s = 0;
        for count in 0..6_000 {
            now_s += random.u64(..20).cast_signed();
            if random.u64(..300) == 0 {
                now_s += IDLE_S / 2;
            }
            step(&mut sessions, &mut model, &mut random, now_s);
            if count % 16 == 0 {
                compare(&sessions, &model, 20);
            }
        }
    }
}

fn bytes(sessions: &Sessions) -> usize {
    sessions.entries.capacity() * size_of::<SessionSlot>()
        + sessions.touched.capacity() * size_of::<u32>()
        + sessions.by_hash.bytes()
        + sessions.by_user.bytes()
        + sessions.due.bytes()
}

#[test]
fn a_session_takes_at_most_200_bytes_at_any_size() {
    let mut sessions = table();
    for number in 0..200_000 {
        // A separate user for each session takes the most memory.
        sessions.insert(hash(number), session(number.cast_signed(), number, 0));
        if number >= 1_000 && number % 64 == 0 {
            let each = bytes(&sessions) / sessions.len();
            assert!(each <= 200, "{each} bytes each at {}", sessions.len());
        }
    }
}

#[test]
fn uses_that_the_store_does_not_know_yet_take_no_memory_of_their_own() {
    let [mut used, mut unused] = [table(), table()];
    for number in 0..1_000 {
        for sessions in [&mut used, &mut unused] {
            sessions.insert(hash(number), session(number.cast_signed(), number, 0));
        }
        assert!(used.check(&hash(number), 1).is_some());
    }
    assert!(!used.is_empty());
    assert_eq!(bytes(&used), bytes(&unused));
}

#[test]
fn memory_does_not_grow_when_sessions_come_and_go() {
    let mut sessions = table();
    for number in 0..10_000 {
        sessions.insert(hash(number), session(number.cast_signed(), number, 0));
    }
    let before = bytes(&sessions);
    for number in 0..20_000 {
        sessions.remove(&hash(number)).unwrap();
        let next = number + 10_000;
        sessions.insert(hash(next), session(next.cast_signed(), next, 0));
        sessions.check(&hash(next), 1).unwrap();
    }
    assert_eq!(bytes(&sessions), before);
}

#[test]
fn a_reserved_table_fills_without_growing() {
    let mut sessions = table();
    sessions.reserve(5_000);
    let before = bytes(&sessions);
    for number in 0..5_000 {
        sessions.insert(hash(number), session(number.cast_signed(), number, 0));
    }
    assert_eq!(bytes(&sessions), before);
}
