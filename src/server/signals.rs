//! How a server reacts to signals.

use std::io;

use super::Server;
use super::start::{key_path, read_keys};
use crate::net::{Message, Service};
use crate::reactor::{Arrivals, OsStream, Signal, SignalSource, Stream, Turn};

/// Signals for a program in which one server may follow another: a signal that one server has not handled is
/// left for the next.
#[derive(Debug)]
pub struct Signals(Vec<(Signal, Arrivals)>);

impl Signals {
    /// Listens for these signals; from now on they no longer have their default effect.
    ///
    /// # Errors
    /// When the system gives no descriptors.
    pub fn listen(signals: &[Signal]) -> io::Result<Self> {
        let arrivals = signals
            .iter()
            .map(|signal| Ok((*signal, signal.arrivals()?)));
        arrivals.collect::<io::Result<_>>().map(Self)
    }

    /// The arrivals of `signal` that were not handled.
    ///
    /// # Errors
    /// If this does not listen for it.
    pub fn of(&self, signal: Signal) -> io::Result<&Arrivals> {
        let found = self.0.iter().find(|(known, _)| *known == signal);
        let unknown = || io::Error::new(io::ErrorKind::NotFound, format!("{signal:?}"));
        found.map(|(_, arrivals)| arrivals).ok_or_else(unknown)
    }

    fn stream(&self, signal: Signal) -> io::Result<OsStream> {
        self.of(signal)?.stream()
    }
}

impl Server {
    /// Shuts down on SIGTERM and SIGINT: the first signal drains, a second one stops at once. SIGHUP makes
    /// it read the key file and the certificate again.
    ///
    /// # Errors
    /// When the system gives no descriptors.
    pub fn handle_signals(&mut self) -> io::Result<()> {
        self.handle_signals_of(&Signals::listen(&[
            Signal::Terminate,
            Signal::Interrupt,
            Signal::Hangup,
        ])?)
    }

    /// The same with signals that the next server hears of, too, if this one does not.
    ///
    /// # Errors
    /// If the system gives no descriptors, or `signals` does not have these three.
    pub fn handle_signals_of(&mut self, signals: &Signals) -> io::Result<()> {
        for signal in [Signal::Terminate, Signal::Interrupt] {
            self.shut_down_on(signals.stream(signal)?)?;
            if let Some(slow_motion) = &self.slow_motion {
                signal.sets(slow_motion.ended())?; // a loop that is stopped at a gate reads no streams
            }
        }
        let listening = self.listening.clone();
        self.on_bytes(signals.stream(Signal::Hangup)?, move |service, turn| {
            if let Some(path) = key_path(&service.app.config.store) {
                service.do_in_background(read_keys(path), turn);
            }
            if let Some(reply) = listening.as_ref().and_then(|l| l.read_again()) {
                service.do_in_background(reply, turn);
            }
        })
    }

    /// Calls `act` on the loop whenever `signal` arrives; it must not block.
    ///
    /// # Errors
    /// When the system gives no descriptors.
    pub fn on_signal(&mut self, signal: Signal, mut act: impl FnMut() + 'static) -> io::Result<()> {
        self.on_bytes(signal.stream()?, move |_, _| act())
    }

    /// The same with signals that the next server hears of, too, if this one does not.
    ///
    /// # Errors
    /// If the system gives no descriptors, or `signals` does not have this one.
    pub fn on_signal_of(
        &mut self,
        signals: &Signals,
        signal: Signal,
        mut act: impl FnMut() + 'static,
    ) -> io::Result<()> {
        self.on_bytes(signals.stream(signal)?, move |_, _| act())
    }
}

impl Server {
    /// The first byte of `stream` makes the server drain, the second one makes it stop at once.
    pub(crate) fn shut_down_on(&mut self, stream: impl Stream) -> io::Result<()> {
        self.on_bytes(stream, |service, turn| {
            if service.lifecycle.is_draining() {
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
        stream: impl Stream,
        act: impl FnMut(&mut Service, &mut Turn<'_, Message>) + 'static,
    ) -> io::Result<()> {
        let source = Box::new(SignalSource::new(stream, act));
        self.reactor.add(source).map(drop)
    }
}
