//! Checks whether the session of a stream or of a waiting request is still valid, and ends them if not.

use super::close::CloseCause;
use super::expiry::LINGER;
use super::protocol::Protocol;
use super::session::{next_check, unix_s};
use super::state::State;
use crate::app::{Standing, session_needed};
use crate::net::call::Call;

impl Protocol {
    /// Whether the session of this stream is still valid. If not, the stream ends, or the waiting request is
    /// answered; a stream whose session has just expired first receives that event.
    pub(super) fn session_holds(&mut self, call: &mut Call<'_, '_>) -> bool {
        match &self.state {
            State::Live(_) => self.live_session_holds(call),
            State::Parked(_) => self.parked_session_holds(call),
            _ => true,
        }
    }

    fn live_session_holds(&mut self, call: &mut Call<'_, '_>) -> bool {
        let State::Live(live) = &mut self.state else {
            return true;
        };
        let Some(session) = &mut live.session else {
            return true;
        };
        // If the clock is set back, the session stays expired.
        let standing = if live.has_expired {
            Standing::Expiring
        } else {
            call.service
                .app
                .session_standing(&session.fingerprint, unix_s(call.turn))
        };
        match standing {
            Standing::Until(until_s) => {
                session.check_at = next_check(until_s, call.turn);
                return true;
            }
            Standing::Expiring if !live.has_expired => {
                live.has_expired = true;
                session.check_at = call.turn.now() + LINGER;
                let user_id = session.user_id;
                if let Some(feed) = live.feed.and_then(|feed| call.service.app.hub.feed(feed)) {
                    feed.narrow_to_expiry(user_id);
                }
            }
            // The store may be slow, or fail to remove it.
            Standing::Expiring if call.turn.now() < session.check_at => {}
            Standing::Expiring | Standing::Ended => self.send_close(CloseCause::Revoked, call),
        }
        false
    }

    fn parked_session_holds(&mut self, call: &mut Call<'_, '_>) -> bool {
        let State::Parked(parked) = &mut self.state else {
            return true;
        };
        match call
            .service
            .app
            .session_standing(&parked.session, unix_s(call.turn))
        {
            Standing::Until(until_s) => {
                parked.check_at = next_check(until_s, call.turn);
                true
            }
            Standing::Expiring | Standing::Ended => {
                self.answer_parked(&session_needed(), call);
                false
            }
        }
    }
}
