//! A server in a thread of the test.

use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::sync::{Mutex, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use loopgate::app::Reply;
use loopgate::config::{Config, ListenAddr};
use loopgate::http::Method;
use loopgate::ledger::TurnRecord;
use loopgate::server::{Handle, Server, Stopped};

use super::{Client, PATIENCE, catch_up, config, descriptors, get, store};

/// A server in a thread of its own.
pub(crate) struct TestServer {
    pub(crate) address: SocketAddr,
    handle: Handle,
    thread: Option<JoinHandle<Ended>>,
}

/// What a server leaves behind.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) stopped: Stopped,
    /// The turns that its ledger remembers, oldest first.
    pub(crate) turns: Vec<TurnRecord>,
    /// What held the loop for long: the name of the route, and how long it took.
    pub(crate) slow: Vec<(String, Duration)>,
}

impl Ended {
    fn of(stopped: Stopped, server: &mut Server) -> Self {
        let ledger = server.ledger();
        let slow = ledger.slow().map(|record| {
            let took = Duration::from_nanos(record.dispatch.duration_ns);
            (ledger.name(record.dispatch.label).to_owned(), took)
        });
        Self {
            stopped,
            turns: ledger.turns().copied().collect(),
            slow: slow.collect(),
        }
    }
}

impl TestServer {
    /// A server with the users of [`store`] and nothing else.
    pub(crate) fn start() -> Self {
        Self::with(config(), |_| {})
    }

    /// The same, after `prepare` has added handlers and subscribers to it.
    pub(crate) fn with(config: Config, prepare: impl FnOnce(&mut Server) + Send + 'static) -> Self {
        descriptors();
        let (started, start) = mpsc::channel();
        let thread = thread::spawn(move || {
            let store = store(&config);
            let mut server = Server::with_store(config, store).expect("the server starts");
            server.ledger().remember_more();
            prepare(&mut server);
            let (ListenAddr::Tcp(address) | ListenAddr::Tls(address)) = server.addresses()[0]
            else {
                panic!("not TCP")
            };
            started
                .send((address, server.handle()))
                .expect("the test waits");
            let stopped = server.run().expect("the loop turns");
            // What another process would go on with: it is told what it has not taken yet.
            for passed in server.take_handed_over() {
                let _ = TcpStream::from(passed.descriptor).write_all(&passed.output);
            }
            Ended::of(stopped, &mut server)
        });
        let (address, handle) = start.recv_timeout(PATIENCE).expect("the server starts");
        Self {
            address,
            handle,
            thread: Some(thread),
        }
    }

    /// A server whose one worker is held.
    pub(crate) fn held(config: Config) -> (Self, Hold) {
        let (hold, prepare) = Hold::new();
        let server = Self::with(config, prepare);
        // The client may go: its job goes on.
        server.connect().send(get("/hold"));
        hold.wait();
        (server, hold)
    }

    pub(crate) fn connect(&self) -> Client {
        Client::connect(self.address)
    }

    /// Returns when the loop has read everything that was sent before.
    pub(crate) fn catch_up(&self) {
        catch_up(self.address);
    }

    /// Begins to drain, and does not wait for the end.
    pub(crate) fn drain(&self) {
        self.handle.drain();
    }

    /// Begins to hand over, and does not wait for the end.
    pub(crate) fn hand_over(&self) {
        self.handle.hand_over();
    }

    /// Drains, and waits for the end.
    pub(crate) fn stop(mut self) -> Ended {
        self.handle.drain();
        self.thread
            .take()
            .expect("it was not stopped before")
            .join()
            .expect("no panic")
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.handle.drain();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// `GET /hold`, a handler whose job keeps a worker busy until it is let go.
pub(crate) struct Hold {
    begun: mpsc::Receiver<()>,
    let_go: mpsc::Sender<()>,
}

impl Hold {
    /// The hold, and what [`TestServer::with`] needs to know of it.
    pub(crate) fn new() -> (Self, impl FnOnce(&mut Server) + Send + 'static) {
        let (tell, begun) = mpsc::channel();
        let (let_go, gone) = mpsc::channel();
        let gone = std::sync::Arc::new(Mutex::new(gone));
        let prepare = move |server: &mut Server| {
            server.on(Method::Get, "/hold", move |_, _| {
                let (tell, gone) = (tell.clone(), gone.clone());
                let job = move || {
                    let _ = tell.send(());
                    // With an end, so that a test that fails does not hang.
                    let _ = gone.lock().unwrap().recv_timeout(PATIENCE);
                };
                Reply::later(job, |_, _| Reply::text(200, "let go"))
            });
        };
        (Self { begun, let_go }, prepare)
    }

    /// Returns when a worker is held.
    pub(crate) fn wait(&self) {
        self.begun.recv_timeout(PATIENCE).expect("a worker is held");
    }

    /// Lets one worker go.
    pub(crate) fn let_go(&self) {
        self.let_go.send(()).expect("the server is there");
    }
}
