//! What signals do to a server.

use std::io;

use super::Server;
use super::start::{key_path, read_keys};
use crate::app::Reply;
use crate::net::Service;
use crate::reactor::{Os, Seams, Signal, SignalSource, Turn};

impl Server<Os> {
    /// Shuts down on SIGTERM and SIGINT: the first drains, a second one stops at once. SIGHUP
    /// reads the key file and the certificate again.
    ///
    /// # Errors
    /// When the system gives no descriptors.
    pub fn handle_signals(&mut self) -> io::Result<()> {
        for signal in [Signal::Terminate, Signal::Interrupt] {
            self.shut_down_on(signal.stream()?)?;
            if let Some(stage) = &self.stage {
                signal.sets(stage.ended())?; // a loop that stands at a gate hears nothing
            }
        }
        let listening = self.listening.clone();
        self.on_bytes(Signal::Hangup.stream()?, move |service, turn| {
            if let Some(path) = key_path(&service.app.config.store) {
                service.do_unasked(read_keys(path), turn);
            }
            if let Some(reply) = listening.as_ref().and_then(|l| l.read_again()) {
                service.do_unasked(reply, turn);
            }
        })
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
        self.on_bytes(signal.stream()?, move |service, turn| {
            let reply = Reply::later(prepare(), move |done, _cx| {
                if let Err(error) = done {
                    log::warn!("the signal {signal:?} had no effect: {error}");
                }
                Reply::empty(204)
            });
            service.do_unasked(reply, turn);
        })
    }

    /// Calls `act` on the loop whenever `signal` arrives; it must not block.
    ///
    /// # Errors
    /// When the system gives no descriptors.
    pub fn on_signal(&mut self, signal: Signal, mut act: impl FnMut() + 'static) -> io::Result<()> {
        self.on_bytes(signal.stream()?, move |_, _| act())
    }
}

impl<S: Seams> Server<S> {
    /// The first byte of `stream` has the server drain, the second one stop at once.
    pub(crate) fn shut_down_on(&mut self, stream: S::Stream) -> io::Result<()> {
        self.on_bytes(stream, |service, turn| {
            if service.is_draining() {
                log::warn!("told twice to shut down: stopping at once");
                turn.stop();
            } else {
                service.drain(turn);
            }
        })
    }

    /// Calls `act` on the loop for each byte of `stream`.
    pub(crate) fn on_bytes(
        &mut self,
        stream: S::Stream,
        act: impl FnMut(&mut Service<S>, &mut Turn<'_, Service<S>>) + 'static,
    ) -> io::Result<()> {
        let source = Box::new(SignalSource::new(stream, act));
        self.reactor.add(source).map(drop)
    }
}
