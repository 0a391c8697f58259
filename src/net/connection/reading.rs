//! The way in: bytes become requests.

use std::io;

use super::{Connection, State};
use crate::app::Found;
use crate::config::{REQUESTS_PER_TURN, SOURCES_WITH_ALL};
use crate::http::{CONTINUE, Fault, Framing, Head, HeaderSlots, parse_head};
use crate::net::body::Body;
use crate::net::message::Message;
use crate::net::service::Service;
use crate::net::tally::RESET;
use crate::planted::{Bug, planted};
use crate::reactor::{Next, Readiness, Reason, SHORT_MEANS_DRAINED, Stream, Turn};

/// What came of the bytes at hand.
enum Step {
    /// So many bytes were taken from the front.
    Took(usize),
    /// They are not a whole head yet.
    Incomplete,
}

impl<T: Stream> Connection<T> {
    /// Reads and handles as far as the descriptor, the outbox or the budget allows.
    pub(super) fn advance(&mut self, service: &mut Service, turn: &mut Turn<'_, Message>) -> Next {
        let mut budget = match turn.crowd() {
            ..=SOURCES_WITH_ALL => REQUESTS_PER_TURN,
            crowd => (REQUESTS_PER_TURN * SOURCES_WITH_ALL / crowd).max(1),
        };
        if !self.inbox.is_empty() && self.takes_bytes() {
            let inbox = std::mem::take(&mut self.inbox);
            let used = self.consume(&inbox, &mut budget, service, turn);
            self.keep(inbox, used, service);
        }
        if budget > 0 && self.takes_bytes() && self.can.contains(Readiness::READABLE) {
            if self.stream.is_handshaking() && !service.clients.may_shake_hands() {
                return Next::Again;
            }
            let mut buffer = service.buffers.take_read();
            let read = self.stream.read(&mut buffer);
            let next = self.take_in(read, &buffer, &mut budget, service, turn);
            service.buffers.give_read_back(buffer);
            if let Some(reason) = next {
                return Next::Close(reason);
            }
        }
        self.settle(service, turn)
    }

    /// Does with the result of a read what has to be done; the reason, if that is to end.
    fn take_in(
        &mut self,
        read: io::Result<usize>,
        buffer: &[u8],
        budget: &mut usize,
        service: &mut Service,
        turn: &mut Turn<'_, Message>,
    ) -> Option<Reason> {
        match read {
            Ok(0) => return self.peer_ended(service, turn),
            Ok(count) => {
                self.bytes_in = self.bytes_in.saturating_add(count as u32);
                // Not if the peer's end was reported along with these bytes: no edge will report it
                // again, so it has to be read.
                let ended = self.can.contains(Readiness::ENDED);
                let more = ended || self.stream.has_more();
                if SHORT_MEANS_DRAINED && count < buffer.len() && !more {
                    self.can = self.can.without(Readiness::READABLE);
                }
                let bytes = &buffer[..count];
                if self.inbox.is_empty() {
                    // The common case: parsed where it was read, without copying.
                    let used = self.consume(bytes, budget, service, turn);
                    if used < bytes.len() && self.wants_more() {
                        self.inbox = service.buffers.take();
                        self.inbox.extend_from_slice(&bytes[used..]);
                    }
                } else {
                    let mut inbox = std::mem::take(&mut self.inbox);
                    inbox.extend_from_slice(bytes);
                    let used = self.consume(&inbox, budget, service, turn);
                    self.keep(inbox, used, service);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.can = self.can.without(Readiness::READABLE);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                self.answer_fault(Fault::TLS_NEEDED, service, turn);
            }
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {
                return Some(Reason("TLS failed"));
            }
            Err(_) => return Some(RESET),
        }
        None
    }

    /// The peer will send nothing more. It may still be reading: what it asked is answered.
    fn peer_ended(
        &mut self,
        service: &mut Service,
        turn: &mut Turn<'_, Message>,
    ) -> Option<Reason> {
        self.can = self.can.without(Readiness::READABLE);
        let reason = match &mut self.state {
            State::Live(live) => {
                turn.flush(); // where nothing waits to be written, this is the end
                let reason = live.peer_ends()?;
                self.leave(service);
                reason
            }
            State::Idle { .. } => Reason("closed by the peer"),
            _ => Reason("closed by the peer within a request"),
        };
        if self.has_written_all() {
            return Some(reason);
        }
        self.state = State::Closing {
            reason,
            linger: false,
        };
        None
    }

    /// Whether bytes that were read and not used are of any use.
    fn wants_more(&self) -> bool {
        !matches!(self.state, State::Closing { .. } | State::Lingering { .. })
    }

    /// Keeps what was not used of the inbox.
    fn keep(&mut self, mut inbox: Vec<u8>, used: usize, service: &mut Service) {
        if used < inbox.len() && self.wants_more() {
            inbox.drain(..used);
            self.inbox = inbox;
        } else {
            service.buffers.give_back(inbox);
        }
    }

    /// Handles as many requests from `input` as there are, or the budget allows; how many bytes
    /// those were.
    fn consume(
        &mut self,
        input: &[u8],
        budget: &mut usize,
        service: &mut Service,
        turn: &mut Turn<'_, Message>,
    ) -> usize {
        let mut used = 0;
        while *budget > 0 && used < input.len() && self.takes_bytes() {
            if let State::Live(_) = self.state {
                return used + self.hear(&input[used..], budget, service, turn);
            }
            let step = if let State::Body { .. } = self.state {
                self.feed_body(&input[used..], service, turn)
            } else {
                self.take_request(&input[used..], service, turn)
            };
            match step {
                Ok(Step::Took(count)) => {
                    used += count;
                    *budget -= 1;
                }
                Ok(Step::Incomplete) => {
                    let anew =
                        matches!(self.state, State::Head { .. }) && planted(Bug::DripExtends);
                    if anew || matches!(self.state, State::Idle { .. }) {
                        self.state = State::Head { since: turn.now() };
                    }
                    break;
                }
                Err(fault) => {
                    self.answer_fault(fault, service, turn);
                    return input.len();
                }
            }
        }
        used
    }

    /// Takes one request from the front of `input`, or as much of it as has arrived.
    fn take_request(
        &mut self,
        input: &[u8],
        service: &mut Service,
        turn: &mut Turn<'_, Message>,
    ) -> Result<Step, Fault> {
        let mut slots = HeaderSlots::new();
        let limits = &service.app.config.limits;
        let Some(head) = parse_head(input, &mut slots, limits)? else {
            return Ok(Step::Incomplete);
        };
        if head.framing == Framing::Length(0) {
            self.handle(&head, &[], service, turn);
            return Ok(Step::Took(head.length));
        }
        self.take_with_body(&head, input, service, turn)
    }

    /// Takes one request that has a body, or as much of it as has arrived.
    fn take_with_body(
        &mut self,
        head: &Head<'_>,
        input: &[u8],
        service: &mut Service,
        turn: &mut Turn<'_, Message>,
    ) -> Result<Step, Fault> {
        let rest = &input[head.length..];
        // The client asks before it sends: it is told to go on only if the body will be of use.
        let asks = head.expect_continue && rest.is_empty();
        let table = service.table(self.realm);
        let (from_head, known) = match table.find(head.method, head.target.path) {
            Found::Handler { reads_body, .. } => (!reads_body, true),
            Found::NotImplemented => return Err(Fault::METHOD_NOT_IMPLEMENTED),
            Found::Options(_) | Found::NotAllowed(_) | Found::Nothing => (false, false),
        };
        let bytes_max = service.app.config.limits.body_bytes_max;
        if !from_head && matches!(head.framing, Framing::Length(n) if n > bytes_max as u64) {
            return Err(Fault::BODY_TOO_LARGE);
        }
        if from_head || (asks && !known) {
            // The body may follow all the same, and would be taken for the next request.
            self.state = State::Closing {
                reason: Reason("body not wanted"),
                linger: true,
            };
            let mut last = *head;
            last.keep_alive = false;
            self.handle(&last, &[], service, turn);
            return Ok(Step::Took(input.len()));
        }
        if let Framing::Length(length) = head.framing
            && let Some(body) = rest.get(..length as usize)
        {
            self.handle(head, body, service, turn);
            return Ok(Step::Took(head.length + body.len()));
        }
        if asks {
            self.outbox
                .buffer(&mut service.buffers)
                .extend_from_slice(CONTINUE);
        }
        let body = Box::new(Body::new(&input[..head.length], head.framing));
        self.state = State::Body {
            since: turn.now(),
            body,
        };
        if rest.is_empty() {
            return Ok(Step::Took(head.length));
        }
        let head_length = head.length;
        let Step::Took(count) = self.feed_body(&input[head_length..], service, turn)? else {
            return Ok(Step::Took(input.len()));
        };
        Ok(Step::Took(head_length + count))
    }

    /// Takes what belongs to the body; handles the request when that is all of it.
    fn feed_body(
        &mut self,
        input: &[u8],
        service: &mut Service,
        turn: &mut Turn<'_, Message>,
    ) -> Result<Step, Fault> {
        let State::Body { body, .. } = &mut self.state else {
            unreachable!("only a connection that reads a body is fed one")
        };
        let (count, whole) = body.feed(input, &service.app.config.limits)?;
        if whole {
            let State::Body { body, .. } = self.become_idle(turn) else {
                unreachable!("as above")
            };
            let mut slots = HeaderSlots::new();
            let head = parse_head(&body.head, &mut slots, &service.app.config.limits)?
                .expect("these bytes were a whole head before");
            self.handle(&head, &body.bytes, service, turn);
        }
        Ok(Step::Took(count))
    }
}
