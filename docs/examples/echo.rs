//! A TCP echo server on the reactor alone. Run it, then: `nc 127.0.0.1 7007`

use loopgate::reactor::{Listener, OsAcceptor, OsStream, Reactor, Selector, Stream, Turn};
use loopgate::reactor::{Next, Readiness, Reason, Source, Token};
use std::io::{self, Read, Write};

struct Echo(OsStream);

impl Source<()> for Echo {
    fn kind(&self) -> &'static str {
        "echo"
    }

    fn register(&mut self, selector: &mut dyn Selector, token: Token) -> io::Result<()> {
        self.0.register(selector, token)
    }

    fn ready(&mut self, _: Readiness, (): &mut (), _: &mut Turn<'_, ()>) -> Next {
        let mut bytes = [0; 4096];
        match self.0.read(&mut bytes) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Next::Wait,
            // Who does not read what comes back loses the connection; the loop goes on.
            Ok(n @ 1..) if self.0.write_all(&bytes[..n]).is_ok() => Next::Again,
            _ => Next::Close(Reason("the peer is gone, or does not read")),
        }
    }
}

fn main() -> io::Result<()> {
    let address = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "127.0.0.1:7007".into());
    let acceptor = OsAcceptor::tcp(address.parse().expect("ADDRESS:PORT"))?;
    println!("listening on {address}");
    let mut reactor = Reactor::new(())?;
    reactor.add(Box::new(Listener::new(acceptor, |stream, _peer| {
        Echo(stream)
    })))?;
    reactor.run()
}
