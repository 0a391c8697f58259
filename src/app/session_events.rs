//! The events about sessions: their names, their senders, and their data.

use std::net::IpAddr;

use serde_json::{Value, json};

use super::Context;
use crate::event::NewEvent;
use crate::token;

/// Why a session was revoked.
#[derive(Clone, Copy, Debug)]
pub(super) enum Revoked {
    /// The user ended it by its id, from another session or from itself.
    ById,
    /// The user has logged in again, and may have no more sessions.
    TooMany,
}

impl Context<'_> {
    pub(super) fn logged_in(
        &self,
        user_id: i64,
        username: &str,
        sid: &[u8; 16],
        address: IpAddr,
    ) -> NewEvent {
        let mut data = of_session(user_id, sid);
        data["username"] = username.into();
        data["address"] = address.to_string().into();
        self.event("user.logged_in", "login", Some(user_id), data)
    }

    /// The event contains the tried name only if there is a user of that name.
    pub(super) fn login_failed(
        &self,
        user_id: Option<i64>,
        username: Option<&str>,
        address: IpAddr,
    ) -> NewEvent {
        let data = json!({"username": username, "address": address.to_string()});
        self.event("user.login_failed", "login", user_id, data)
    }

    pub(super) fn logged_out(
        &self,
        user_id: i64,
        username: &str,
        sid: &[u8; 16],
        everywhere: bool,
    ) -> NewEvent {
        let mut data = of_session(user_id, sid);
        data["username"] = username.into();
        data["everywhere"] = everywhere.into();
        self.event("user.logged_out", "logout", Some(user_id), data)
    }

    pub(super) fn session_revoked(&self, user_id: i64, sid: &[u8; 16], why: Revoked) -> NewEvent {
        let mut data = of_session(user_id, sid);
        let sender = match why {
            Revoked::ById => "logout",
            Revoked::TooMany => {
                data["reason"] = "too_many_sessions".into();
                "login"
            }
        };
        self.event("session.revoked", sender, Some(user_id), data)
    }

    pub(super) fn session_expired(&self, user_id: i64, sid: &[u8; 16]) -> NewEvent {
        let data = of_session(user_id, sid);
        self.event("session.expired", "sessions", Some(user_id), data)
    }
}

fn of_session(user_id: i64, sid: &[u8; 16]) -> Value {
    json!({"user_id": user_id.to_string(), "session_id": token::base64url(sid)})
}
