//! What signals do to a server.

use std::io;

use super::Server;
use super::start::{key_path, read_keys};
use crate::app::Reply;
use crate::net::Service;
use crate::reactor::{Os, Signal, SignalSource, Turn};

impl Server<Os> {
    /// Shuts down on SIGTERM and SIGINT: the first drains, a second one stops at once. SIGHUP
    /// reads the key file and the certificate again.
    ///
    /// # Errors
    /// When the system gives no descriptors.
    pub fn handle_signals(&mut self) -> io::Result<()> {
        for signal in [Signal::Terminate, Signal::Interrupt] {
            let act = |service: &mut Service<Os>, turn: &mut Turn<'_, Service<Os>>| {
                if service.is_draining() {
                    log::warn!("told twice to shut down: stopping at once");
                    turn.stop();
                } else {
                    service.drain(turn);
                }
            };
            self.reactor
                .add(Box::new(SignalSource::new(signal.stream()?, act)))?;
        }
        let listening = self.listening.clone();
        let act = move |service: &mut Service<Os>, turn: &mut Turn<'_, Service<Os>>| {
            if let Some(path) = key_path(&service.app.config.store) {
                service.do_unasked(read_keys(path), turn);
            }
            if let Some(reply) = listening.as_ref().and_then(|l| l.read_again()) {
                service.do_unasked(reply, turn);
            }
        };
        self.reactor
            .add(Box::new(SignalSource::new(Signal::Hangup.stream()?, act)))?;
        Ok(())
    }

    /// Calls `prepare` on the loop whenever `signal` arrives, and the job that it makes, which may block, on a
    /// worker thread.
    ///
    /// # Errors
    /// When the system gives no descriptors.
    pub fn on_signal_later<J: FnOnce() + Send + 'static>(
        &mut self,
        signal: Signal,
        prepare: impl Fn() -> J + 'static,
    ) -> io::Result<()> {
        let act = move |service: &mut Service<Os>, turn: &mut Turn<'_, Service<Os>>| {
            let reply = Reply::later(prepare(), move |done, _cx| {
                if let Err(error) = done {
                    log::warn!("the signal {signal:?} had no effect: {error}");
                }
                Reply::empty(204)
            });
            service.do_unasked(reply, turn);
        };
        self.reactor
            .add(Box::new(SignalSource::new(signal.stream()?, act)))?;
        Ok(())
    }

    /// Calls `act` on the loop whenever `signal` arrives; it must not block.
    ///
    /// # Errors
    /// When the system gives no descriptors.
    pub fn on_signal(&mut self, signal: Signal, mut act: impl FnMut() + 'static) -> io::Result<()> {
        let act = move |_: &mut Service<Os>, _: &mut Turn<'_, Service<Os>>| act();
        self.reactor
            .add(Box::new(SignalSource::new(signal.stream()?, act)))?;
        Ok(())
    }
}
