//! What a source of this server has at hand while it runs.

use super::message::Message;
use super::service::Service;
use crate::app::Context;
use crate::reactor::Turn;

/// One call of a source by the loop: what all sources share, and what may be asked of the loop.
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
