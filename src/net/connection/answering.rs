//! The way out: requests go to handlers, and what those reply becomes bytes.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::{Connection, State};
use crate::app::{Found, Reply, Request, Stream as Pieces, internal_error};
use crate::http::{
    Date, Fault, Head, Response, Status, Wire, encode, encode_chunk, encode_last_chunk,
    encode_stream_head,
};
use crate::ledger::Limit;
use crate::net::door::Realm;
use crate::net::exchange::Exchange;
use crate::net::message::Message;
use crate::net::service::Service;
use crate::reactor::{Next, Peer, Reason, Stream, Turn};

/// Bytes of a stream that are made ready at a time.
const STREAM_BYTES: usize = 64 * 1024;
/// Pieces of a stream that are made ready at a time.
const STREAM_PIECES: usize = 256;

/// An answer whose body is made as it is taken.
pub(super) struct Streaming {
    pub(super) exchange: Exchange,
    pub(super) pieces: Pieces,
    /// The pieces are chunks; else the end of the connection ends the body.
    pub(super) chunked: bool,
    /// Bytes of body made so far, as they are on the wire.
    pub(super) bytes: usize,
}

impl<T: Stream> Connection<T> {
    /// A whole request: finds its handler, calls it, and answers or remembers to.
    pub(super) fn handle(
        &mut self,
        head: &Head<'_>,
        body: &[u8],
        service: &mut Service,
        turn: &mut Turn<'_, Message>,
    ) {
        self.requests = self.requests.saturating_add(1);
        let mut exchange = Exchange::new(head, service.clients.timed, turn.now());
        let Service {
            routes,
            monitor_routes,
            app,
            ..
        } = service;
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
                turn.label(label);
                exchange.route = label;
                self.asked = label;
                let request =
                    Request::new(head, body, self.peer, parameters).over(self.stream.is_secure());
                let mut cx = Service::context(app, turn);
                catch_unwind(AssertUnwindSafe(|| handler(&request, &mut cx))).map_err(|_| label)
            }
            Found::NotImplemented => {
                return self.answer_fault(Fault::METHOD_NOT_IMPLEMENTED, service, turn);
            }
            found => Ok(Reply::Now(from_table(found))),
        };
        match reply {
            Ok(reply) => self.reply(reply, exchange, service, turn),
            Err(label) => {
                let detail = format!("the handler of {} panicked", turn.ledger().name(label));
                service
                    .app
                    .report("handler_panicked", detail, turn.unix_ms());
                self.answer_panic("its handler panicked", &exchange, service, turn);
            }
        }
    }

    /// Answers 500 and ends the connection: what panicked may have left half of something behind.
    pub(super) fn answer_panic(
        &mut self,
        why: &'static str,
        exchange: &Exchange,
        service: &mut Service,
        turn: &mut Turn<'_, Message>,
    ) {
        self.state = State::Closing {
            reason: Reason(why),
            linger: true,
        };
        self.answer(&internal_error(), exchange, service, turn);
    }

    /// Does what a reply says.
    pub(super) fn reply(
        &mut self,
        reply: Reply,
        exchange: Exchange,
        service: &mut Service,
        turn: &mut Turn<'_, Message>,
    ) {
        match service.submit_all(reply, Some(turn.token()), turn) {
            Some(Reply::Now(response)) => {
                self.answer(&response, &exchange, service, turn);
                service.app.reuse(response);
            }
            Some(Reply::Prepared(prepared)) => {
                let encode = |wire: Wire<'_>, date: &Date, out: &mut Vec<u8>| {
                    prepared.encode(wire, date, out);
                };
                self.answer_with(prepared.status(), encode, &exchange, service, turn);
            }
            Some(Reply::Stream(pieces)) => self.stream(pieces, exchange, service, turn),
            Some(Reply::Events(follow)) => self.follow(*follow, exchange, service, turn),
            Some(Reply::Wait(wait)) => self.park(*wait, exchange, service, turn),
            Some(Reply::WebSocket(upgrade)) => self.upgrade(*upgrade, exchange, service, turn),
            Some(Reply::Later(_)) => unreachable!("work is handed over, or answered for"),
            Some(Reply::Look(look)) => self.look(look, exchange, service, turn),
            Some(Reply::Watch(greeting)) => self.watch(greeting, &exchange, service, turn),
            Some(Reply::End(source, response)) => {
                turn.tell(source, Message::End);
                self.answer(&response, &exchange, service, turn);
            }
            None => self.waits(exchange),
        }
    }

    /// The answer comes in a message.
    pub(in crate::net) fn waits(&mut self, exchange: Exchange) {
        let exchange = Box::new(exchange);
        self.state = State::Waiting { exchange };
    }

    /// Whether the connection ends after this answer.
    fn closes_after(&self, exchange: &Exchange, service: &Service) -> bool {
        !exchange.keep_alive
            || service.life.is_draining()
            || matches!(self.state, State::Closing { .. })
            || (self.stream.is_secure() && service.life.is_handing_over())
    }

    /// Puts a whole answer into the outbox.
    pub(in crate::net) fn answer(
        &mut self,
        response: &Response,
        exchange: &Exchange,
        service: &mut Service,
        turn: &mut Turn<'_, Message>,
    ) {
        let encode =
            |wire: Wire<'_>, date: &Date, out: &mut Vec<u8>| encode(response, wire, date, out);
        self.answer_with(response.status, encode, exchange, service, turn);
    }

    fn answer_with(
        &mut self,
        status: Status,
        encode: impl FnOnce(Wire<'_>, &Date, &mut Vec<u8>),
        exchange: &Exchange,
        service: &mut Service,
        turn: &mut Turn<'_, Message>,
    ) {
        let close = self.closes_after(exchange, service);
        service.date.refresh(turn.unix_ms() / 1000);
        let waiting = self.outbox.len();
        let fields = own_fields(&self.stream, &service.secure_fields);
        let out = self.outbox.buffer(&mut service.buffers);
        encode(exchange.wire(close, fields), &service.date, out);
        let bytes = self.outbox.len() - waiting;
        log(self.peer, exchange, status, bytes, turn);
        self.after_answer(close, exchange.keep_alive, turn);
    }

    pub(super) fn after_answer(
        &mut self,
        close: bool,
        keep_alive: bool,
        turn: &mut Turn<'_, Message>,
    ) {
        if !close {
            self.become_idle(turn);
        } else if !matches!(self.state, State::Closing { .. }) {
            self.state = State::Closing {
                reason: Reason("as agreed"),
                // Who meant to go on may have sent its next request already.
                linger: keep_alive,
            };
        }
    }

    /// Answers what was no request, or not in time, and ends the connection.
    pub(super) fn answer_fault(
        &mut self,
        fault: Fault,
        service: &mut Service,
        turn: &mut Turn<'_, Message>,
    ) {
        log::debug!("{} sent no request: {fault}", self.peer);
        match fault.status {
            Status::REQUEST_TIMEOUT => turn.ledger().limit_reached(Limit::RequestTime),
            Status::CONTENT_TOO_LARGE | Status::URI_TOO_LONG | Status::HEADER_FIELDS_TOO_LARGE => {
                turn.ledger().limit_reached(Limit::RequestSize);
            }
            _ => {}
        }
        self.state = State::Closing {
            reason: Reason(fault.code),
            linger: true,
        };
        let exchange = Exchange::unknown(service.clients.timed, turn.now());
        self.answer(&fault.into(), &exchange, service, turn);
    }

    /// Begins an answer whose body is made as it is taken.
    fn stream(
        &mut self,
        pieces: Pieces,
        exchange: Exchange,
        service: &mut Service,
        turn: &mut Turn<'_, Message>,
    ) {
        let chunked = exchange.can_be_chunked();
        // Without chunks only the end of the connection can end the body.
        let close = self.closes_after(&exchange, service) || !chunked;
        service.date.refresh(turn.unix_ms() / 1000);
        let fields = own_fields(&self.stream, &service.secure_fields);
        let (wire, date) = (exchange.wire(close, fields), &service.date);
        let out = self.outbox.buffer(&mut service.buffers);
        let chunked = encode_stream_head(&pieces.head, wire, date, chunked, out);
        if exchange.head_only() || !pieces.head.status.allows_content() {
            log(self.peer, &exchange, pieces.head.status, 0, turn);
            return self.after_answer(close, exchange.keep_alive, turn);
        }
        self.state = State::Streaming(Box::new(Streaming {
            exchange,
            pieces,
            chunked,
            bytes: 0,
        }));
        self.fill(service, turn);
    }

    /// Makes more of a stream's body, until enough is ready or it is whole.
    fn fill(&mut self, service: &mut Service, turn: &mut Turn<'_, Message>) {
        let State::Streaming(streaming) = &mut self.state else {
            return;
        };
        let Streaming {
            exchange,
            pieces,
            chunked,
            bytes,
        } = &mut **streaming;
        let out = self.outbox.buffer(&mut service.buffers);
        let chunked = *chunked;
        let before = out.len();
        let whole = catch_unwind(AssertUnwindSafe(|| {
            // Counted as well as measured: pieces may be empty, and there may be no end of them.
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
                log(self.peer, exchange, pieces.head.status, *bytes, turn);
                let keep_alive = exchange.keep_alive;
                let close = !keep_alive || !chunked || service.life.is_draining();
                self.after_answer(close, keep_alive, turn);
            }
            Err(_) => {
                // Without its last chunk the peer sees that the body is not whole.
                let detail = "a stream panicked".into();
                service
                    .app
                    .report("handler_panicked", detail, turn.unix_ms());
                self.state = State::Closing {
                    reason: Reason("its stream panicked"),
                    linger: true,
                };
            }
        }
    }

    /// The outbox is empty: what comes next?
    pub(super) fn flushed(
        &mut self,
        was_blocked: bool,
        service: &mut Service,
        turn: &mut Turn<'_, Message>,
    ) -> Next {
        match self.state {
            State::Streaming(_) => {
                self.fill(service, turn);
                turn.set_deadline(self.deadline(service));
                turn.flush();
                Next::Wait
            }
            State::Live(_) => self.live_flushed(was_blocked, service, turn),
            State::Closing { reason, linger } => self.part(reason, linger, service, turn),
            _ => self.settle(service, turn),
        }
    }
}

/// The fields of every answer on this connection.
#[inline]
pub(super) fn own_fields<'f>(stream: &impl Stream, secure_fields: &'f [u8]) -> &'f [u8] {
    if stream.is_secure() {
        secure_fields
    } else {
        &[]
    }
}

/// Writes the access line, if there is one to write: only then is the clock read for it.
#[inline]
pub(super) fn log(
    peer: Peer,
    exchange: &Exchange,
    status: Status,
    bytes: usize,
    turn: &mut Turn<'_, Message>,
) {
    turn.ledger().answered(exchange.route, status.code());
    if exchange.is_logged() {
        exchange.log(peer, status, bytes, turn.measure() - exchange.began);
    }
}

/// What the table answers by itself.
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
