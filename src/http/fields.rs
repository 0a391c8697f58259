//! What the header fields say about the message itself: host, framing, connection, expectation.
//!
//! One pass over the fields; names are distinguished by their length before they are compared. A head that
//! can be read in two ways is refused: a proxy in front of us may have chosen the other one, and then the two
//! disagree about where the next request begins.

use httparse::Header;

use super::fault::Fault;
use super::grammar::{is_token, list_elements};
use super::message::{Framing, Version};
use super::target::is_host_and_port;

/// The fields that a connection must understand.
#[derive(Debug)]
pub(super) struct Fields<'b> {
    pub(super) host: Option<&'b [u8]>,
    pub(super) framing: Framing,
    pub(super) keep_alive: bool,
    pub(super) expect_continue: bool,
    pub(super) upgrade: bool,
}

/// The fields as they stand in the head, before they are checked against each other.
#[derive(Default)]
struct Seen<'b> {
    host: Option<&'b [u8]>,
    content_length: Option<&'b [u8]>,
    transfer_encoding: Option<&'b [u8]>,
    options: ConnectionOptions,
    names_protocol: bool,
    expects_continue: bool,
}

#[derive(Default)]
struct ConnectionOptions {
    close: bool,
    keep_alive: bool,
    upgrade: bool,
}

impl<'b> Fields<'b> {
    /// Reads all fields of a head.
    ///
    /// # Errors
    /// The first fault in the order host, framing, expectation; repeated fields come before those.
    pub(super) fn read(headers: &[Header<'b>], version: Version) -> Result<Self, Fault> {
        let mut seen = Seen::default();
        for header in headers {
            seen.note(header, version)?;
        }
        let host = host(seen.host, version)?;
        let framing = framing(&seen, version)?;
        let has_body = framing != Framing::Length(0);
        let is_modern = version == Version::Http11;
        let ConnectionOptions {
            close,
            keep_alive,
            upgrade,
        } = seen.options;
        Ok(Self {
            host,
            framing,
            keep_alive: !close && (is_modern || keep_alive),
            // Without a body there is nothing to wait for.
            expect_continue: seen.expects_continue && has_body,
            // A server may ignore Upgrade, and must in 1.0 (RFC 9110, section 7.8). With a body in
            // front, the server would have to trust the peer about where the new protocol begins.
            upgrade: is_modern && upgrade && seen.names_protocol && !has_body,
        })
    }
}

impl<'b> Seen<'b> {
    fn note(&mut self, header: &Header<'b>, version: Version) -> Result<(), Fault> {
        let is = |name: &str| header.name.eq_ignore_ascii_case(name);
        match header.name.len() {
            4 if is("host") => once(&mut self.host, header.value, Fault::BAD_HOST),
            6 if is("expect") => self.note_expectation(header.value, version),
            7 if is("upgrade") => {
                self.names_protocol |= list_elements(header.value).next().is_some();
                Ok(())
            }
            10 if is("connection") => self.options.note(header.value),
            14 if is("content-length") => {
                let fault = Fault::BAD_CONTENT_LENGTH;
                once(&mut self.content_length, header.value, fault)
            }
            17 if is("transfer-encoding") => {
                let fault = Fault::BAD_TRANSFER_ENCODING;
                once(&mut self.transfer_encoding, header.value, fault)
            }
            _ => Ok(()),
        }
    }

    /// RFC 9110, section 10.1.1: a list, which may be empty. Ignored in 1.0, whose clients do not know the interim
    /// answer.
    fn note_expectation(&mut self, list: &[u8], version: Version) -> Result<(), Fault> {
        if version == Version::Http10 {
            return Ok(());
        }
        for expectation in list_elements(list) {
            if !expectation.eq_ignore_ascii_case(b"100-continue") {
                return Err(Fault::UNKNOWN_EXPECTATION);
            }
            self.expects_continue = true;
        }
        Ok(())
    }
}

impl ConnectionOptions {
    fn note(&mut self, list: &[u8]) -> Result<(), Fault> {
        for option in list_elements(list) {
            let is = |name: &str| option.eq_ignore_ascii_case(name.as_bytes());
            if is("close") {
                self.close = true;
            } else if is("keep-alive") {
                self.keep_alive = true;
            } else if is("upgrade") {
                self.upgrade = true;
            } else if is("transfer-encoding") || is("content-length") || is("host") {
                // A proxy would drop the named field, and frame or route the rest differently.
                return Err(Fault::BAD_CONNECTION);
            } else if !is_token(option) {
                return Err(Fault::BAD_CONNECTION);
            }
        }
        Ok(())
    }
}

/// Even an equal second field is refused: it is not known which of them a proxy used.
fn once<'b>(slot: &mut Option<&'b [u8]>, value: &'b [u8], fault: Fault) -> Result<(), Fault> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(fault),
    }
}

fn host(value: Option<&[u8]>, version: Version) -> Result<Option<&[u8]>, Fault> {
    let Some(value) = value else {
        return match version {
            Version::Http10 => Ok(None),
            Version::Http11 => Err(Fault::MISSING_HOST),
        };
    };
    if is_host_and_port(value) {
        Ok(Some(value))
    } else {
        Err(Fault::BAD_HOST)
    }
}

/// RFC 9112, section 6.3, without its leniencies.
fn framing(seen: &Seen<'_>, version: Version) -> Result<Framing, Fault> {
    match (seen.content_length, seen.transfer_encoding) {
        (None, None) => Ok(Framing::Length(0)),
        (Some(_), Some(_)) => Err(Fault::AMBIGUOUS_FRAMING),
        (Some(digits), None) => body_length(digits).map(Framing::Length),
        (None, Some(coding)) => {
            if version == Version::Http11 && coding.eq_ignore_ascii_case(b"chunked") {
                Ok(Framing::Chunked)
            } else {
                Err(Fault::BAD_TRANSFER_ENCODING)
            }
        }
    }
}

fn body_length(digits: &[u8]) -> Result<u64, Fault> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(Fault::BAD_CONTENT_LENGTH);
    }
    let grow = |length: u64, digit: &u8| {
        let tens = length.checked_mul(10)?;
        tens.checked_add(u64::from(digit - b'0'))
    };
    // A number that does not fit an integer is well-formed, and above every limit.
    Ok(digits.iter().try_fold(0, grow).unwrap_or(u64::MAX))
}
