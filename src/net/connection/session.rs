//! The session of a stream: the stream ends at the very moment at which the session ends.
//!
//! When a request ends a session, the application tells its streams. Time ends sessions too: they expire, and
//! their keys retire. So each stream knows how long its session is valid if it is not used, and checks it again
//! at that moment. Use of the session only moves that moment further away, so a stream never checks too late.

use super::expiry::HEARTBEAT;
use crate::app::Standing;
use crate::net::call::Call;
use crate::net::message::Message;
use crate::reactor::{Moment, Turn};
use crate::token::Fingerprint;

/// What a stream knows about its session.
pub(super) struct StreamSession {
    pub(super) user_id: i64,
    pub(super) fingerprint: Fingerprint,
    /// When it has to be checked again.
    pub(super) check_at: Moment,
}

impl StreamSession {
    /// The session of a stream that is being opened.
    pub(super) fn new((user_id, fingerprint): (i64, Fingerprint), call: &Call<'_, '_>) -> Self {
        let turn = &*call.turn;
        let check_at = match call
            .service
            .app
            .session_standing(&fingerprint, unix_s(turn))
        {
            Standing::Until(until_s) => next_check(until_s, turn),
            Standing::Expiring | Standing::Ended => turn.now(),
        };
        Self {
            user_id,
            fingerprint,
            check_at,
        }
    }
}

/// When a session that is valid until `until_s` has to be checked again: at that moment, and at least with every
/// heartbeat, since the wall clock may be set.
pub(super) fn next_check(until_s: i64, turn: &Turn<'_, Message>) -> Moment {
    turn.moment_of(until_s).min(turn.now() + HEARTBEAT)
}

pub(super) fn unix_s(turn: &Turn<'_, Message>) -> i64 {
    (turn.unix_ms() / 1000).cast_signed()
}
