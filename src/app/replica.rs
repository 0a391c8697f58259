//! The one place where memory follows what was committed.
//!
//! Each transaction is applied here once, in the order of the commits, no matter which handler or which part of the
//! maintenance asked for it, and before its continuation is called. So an answer that confirms something is made
//! after memory has followed.
//!
//! In two cases memory leads. A session expires by the clock, and leaves the table before its row is removed; the
//! time of its last use is known here first, and stored later. The throttle and logins under way are only in memory.

use super::App;
use crate::planted::{Bug, planted};
use crate::token::Fingerprint;
use crate::work::{Change, Commit, UserRow};

/// What a transaction did. It is on disk, and memory has followed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Confirmed {
    /// Rows of users and sessions that were added, changed or removed.
    pub rows: usize,
    /// The id of the last user that was added, if any.
    pub added_user: Option<i64>,
    /// The id of the last of its events; 0 without one.
    pub last_event_id: u64,
    /// Streams that end in this turn because their sessions have ended.
    pub streams_closed: usize,
}

impl App {
    /// Memory follows a transaction that was committed.
    pub fn follow(&mut self, commit: Commit) -> Confirmed {
        let mut confirmed = Confirmed {
            rows: commit.rows,
            added_user: commit.added_users.last().copied(),
            last_event_id: commit.last_event_id,
            streams_closed: 0,
        };
        let mut added_users = commit.added_users.into_iter();
        for change in commit.changes {
            confirmed.streams_closed += self.apply(change, &mut added_users);
        }
        self.hub.confirmed(commit.events);
        confirmed
    }

    /// Returns how many streams end with it.
    fn apply(&mut self, change: Change, added_users: &mut impl Iterator<Item = i64>) -> usize {
        match change {
            Change::AddUser {
                name,
                role,
                password,
                created_s,
            } => {
                self.users.extend(added_users.next().map(|id| UserRow {
                    id,
                    name,
                    role,
                    password,
                    created_s,
                }));
                0
            }
            Change::SetPassword { user_id, password } => {
                self.users.set_password(user_id, password);
                0
            }
            Change::RemoveUser { user_id } => {
                self.users.remove(user_id);
                let ended = self.sessions.remove_user(user_id);
                ended.iter().map(|(hash, _)| self.streams.end(hash)).sum()
            }
            Change::AddSession(row) => {
                self.sessions.insert(row.hash, row.into());
                0
            }
            Change::EndSession { hash, .. } => self.end_session(&hash),
            Change::RemoveSessions(hashes) => {
                hashes.iter().map(|hash| self.end_session(hash)).sum()
            }
            Change::TouchSessions(_) => 0, // memory knew it before
        }
    }

    fn end_session(&mut self, hash: &Fingerprint) -> usize {
        self.sessions.remove(hash);
        if planted(Bug::StreamsStay) {
            return 0;
        }
        self.streams.end(hash)
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::app::sessions::Sessions;
    use crate::app::users::Users;
    use crate::config::{Config, StorePath};
    use crate::event::NewEvent;
    use crate::token::Keys;
    use crate::work::{SessionRow, Store, Transaction};

    fn session(number: u8, user_id: i64) -> SessionRow {
        SessionRow {
            hash: [number; 32],
            sid: [number; 16],
            user_id,
            key_id: 1,
            issued_s: 10,
            last_used_s: 10,
        }
    }

    fn event(name: &'static str) -> NewEvent {
        NewEvent {
            unix_ms: 0,
            name: name.into(),
            sender: "test".into(),
            user_id: None,
            data: serde_json::Value::Null,
        }
    }

    fn change() -> impl Strategy<Value = Change> {
        let (user_id, number) = (1_i64..6, 0_u8..8);
        prop_oneof![
            "[a-d]".prop_map(|name| Change::AddUser {
                name,
                role: "user".into(),
                password: "$argon2id$first".into(),
                created_s: 0,
            }),
            user_id.clone().prop_map(|user_id| Change::SetPassword {
                user_id,
                password: "$argon2id$second".into(),
            }),
            user_id
                .clone()
                .prop_map(|user_id| Change::RemoveUser { user_id }),
            (number.clone(), user_id)
                .prop_map(|(number, user_id)| Change::AddSession(session(number, user_id))),
            number.clone().prop_map(|number| Change::EndSession {
                hash: [number; 32],
                event: event("session.revoked"),
            }),
            vec(number.prop_map(|number| [number; 32]), 0..4).prop_map(Change::RemoveSessions),
        ]
    }

    proptest! {
        #[test]
        fn memory_has_what_a_restart_would_load(transactions in vec(vec(change(), 1..4), 1..30)) {
            let mut store = Store::open(&StorePath::Memory, u64::MAX).unwrap();
            let config = Config::default();
            let sessions = Sessions::new(&config.limits);
            let keys = Keys::ephemeral(1, [1; 32], 0);
            let mut app = App::new(config, Users::default(), sessions, keys);
            for changes in transactions {
                let events = vec![event("tick")];
                let transaction = Transaction { changes, events, ..Transaction::default() };
                if let Ok(commit) = store.apply(transaction) {
                    app.follow(commit);
                }
            }
            let stored = store.load().unwrap();
            prop_assert_eq!(app.hub.newest(), stored.last_event_id);
            prop_assert_eq!(app.users.len(), stored.users.len());
            for user in stored.users {
                let found = app.users.get(user.id).map(|found| (&*found.name, &*found.password));
                prop_assert_eq!(found, Some((&*user.name, &*user.password)));
                prop_assert_eq!(app.users.named(&user.name).map(|found| found.id), Some(user.id));
            }
            prop_assert_eq!(app.sessions.len(), stored.sessions.len());
            for row in stored.sessions {
                let found = app.sessions.get(&row.hash, 10).map(|found| found.row(row.hash));
                prop_assert_eq!(found, Some(row));
            }
        }
    }
}
