//! Requests that wait for events: long polls.

use super::{Connection, State};
use crate::app::{Feed, FeedId, Wait, Wire, polled};
use crate::config::SlowPolicy;
use crate::http::Response;
use crate::net::exchange::Exchange;
use crate::net::message::Message;
use crate::net::service::Service;
use crate::reactor::{Moment, Readiness, Stream, Token, Turn};
use crate::token::Fingerprint;

/// A request that waits for events.
pub(super) struct Parked {
    exchange: Exchange,
    pub(super) token: Token,
    pub(super) session: Fingerprint,
    pub(super) feed: FeedId,
    through: u64,
    limit: usize,
    pub(super) until: Moment,
    /// When its session has to be looked at again.
    pub(super) look_at: Moment,
}

impl Parked {
    pub(super) fn has_news(&self, service: &mut Service) -> bool {
        let feed = service.app.hub.feed(self.feed);
        feed.is_none_or(|feed| !feed.is_empty())
    }
}

impl<T: Stream> Connection<T> {
    /// Waits for events, to answer with them.
    pub(super) fn park(
        &mut self,
        wait: Wait,
        exchange: Exchange,
        service: &mut Service,
        turn: &mut Turn<'_, Message>,
    ) {
        let Wait {
            interest,
            through,
            limit,
            until,
            session,
        } = wait;
        if !self.opens(session, &exchange, service, turn) {
            return;
        }
        // What comes in one turn may be more than fits: the rest of it is in the store.
        let (bytes_max, policy) = (
            service.app.config.limits.outbox_bytes_max,
            SlowPolicy::DropNewest,
        );
        let mut feed = Feed::new(Wire::Line, interest, Some(through), bytes_max, policy);
        feed.has_all_through(through);
        let feed = service.app.hub.follow(turn.token(), feed);
        self.state = State::Parked(Box::new(Parked {
            exchange,
            token: turn.token(),
            session,
            feed,
            through,
            limit,
            until,
            look_at: turn.now(),
        }));
        if self.session_holds(service, turn) {
            self.unpark_if_ended(service, turn);
        }
    }

    /// A deadline of a request that waits has come: its time is over, or its session is.
    pub(super) fn parked_due(&mut self, service: &mut Service, turn: &mut Turn<'_, Message>) {
        let State::Parked(parked) = &self.state else {
            return;
        };
        if turn.now() >= parked.until.min(service.life.streams_until()) {
            self.unpark(service, turn);
        } else {
            let _it_was_answered_if_not = self.session_holds(service, turn);
        }
    }

    /// Who has shut their side gets what there is up to now: most of them have gone, and would hold
    /// their session's place for as long as they wanted to wait.
    pub(super) fn unpark_if_ended(&mut self, service: &mut Service, turn: &mut Turn<'_, Message>) {
        if self.can.contains(Readiness::ENDED) {
            self.unpark(service, turn);
        }
    }

    /// Answers a request that waited, with what there is.
    pub(super) fn unpark(&mut self, service: &mut Service, turn: &mut Turn<'_, Message>) {
        if !self.session_holds(service, turn) {
            return; // it was answered
        }
        let State::Parked(parked) = &self.state else {
            return;
        };
        let (mut events, mut more) = (Vec::new(), false);
        if let Some(feed) = service.app.hub.feed(parked.feed) {
            events = feed.take_json(parked.limit);
            more = !feed.is_empty();
        }
        let through = events.last().map_or(parked.through, |(id, _)| *id);
        let events: Vec<String> = events.into_iter().map(|(_, json)| json).collect();
        let response = polled(&events, through, more);
        self.answer_parked(&response, service, turn);
    }

    pub(super) fn answer_parked(
        &mut self,
        response: &Response,
        service: &mut Service,
        turn: &mut Turn<'_, Message>,
    ) {
        self.leave(service);
        if let State::Parked(parked) = self.become_idle(turn) {
            self.answer(response, &parked.exchange, service, turn);
        }
    }
}
