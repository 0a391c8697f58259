//! The way in: bytes become requests.

use super::protocol::Protocol;
use super::state::{Flow, State};
use crate::config::{REQUESTS_PER_TURN, SOURCES_WITH_ALL};
use crate::http::{CONTINUE, Fault, HeaderSlots, parse_head};
use crate::net::call::Call;
use crate::net::exchange::End;
use crate::net::framing::{Body, Framed, frame};
use crate::net::tally::RESET;
use crate::planted::{Bug, planted};
use crate::reactor::{Next, Readiness, Reason, Received};

impl Protocol {
    /// How many requests a connection may handle in one turn in which `crowd` sources have to be asked.
    pub(super) fn budget(crowd: usize) -> usize {
        match crowd {
            ..=SOURCES_WITH_ALL => REQUESTS_PER_TURN,
            crowd => (REQUESTS_PER_TURN * SOURCES_WITH_ALL / crowd).max(1),
        }
    }

    /// Whether this I/O may succeed, as far as is known.
    pub(super) fn can(&self, what: Readiness) -> bool {
        self.link.can.contains(what)
    }

    /// Handles bytes that were read before.
    #[inline]
    pub(super) fn go_on(&mut self, budget: &mut usize, call: &mut Call<'_, '_>) {
        if !self.inbox.is_empty() && self.takes_bytes() {
            let inbox = std::mem::take(&mut self.inbox);
            let used = self.consume(&inbox, budget, call);
            self.keep(inbox, used, call);
        }
    }

    /// Takes what a read gave, which is at the front of `buffer`.
    #[inline]
    pub(super) fn received(
        &mut self,
        received: &Received,
        buffer: &[u8],
        budget: &mut usize,
        call: &mut Call<'_, '_>,
    ) -> Flow {
        match received {
            Received::Bytes(count) => self.take_in(&buffer[..*count], budget, call),
            Received::End => return self.peer_ended(call),
            Received::Nothing => self.link.can = self.link.can.without(Readiness::READABLE),
            Received::Interrupted => {}
            Received::NotEncrypted => self.answer_fault(Fault::TLS_NEEDED, call),
            Received::TlsFailed => return Next::Close(Reason("TLS failed")).into(),
            Received::Broken(_) => return Next::Close(RESET).into(),
        }
        Flow::On
    }

    #[inline]
    fn take_in(&mut self, bytes: &[u8], budget: &mut usize, call: &mut Call<'_, '_>) {
        self.bytes_in = self.bytes_in.saturating_add(bytes.len() as u32);
        if self.inbox.is_empty() {
            // The common case: the bytes are parsed in the read buffer, without copying.
            let used = self.consume(bytes, budget, call);
            if used < bytes.len() && self.wants_more() {
                self.inbox = call.service.writer.buffers.take();
                self.inbox.extend_from_slice(&bytes[used..]);
            }
        } else {
            let mut inbox = std::mem::take(&mut self.inbox);
            inbox.extend_from_slice(bytes);
            let used = self.consume(&inbox, budget, call);
            self.keep(inbox, used, call);
        }
    }

    /// The peer will send nothing more. It may still be reading, so its requests are answered.
    fn peer_ended(&mut self, call: &mut Call<'_, '_>) -> Flow {
        self.link.can = self.link.can.without(Readiness::READABLE);
        let reason = match &mut self.state {
            State::Live(live) => {
                call.turn.flush(); // if nothing waits to be written, the connection ends
                let Some(reason) = live.peer_ends() else {
                    return Flow::On;
                };
                reason
            }
            State::Idle { .. } => Reason("closed by the peer"),
            _ => Reason("closed by the peer within a request"),
        };
        let linger = false;
        self.enter(State::Closing(End { reason, linger }), call.service);
        Flow::On
    }

    /// Whether bytes that were read and not used may still be needed.
    fn wants_more(&self) -> bool {
        !matches!(self.state, State::Closing(_) | State::Lingering(_))
    }

    /// Keeps the unused rest of the inbox.
    fn keep(&mut self, mut inbox: Vec<u8>, used: usize, call: &mut Call<'_, '_>) {
        if used < inbox.len() && self.wants_more() {
            inbox.drain(..used);
            self.inbox = inbox;
        } else {
            call.service.writer.buffers.give_back(inbox);
        }
    }

    /// Handles the requests in `input`, as many as the budget allows; returns how many bytes they
    /// took.
    fn consume(&mut self, input: &[u8], budget: &mut usize, call: &mut Call<'_, '_>) -> usize {
        let mut used = 0;
        while *budget > 0 && used < input.len() && self.takes_bytes() {
            if let State::Live(_) = self.state {
                return used + self.hear(&input[used..], budget, call);
            }
            let step = if let State::Body { .. } = self.state {
                self.feed_body(&input[used..], call).map(Some)
            } else {
                self.take_request(&input[used..], call)
            };
            match step {
                Ok(Some(count)) => {
                    used += count;
                    *budget -= 1;
                }
                Ok(None) => {
                    let anew =
                        matches!(self.state, State::Head { .. }) && planted(Bug::DripExtends);
                    if anew || matches!(self.state, State::Idle { .. }) {
                        let since = call.turn.now();
                        self.enter(State::Head { since }, call.service);
                    }
                    break;
                }
                Err(fault) => {
                    self.answer_fault(fault, call);
                    return input.len();
                }
            }
        }
        used
    }

    /// Takes one request from the front of `input`, or as much of it as has arrived; returns how many bytes it took.
    /// `None` if the head is not complete yet.
    fn take_request(
        &mut self,
        input: &[u8],
        call: &mut Call<'_, '_>,
    ) -> Result<Option<usize>, Fault> {
        let mut slots = HeaderSlots::new();
        let service = &*call.service;
        let (table, limits) = (service.table(self.realm), &service.app.config.limits);
        let Some(mut head) = parse_head(input, &mut slots, limits)? else {
            return Ok(None);
        };
        let (head_bytes, rest) = input.split_at(head.length);
        let taken = match frame(&head, rest, table, limits)? {
            Framed::Whole(body) => {
                self.handle(&head, body, None, call);
                head.length + body.len()
            }
            Framed::Unread => {
                head.keep_alive = false;
                self.handle(&head, &[], Some(Reason("body not wanted")), call);
                input.len()
            }
            Framed::Begun { asks } => {
                if asks {
                    let out = self.outbox.buffer(&mut call.service.writer.buffers);
                    out.extend_from_slice(CONTINUE);
                }
                let body = Box::new(Body::new(head_bytes, head.framing));
                let since = call.turn.now();
                self.enter(State::Body { since, body }, call.service);
                let of_body = match rest {
                    [] => 0,
                    rest => self.feed_body(rest, call)?,
                };
                head_bytes.len() + of_body
            }
        };
        Ok(Some(taken))
    }

    /// Takes bytes of the body, and handles the request when the body is complete; returns how many bytes it took.
    fn feed_body(&mut self, input: &[u8], call: &mut Call<'_, '_>) -> Result<usize, Fault> {
        let State::Body { body, .. } = &mut self.state else {
            unreachable!("only a connection that reads a body is fed one")
        };
        let (count, whole) = body.feed(input, &call.service.app.config.limits)?;
        if whole {
            let State::Body { body, .. } = self.become_idle(call) else {
                unreachable!("as above")
            };
            let mut slots = HeaderSlots::new();
            let head = parse_head(&body.head, &mut slots, &call.service.app.config.limits)?
                .expect("these bytes were a whole head before");
            self.handle(&head, &body.bytes, None, call);
        }
        Ok(count)
    }
}
