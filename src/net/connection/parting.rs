//! The end of a connection whose peer may still be sending.

use std::io;
use std::net::Shutdown;

use super::{Connection, State};
use crate::net::message::Message;
use crate::net::service::Service;
use crate::reactor::{Next, Readiness, Reason, Stream, Turn};

impl<T: Stream> Connection<T> {
    /// Ends the connection; if the peer may still be sending, not before it has seen our end.
    pub(super) fn part(
        &mut self,
        reason: Reason,
        linger: bool,
        service: &Service,
        turn: &mut Turn<'_, Message>,
    ) -> Next {
        if !linger && !self.can.contains(Readiness::READABLE) {
            return Next::Close(reason);
        }
        self.stream.shutdown(Shutdown::Write);
        self.state = State::Lingering {
            since: turn.now(),
            reason,
        };
        turn.set_deadline(self.deadline(service));
        Next::Again
    }

    /// Throws away what still comes, until the end.
    pub(super) fn linger(&mut self, service: &mut Service, reason: Reason) -> Next {
        // Not upon "writable", which a stream whose writing side is shut always is.
        if !self.can.contains(Readiness::READABLE) {
            return Next::Wait;
        }
        let mut buffer = service.buffers.take_read();
        let read = self.stream.read(&mut buffer);
        service.buffers.give_read_back(buffer);
        match read {
            Ok(1..) => Next::Again,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.can = self.can.without(Readiness::READABLE);
                Next::Wait
            }
            _ => Next::Close(reason),
        }
    }
}
