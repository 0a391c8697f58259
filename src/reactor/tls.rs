//! TLS below the stream seam: the bytes that are read and written above it are plain.
//!
//! rustls implements the protocol, 1.2 and 1.3, and never sees a socket; this file moves its bytes. Nothing here
//! blocks: a handshake continues whenever its peer has sent something. Bytes that the peer has not taken yet stay
//! in the session, and count as written only after [`flush`](Write::flush).
//!
//! rustls has its own time and randomness. They are below the seam, like the kernel's.

use std::cell::RefCell;
use std::fmt;
use std::io::{self, IoSlice, Read, Write};
use std::net::Shutdown;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use mio::net::TcpStream;
use rustls::crypto::ring;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection};
use thiserror::Error;

use super::os::SHORT_MEANS_DRAINED;
use super::records::Records;
use super::seams::Received;
use crate::config::TlsFiles;

/// Steps within one read of the stream, each of which reads from the socket or gives something:
/// records without content for the reader must not keep it busy for ever.
const STEPS_MAX: usize = 64;
/// Plain bytes that are encrypted before they are written to the socket: one record (RFC 8446, section 5.1).
const BATCH_BYTES: usize = 16 * 1024;

/// The only supported protocol, as ALPN names it (RFC 7301, section 6).
const ALPN: &[u8] = b"http/1.1";

/// A certificate and its key, read and found to match.
#[derive(Clone)]
pub struct Credentials(ServerConfig);

/// Why a certificate or its key cannot be used: what, why, and what to do.
#[derive(Debug, Error)]
pub enum TlsError {
    /// A file that cannot be read, or does not hold a certificate or a key.
    #[error("{}", bad_file(.0, .1, .2))]
    File(PathBuf, &'static str, pem::Error),
    /// The two do not match, or rustls does not support their kind.
    #[error("{}", bad_pair(.0, .1))]
    Pair(TlsFiles, rustls::Error),
    /// The system gave no randomness for session tickets.
    #[error("the system gave no randomness: {0}")]
    Tickets(rustls::Error),
}

/// What is wrong with a file, and what to do.
fn bad_file(path: &Path, what: &str, error: &pem::Error) -> String {
    let path = path.display();
    let why = match error {
        pem::Error::Io(error) => format!("cannot read the {what} {path}: {error}"),
        pem::Error::NoItemsFound => format!("{path} holds no {what}"),
        error => format!("{path} is damaged: {error}"),
    };
    format!("{why}; name the PEM files with --tls-cert and --tls-key")
}

fn bad_pair(TlsFiles { certificate, key }: &TlsFiles, error: &rustls::Error) -> String {
    format!(
        "the certificate {} and the key {} cannot be used together: {error}; they must be of one pair, the server's own certificate first",
        certificate.display(),
        key.display()
    )
}

impl Credentials {
    /// Reads the files. This blocks.
    ///
    /// # Errors
    /// If they cannot be read, or do not match.
    pub fn load(files: &TlsFiles) -> Result<Self, TlsError> {
        let unreadable = |path: &Path, what, error| TlsError::File(path.into(), what, error);
        let certificates = CertificateDer::pem_file_iter(&files.certificate)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .and_then(|found| {
                let some = (!found.is_empty()).then_some(found);
                some.ok_or(pem::Error::NoItemsFound)
            })
            .map_err(|error| unreadable(&files.certificate, "certificate", error))?;
        let key = PrivateKeyDer::from_pem_file(&files.key)
            .map_err(|error| unreadable(&files.key, "private key", error))?;
        let provider = Arc::new(ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .and_then(|config| {
                config
                    .with_no_client_auth()
                    .with_single_cert(certificates, key)
            })
            .map_err(|error| TlsError::Pair(files.clone(), error))?;
        config.alpn_protocols = vec![ALPN.to_vec()];
        // All cipher suites of rustls are good, but a scanner (testssl.sh) expects the server to have its own order.
        config.ignore_client_order = true;
        // A ticket holds the session's state, so resumption takes no memory here. There is no early data: it could
        // be replayed, and a login must not be.
        config.ticketer = ring::Ticketer::new().map_err(TlsError::Tickets)?;
        Ok(Self(config))
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials")
    }
}

/// The credentials that new connections are shown. Clones share them.
#[derive(Clone, Debug)]
pub struct Identity(Rc<RefCell<Arc<ServerConfig>>>);

impl Identity {
    /// An identity with these credentials.
    #[must_use]
    pub fn new(credentials: Credentials) -> Self {
        Self(Rc::new(RefCell::new(Arc::new(credentials.0))))
    }

    /// Shows other credentials to new connections from now on. Open connections continue, and
    /// their sessions can be resumed.
    pub fn replace(&self, Credentials(mut config): Credentials) {
        let mut current = self.0.borrow_mut();
        config.ticketer = Arc::clone(&current.ticketer);
        config.session_storage = Arc::clone(&current.session_storage);
        *current = Arc::new(config);
    }

    pub(super) fn stream(&self, tcp: TcpStream) -> io::Result<TlsStream> {
        let config = Arc::clone(&self.0.borrow());
        let mut session = ServerConnection::new(config).map_err(io::Error::other)?;
        // What waits is bounded by this file, batch by batch.
        session.set_buffer_limit(None);
        Ok(TlsStream {
            tcp,
            session,
            first_byte: None,
            records: Records::default(),
            has_more: false,
            failed: false,
        })
    }
}

/// One connection that speaks TLS.
pub struct TlsStream {
    pub(super) tcp: TcpStream,
    session: ServerConnection,
    /// The first byte that the peer sent.
    first_byte: Option<u8>,
    /// The bytes from the peer that the session holds.
    records: Records,
    /// A read stopped before everything was read.
    has_more: bool,
    /// The peer's bytes were not valid TLS.
    failed: bool,
}

impl fmt::Debug for TlsStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsStream")
            .field("tcp", &self.tcp)
            .finish_non_exhaustive()
    }
}

impl TlsStream {
    /// Whether the handshake is not complete.
    pub(super) fn is_handshaking(&self) -> bool {
        self.session.is_handshaking()
    }

    /// Whether a read may give something that no readiness reports.
    pub(super) fn has_more(&self) -> bool {
        self.has_more
    }

    /// Bytes of memory for input that has produced nothing yet. A session that has failed is about to end.
    pub(super) fn held_bytes(&self) -> usize {
        self.records.held()
    }

    fn ends_after(&mut self, count: usize) -> usize {
        self.has_more = count > 0; // the end itself is still to be read
        count
    }

    /// Whether the input begins with an upper-case letter, as every request does; a handshake record begins with 22.
    fn speaks_plain(&self) -> bool {
        self.first_byte
            .is_some_and(|byte| byte.is_ascii_uppercase())
    }

    /// Writes what the session has ready; returns whether that was all of it.
    fn push(&mut self) -> io::Result<bool> {
        while self.session.wants_write() {
            match self.session.write_tls(&mut self.tcp) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// Reads once from the socket, and decrypts the bytes.
    fn pull(&mut self) -> Result<Pulled, Failure> {
        if self.failed {
            return Err(Failure::Tls);
        }
        let mut socket = Socket {
            tcp: &mut self.tcp,
            first_byte: &mut self.first_byte,
            records: &mut self.records,
            drained: false,
        };
        let was_handshaking = self.session.is_handshaking();
        match self.session.read_tls(&mut socket) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Pulled::Nothing),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(Pulled::Some),
            Err(error) => return Err(error.into()),
        }
        let pulled = if socket.drained {
            Pulled::All
        } else {
            Pulled::Some
        };
        if let Err(error) = self.session.process_new_packets() {
            if self.speaks_plain() {
                return Err(Failure::NotEncrypted);
            }
            log::debug!("TLS failed: {error}");
            let _ = self.push(); // the alert
            self.failed = true;
            return Err(Failure::Tls);
        }
        if was_handshaking && !self.session.is_handshaking() {
            self.records.gave();
        }
        self.push()?;
        Ok(pulled)
    }

    /// Encrypts and writes as much as the socket takes, and at most one batch more.
    fn send(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        if self.speaks_plain() {
            return self.tcp.write_vectored(slices);
        }
        if !self.push()? {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let (mut rest, mut sent) = (slices, 0);
        while let Some(first) = rest.first() {
            if first.len() > BATCH_BYTES {
                for batch in first.chunks(BATCH_BYTES) {
                    sent += self.session.writer().write(batch)?;
                    if !self.push()? {
                        return Ok(sent);
                    }
                }
                rest = &rest[1..];
                continue;
            }
            let mut bytes = 0;
            let count = rest
                .iter()
                .take_while(|slice| {
                    bytes += slice.len();
                    bytes <= BATCH_BYTES
                })
                .count();
            let (batch, later) = rest.split_at(count);
            sent += self.session.writer().write_vectored(batch)?;
            if !self.push()? {
                return Ok(sent);
            }
            rest = later;
        }
        Ok(sent)
    }

    pub(super) fn shutdown(&mut self, how: Shutdown) -> io::Result<()> {
        if how != Shutdown::Read && !self.speaks_plain() {
            self.session.send_close_notify();
            self.push()?;
        }
        self.tcp.shutdown(how)
    }
}

impl TlsStream {
    /// Reads once. A read that gives fewer bytes than it could has taken all there is, unless
    /// [`has_more`](Self::has_more) says otherwise.
    pub(super) fn receive(&mut self, bytes: &mut [u8]) -> Received {
        match self.read(bytes) {
            Ok(count) => Ok(count).into(),
            Err(Failure::NotEncrypted) => Received::NotEncrypted,
            Err(Failure::Tls) => Received::TlsFailed,
            Err(Failure::Socket(error)) => Err(error).into(),
        }
    }

    fn read(&mut self, bytes: &mut [u8]) -> Result<usize, Failure> {
        if self.speaks_plain() {
            return Ok(self.tcp.read(bytes)?);
        }
        let (mut count, mut pulled) = (0, Pulled::Some);
        for _ in 0..STEPS_MAX {
            match self.session.reader().read(&mut bytes[count..]) {
                Ok(more @ 1..) => {
                    self.records.gave();
                    count += more;
                    if count == bytes.len() {
                        break;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    // A caller that is told `WouldBlock` does not read again, and could miss the end, so the socket
                    // itself must have said so. If there were bytes, the end was reported with them.
                    match pulled {
                        Pulled::All | Pulled::Nothing if count > 0 => {
                            self.has_more = false;
                            return Ok(count);
                        }
                        Pulled::Nothing => {
                            self.has_more = false;
                            return Err(error.into());
                        }
                        Pulled::All | Pulled::Some => {}
                    }
                    match self.pull() {
                        Ok(more) => pulled = more,
                        // The bytes before the error count; the error will come again.
                        Err(_) if count > 0 => break,
                        Err(error) => return Err(error),
                    }
                }
                // A peer that ends before the handshake is complete has sent nothing that could be answered.
                Ok(0) | Err(_) if self.session.is_handshaking() => {
                    return Err(Failure::Tls);
                }
                // The end, whether the peer announced it or not: a truncated request is not handled.
                Ok(0) => return Ok(self.ends_after(count)),
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    return Ok(self.ends_after(count));
                }
                Err(error) => return Err(error.into()),
            }
        }
        self.has_more = true;
        if count > 0 {
            Ok(count)
        } else {
            Err(Failure::Socket(io::ErrorKind::Interrupted.into()))
        }
    }
}

/// Why a read gave no bytes.
enum Failure {
    /// The peer speaks plain HTTP, not TLS.
    NotEncrypted,
    /// The handshake failed, or the peer's bytes were not valid TLS.
    Tls,
    /// The socket's error, or nothing for now.
    Socket(io::Error),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Socket(error)
    }
}

/// The result of one read from the socket.
enum Pulled {
    /// Bytes, and there may be more.
    Some,
    /// All bytes that there were.
    All,
    /// It would block.
    Nothing,
}

/// The socket, as the session reads it.
struct Socket<'s> {
    tcp: &'s mut TcpStream,
    first_byte: &'s mut Option<u8>,
    records: &'s mut Records,
    drained: bool,
}

impl Read for Socket<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let count = self.tcp.read(bytes)?;
        self.drained = SHORT_MEANS_DRAINED && count < bytes.len();
        if let (1.., None) = (count, &self.first_byte) {
            *self.first_byte = Some(bytes[0]);
        }
        self.records.came(&bytes[..count]);
        Ok(count)
    }
}

impl Write for TlsStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.send(&[IoSlice::new(bytes)])
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.send(slices)
    }

    /// Writes encrypted bytes that were not taken yet; `WouldBlock` while the peer takes too little.
    fn flush(&mut self) -> io::Result<()> {
        if self.speaks_plain() || self.push()? {
            return Ok(());
        }
        Err(io::ErrorKind::WouldBlock.into())
    }
}

impl Drop for TlsStream {
    /// Sends `close_notify`: an end without it would look like a truncation attack (RFC 8446, section 6.1).
    fn drop(&mut self) {
        if !self.session.is_handshaking() {
            self.session.send_close_notify();
            let _ = self.push();
        }
    }
}
