//! may_minihttp on one worker of may.
//!
//! Set up as its TechEmpower entry: no default features (no work stealing, no timeouts), 1000 pooled
//! coroutines, stacks of 0x1000 words, mimalloc. Pinning is left to the bench.
//!
//! It has no option for the backlog (1024) and for `TCP_NODELAY`, and it ignores `Connection: close`.
//! All three are made up for here, from the outside, and cost next to nothing.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{BorrowedFd, RawFd};

use loopgate_peers::{BACKLOG, HEALTHZ};
use may_minihttp::{HttpService, HttpServiceFactory, Request, Response};
use rustix::net::{Shutdown, sockopt};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> io::Result<()> {
    loopgate_peers::raise_file_limit()?;
    let may = may::config();
    may.set_workers(1)
        .set_pool_capacity(1000)
        .set_stack_size(0x1000)
        .set_worker_pin(false);
    let server = Healthz.start("127.0.0.1:0")?;
    let listener = find_listener().ok_or(io::ErrorKind::NotFound)?;
    // A second listen(2) changes the backlog.
    rustix::net::listen(listener, BACKLOG)?;
    // On Linux an accepted socket inherits it.
    sockopt::set_tcp_nodelay(listener, true)?;
    let address = SocketAddr::try_from(rustix::net::getsockname(listener)?)?;
    loopgate_peers::announce(address)?;
    server
        .join()
        .map_err(|_| io::Error::other("the server panicked"))
}

/// The listening socket, which may_minihttp keeps to itself.
fn find_listener() -> Option<BorrowedFd<'static>> {
    (0..1024)
        // SAFETY: a number that is no descriptor is only asked and refused, and the one that is found
        // stays open for as long as the process runs.
        .map(|fd| unsafe { BorrowedFd::borrow_raw(fd) })
        .find(|&fd| sockopt::socket_acceptconn(fd) == Ok(true))
}

struct Healthz;

impl HttpServiceFactory for Healthz {
    type Service = Connection;

    /// `id` is the connection's file descriptor.
    fn new_service(&self, id: usize) -> Connection {
        Connection {
            socket: id as RawFd,
        }
    }
}

struct Connection {
    socket: RawFd,
}

impl HttpService for Connection {
    fn call(&mut self, request: Request, response: &mut Response) -> io::Result<()> {
        if request.path() == "/healthz" {
            response
                .header("Content-Type: application/json")
                .body(HEALTHZ);
        } else {
            response.status_code(404, "Not Found");
        }
        if wants_close(&request) {
            response.header("Connection: close");
            // After this answer the server reads an end, as if the client had sent it, and closes.
            // SAFETY: the server owns the socket and keeps it open during the call.
            let socket = unsafe { BorrowedFd::borrow_raw(self.socket) };
            rustix::net::shutdown(socket, Shutdown::Read)?;
        }
        Ok(())
    }
}

fn wants_close(request: &Request) -> bool {
    request.headers().iter().any(|header| {
        header.name.eq_ignore_ascii_case("connection")
            && header.value.eq_ignore_ascii_case(b"close")
    })
}
