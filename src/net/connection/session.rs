//! The session on whose strength a stream is open: the stream ends with it, at the very moment.
//!
//! Where a request ends a session, the application tells its streams. Time ends sessions too: they expire, and
//! their keys retire. So each stream knows how long its session holds as things are, and looks again when that
//! moment comes. Use of the session only moves the moment away, so a stream never looks too late.

use super::farewell::Farewell;
use super::live::HEARTBEAT;
use super::{Connection, LINGER, State};
use crate::app::{Standing, session_needed};
use crate::net::message::Message;
use crate::net::service::Service;
use crate::reactor::{Moment, Stream, Turn};
use crate::token::Fingerprint;

/// What a stream knows of its session.
pub(super) struct StreamSession {
    user_id: i64,
    pub(super) fingerprint: Fingerprint,
    /// When it has to be looked at again.
    pub(super) look_at: Moment,
    /// It has expired. Until `look_at` the stream waits for the event that tells of it.
    has_expired: bool,
}

impl StreamSession {
    /// The session of a stream that is being opened.
    pub(super) fn new(
        (user_id, fingerprint): (i64, Fingerprint),
        service: &Service,
        turn: &Turn<'_, Message>,
    ) -> Self {
        let look_at = match service.app.session_standing(&fingerprint, unix_s(turn)) {
            Standing::Until(until_s) => next_look(until_s, turn),
            Standing::Expiring | Standing::Ended => turn.now(),
        };
        Self {
            user_id,
            fingerprint,
            look_at,
            has_expired: false,
        }
    }

    /// When the stream ends at the latest, if its session has expired.
    pub(super) fn ends_at(&self) -> Option<Moment> {
        self.has_expired.then_some(self.look_at)
    }

    pub(super) fn user_id(&self) -> i64 {
        self.user_id
    }
}

/// When a session that holds until then has to be looked at again: at that moment, and at least with every
/// heartbeat, since the wall clock may be set.
fn next_look(until_s: i64, turn: &Turn<'_, Message>) -> Moment {
    turn.moment_of(until_s).min(turn.now() + HEARTBEAT)
}

fn unix_s(turn: &Turn<'_, Message>) -> i64 {
    (turn.unix_ms() / 1000).cast_signed()
}

impl<T: Stream> Connection<T> {
    /// Whether the session on whose strength this stream is open holds. If not, the stream ends, or a request
    /// that waits is answered; one whose session has just expired is first told so.
    pub(super) fn session_holds(
        &mut self,
        service: &mut Service,
        turn: &mut Turn<'_, Message>,
    ) -> bool {
        match &self.state {
            State::Live(_) => self.live_session_holds(service, turn),
            State::Parked(_) => self.parked_session_holds(service, turn),
            _ => true,
        }
    }

    fn live_session_holds(&mut self, service: &mut Service, turn: &mut Turn<'_, Message>) -> bool {
        let State::Live(live) = &mut self.state else {
            return true;
        };
        let Some(session) = &mut live.session else {
            return true;
        };
        // A clock that is set back does not bring it to life.
        let standing = if session.has_expired {
            Standing::Expiring
        } else {
            service
                .app
                .session_standing(&session.fingerprint, unix_s(turn))
        };
        match standing {
            Standing::Until(until_s) => {
                session.look_at = next_look(until_s, turn);
                return true;
            }
            Standing::Expiring if !session.has_expired => {
                session.has_expired = true;
                session.look_at = turn.now() + LINGER;
                let user_id = session.user_id;
                if let Some(feed) = live.feed.and_then(|feed| service.app.hub.feed(feed)) {
                    feed.narrow_to_expiry(user_id);
                }
            }
            // The store may be slow, or refuse to remove it.
            Standing::Expiring if turn.now() < session.look_at => {}
            Standing::Expiring | Standing::Ended => self.bid(Farewell::Revoked, service, turn),
        }
        false
    }

    fn parked_session_holds(
        &mut self,
        service: &mut Service,
        turn: &mut Turn<'_, Message>,
    ) -> bool {
        let State::Parked(parked) = &mut self.state else {
            return true;
        };
        match service.app.session_standing(&parked.session, unix_s(turn)) {
            Standing::Until(until_s) => {
                parked.look_at = next_look(until_s, turn);
                true
            }
            Standing::Expiring | Standing::Ended => {
                self.answer_parked(&session_needed(), service, turn);
                false
            }
        }
    }
}
