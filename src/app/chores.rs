//! What the application does although nobody asked: expired sessions go, times of last use are
//! written down.

use serde_json::json;

use super::sessions::Session;
use super::{App, Context, Reply};
use crate::http::Response;
use crate::token;
use crate::work::{Change, Transaction};

/// Seconds between two writings of the times of last use.
const TOUCHES_EVERY_S: i64 = 60;
/// Sessions that expire, or are written, in one turn at most; the rest follows in the next.
const SESSIONS_PER_TURN: usize = 256;

impl App {
    /// When [`Context::chores`] has something to do, in seconds since 1970; `i64::MAX` for never.
    #[must_use]
    pub fn next_chore_s(&self) -> i64 {
        let expiry_s = self.sessions.next_expiry_s().unwrap_or(i64::MAX);
        let touches_s = self.touches_written_s.saturating_add(TOUCHES_EVERY_S);
        if self.sessions.has_touched() {
            expiry_s.min(touches_s)
        } else {
            expiry_s
        }
    }
}

impl Context<'_> {
    /// Does what is due in memory; what has to be done on disk is returned.
    pub fn chores(&mut self) -> Vec<Reply> {
        let now_s = self.unix_s();
        let expired = self.app.sessions.expire(now_s, SESSIONS_PER_TURN);
        let mut work: Vec<Reply> = expired
            .iter()
            .map(|expired| self.expired(expired))
            .collect();
        if self.app.sessions.has_touched()
            && now_s >= self.app.touches_written_s.saturating_add(TOUCHES_EVERY_S)
        {
            let touched = self.app.sessions.take_touched(SESSIONS_PER_TURN);
            if !self.app.sessions.has_touched() {
                self.app.touches_written_s = now_s;
            }
            let changes = vec![Change::TouchSessions(touched)];
            work.push(unasked(Transaction {
                changes,
                ..Transaction::default()
            }));
        }
        work
    }

    fn expired(&self, (hash, session): &([u8; 32], Session)) -> Reply {
        let data = json!({
            "user_id": session.user_id.to_string(),
            "session_id": token::base64url(&session.sid),
        });
        unasked(Transaction {
            changes: vec![Change::RemoveSessions(vec![*hash])],
            events: vec![self.event("session.expired", "sessions", Some(session.user_id), data)],
            events_only_if_changed: true,
        })
    }
}

/// A transaction that no client waits for. If it fails, the session is found expired again at the
/// next start; the failure itself is reported where all are.
fn unasked(transaction: Transaction) -> Reply {
    Reply::commit(transaction, |_, _| Reply::Now(Response::new(204.into())))
}
