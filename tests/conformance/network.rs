//! The same over sockets: to loopgate in a thread of this test, and to any other server that listens.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use loopgate::config::{Config, ListenAddr};
use loopgate::server::{Handle, Server};
use loopgate::work::Store;

use crate::answers::Transcript;
use crate::judge::{HIDDEN, PROBE, Who};
use crate::rows::{End, Row};
use crate::world::{Seen, add_routes, config, heads};

/// How long an answer of loopgate may take before it is missing.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long one waits for another server, which may never say anything.
const OTHERS_PATIENCE: Duration = Duration::from_millis(500);

/// A server in a thread of its own.
pub(crate) struct Loopgate {
    pub(crate) address: SocketAddr,
    handle: Handle,
    thread: Option<JoinHandle<Vec<String>>>,
}

impl Loopgate {
    pub(crate) fn start() -> Self {
        let (tell, told) = mpsc::channel();
        let thread = thread::spawn(move || {
            let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
            let config = Config {
                listen: vec![ListenAddr::Tcp(any_port)],
                ..config()
            };
            let store = Store::open(&config.store, 1000).expect("memory");
            let mut server = Server::with_store(config, store).expect("it starts");
            let seen = Seen::default();
            add_routes(&mut server, &seen);
            let address = match server.addresses() {
                [ListenAddr::Tcp(address)] => *address,
                others => panic!("listens on {others:?}"),
            };
            tell.send((address, server.handle())).expect("the test");
            server.run().expect("the selector works");
            seen.take()
        });
        let (address, handle) = told.recv_timeout(PATIENCE).expect("it starts");
        Self {
            address,
            handle,
            thread: Some(thread),
        }
    }

    /// Ends it; the requests that reached a handler, in order.
    pub(crate) fn stop(mut self) -> Vec<String> {
        self.handle.drain();
        let thread = self.thread.take().expect("it is stopped once");
        thread.join().expect("it does not panic")
    }
}

impl Drop for Loopgate {
    fn drop(&mut self) {
        self.handle.drain();
    }
}

/// Sends a row, and a probe of how the connection is afterwards; returns what came back.
pub(crate) fn run(row: &Row, address: SocketAddr, who: Who) -> Transcript {
    let mut client = Client::connect(address, who);
    let heads = heads(row);
    client.send(&row.sent);
    let enough = |seen: &Transcript| seen.answers.len() >= row.wants.len();
    let waiting = matches!(row.end, End::Waits | End::Switched);
    if waiting && who == Who::Loopgate {
        // When the loop has answered another client, it has seen what it had read before.
        client.read_until(&heads, enough);
        for _ in 0..2 {
            Client::connect(address, who).ask_probe();
        }
        client.read_what_is_there();
        return client.transcript(&heads);
    }
    // Where nothing is to come, all there is to do is to wait whether something does.
    let settled = |seen: &Transcript| !row.wants.is_empty() && enough(seen);
    let seen = client.read_until(&heads, settled);
    if seen.ended || waiting {
        return seen;
    }
    client.send(match (row.end, who) {
        (End::Refused, Who::Loopgate) => HIDDEN,
        _ => PROBE,
    });
    client.read_until(&heads, |_| false)
}

/// Sends a row and the probe behind it without waiting for answers; returns what came back.
pub(crate) fn send_at_once(row: &Row, address: SocketAddr) -> Transcript {
    let mut client = Client::connect(address, Who::Another);
    // A proxy that is given up within a request may never say what came of it.
    client.patience = 4 * OTHERS_PATIENCE;
    client.send(&[&row.sent, PROBE].concat());
    client.read_until(&heads(row), |_| false)
}

struct Client {
    stream: TcpStream,
    received: Vec<u8>,
    ended: bool,
    patience: Duration,
}

impl Client {
    fn connect(address: SocketAddr, who: Who) -> Self {
        let stream = TcpStream::connect(address).expect("a server listens");
        let patience = match who {
            Who::Loopgate => PATIENCE,
            Who::Another => OTHERS_PATIENCE,
        };
        stream.set_nodelay(true).expect("a socket");
        Self {
            stream,
            received: Vec::new(),
            ended: false,
            patience,
        }
    }

    /// That the server has closed already shows when one reads.
    fn send(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes);
    }

    fn ask_probe(mut self) {
        self.send(PROBE);
        self.read_until(&[], |_| false);
    }

    /// Reads until `enough`, the end, or until patience is lost.
    fn read_until(&mut self, heads: &[bool], enough: impl Fn(&Transcript) -> bool) -> Transcript {
        let deadline = Instant::now() + self.patience;
        loop {
            let seen = self.transcript(heads);
            let left = deadline.saturating_duration_since(Instant::now());
            if self.ended || enough(&seen) || left.is_zero() {
                return seen;
            }
            self.stream.set_read_timeout(Some(left)).expect("a socket");
            self.read();
        }
    }

    fn read_what_is_there(&mut self) {
        self.stream.set_nonblocking(true).expect("a socket");
        while self.read() {}
    }

    fn read(&mut self) -> bool {
        let mut bytes = [0; 4096];
        match self.stream.read(&mut bytes) {
            Ok(0) => self.ended = true,
            Ok(count) => {
                self.received.extend(&bytes[..count]);
                return true;
            }
            Err(error) => {
                let later = [
                    ErrorKind::WouldBlock,
                    ErrorKind::TimedOut,
                    ErrorKind::Interrupted,
                ];
                self.ended |= !later.contains(&error.kind());
            }
        }
        false
    }

    fn transcript(&self, heads: &[bool]) -> Transcript {
        Transcript::of(&self.received, self.ended, heads)
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Both);
    }
}
