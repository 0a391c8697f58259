//! What the examples do that a reader will copy.

#[expect(dead_code, reason = "the test has a loop that it can end")]
#[path = "../../docs/examples/echo.rs"]
mod echo;

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;

use loopgate::config::ListenAddr;
use loopgate::reactor::OsAcceptor;

use crate::harness::PATIENCE;

/// Much more than the sockets of both ends hold, so that the server has to keep and to wait.
const BYTES: usize = 32 * 1024 * 1024;

fn connect(address: std::net::SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("it accepts");
    stream.set_read_timeout(Some(PATIENCE)).expect("an option");
    stream.set_write_timeout(Some(PATIENCE)).expect("an option");
    stream
}

#[test]
fn echo_keeps_what_a_slow_reader_has_not_taken_and_stops_reading_from_it() {
    let (started, start) = mpsc::channel();
    let stopped = Arc::new(AtomicBool::new(false));
    let stop = stopped.clone();
    let server = thread::spawn(move || {
        let acceptor = OsAcceptor::tcp(([127, 0, 0, 1], 0).into()).expect("a port");
        started.send(acceptor.local_addr()).expect("the test waits");
        let mut reactor = echo::server(acceptor).expect("a loop");
        while !stop.load(Ordering::Relaxed) {
            reactor.turn().expect("it turns");
        }
    });
    let Ok(Ok(ListenAddr::Tcp(address))) = start.recv_timeout(PATIENCE) else {
        panic!("it does not listen")
    };

    let sent: Vec<u8> = (0..BYTES).map(|at| (at / 7) as u8).collect();
    let mut reader = connect(address);
    // A client that only sends is stopped by the sockets' own buffers, and not when memory has run out.
    let mut stream = reader.try_clone().expect("a descriptor");
    stream.set_nonblocking(true).expect("an option");
    let mut taken = 0;
    let mut refused_in_a_row = 0;
    while refused_in_a_row < 50 {
        if let Ok(count) = stream.write(&sent[taken..]) {
            (taken, refused_in_a_row) = (taken + count, 0);
        } else {
            refused_in_a_row += 1;
            // The loop has turned since: it has answered another client.
            let mut other = connect(address);
            other.write_all(b"x").expect("it reads");
            other.read_exact(&mut [0]).expect("it echoes");
        }
        assert!(taken < BYTES, "all was taken, and no client reads");
    }
    stream.set_nonblocking(false).expect("an option");
    let rest = sent[taken..].to_vec();
    let writer = thread::spawn(move || {
        stream.write_all(&rest).expect("it reads on");
        stream.shutdown(Shutdown::Write).expect("it is open");
    });
    let mut received = Vec::new();
    reader.read_to_end(&mut received).expect("an echo");
    writer.join().expect("no panic");
    assert!(received == sent, "{} bytes came back", received.len());

    stopped.store(true, Ordering::Relaxed);
    drop(connect(address));
    server.join().expect("no panic");
}
