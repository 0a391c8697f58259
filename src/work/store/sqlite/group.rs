//! Many transactions, one commit.
//!
//! Each commit waits for the disk, no matter how much is in it. So all waiting transactions become one
//! transaction of `SQLite`, each in a savepoint of its own: a transaction that contradicts the tables is
//! undone alone, and a failing disk undoes all. An event id counts as used only when the commit is on
//! disk, which is why the ids have no gaps.

use std::path::Path;

use rusqlite::{Connection, Params, TransactionBehavior};

use super::{Change, Commit, Keep, SessionRow, Sqlite, StoreError, Transaction, kept, schema};
use crate::event::{Event, NewEvent};
use crate::planted::{Bug, planted};

impl Sqlite {
    /// Applies all of `group` and waits until it is on disk; one outcome for each, in order.
    ///
    /// # Errors
    /// When the disk or the file fails: nothing of the group was stored.
    pub(super) fn commit_group(
        &mut self,
        group: Vec<Transaction>,
    ) -> Result<Vec<Result<Commit, StoreError>>, StoreError> {
        let path = &self.path;
        let fail = |why| StoreError::from_sqlite(path, &why);
        // IMMEDIATE: waits here for a lock of another program, instead of meeting it halfway.
        let sql = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(fail)?;
        let tables = Tables { sql: &sql, path };
        let (mut last_event_id, mut kept, mut added) = (self.last_event_id, self.kept, 0);
        let mut outcomes = Vec::with_capacity(group.len());
        for transaction in group {
            tables.run("SAVEPOINT one", ())?;
            let outcome = tables.apply(transaction, last_event_id);
            match &outcome {
                Ok((commit, bytes)) => {
                    last_event_id += commit.events.len() as u64;
                    added += bytes;
                }
                Err(why) if why.concerns_one_transaction() => {
                    tables.run("ROLLBACK TO one", ())?;
                }
                Err(why) => return Err(why.clone()),
            }
            tables.run("RELEASE one", ())?;
            outcomes.push(outcome.map(|(commit, _)| commit));
        }
        if last_event_id > self.last_event_id {
            let keep = Keep {
                events: self.keep.events - u64::from(planted(Bug::KeepsOneLess)),
                ..self.keep
            };
            kept.trim(&sql, keep, last_event_id, added).map_err(fail)?;
        }
        sql.commit().map_err(fail)?;
        (self.last_event_id, self.kept) = (last_event_id, kept);
        Ok(outcomes)
    }
}

/// The tables within a transaction of `SQLite`.
struct Tables<'s> {
    sql: &'s Connection,
    path: &'s Path,
}

impl Tables<'_> {
    /// Runs one statement, prepared at its first use; returns how many rows it changed.
    fn run(&self, statement: &str, values: impl Params) -> Result<usize, StoreError> {
        self.sql
            .prepare_cached(statement)
            .and_then(|mut statement| statement.execute(values))
            .map_err(|why| StoreError::from_sqlite(self.path, &why))
    }

    /// Also returns how many bytes of events were added.
    fn apply(
        &self,
        transaction: Transaction,
        last_event_id: u64,
    ) -> Result<(Commit, u64), StoreError> {
        let mut commit = Commit {
            rows: 0,
            changes: Vec::new(),
            added_users: Vec::new(),
            events: Vec::with_capacity(transaction.events.len()),
            last_event_id: 0,
        };
        let mut events = Vec::new();
        for change in &transaction.changes {
            let rows = self.change(change)?;
            commit.rows += rows;
            match change {
                Change::AddUser { .. } => commit.added_users.push(self.sql.last_insert_rowid()),
                Change::EndSession { event, .. } if rows > 0 => events.push(event.clone()),
                _ => {}
            }
        }
        commit.changes = transaction.changes;
        let without_change = transaction.events_only_if_changed && commit.rows == 0;
        if without_change && !planted(Bug::EndsTwice) {
            return Ok((commit, 0));
        }
        let mut bytes = 0;
        events.extend(transaction.events);
        for (id, fact) in (last_event_id + 1..).zip(events) {
            bytes += self.add_event(id, &fact)?;
            commit.events.push(Event { id, fact });
            commit.last_event_id = id;
        }
        Ok((commit, bytes))
    }

    /// Returns how many rows it changed.
    fn change(&self, change: &Change) -> Result<usize, StoreError> {
        match change {
            Change::AddUser {
                name,
                role,
                password,
                created_s,
            } => self
                .run(
                    "INSERT INTO users (name, role, password, created_s) VALUES (?1, ?2, ?3, ?4)",
                    (name, role, password, created_s),
                )
                .map_err(|why| match why {
                    StoreError::Conflict(_) => StoreError::UserExists(name.clone()),
                    other => other,
                }),
            Change::SetPassword { user_id, password } => one_user(self.run(
                "UPDATE users SET password = ?2 WHERE id = ?1",
                (user_id, password),
            )?),
            Change::RemoveUser { user_id } => {
                // Sessions have no index by user: it would cost every login a write, and users are
                // removed rarely enough to scan the table.
                let sessions = self.run("DELETE FROM sessions WHERE user_id = ?1", (user_id,))?;
                let users = one_user(self.run("DELETE FROM users WHERE id = ?1", (user_id,))?)?;
                Ok(sessions + users)
            }
            Change::AddSession(session) => self.add_session(session),
            Change::EndSession { hash, .. } => self.remove_session(hash),
            Change::RemoveSessions(hashes) => each(hashes, |hash| self.remove_session(hash)),
            Change::TouchSessions(uses) => each(uses, |(hash, used_s)| {
                self.run(
                    "UPDATE sessions SET last_used_s = ?2 WHERE hash = ?1",
                    (hash, used_s),
                )
            }),
        }
    }

    fn add_session(&self, session: &SessionRow) -> Result<usize, StoreError> {
        self.sql
            .prepare_cached(schema::ADD_SESSION)
            .and_then(|mut statement| schema::add_session(&mut statement, session))
            .map_err(|why| StoreError::from_sqlite(self.path, &why))
    }

    fn remove_session(&self, hash: &[u8; 32]) -> Result<usize, StoreError> {
        self.run("DELETE FROM sessions WHERE hash = ?1", (hash,))
    }

    /// Returns how many bytes the event counts as.
    fn add_event(&self, id: u64, fact: &NewEvent) -> Result<u64, StoreError> {
        let data = fact.data.to_string();
        self.run(
            "INSERT INTO events (id, unix_ms, name, sender, user_id, data) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            (
                id.cast_signed(),
                // A clock beyond the signed range is wrong anyway, but must not stop events.
                i64::try_from(fact.unix_ms).unwrap_or(i64::MAX),
                &fact.name,
                &fact.sender,
                fact.user_id,
                &data,
            ),
        )?;
        Ok(kept::bytes_of(&fact.name, &fact.sender, &data))
    }
}

fn each<T>(
    items: &[T],
    run: impl Fn(&T) -> Result<usize, StoreError>,
) -> Result<usize, StoreError> {
    items.iter().map(run).sum()
}

fn one_user(rows: usize) -> Result<usize, StoreError> {
    if rows == 0 {
        Err(StoreError::NoSuchUser)
    } else {
        Ok(rows)
    }
}
