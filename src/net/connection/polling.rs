//! Requests that wait for events: long polls.

use super::protocol::Protocol;
use super::state::{Parked, State};
use crate::app::{Encoding, Feed, Wait, polled};
use crate::config::SlowPolicy;
use crate::http::Response;
use crate::net::call::Call;
use crate::net::exchange::Exchange;
use crate::reactor::Readiness;

impl Protocol {
    /// Waits for events with which to answer.
    pub(super) fn park(&mut self, wait: Wait, exchange: Exchange, call: &mut Call<'_, '_>) {
        let Wait {
            interest,
            through,
            limit,
            until,
            session,
        } = wait;
        if !self.opens(session, &exchange, call) {
            return;
        }
        // One turn may bring more than fits: the rest is in the store.
        let (bytes_max, policy) = (
            call.service.app.config.limits.outbox_bytes_max,
            SlowPolicy::DropNewest,
        );
        let mut feed = Feed::new(Encoding::Line, interest, Some(through), bytes_max, policy);
        feed.has_all_through(through);
        let feed = call.service.app.hub.follow(call.turn.token(), feed);
        let parked = Parked {
            exchange,
            token: call.turn.token(),
            session,
            feed,
            through,
            limit,
            until,
            check_at: call.turn.now(),
        };
        self.enter(State::Parked(Box::new(parked)), call.service);
        if self.session_holds(call) {
            self.unpark_if_ended(call);
        }
    }

    /// A client that has shut its side gets the events up to now: most such clients have gone, and would occupy
    /// a place of their session for as long as they wanted to wait.
    pub(super) fn unpark_if_ended(&mut self, call: &mut Call<'_, '_>) {
        if self.link.can.contains(Readiness::ENDED) {
            self.unpark(call);
        }
    }

    /// Answers a waiting request with the events up to now.
    pub(super) fn unpark(&mut self, call: &mut Call<'_, '_>) {
        if !self.session_holds(call) {
            return; // it was answered
        }
        let State::Parked(parked) = &self.state else {
            return;
        };
        let (mut events, mut more) = (Vec::new(), false);
        if let Some(feed) = call.service.app.hub.feed(parked.feed) {
            events = feed.take_json(parked.limit);
            more = !feed.is_empty();
        }
        let through = events.last().map_or(parked.through, |(id, _)| *id);
        let events: Vec<String> = events.into_iter().map(|(_, json)| json).collect();
        let response = polled(&events, through, more);
        self.answer_parked(&response, call);
    }

    pub(super) fn answer_parked(&mut self, response: &Response, call: &mut Call<'_, '_>) {
        if let State::Parked(parked) = self.become_idle(call) {
            self.answer(response, &parked.exchange, call);
        }
    }
}
