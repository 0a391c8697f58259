//! The way out: requests go to handlers, and their replies become bytes.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::protocol::Protocol;
use super::state::{State, Streaming};
use crate::app::{Found, Later, Reply, Request, Stream as Pieces, internal_error};
use crate::http::{
    Date, Fault, Head, Response, Status, WireOptions, encode, encode_chunk, encode_last_chunk,
    encode_stream_head,
};
use crate::ledger::Limit;
use crate::net::call::Call;
use crate::net::exchange::{End, Exchange};
use crate::net::message::Message;
use crate::net::realm::Realm;
use crate::net::service::Service;
use crate::reactor::Reason;

/// Bytes of a stream that are made ready at a time.
const STREAM_BYTES: usize = 64 * 1024;
/// Pieces of a stream that are made ready at a time.
const STREAM_PIECES: usize = 256;

impl Protocol {
    /// Handles a complete request: finds its handler, calls it, and answers now or later. With an `end`, the
    /// connection ends with the answer, even if the client wants to keep it.
    pub(super) fn handle(
        &mut self,
        head: &Head<'_>,
        body: &[u8],
        end: Option<Reason>,
        call: &mut Call<'_, '_>,
    ) {
        self.requests = self.requests.saturating_add(1);
        let access = call.service.access_record(Some(head), self.peer);
        call.service.app.asker = None;
        let mut exchange = Exchange::new(head, access, call.turn.now());
        exchange.end = end;
        let Service {
            routes,
            monitor_routes,
            app,
            ..
        } = &mut *call.service;
        let table = match self.realm {
            Realm::Clients => routes,
            Realm::Monitor => monitor_routes,
        };
        let reply = match table.find(head.method, head.target.path) {
            Found::Handler {
                handler,
                label,
                parameters,
                reads_body: _,
            } => {
                call.turn.label(label);
                exchange.route = label;
                self.asked = label;
                let request =
                    Request::new(head, body, self.peer, parameters).over(self.link.is_secure);
                let mut cx = Service::context(app, call.turn);
                catch_unwind(AssertUnwindSafe(|| handler(&request, &mut cx))).map_err(|_| label)
            }
            Found::NotImplemented => {
                return self.answer_fault(Fault::METHOD_NOT_IMPLEMENTED, call);
            }
            found => Ok(Reply::Now(from_table(found))),
        };
        exchange.is_of(call.service.app.asker);
        match reply {
            Ok(reply) => self.reply(reply, exchange, call),
            Err(label) => {
                let detail = format!("the handler of {} panicked", call.turn.ledger().name(label));
                call.service
                    .app
                    .report("handler_panicked", detail, call.turn.unix_ms());
                self.answer_panic("its handler panicked", exchange, call);
            }
        }
    }

    /// Answers 500 and ends the connection: a handler that panicked may have left an inconsistent state.
    pub(super) fn answer_panic(
        &mut self,
        why: &'static str,
        mut exchange: Exchange,
        call: &mut Call<'_, '_>,
    ) {
        exchange.end = Some(Reason(why));
        self.answer(&internal_error(), &exchange, call);
    }

    /// Answers that there is no room now, and when the client may try again.
    pub(super) fn answer_busy(
        &mut self,
        detail: &str,
        exchange: &Exchange,
        call: &mut Call<'_, '_>,
    ) {
        let busy = Response::problem(Status::SERVICE_UNAVAILABLE, "busy", detail);
        self.answer(&busy.with_header("Retry-After", "1"), exchange, call);
    }

    /// Does what a reply says.
    pub(super) fn reply(&mut self, reply: Reply, exchange: Exchange, call: &mut Call<'_, '_>) {
        match reply {
            Reply::Now(response) => {
                self.answer(&response, &exchange, call);
                call.service.app.reuse(response);
                call.service.access_log.reuse(exchange.access);
            }
            Reply::Prepared(prepared) => {
                let encode = |wire: WireOptions<'_>, date: &Date, out: &mut Vec<u8>| {
                    prepared.encode(wire, date, out);
                };
                self.answer_with(prepared.response(), encode, &exchange, call);
                call.service.access_log.reuse(exchange.access);
            }
            Reply::Later(later) => self.hand_out(later, exchange, call),
            Reply::Stream(pieces) => self.stream(pieces, exchange, call),
            Reply::Events(follow) => self.follow(*follow, exchange, call),
            Reply::Wait(wait) => self.park(*wait, exchange, call),
            Reply::WebSocket(upgrade) => self.upgrade(*upgrade, exchange, call),
            Reply::Snapshot(then) => self.take_snapshot(then, exchange, call),
            Reply::Watch(greeting) => self.watch(greeting, &exchange, call),
            Reply::End(source, response) => {
                call.turn.send(source, Message::End);
                self.answer(&response, &exchange, call);
            }
        }
    }

    /// Submits work and waits for it; answers at once if no worker takes it.
    fn hand_out(&mut self, later: Later, exchange: Exchange, call: &mut Call<'_, '_>) {
        let connection = Some(call.turn.token());
        match call.service.hand_out(later, connection, call.turn) {
            None => self.waits(exchange, call),
            Some(answer) => self.reply(answer, exchange, call),
        }
    }

    /// The connection waits for its answer, which comes in a message.
    pub(super) fn waits(&mut self, exchange: Exchange, call: &mut Call<'_, '_>) {
        let exchange = Box::new(exchange);
        self.enter(State::Waiting { exchange }, call.service);
    }

    /// Whether the connection ends after this answer.
    #[inline]
    fn ends_after(&self, exchange: &Exchange, service: &Service) -> bool {
        !exchange.keep_alive
            || exchange.end.is_some()
            || service.lifecycle.is_draining()
            || (self.link.is_secure && service.lifecycle.is_handing_over())
    }

    /// Puts a whole answer into the outbox.
    pub(super) fn answer(
        &mut self,
        response: &Response,
        exchange: &Exchange,
        call: &mut Call<'_, '_>,
    ) {
        let encode = |wire: WireOptions<'_>, date: &Date, out: &mut Vec<u8>| {
            encode(response, wire, date, out);
        };
        self.answer_with(response, encode, exchange, call);
    }

    fn answer_with(
        &mut self,
        response: &Response,
        encode: impl FnOnce(WireOptions<'_>, &Date, &mut Vec<u8>),
        exchange: &Exchange,
        call: &mut Call<'_, '_>,
    ) {
        let ends = self.ends_after(exchange, call.service);
        let (secure, unix_ms) = (self.link.is_secure, call.turn.unix_ms());
        let writer = &mut call.service.writer;
        writer.write(&mut self.outbox, secure, unix_ms, |fields, date, out| {
            encode(exchange.wire(ends, fields), date, out);
        });
        exchange.answered(response.status, response.content().len(), call);
        self.after_answer(ends, exchange, call);
    }

    /// The answer is complete: the next request follows, or the end.
    #[inline]
    pub(super) fn after_answer(
        &mut self,
        ends: bool,
        exchange: &Exchange,
        call: &mut Call<'_, '_>,
    ) {
        if ends {
            self.enter(State::Closing(exchange.how_it_ends()), call.service);
        } else if let State::Idle { since } = &mut self.state {
            *since = call.turn.now(); // nearly always: the whole request came at once
        } else {
            self.become_idle(call);
        }
    }

    /// Answers an invalid or late request, and ends the connection.
    pub(super) fn answer_fault(&mut self, fault: Fault, call: &mut Call<'_, '_>) {
        log::debug!("{} sent no request: {fault}", self.peer);
        match fault.status {
            Status::REQUEST_TIMEOUT => call.turn.ledger().limit_reached(Limit::RequestTime),
            Status::CONTENT_TOO_LARGE | Status::URI_TOO_LONG | Status::HEADER_FIELDS_TOO_LARGE => {
                call.turn.ledger().limit_reached(Limit::RequestSize);
            }
            _ => {}
        }
        let end = Reason(fault.code);
        let exchange = self.no_exchange(end, call);
        self.answer(&fault.into(), &exchange, call);
    }

    /// An exchange for bytes that are no request.
    pub(super) fn no_exchange(&self, end: Reason, call: &mut Call<'_, '_>) -> Exchange {
        let access = call.service.access_record(None, self.peer);
        Exchange::unknown(access, end, call.turn.now())
    }

    /// Begins an answer whose body is made as the client takes it.
    fn stream(&mut self, pieces: Pieces, exchange: Exchange, call: &mut Call<'_, '_>) {
        let chunked = exchange.can_be_chunked();
        // Without chunks only the end of the connection can end the body.
        let close = self.ends_after(&exchange, call.service) || !chunked;
        let (secure, unix_ms) = (self.link.is_secure, call.turn.unix_ms());
        let writer = &mut call.service.writer;
        let mut is_chunked = chunked;
        writer.write(&mut self.outbox, secure, unix_ms, |fields, date, out| {
            let wire = exchange.wire(close, fields);
            is_chunked = encode_stream_head(&pieces.head, wire, date, chunked, out);
        });
        if exchange.head_only() || !pieces.head.status.allows_content() {
            exchange.answered(pieces.head.status, 0, call);
            return self.after_answer(close, &exchange, call);
        }
        let streaming = Streaming {
            exchange,
            pieces,
            chunked: is_chunked,
            bytes: 0,
        };
        self.enter(State::Streaming(Box::new(streaming)), call.service);
        self.fill(call);
    }

    /// Makes more of a stream's body, until enough is ready or the body is complete.
    pub(super) fn fill(&mut self, call: &mut Call<'_, '_>) {
        let State::Streaming(streaming) = &mut self.state else {
            return;
        };
        let Streaming {
            exchange,
            pieces,
            chunked,
            bytes,
        } = &mut **streaming;
        let out = self.outbox.buffer(&mut call.service.writer.buffers);
        let chunked = *chunked;
        let before = out.len();
        let whole = catch_unwind(AssertUnwindSafe(|| {
            // Pieces are counted as well as measured: they may be empty, and there may be infinitely many.
            for _ in 0..STREAM_PIECES {
                if out.len() >= STREAM_BYTES {
                    break;
                }
                match pieces.pieces.next() {
                    Some(piece) if chunked => encode_chunk(&piece, out),
                    Some(piece) => out.extend_from_slice(&piece),
                    None => return true,
                }
            }
            false
        }));
        *bytes += out.len() - before;
        match whole {
            Ok(false) => {}
            Ok(true) => {
                if chunked {
                    encode_last_chunk(out);
                }
                exchange.answered(pieces.head.status, *bytes, call);
                let ends = !exchange.keep_alive
                    || exchange.end.is_some()
                    || !chunked
                    || call.service.lifecycle.is_draining();
                let since = call.turn.now();
                let next = if ends {
                    State::Closing(exchange.how_it_ends())
                } else {
                    State::Idle { since }
                };
                self.enter(next, call.service);
            }
            Err(_) => {
                // Without the last chunk the client sees that the body is not complete.
                let detail = "a stream panicked".into();
                let unix_ms = call.turn.unix_ms();
                call.service.app.report("handler_panicked", detail, unix_ms);
                let end = End {
                    reason: Reason("its stream panicked"),
                    linger: true,
                };
                self.enter(State::Closing(end), call.service);
            }
        }
    }
}

/// The answers that the table gives by itself.
fn from_table(found: Found<'_>) -> Response {
    match found {
        Found::Options(allow) => Response::new(Status::NO_CONTENT).with_header("Allow", allow),
        Found::NotAllowed(allow) => Response::problem(
            Status::METHOD_NOT_ALLOWED,
            "method_not_allowed",
            &format!("this path allows {allow}"),
        )
        .with_header("Allow", allow),
        Found::NotImplemented | Found::Nothing | Found::Handler { .. } => {
            Response::problem(Status::NOT_FOUND, "not_found", "nothing is at this path")
        }
    }
}
