//! Request heads: bytes in, a borrowed [`Head`] out, or a [`Fault`], or "not yet" (RFC 9112).
//!
//! httparse reads the lines; what it accepts and we do not is refused here: bare line feeds, too many leading
//! empty lines, anything above the limits. What the fields mean for the message is in `fields`, what the target
//! means in `target`.
//!
//! A head is parsed from its start each time. The state of a half-read head would have to agree with its
//! buffer; bytes alone cannot be inconsistent, and nearly every head arrives in one piece.

use std::mem::MaybeUninit;

use httparse::{Error, Header, Request, Status};

use super::fault::Fault;
use super::fields::Fields;
use super::message::{Framing, Version};
use super::method::Method;
use super::target::Target;
use crate::config::{HEADERS_CEILING, Limits};

/// Empty lines that may stand before a request line. Old clients send one after a body (RFC 9112,
/// section 2.2).
pub const EMPTY_LINES_MAX: usize = 2;

/// Longest method, in bytes, before the server stops waiting for its end; a longer one can only be unknown.
const METHOD_BYTES_MAX: usize = 32;

/// Room for the fields of one head, without the cost of clearing it first.
///
/// Make a new one for every call of [`parse_head`], on the stack.
#[derive(Debug)]
pub struct HeaderSlots<'b>([MaybeUninit<Header<'b>>; HEADERS_CEILING]);

impl HeaderSlots<'_> {
    /// Uninitialised memory: this does nothing at run time.
    #[inline]
    #[must_use]
    pub const fn new() -> Self {
        Self([const { MaybeUninit::uninit() }; HEADERS_CEILING])
    }
}

impl Default for HeaderSlots<'_> {
    fn default() -> Self {
        Self::new()
    }
}

/// A valid request head, borrowed from its bytes.
#[derive(Clone, Copy, Debug)]
pub struct Head<'b> {
    /// Any but CONNECT; [`Method::Other`] if it has no name here.
    pub method: Method,
    /// 1.0 or 1.1.
    pub version: Version,
    /// Path and query.
    pub target: Target<'b>,
    headers: &'b [Header<'b>],
    host: Option<&'b [u8]>,
    /// Bytes that the head took, with its empty line: the body begins there.
    pub length: usize,
    /// Where the body ends.
    pub framing: Framing,
    /// Whether the peer wants to keep the connection after this answer.
    pub keep_alive: bool,
    /// Whether the peer holds its body back until [`CONTINUE`](super::CONTINUE) or a final answer.
    /// After a final answer without reading the body the connection must close: the body may still follow.
    pub expect_continue: bool,
    /// Whether the peer offers to change to another protocol: `Connection: upgrade` and an `Upgrade`
    /// field, in 1.1, without a body. The caller compares which protocol it is.
    pub upgrade: bool,
}

impl<'b> Head<'b> {
    /// The value of the first field of that name, in any case, without the white space around it.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&'b [u8]> {
        self.headers(name).next()
    }

    /// The values of all fields of that name, in order.
    pub fn headers(&self, name: &str) -> impl Iterator<Item = &'b [u8]> {
        self.headers
            .iter()
            .filter(move |header| header.name.eq_ignore_ascii_case(name))
            .map(|header| header.value)
    }

    /// The names of all fields, in order, as they were sent.
    pub fn field_names(&self) -> impl Iterator<Item = &'b str> {
        self.headers.iter().map(|header| header.name)
    }

    /// How many fields the head has.
    #[must_use]
    pub fn headers_count(&self) -> usize {
        self.headers.len()
    }

    /// Host and port that the peer addressed: those of an absolute target, else the `Host` field. `None`
    /// only in 1.0; may be empty.
    #[must_use]
    pub fn host(&self) -> Option<&'b [u8]> {
        self.target.authority.map(str::as_bytes).or(self.host)
    }
}

/// Reads the head at the start of `bytes`; `None` if more bytes are needed.
///
/// It ignores everything behind the head: a valid request is not lost because garbage follows.
/// Allocates nothing.
///
/// # Errors
/// As soon as no continuation of `bytes` could make it a head that this server accepts, and always the
/// fault that comes first, no matter how much has arrived behind it. The connection must be closed after
/// the answer.
pub fn parse_head<'b>(
    bytes: &'b [u8],
    slots: &'b mut HeaderSlots<'b>,
    limits: &Limits,
) -> Result<Option<Head<'b>>, Fault> {
    read(bytes, slots, limits).map_err(|fault| first_fault(fault, bytes, limits))
}

/// The fault of the shortest beginning of `bytes` that has one: the answer of a reader that gets the bytes
/// one by one. Of two faults, `read` may see the later one first.
#[cold]
fn first_fault(fault: Fault, bytes: &[u8], limits: &Limits) -> Fault {
    let (mut good, mut bad, mut first) = (0, bytes.len().min(limits.head_bytes_max), fault);
    while good + 1 < bad {
        let middle = good.midpoint(bad);
        match read(&bytes[..middle], &mut HeaderSlots::new(), limits) {
            Ok(_) => good = middle,
            Err(fault) => (bad, first) = (middle, fault),
        }
    }
    first
}

fn read<'b>(
    bytes: &'b [u8],
    slots: &'b mut HeaderSlots<'b>,
    limits: &Limits,
) -> Result<Option<Head<'b>>, Fault> {
    let bytes = &bytes[..bytes.len().min(limits.head_bytes_max)];
    let line = skip_empty_lines(bytes)?;
    let slots = &mut slots.0[..limits.headers_max.min(HEADERS_CEILING)];
    let mut request = Request::new(&mut []);
    let outcome = request.parse_with_uninit_headers(bytes, slots);
    if request
        .path
        .is_some_and(|path| path.len() > limits.target_bytes_max)
    {
        return Err(Fault::TARGET_TOO_LONG);
    }
    match outcome {
        Ok(Status::Complete(length)) if has_bare_line_feed(&bytes[..length]) => {
            Err(Fault::BAD_LINE_END)
        }
        Ok(Status::Complete(length)) => understand(request, length).map(Some),
        Err(error) if !may_become_version(error, &request, line)? => Err(fault_of(error)),
        Ok(Status::Partial) | Err(_) => wait_for_more(&request, bytes, line, limits),
    }
}

/// What the lines mean, once all are there.
fn understand<'b>(request: Request<'b, 'b>, length: usize) -> Result<Head<'b>, Fault> {
    let (Some(method), Some(target)) = (request.method, request.path) else {
        return Err(Fault::BAD_REQUEST_LINE);
    };
    let version = match request.version {
        Some(0) => Version::Http10,
        Some(1) => Version::Http11,
        _ => return Err(Fault::UNSUPPORTED_VERSION),
    };
    let headers: &'b [Header<'b>] = request.headers;
    let (method, target, fields) = match Method::from_bytes(method.as_bytes()) {
        Some(Method::Connect) => return Err(Fault::METHOD_NOT_IMPLEMENTED),
        Some(named) => (
            named,
            Target::parse(named, target)?,
            Fields::read(headers, version)?,
        ),
        None => {
            // An unknown method takes precedence over all faults of its target and fields.
            let unknown = |_| Fault::METHOD_NOT_IMPLEMENTED;
            if method.len() > METHOD_BYTES_MAX {
                return Err(Fault::METHOD_NOT_IMPLEMENTED);
            }
            (
                Method::Other,
                Target::parse(Method::Other, target).map_err(unknown)?,
                Fields::read(headers, version).map_err(unknown)?,
            )
        }
    };
    Ok(Head {
        method,
        version,
        target,
        headers,
        host: fields.host,
        length,
        framing: fields.framing,
        keep_alive: fields.keep_alive,
        expect_continue: fields.expect_continue,
        upgrade: fields.upgrade,
    })
}

/// The head is incomplete, unless a limit or a line end already shows a fault.
#[cold]
fn wait_for_more<'b>(
    request: &Request<'_, '_>,
    bytes: &[u8],
    line: &[u8],
    limits: &Limits,
) -> Result<Option<Head<'b>>, Fault> {
    if has_bare_line_feed(bytes) {
        return Err(Fault::BAD_LINE_END);
    }
    match (request.method, request.path) {
        (None, _) if line.len() > METHOD_BYTES_MAX => return Err(Fault::METHOD_NOT_IMPLEMENTED),
        (Some(method), _) if method.len() > METHOD_BYTES_MAX => {
            return Err(Fault::METHOD_NOT_IMPLEMENTED);
        }
        // Counted over all reads so far: a target that arrives in pieces has the same limit.
        (Some(method), None) if line.len() - method.len() - 1 > limits.target_bytes_max => {
            return Err(Fault::TARGET_TOO_LONG);
        }
        _ => {}
    }
    if bytes.len() == limits.head_bytes_max {
        return Err(Fault::HEAD_TOO_LARGE);
    }
    Ok(None)
}

/// The bytes from the request line on.
fn skip_empty_lines(bytes: &[u8]) -> Result<&[u8], Fault> {
    let is_line_end = |byte: &&u8| matches!(**byte, b'\r' | b'\n');
    let skipped = bytes.iter().take_while(is_line_end).count();
    if skipped > EMPTY_LINES_MAX * 2 {
        return Err(Fault::TOO_MANY_EMPTY_LINES);
    }
    Ok(&bytes[skipped..])
}

/// httparse ends a line at a line feed with or without its carriage return (RFC 9112, section 2.2,
/// allows that); other parsers do not, and what is one line to them would be two to us.
fn has_bare_line_feed(bytes: &[u8]) -> bool {
    // No early exit: this form compiles to vector instructions, and nearly every head is clean.
    let pairs = bytes.iter().zip(bytes.iter().skip(1));
    let found = pairs.fold(0, |found, (before, byte)| {
        found | u8::from(*byte == b'\n' && *before != b'\r')
    });
    found != 0 || bytes.first() == Some(&b'\n')
}

/// Whether the bytes in place of the version are the beginning of a version that we do not support,
/// and that the next bytes may complete.
///
/// # Errors
/// [`Fault::UNSUPPORTED_VERSION`] when it is complete.
#[cold]
fn may_become_version(error: Error, request: &Request<'_, '_>, line: &[u8]) -> Result<bool, Fault> {
    let (Error::Version, Some(method), Some(path)) = (error, request.method, request.path) else {
        return Ok(false);
    };
    let version = &line[method.len() + 1 + path.len() + 1..];
    let shape = b"HTTP/9.9";
    let fits = |(byte, shape): (&u8, &u8)| match shape {
        b'9' => byte.is_ascii_digit(),
        _ => byte == shape,
    };
    if !version.iter().zip(shape).all(fits) {
        return Ok(false);
    }
    if version.len() >= shape.len() {
        return Err(Fault::UNSUPPORTED_VERSION);
    }
    Ok(true)
}

#[cold]
fn fault_of(error: Error) -> Fault {
    match error {
        Error::Token | Error::Version | Error::Status => Fault::BAD_REQUEST_LINE,
        Error::NewLine => Fault::BAD_LINE_END,
        Error::HeaderName | Error::HeaderValue => Fault::BAD_HEADER,
        Error::TooManyHeaders => Fault::TOO_MANY_HEADERS,
    }
}

#[cfg(test)]
mod tests;
