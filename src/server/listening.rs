//! Where a server listens, and the certificate that it shows there.

use std::cell::RefCell;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::rc::Rc;

use super::error::StartError;
use crate::app::Reply;
use crate::config::{Config, ListenAddr, SocketMode};
use crate::net::Realm;
use crate::reactor::OsAcceptor;
#[cfg(feature = "tls")]
use crate::{
    config::TlsFiles,
    files,
    reactor::{Credentials, Identity},
};

/// Listening sockets. They outlive a server that hands over, so that clients that connect meanwhile wait; a server
/// that drains closes them, so that clients that connect are refused. Clones are handles to the same sockets.
#[derive(Clone, Debug)]
pub struct Sockets(Rc<RefCell<Vec<Socket>>>);

/// One listening socket.
#[derive(Debug)]
struct Socket {
    realm: Realm,
    asked: Asked,
    acceptor: OsAcceptor,
}

/// The configured address of a socket; `None` if the process that started the program passed the socket.
pub type Asked = Option<ListenAddr>;

/// A listening socket on its way from one process to another.
#[derive(Debug)]
pub struct PassedSocket {
    /// Its configured address.
    pub asked: Asked,
    /// The socket itself.
    pub descriptor: OwnedFd,
    /// The lock of its path, if it listens on one.
    pub lock: Option<OwnedFd>,
}

impl Sockets {
    /// Listens on the addresses in `config`.
    ///
    /// # Errors
    /// The first address on which the server cannot listen.
    pub fn bind(config: &Config) -> Result<Self, StartError> {
        Self::take_over(Vec::new(), config)
    }

    /// Takes over listening sockets, and opens new ones for the other addresses of `config`. Sockets whose address is
    /// no longer configured are closed. If there are sockets without a configured address, clients get only those.
    ///
    /// # Errors
    /// A descriptor that is not a listening socket, or the first address on which the server cannot listen.
    pub fn take_over(given: Vec<PassedSocket>, config: &Config) -> Result<Self, StartError> {
        let (mut sockets, mut open) = (Vec::new(), Vec::new());
        for PassedSocket {
            asked,
            descriptor,
            lock,
        } in given
        {
            let acceptor = OsAcceptor::adopt(descriptor, lock).map_err(StartError::Socket)?;
            match asked {
                None => sockets.push(Socket {
                    realm: Realm::Clients,
                    asked,
                    acceptor,
                }),
                Some(address) => open.push((address, acceptor)),
            }
        }
        let of_clients = config.listen.iter().filter(|_| sockets.is_empty());
        let of_clients = of_clients.map(|address| (Realm::Clients, address, config.socket_mode));
        let of_monitor = config.monitor.iter();
        let of_monitor = of_monitor.map(|address| (Realm::Monitor, address, SocketMode::OWNER));
        let asked_for: Vec<_> = of_clients.chain(of_monitor).collect();
        for (realm, address, mode) in asked_for {
            let known = open.iter().position(|(asked, _)| asked == address);
            let acceptor = match known {
                Some(at) => open.remove(at).1,
                None => {
                    listen(address, mode).map_err(|e| StartError::Listen(address.clone(), e))?
                }
            };
            sockets.push(Socket {
                realm,
                asked: Some(address.clone()),
                acceptor,
            });
        }
        for (_, acceptor) in &mut open {
            acceptor.owns_path(true); // no process listens there any longer
        }
        Ok(Self(Rc::new(RefCell::new(sockets))))
    }

    /// A copy of each socket, for a process that is to take over.
    ///
    /// # Errors
    /// If they are closed, or no descriptor is left.
    pub fn copies(&self) -> io::Result<Vec<PassedSocket>> {
        let sockets = self.0.borrow();
        if sockets.is_empty() {
            return Err(io::Error::other("the server is about to end"));
        }
        let copies = sockets.iter().map(|socket| {
            let acceptor = &socket.acceptor;
            let lock = acceptor.lock().map(|lock| lock.try_clone_to_owned());
            Ok(PassedSocket {
                asked: socket.asked.clone(),
                descriptor: acceptor.as_fd().try_clone_to_owned()?,
                lock: lock.transpose()?,
            })
        });
        copies.collect()
    }

    /// Stops listening, unless another process has copies.
    pub fn close(&self) {
        self.0.borrow_mut().clear();
    }

    /// Sets whether the paths of unix sockets are removed when these are dropped. By default the paths of sockets that
    /// were bound here are removed; another process that takes over needs them.
    pub fn own_paths(&self, own: bool) {
        for socket in self.0.borrow_mut().iter_mut() {
            let is_ours = own && socket.asked.is_some();
            socket.acceptor.owns_path(is_ours);
        }
    }
}

fn listen(address: &ListenAddr, mode: SocketMode) -> io::Result<OsAcceptor> {
    match address {
        ListenAddr::Unix(path) => OsAcceptor::unix(path, mode),
        ListenAddr::Tcp(address) | ListenAddr::Tls(address) => OsAcceptor::tcp(*address),
    }
}

/// A certificate's key is the file of another program, often readable by a group, and by all users among a container's
/// secrets. It is used even so, and the log says so.
#[cfg(feature = "tls")]
fn warn_of_a_key_for_all(files: &TlsFiles) {
    let key = &files.key;
    if files::is_for_all(key) {
        let key = key.display();
        log::warn!(
            "every user of this machine can read the private key {key}; run: chmod o= {key}"
        );
    }
}

/// The identity that clients are shown.
pub(super) struct Listening {
    #[cfg(feature = "tls")]
    tls: Option<(TlsFiles, Identity)>,
}

#[cfg_attr(
    not(feature = "tls"),
    expect(clippy::unused_self, reason = "with TLS it is used")
)]
impl Listening {
    /// Reads the certificate, if the configuration names one.
    #[cfg(feature = "tls")]
    pub(super) fn new(config: &Config) -> Result<Self, StartError> {
        let tls = match &config.tls {
            None => None,
            Some(files) => Some((files.clone(), Identity::new(Credentials::load(files)?))),
        };
        if let Some((files, _)) = &tls {
            warn_of_a_key_for_all(files);
        }
        Ok(Self { tls })
    }

    #[cfg(not(feature = "tls"))]
    pub(super) fn new(config: &Config) -> Result<Self, StartError> {
        if config.tls.is_some() {
            let why = "tls: this build has none; build it with the feature `tls`";
            return Err(StartError::Config(why.into()));
        }
        Ok(Self {})
    }

    /// The acceptors of a server, each with its realm and its address.
    pub(super) fn acceptors(
        &self,
        sockets: &Sockets,
    ) -> io::Result<Vec<(OsAcceptor, Realm, ListenAddr)>> {
        let sockets = sockets.0.borrow();
        let acceptors = sockets.iter().map(|socket| {
            let (realm, acceptor) = (socket.realm, socket.acceptor.try_clone()?);
            #[cfg(feature = "tls")]
            let acceptor = match (realm, &self.tls) {
                (Realm::Clients, Some((_, identity))) => acceptor.with_tls(identity.clone()),
                _ => acceptor,
            };
            let address = acceptor.local_addr()?;
            Ok((acceptor, realm, address))
        });
        acceptors.collect()
    }

    /// Reads the certificate again on a worker thread, then shows it to new connections.
    #[cfg(feature = "tls")]
    pub(super) fn read_again(&self) -> Option<Reply> {
        let (files, identity) = self.tls.clone()?;
        let watched = files.clone();
        let load = move || Credentials::load(&files);
        Some(Reply::later(load, move |loaded, _cx| {
            match loaded {
                Ok(Ok(credentials)) => {
                    log::info!("the certificate was read again");
                    identity.replace(credentials);
                    warn_of_a_key_for_all(&watched);
                }
                Ok(Err(error)) => log::warn!("the certificate in use is kept: {error}"),
                Err(error) => log::warn!("the certificate in use is kept: {error}"),
            }
            Reply::empty(204)
        }))
    }

    #[cfg(not(feature = "tls"))]
    pub(super) fn read_again(&self) -> Option<Reply> {
        None
    }
}
