//! Who lets clients in: a listener's decisions.

use super::connection::Connection;
use super::service::{Message, Service};
use crate::reactor::{Accept, Peer, Seams, Source};

/// Lets clients in while there is room, and nobody when the server shuts down.
#[derive(Debug)]
pub struct Door;

impl<S: Seams> Accept<Service<S>> for Door {
    fn has_room(&self, service: &Service<S>) -> bool {
        service.connections < service.connections_max
    }

    fn accepted(
        &mut self,
        stream: S::Stream,
        peer: Peer,
        service: &mut Service<S>,
    ) -> Box<dyn Source<Service<S>>> {
        let admitted = service.opened(peer);
        Box::new(Connection::<S>::new(stream, peer, admitted))
    }

    fn closes(&self, message: &Message) -> bool {
        matches!(message, Message::Drain)
    }
}
