//! Maintenance, which runs without a request: it removes expired sessions and writes times of last
//! use to disk.

use super::sessions::Session;
use super::{App, Context, Reply};
use crate::planted::{Bug, planted};
use crate::token::Fingerprint;
use crate::work::{Change, Transaction};

/// Seconds between two writes of the times of last use.
const TOUCHES_EVERY_S: i64 = 60;
/// Seconds until maintenance is tried again after the store refused it.
const RETRY_AFTER_S: i64 = 60;
/// Most sessions that are removed or written at a time. The next are taken when the store has these, so
/// that a login does not wait behind all sessions that expired overnight.
const SESSIONS_AT_A_TIME: usize = 64;

/// The state of maintenance.
#[derive(Debug, Default)]
pub(super) struct MaintenanceState {
    /// Transactions that the store has not answered yet.
    under_way: usize,
    /// Expired sessions that the store could not remove. They are no longer in the table: their user may have
    /// logged out of one meanwhile, and it must not come back.
    unremoved: Vec<(Fingerprint, Session)>,
    /// When the times of last use were last written, in seconds since 1970.
    touches_written_s: i64,
    /// Maintenance does nothing before this time, in seconds since 1970.
    not_before_s: i64,
}

impl MaintenanceState {
    /// Whether the store has not yet answered all transactions of maintenance.
    pub(super) fn is_under_way(&self) -> bool {
        self.under_way > 0
    }
}

impl App {
    /// When [`Context::maintain`] has something to do, in seconds since 1970; `i64::MAX` for never.
    #[must_use]
    pub fn next_maintenance_s(&self) -> i64 {
        if self.maintenance.is_under_way() {
            return i64::MAX;
        }
        let expiry_s = self.sessions.next_expiry_s().unwrap_or(i64::MAX);
        let touches_s = self.maintenance.touches_written_s + TOUCHES_EVERY_S;
        let due_s = if self.sessions.has_touched() {
            expiry_s.min(touches_s)
        } else {
            expiry_s
        };
        let due_s = if self.maintenance.unremoved.is_empty() {
            due_s
        } else {
            i64::MIN
        };
        due_s.max(self.maintenance.not_before_s)
    }

    /// The keys of expired sessions that the store failed to remove.
    pub fn unremoved(&self) -> impl Iterator<Item = Fingerprint> {
        self.maintenance.unremoved.iter().map(|(hash, _)| *hash)
    }

    /// The server is about to end: times of last use are written now.
    pub fn hurry_maintenance(&mut self) {
        self.maintenance.touches_written_s = 0;
        // Even if the store has just failed: this is the last chance.
        self.maintenance.not_before_s = 0;
    }
}

impl Context<'_> {
    /// Does in memory what is due, and returns what has to be done on disk.
    pub fn maintain(&mut self) -> Vec<Reply> {
        let now_s = self.unix_s();
        if self.app.next_maintenance_s() > now_s {
            return Vec::new();
        }
        let mut expired = std::mem::take(&mut self.app.maintenance.unremoved);
        let room = SESSIONS_AT_A_TIME.saturating_sub(expired.len());
        expired.extend(self.app.sessions.expire(now_s, room));
        let mut work: Vec<Reply> = Vec::with_capacity(expired.len() + 1);
        for (hash, session) in expired {
            work.push(self.expired(hash, session));
        }
        if now_s >= self.app.maintenance.touches_written_s + TOUCHES_EVERY_S {
            let touched = self.app.sessions.take_touched(SESSIONS_AT_A_TIME);
            if !self.app.sessions.has_touched() {
                self.app.maintenance.touches_written_s = now_s;
            }
            if !touched.is_empty() && !planted(Bug::LostTouches) {
                let hashes: Vec<Fingerprint> = touched.iter().map(|(hash, _)| *hash).collect();
                let transaction = Transaction {
                    changes: vec![Change::TouchSessions(touched)],
                    ..Transaction::default()
                };
                work.push(self.in_background(transaction, move |cx, on_disk| {
                    if !on_disk {
                        cx.app.sessions.put_touched_back(&hashes);
                    }
                }));
            }
        }
        work
    }

    fn expired(&mut self, hash: [u8; 32], session: Session) -> Reply {
        let event = self.session_expired(session.user_id, &session.sid);
        let transaction = Transaction {
            changes: vec![Change::RemoveSessions(vec![hash])],
            events: vec![event],
            events_only_if_changed: true,
        };
        self.in_background(transaction, move |cx, on_disk| {
            // If it is on disk, the session's streams have ended after the event that reports the expiry.
            if !on_disk {
                cx.app.streams.end(&hash);
                cx.app.maintenance.unremoved.push((hash, session));
            }
        })
    }

    /// A transaction that no client waits for; `then` is called with whether it is on disk.
    fn in_background(
        &mut self,
        transaction: Transaction,
        then: impl FnOnce(&mut Context<'_>, bool) + 'static,
    ) -> Reply {
        self.app.maintenance.under_way += 1;
        Reply::commit(transaction, move |committed, cx| {
            cx.app.maintenance.under_way -= 1;
            if committed.is_err() {
                cx.app.maintenance.not_before_s = cx.unix_s() + RETRY_AFTER_S;
            }
            then(cx, committed.is_ok());
            Reply::empty(204)
        })
    }
}
