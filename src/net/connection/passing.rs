//! Connections that another process goes on with: given away here, taken up there.

use std::io;

use super::{Connection, State};
use crate::net::door::Realm;
use crate::net::message::Message;
use crate::net::service::{Passed, Service};
use crate::reactor::{OsStream, Peer, Reactor, Stream, Turn};

impl<T: Stream> Connection<T> {
    /// Gives the connection to another process, if it is between two requests or has a part of a head;
    /// whether it has. What it has under way is finished before; an encrypted one cannot be given away.
    #[cold]
    pub(super) fn passes(&mut self, service: &mut Service, turn: &mut Turn<'_, Message>) -> bool {
        let is_between = matches!(self.state, State::Idle { .. } | State::Head { .. });
        if !is_between || self.stream.is_secure() || self.realm == Realm::Monitor {
            return false;
        }
        turn.deregister(&mut self.stream);
        let Some(descriptor) = self.stream.take_descriptor() else {
            return turn.register(&mut self.stream).is_err();
        };
        let Self { inbox, outbox, .. } = self;
        service.clients.passed.push(Passed {
            descriptor,
            input: std::mem::take(inbox),
            output: outbox.take(&mut service.buffers),
        });
        true
    }

    /// Goes on with a connection that another process had. The time for a head begins anew.
    pub(super) fn adopted(stream: T, peer: Peer, passed: (Vec<u8>, Vec<u8>)) -> Self {
        let (input, output) = passed;
        let mut connection = Self::new(stream, peer, Realm::Clients, true);
        connection.inbox = input;
        connection.outbox.put(output);
        connection
    }
}

/// Puts a connection on the loop that another process gave up.
///
/// # Errors
/// When its peer has gone, or the system has no room for one more registration.
pub fn adopt(reactor: &mut Reactor<Service>, passed: Passed) -> io::Result<()> {
    let (stream, peer) = OsStream::adopt(passed.descriptor)?;
    let Service { app, clients, .. } = &mut reactor.program;
    clients.opened(peer, Realm::Clients, &app.config);
    let connection = Connection::<OsStream>::adopted(stream, peer, (passed.input, passed.output));
    reactor.add(Box::new(connection)).map(drop)
}
