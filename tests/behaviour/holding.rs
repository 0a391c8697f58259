//! A server whose one worker is busy until the test lets it go on.

use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex};

use loopgate::app::Reply;
use loopgate::config::Config;
use loopgate::http::Method;

use crate::harness::{PATIENCE, TestServer, get, request};

/// The server, and what to drop for its worker to go on.
pub(crate) fn server(config: Config) -> (TestServer, Sender<()>) {
    let (release, released) = mpsc::channel::<()>();
    let (taken, begun) = mpsc::channel();
    let released = Arc::new(Mutex::new(released));
    let server = TestServer::with(config, move |server| {
        server.on(Method::Post, "/hold", move |_, _| {
            let (taken, released) = (taken.clone(), Arc::clone(&released));
            let job = move || {
                let _ = taken.send(());
                let _ = released.lock().map(|released| released.recv());
            };
            Reply::later(job, |_, _| Reply::empty(204))
        });
    });
    let mut holder = server.connect();
    holder.send(request("POST", "/hold", &[("Content-Length", "0")]));
    begun.recv_timeout(PATIENCE).expect("the worker takes it");
    (server, release)
}

/// After this, everything that was sent before has been read: the first of the two answers may
/// be from the same turn, the second is not.
pub(crate) fn let_the_loop_turn(server: &TestServer) {
    let mut client = server.connect();
    for _ in 0..2 {
        assert_eq!(client.ask(get("/healthz")).status, 200);
    }
}
