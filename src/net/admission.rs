//! Which clients a listener lets in.

use super::connection::Connection;
use super::realm::Realm;
use super::service::Service;
use crate::net::message::Message;
use crate::reactor::{Accept, Kind, Peer, Source, Stream};

/// Admits clients while there is room, and none when the server shuts down.
#[derive(Debug)]
pub struct Admission(pub Realm);

impl<T: Stream> Accept<Service, T> for Admission {
    fn kind(&self) -> Kind {
        self.0.kind_of_listeners()
    }

    fn has_room(&self, service: &Service) -> bool {
        service.clients.have_room(self.0)
    }

    fn accepted(
        &mut self,
        stream: T,
        peer: Peer,
        service: &mut Service,
    ) -> Box<dyn Source<Service>> {
        service.access_log.refresh();
        let admitted = service.clients.opened(peer, self.0, &service.app.config);
        Box::new(Connection::new(stream, peer, self.0, admitted))
    }

    fn closes(&self, message: &Message) -> bool {
        matches!(message, Message::Drain)
    }
}
