//! What the servers share: how one starts, where it listens, and what `/healthz` says.

use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use rustix::net::sockopt;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The body of `/healthz`.
pub const HEALTHZ: &str = "{\"status\":\"ok\"}\n";

/// Connections that may wait to be accepted. The kernel caps it at `net.core.somaxconn`.
pub const BACKLOG: i32 = 4096;

/// Listens on a free port of 127.0.0.1, without blocking.
pub fn listen() -> io::Result<TcpListener> {
    raise_file_limit()?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    listener.set_nonblocking(true)?;
    // A second listen(2) changes the backlog, for which std has no option.
    rustix::net::listen(&listener, BACKLOG)?;
    // On Linux an accepted socket inherits it: one system call less for each connection.
    sockopt::set_tcp_nodelay(&listener, true)?;
    Ok(listener)
}

/// Lets this process have as many connections as its hard limit allows.
pub fn raise_file_limit() -> io::Result<()> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let current = maximum;
    setrlimit(Resource::Nofile, Rlimit { current, maximum })?;
    Ok(())
}

/// Tells the bench where to connect.
pub fn announce(address: SocketAddr) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "listening on http://{address}")?;
    stdout.flush()
}
