//! Where a server listens, and who it says it is there.

use std::io;

use super::StartError;
use crate::app::Reply;
use crate::config::{Config, ListenAddr};
use crate::reactor::OsAcceptor;
#[cfg(feature = "tls")]
use crate::{
    config::TlsFiles,
    reactor::{Credentials, Identity},
};

/// How sockets are listened on.
pub(super) struct Listening {
    #[cfg(feature = "tls")]
    tls: Option<(TlsFiles, Identity)>,
}

#[cfg_attr(
    not(feature = "tls"),
    expect(clippy::unused_self, reason = "with TLS it is used")
)]
impl Listening {
    /// Reads the certificate, where the configuration names one.
    #[cfg(feature = "tls")]
    pub(super) fn new(config: &Config) -> Result<Self, StartError> {
        let tls = match &config.tls {
            None => None,
            Some(files) => Some((files.clone(), Identity::new(Credentials::load(files)?))),
        };
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

    /// Listens on `address`.
    pub(super) fn listen(&self, address: &ListenAddr) -> io::Result<OsAcceptor> {
        match address {
            ListenAddr::Unix(path) => OsAcceptor::unix(path),
            #[cfg(feature = "tls")]
            ListenAddr::Tcp(address) | ListenAddr::Tls(address) if self.tls.is_some() => {
                let (_, identity) = self.tls.as_ref().expect("it was just seen");
                OsAcceptor::tls(*address, identity.clone())
            }
            ListenAddr::Tcp(address) | ListenAddr::Tls(address) => OsAcceptor::tcp(*address),
        }
    }

    /// Reads the certificate again on a worker thread, then shows it to those who connect.
    #[cfg(feature = "tls")]
    pub(super) fn read_again(&self) -> Option<Reply> {
        let (files, identity) = self.tls.clone()?;
        let load = move || Credentials::load(&files);
        Some(Reply::later(load, move |loaded, _cx| {
            match loaded {
                Ok(Ok(credentials)) => {
                    log::info!("the certificate was read again");
                    identity.replace(credentials);
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
