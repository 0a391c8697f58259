//! Why a server could not start.

use std::io;

use thiserror::Error;

use crate::config::ListenAddr;
#[cfg(feature = "tls")]
use crate::reactor::TlsError;
use crate::token::KeyError;
use crate::work::StoreError;

/// Why a server could not start: what, why, and what to do.
#[derive(Debug, Error)]
pub enum StartError {
    /// Options that contradict each other.
    #[error("{0}")]
    Config(String),
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The key file cannot be used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The certificate or its key cannot be used.
    #[cfg(feature = "tls")]
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The given descriptor is not a listening socket.
    #[error(
        "what was given to listen on is no TCP or unix socket that listens: {0}; look at the service manager's unit"
    )]
    Socket(io::Error),
    /// Another process has the address, or it is not an address of this machine.
    #[error("{}", cannot_listen(.0, .1))]
    Listen(ListenAddr, io::Error),
    /// The system gave no thread or descriptor.
    #[error(
        "the system gave no thread or descriptor: {0}; raise its limits (ulimit -n, -u, -v), or start fewer workers"
    )]
    Os(io::Error),
}

/// Why the server cannot listen on an address, and what to do.
fn cannot_listen(address: &ListenAddr, error: &io::Error) -> String {
    let address = address.to_string();
    let address = address
        .trim_start_matches("http://")
        .trim_start_matches("https://");
    let why = match error.kind() {
        io::ErrorKind::AddrInUse => {
            "the address is in use; stop the other server, or choose another address with --listen"
        }
        io::ErrorKind::PermissionDenied => {
            "permission denied; choose a port above 1023 or a directory you may write, with --listen"
        }
        io::ErrorKind::AddrNotAvailable => {
            "this machine does not have that address; choose one of its own with --listen"
        }
        _ => {
            return format!(
                "cannot listen on {address}: {error}; choose another address with --listen"
            );
        }
    };
    format!("cannot listen on {address}: {why}")
}
