//! The interface to a service manager like systemd: listening sockets from it (`sd_listen_fds(3)`), and
//! the program's state to it (`sd_notify(3)`).

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use listenfd::ListenFd;
use loopgate::server::PassedSocket;

/// The sockets that this process was started with, instead of addresses.
///
/// # Errors
/// If one of them is neither a TCP nor a unix socket.
pub(super) fn sockets() -> io::Result<Vec<PassedSocket>> {
    let mut given = ListenFd::from_env();
    let mut sockets = Vec::new();
    for index in 0..given.len() {
        let descriptor = match given.take_tcp_listener(index) {
            Ok(Some(listener)) => OwnedFd::from(listener),
            Ok(None) => continue,
            Err(_) => match given.take_unix_listener(index)? {
                Some(listener) => listener.into(),
                None => continue,
            },
        };
        sockets.push(PassedSocket {
            asked: None,
            descriptor,
            lock: None,
        });
    }
    Ok(sockets)
}

/// Tells the service manager, if there is one: `READY=1`, `STOPPING=1`, `MAINPID=`.
pub(super) fn tell(state: &str) {
    if let Some(to) = std::env::var_os("NOTIFY_SOCKET")
        && let Err(error) = send(state, &to.to_string_lossy())
    {
        log::warn!("the service manager was not told {state:?}: {error}");
    }
}

fn send(state: &str, to: &str) -> io::Result<()> {
    let address = match to.strip_prefix('@') {
        #[cfg(target_os = "linux")]
        Some(name) => {
            use std::os::linux::net::SocketAddrExt;
            SocketAddr::from_abstract_name(name)?
        }
        _ => SocketAddr::from_pathname(to)?,
    };
    let socket = UnixDatagram::unbound()?;
    // A datagram to a full queue would block.
    socket.set_nonblocking(true)?;
    socket.send_to_addr(state.as_bytes(), &address).map(drop)
}
