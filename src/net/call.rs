//! The arguments that every source of this server is called with.

use super::message::Message;
use super::service::Service;
use crate::app::Context;
use crate::reactor::Turn;

/// One call of a source by the loop: the state that all sources share, and the requests that may be made to the loop.
pub(super) struct Call<'c, 't> {
    pub(super) service: &'c mut Service,
    pub(super) turn: &'c mut Turn<'t, Message>,
}

impl Call<'_, '_> {
    /// What a handler or a continuation may use.
    pub(super) fn context(&mut self) -> Context<'_> {
        Service::context(&mut self.service.app, self.turn)
    }
}
