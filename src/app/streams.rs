//! Maps each session to its streams, so that they end with it.
//!
//! A stream is sent to a client for as long as its session lasts: server-sent events, a
//! WebSocket, a request that waits for events.

use std::collections::HashMap;
use std::rc::Rc;

use super::caller::session_needed;
use super::{App, Context};
use crate::http::{Response, Status};
use crate::ledger::Limit;
use crate::planted::{Bug, planted};
use crate::reactor::Token;
use crate::token::{Fingerprint, Keys};

/// The open streams of all sessions.
#[derive(Debug, Default)]
pub struct Streams {
    of_session: HashMap<Fingerprint, Vec<Token>>,
    /// Polls whose events are being read from the store.
    readings: HashMap<Fingerprint, usize>,
    /// Streams whose session has ended in this turn.
    ended: Vec<Token>,
    /// The keys have changed in this turn: a session may end earlier than its streams know.
    keys_changed: bool,
}

impl Streams {
    /// Streams that the session has open.
    #[must_use]
    pub fn of(&self, session: &Fingerprint) -> usize {
        self.of_session.get(session).map_or(0, Vec::len)
    }

    /// Streams that all sessions have open, and polls whose events are being read.
    #[must_use]
    pub fn len(&self) -> usize {
        let open: usize = self.of_session.values().map(Vec::len).sum();
        open + self.readings.values().sum::<usize>()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A poll has received its page, or will not get one.
    pub fn end_reading(&mut self, session: &Fingerprint) {
        if let Some(readings) = self.readings.get_mut(session) {
            *readings -= usize::from(!planted(Bug::KeptReading));
            if *readings == 0 {
                self.readings.remove(session);
            }
        }
    }

    /// A stream has ended by itself.
    pub fn close(&mut self, session: &Fingerprint, stream: Token) {
        if let Some(streams) = self.of_session.get_mut(session) {
            streams.retain(|open| *open != stream);
            if streams.is_empty() {
                self.of_session.remove(session);
            }
        }
    }

    /// The session has ended, and its streams end later in this turn. Returns how many they are.
    pub fn end(&mut self, session: &Fingerprint) -> usize {
        let streams = self.of_session.remove(session).unwrap_or_default();
        self.ended.extend_from_slice(&streams);
        streams.len()
    }

    /// Whether some stream has to be told about its session; called in every turn.
    #[inline]
    #[must_use]
    pub fn have_news(&self) -> bool {
        self.keys_changed || !self.ended.is_empty()
    }

    /// The streams whose session has ended since the last call.
    pub fn take_ended(&mut self) -> Vec<Token> {
        std::mem::take(&mut self.ended)
    }

    /// The streams that have to check their session again because the keys have changed: all, or none.
    pub fn take_unsure(&mut self) -> Vec<Token> {
        if !std::mem::take(&mut self.keys_changed) {
            return Vec::new();
        }
        self.of_session.values().flatten().copied().collect()
    }
}

/// The state of a session that a stream depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is valid until this second (since 1970), and longer if it is used.
    Until(i64),
    /// It has expired, and the event that reports it may not be on disk yet.
    Expiring,
    /// It has ended, or its key has retired.
    Ended,
}

impl App {
    /// Signs and verifies with these keys from now on. Streams of sessions whose key is missing or has retired
    /// end in this turn.
    pub fn change_keys(&mut self, keys: Keys) {
        self.keys = keys;
        self.streams.keys_changed = true;
    }

    /// The user name of each open stream.
    #[must_use]
    pub fn stream_owners(&self, now_s: i64) -> HashMap<Token, Rc<str>> {
        let mut owners = HashMap::new();
        for (session, streams) in &self.streams.of_session {
            let session = self.sessions.get(session, now_s);
            let Some(user) = session.and_then(|session| self.users.get(session.user_id)) else {
                continue; // it has expired, and its streams are about to end
            };
            let name: Rc<str> = Rc::from(&*user.name);
            owners.extend(streams.iter().map(|stream| (*stream, Rc::clone(&name))));
        }
        owners
    }

    /// Whether the session exists and its signature is valid, without counting as a use of it.
    #[must_use]
    pub fn session_holds(&self, session: &Fingerprint, now_s: i64) -> bool {
        matches!(self.session_standing(session, now_s), Standing::Until(_))
    }

    /// Whether the session is valid, and for how long, without counting as a use of it.
    #[must_use]
    pub fn session_standing(&self, session: &Fingerprint, now_s: i64) -> Standing {
        let Some(found) = self.sessions.get(session, now_s) else {
            let is_about_to_go = self.sessions.contains(session) || self.maintenance.is_under_way();
            return if is_about_to_go {
                Standing::Expiring
            } else {
                Standing::Ended
            };
        };
        match self.keys.valid_until_s(found.key_id, now_s) {
            Some(key_s) => Standing::Until(key_s.min(self.sessions.expires_s(found))),
            None => Standing::Ended,
        }
    }
}

impl Context<'_> {
    /// Begins to read events for a poll. The store serves one request after the other, and one session must not
    /// make all others wait.
    ///
    /// # Errors
    /// The answer to give instead: 429, if the session has as many concurrent polls as it may have streams.
    pub fn begin_reading(&mut self, session: Fingerprint) -> Result<(), Response> {
        let max = self.app.config.limits.streams_per_session_max;
        let readings = self.app.streams.readings.entry(session).or_default();
        if *readings >= max {
            self.ledger.limit_reached(Limit::StreamsPerSession);
            let detail = format!("{max} requests of this session ask for events at the moment");
            let refusal = Response::problem(Status::TOO_MANY_REQUESTS, "too_many_streams", &detail);
            return Err(refusal.with_header("Retry-After", "1"));
        }
        *readings += 1;
        Ok(())
    }

    /// Opens a stream for a session.
    ///
    /// # Errors
    /// The answer to give instead: 401 if the session has ended meanwhile, 429 if it has too many streams.
    pub fn open_stream(&mut self, session: Fingerprint, stream: Token) -> Result<(), Response> {
        if !self.app.session_holds(&session, self.unix_s()) {
            return Err(session_needed());
        }
        let max = self.app.config.limits.streams_per_session_max;
        if self.app.streams.of(&session) >= max {
            let detail = format!(
                "this session has {max} streams open already, which is as many as it may; close one"
            );
            self.ledger.limit_reached(Limit::StreamsPerSession);
            let refusal = Response::problem(Status::TOO_MANY_REQUESTS, "too_many_streams", &detail);
            return Err(refusal.with_header("Retry-After", "5"));
        }
        self.app
            .streams
            .of_session
            .entry(session)
            .or_insert_with(|| Vec::with_capacity(1)) // most sessions have one
            .push(stream);
        Ok(())
    }
}
