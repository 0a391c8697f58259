//! Answers as bytes (RFC 9112, section 4 and 6).
//!
//! This runs for every request: it allocates only what `out` needs to grow, and formats only digits. Only this
//! file decides which fields say how the message ends.

use super::date::Date;
use super::message::Version;
use super::response::Response;
use super::status::Status;
use crate::planted::{Bug, planted};

/// The interim answer that a peer waits for before it sends its body (RFC 9110, section 15.2.1).
pub const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// The content has its declared type, and browsers must not guess another one (Fetch Standard, section 3.6).
const NO_SNIFFING: &[u8] = b"X-Content-Type-Options: nosniff\r\n";

/// Bytes of the head of an ordinary answer.
const HEAD_BYTES_TYPICAL: usize = 256;

/// How one answer is framed: what the request asked for, and whether the connection ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WireOptions<'f> {
    /// The version of the request. An answer always says 1.1, but tells a 1.0 peer that its wish
    /// to keep the connection was granted.
    pub version: Version,
    /// The request was HEAD: the same head, and no content.
    pub head_only: bool,
    /// The connection is closed after this answer.
    pub close: bool,
    /// Field lines, each with its line end, that every answer on this connection has.
    pub fields: &'f [u8],
}

/// How the content of an answer ends.
#[derive(Clone, Copy)]
enum Ending {
    /// There is none, and no field may say so.
    None,
    Length(usize),
    Chunks,
    Close,
}

/// Appends a whole answer to `out`.
///
/// 1xx, 204 and 304 never have content, a length or a type, even if the response has a body; a 205
/// says that its length is 0. An answer to HEAD has the length that its content would have.
pub fn encode(response: &Response, wire: WireOptions<'_>, date: &Date, out: &mut Vec<u8>) {
    let content = response.content();
    let ending = if response.status.allows_content() {
        Ending::Length(content.len())
    } else {
        Ending::None
    };
    let bare = wire.head_only && !planted(Bug::HeadBody);
    let content = if bare { &[] } else { content };
    out.reserve(HEAD_BYTES_TYPICAL + content.len());
    push_head(response, wire, ending, date, out);
    out.extend_from_slice(content);
}

/// Appends the head of an answer whose content follows piece by piece; the body of `response` is
/// ignored. Returns whether the content must be sent by [`encode_chunk`] and
/// [`encode_last_chunk`].
///
/// Otherwise the content ends with the connection, and the head says that it will close: this is so
/// without `chunked`, and always for a 1.0 peer, which does not know chunks. An answer that has no
/// content because of its status is not chunked either.
#[must_use]
pub fn encode_stream_head(
    response: &Response,
    wire: WireOptions<'_>,
    date: &Date,
    chunked: bool,
    out: &mut Vec<u8>,
) -> bool {
    let ending = if !response.status.allows_content() {
        Ending::None
    } else if chunked && wire.version == Version::Http11 {
        Ending::Chunks
    } else {
        Ending::Close
    };
    push_head(response, wire, ending, date, out);
    matches!(ending, Ending::Chunks)
}

/// Appends `data` as one chunk; nothing when it is empty, because an empty chunk is the last one.
pub fn encode_chunk(data: &[u8], out: &mut Vec<u8>) {
    if data.is_empty() {
        return;
    }
    let digits = (usize::BITS - data.len().leading_zeros()).div_ceil(4);
    for place in (0..digits).rev() {
        let digit = data.len() >> (place * 4) & 0xf;
        out.push(b"0123456789abcdef"[digit]);
    }
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(data);
    out.extend_from_slice(b"\r\n");
}

/// Appends the chunk that ends the content, without trailers.
pub fn encode_last_chunk(out: &mut Vec<u8>) {
    out.extend_from_slice(b"0\r\n\r\n");
}

fn push_head(
    response: &Response,
    wire: WireOptions<'_>,
    ending: Ending,
    date: &Date,
    out: &mut Vec<u8>,
) {
    push_status_line(response.status, out);
    out.extend_from_slice(date.line());
    if response.status.allows_content() {
        let content_type = response.content_type();
        if let Some(content_type) = content_type {
            push_field("Content-Type", content_type, out);
        }
        // This matters most without a type: a browser would guess one from the content.
        if content_type.is_some() || !matches!(ending, Ending::Length(0)) {
            out.extend_from_slice(NO_SNIFFING);
        }
    }
    match ending {
        Ending::Length(length) => {
            out.extend_from_slice(b"Content-Length: ");
            push_decimal(length as u64, out);
            out.extend_from_slice(b"\r\n");
        }
        Ending::Chunks => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
        Ending::None | Ending::Close => {}
    }
    let close = wire.close || matches!(ending, Ending::Close);
    out.extend_from_slice(connection_line(response, wire.version, close));
    out.extend_from_slice(wire.fields);
    out.extend_from_slice(response.field_lines());
    out.extend_from_slice(b"\r\n");
}

/// A message with `Upgrade` must name that field in `Connection`, too (RFC 9110, section 7.8).
fn connection_line(response: &Response, version: Version, close: bool) -> &'static [u8] {
    match (response.status, version, close) {
        (Status::SWITCHING_PROTOCOLS, ..) => b"Connection: Upgrade\r\n",
        (status, ..) if status.is_informational() => b"",
        (Status::UPGRADE_REQUIRED, _, true) => b"Connection: Upgrade, close\r\n",
        (Status::UPGRADE_REQUIRED, Version::Http11, false) => b"Connection: Upgrade\r\n",
        (_, _, true) => b"Connection: close\r\n",
        (_, Version::Http10, false) => b"Connection: keep-alive\r\n",
        (_, Version::Http11, false) => b"",
    }
}

fn push_status_line(status: Status, out: &mut Vec<u8>) {
    if let Some(line) = status.line() {
        out.extend_from_slice(line);
        return;
    }
    out.extend_from_slice(b"HTTP/1.1 ");
    push_decimal(status.code().into(), out);
    // The space is required even before an empty reason (RFC 9112, section 4).
    out.extend_from_slice(b" \r\n");
}

fn push_field(name: &str, value: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value.as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// Appends a number in decimal digits.
pub(crate) fn push_decimal(mut number: u64, out: &mut Vec<u8>) {
    let mut digits = [0; 20];
    let mut start = digits.len();
    loop {
        start -= 1;
        digits[start] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[start..]);
}

#[cfg(test)]
mod tests;
