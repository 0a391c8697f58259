//! Addresses as people write them.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ListenAddr {
    /// An IP address and a port; port 0 lets the system choose one.
    Tcp(SocketAddr),
    /// The same for clients with TLS: a `Tcp` address becomes this if [`Config::tls`](super::Config::tls) is set.
    Tls(SocketAddr),
    /// A unix socket, written `unix:/path`.
    Unix(PathBuf),
}

impl std::str::FromStr for ListenAddr {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            return if path.is_empty() {
                Err("unix: needs a path, as in unix:/run/loopgate.sock".into())
            } else {
                Ok(Self::Unix(path.into()))
            };
        }
        let literal = text
            .strip_prefix("localhost:")
            .map(|port| format!("127.0.0.1:{port}"));
        literal
            .as_deref()
            .unwrap_or(text)
            .parse()
            .map(Self::Tcp)
            .map_err(|_| {
                "expected ADDRESS:PORT, as in 127.0.0.1:8080 or [::1]:8080, or unix:/path".into()
            })
    }
}

impl fmt::Display for ListenAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "http://{address}"),
            Self::Tls(address) => write!(f, "https://{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_people_write_them() {
        let tcp = |text: &str| ListenAddr::Tcp(text.parse().unwrap());
        assert_eq!("127.0.0.1:8080".parse(), Ok(tcp("127.0.0.1:8080")));
        assert_eq!("localhost:80".parse(), Ok(tcp("127.0.0.1:80")));
        assert_eq!("[::1]:0".parse(), Ok(tcp("[::1]:0")));
        assert_eq!("unix:/tmp/x".parse(), Ok(ListenAddr::Unix("/tmp/x".into())));
        for wrong in ["", "8080", "example", "unix:", "1.2.3.4", "1.2.3.4:99999"] {
            assert!(
                wrong.parse::<ListenAddr>().is_err(),
                "{wrong:?} was accepted"
            );
        }
    }
}
