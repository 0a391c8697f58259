//! A TCP echo server on the reactor alone. Run it, then: `nc 127.0.0.1 7007`

use loopgate::reactor::{Kind, Next, Readiness, Reason, Source, Token};
use loopgate::reactor::{Listener, OsAcceptor, OsStream, Reactor, Selector, Stream, Turn};
use std::io::{self, ErrorKind, Read, Write};

/// A client that leaves so many bytes of its echo unread is not read either.
const WAITING_BYTES_MAX: usize = 64 * 1024;

struct Echo {
    stream: OsStream,
    /// What was read and is not written yet.
    waiting: Vec<u8>,
    /// The client has sent its last byte.
    ended: bool,
}

impl Source<()> for Echo {
    fn kind(&self) -> Kind {
        Kind::of("echo")
    }

    fn register(&mut self, selector: &mut dyn Selector, token: Token) -> io::Result<()> {
        self.stream.register(selector, token) // once, for reading and writing
    }

    fn ready(&mut self, _: Readiness, (): &mut (), _: &mut Turn<'_, ()>) -> Next {
        self.write_and_read()
            .unwrap_or(Next::Close(Reason("the connection is lost")))
    }
}

impl Echo {
    /// Readiness is told once, when it begins. So this answers `Wait` only after the socket has refused to write
    /// or to read, and otherwise `Again`.
    fn write_and_read(&mut self) -> io::Result<Next> {
        while !self.waiting.is_empty() {
            match self.stream.write(&self.waiting) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => drop(self.waiting.drain(..count)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        if self.ended && self.waiting.is_empty() {
            return Ok(Next::Close(Reason("everything is echoed")));
        }
        if self.ended || self.waiting.len() >= WAITING_BYTES_MAX {
            return Ok(Next::Wait); // until the client takes some
        }
        let mut bytes = [0; 4096];
        match self.stream.read(&mut bytes) {
            Ok(0) => self.ended = true,
            Ok(count) => self.waiting.extend_from_slice(&bytes[..count]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Next::Wait),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        Ok(Next::Again) // others are served before the rest is read
    }
}

pub(crate) fn server(acceptor: OsAcceptor) -> io::Result<Reactor<()>> {
    let mut reactor = Reactor::new(())?;
    reactor.add(Box::new(Listener::new(acceptor, |stream, _peer| Echo {
        stream,
        waiting: Vec::new(),
        ended: false,
    })))?;
    Ok(reactor)
}

fn main() -> io::Result<()> {
    let address = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "127.0.0.1:7007".into());
    let acceptor = OsAcceptor::tcp(address.parse().expect("ADDRESS:PORT"))?;
    println!("listening on {}", acceptor.local_addr()?);
    server(acceptor)?.run()
}
