//! The protocol faults of a peer, and the answer to each.
//!
//! After any of these the caller must close the connection: where the next request would begin is
//! no longer certain.

use super::status::Status;
use thiserror::Error;

/// A protocol fault, and how the peer is told about it.
///
/// It contains nothing that the peer sent, so it can be logged and echoed as it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[error("{status} {code}: {detail}")]
pub struct Fault {
    /// How the request is answered.
    pub status: Status,
    /// A stable name in `snake_case`, for programs.
    pub code: &'static str,
    /// A sentence, for people.
    pub detail: &'static str,
}

macro_rules! faults {
    ($($(#[$doc:meta])* $name:ident = $status:ident $code:literal $detail:literal;)+) => {
        impl Fault {
            $(
                $(#[$doc])*
                pub const $name: Self = Self {
                    status: Status::$status,
                    code: $code,
                    detail: $detail,
                };
            )+

            /// Every fault in this table.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];
        }
    };
}

faults! {
    /// The first line is not `method target version` (RFC 9112, section 3).
    BAD_REQUEST_LINE = BAD_REQUEST "bad_request_line"
        "the request line is not a method, a target and a version, one space apart";
    /// More empty lines before the request line than any client should send.
    TOO_MANY_EMPTY_LINES = BAD_REQUEST "too_many_empty_lines"
        "too many empty lines stand before the request line";
    /// A line feed without its carriage return, or the reverse (RFC 9112, section 2.2).
    BAD_LINE_END = BAD_REQUEST "bad_line_end"
        "every line of the head must end with a carriage return and a line feed";
    /// An invalid field line: a space before the colon, folding, an empty name, control bytes.
    BAD_HEADER = BAD_REQUEST "bad_header"
        "a header field has a malformed name or a forbidden byte in its value";
    /// The target has no form that fits the method (RFC 9112, section 3.2).
    BAD_TARGET = BAD_REQUEST "bad_target"
        "the request target has no valid form for this method";
    /// A percent escape that is not two digits, is NUL, or does not decode to UTF-8.
    BAD_ESCAPE = BAD_REQUEST "bad_escape"
        "a percent escape is malformed, is NUL, or does not decode to UTF-8";
    /// HTTP/1.1 without `Host` (RFC 9112, section 3.2).
    MISSING_HOST = BAD_REQUEST "missing_host"
        "an HTTP/1.1 request needs a Host header";
    /// Two `Host` fields, or one that is not a host and port.
    BAD_HOST = BAD_REQUEST "bad_host"
        "there must be one Host header with a host and an optional port";
    /// Both `Content-Length` and `Transfer-Encoding` (RFC 9112, section 6.3).
    AMBIGUOUS_FRAMING = BAD_REQUEST "ambiguous_framing"
        "Content-Length and Transfer-Encoding must not come together";
    /// A length that is not digits, or more than one.
    BAD_CONTENT_LENGTH = BAD_REQUEST "bad_content_length"
        "there must be at most one Content-Length, made of decimal digits only";
    /// Anything but one `chunked`, or any at all in HTTP/1.0.
    BAD_TRANSFER_ENCODING = BAD_REQUEST "bad_transfer_encoding"
        "the only transfer coding is chunked, once, and only in HTTP/1.1";
    /// `Connection` with something that is not a token, or that would strip a field of the framing.
    BAD_CONNECTION = BAD_REQUEST "bad_connection"
        "the Connection header names something that is not a connection option";
    /// A chunk that is not `size CRLF data CRLF` (RFC 9112, section 7.1).
    BAD_CHUNK = BAD_REQUEST "bad_chunk"
        "the chunked body has a malformed chunk";
    /// A trailer line that is not a field line.
    BAD_TRAILER = BAD_REQUEST "bad_trailer"
        "the chunked body ends with a malformed trailer field";
    /// Plain HTTP on a TLS socket.
    TLS_NEEDED = BAD_REQUEST "tls_needed"
        "this port speaks TLS: use https:// in place of http://";
    /// The head did not end in time.
    HEAD_TIMEOUT = REQUEST_TIMEOUT "head_timeout"
        "the request head took too long to arrive";
    /// The body did not end in time.
    BODY_TIMEOUT = REQUEST_TIMEOUT "body_timeout"
        "the request body took too long to arrive";
    /// More than `body_bytes_max`, announced or received.
    BODY_TOO_LARGE = CONTENT_TOO_LARGE "body_too_large"
        "the request body is longer than this server accepts";
    /// Chunk extensions above [`EXTENSION_BYTES_MAX`](super::EXTENSION_BYTES_MAX) in one body.
    CHUNK_EXTENSIONS_TOO_LARGE = CONTENT_TOO_LARGE "chunk_extensions_too_large"
        "the chunk extensions of the body are longer than this server accepts";
    /// More than `target_bytes_max`.
    TARGET_TOO_LONG = URI_TOO_LONG "target_too_long"
        "the request target is longer than this server accepts";
    /// An expectation other than `100-continue` (RFC 9110, section 10.1.1).
    UNKNOWN_EXPECTATION = EXPECTATION_FAILED "unknown_expectation"
        "the only expectation that this server meets is 100-continue";
    /// More than `head_bytes_max`.
    HEAD_TOO_LARGE = HEADER_FIELDS_TOO_LARGE "head_too_large"
        "the request head is longer than this server accepts";
    /// More than `headers_max`.
    TOO_MANY_HEADERS = HEADER_FIELDS_TOO_LARGE "too_many_headers"
        "the request has more header fields than this server accepts";
    /// Trailers above [`TRAILER_BYTES_MAX`](super::TRAILER_BYTES_MAX).
    TRAILERS_TOO_LARGE = HEADER_FIELDS_TOO_LARGE "trailers_too_large"
        "the trailer fields are longer than this server accepts";
    /// A method without a name here, or CONNECT.
    METHOD_NOT_IMPLEMENTED = NOT_IMPLEMENTED "method_not_implemented"
        "this server does not implement the request method";
    /// The server makes way for another process, and this request has not arrived, or has not been done.
    RESTARTING = SERVICE_UNAVAILABLE "restarting"
        "the server restarts, and nothing was done about this request; try again";
    /// More bytes of unfinished requests than the server holds, of all peers together.
    OVERLOADED = SERVICE_UNAVAILABLE "overloaded"
        "too many requests are on their way in pieces; try again, in one piece";
    /// A version other than 1.0 and 1.1.
    UNSUPPORTED_VERSION = VERSION_NOT_SUPPORTED "unsupported_version"
        "this server speaks HTTP/1.0 and HTTP/1.1";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_has_a_code_of_its_own_in_snake_case_and_blames_the_peer_or_a_limit() {
        for (index, fault) in Fault::ALL.iter().enumerate() {
            let earlier = &Fault::ALL[..index];
            assert!(earlier.iter().all(|other| other.code != fault.code));
            assert!(
                fault
                    .code
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b == b'_')
            );
            assert!(!fault.status.reason().is_empty(), "{fault}");
            let logged = fault.to_string();
            assert!(logged.contains(fault.code) && logged.contains(fault.detail));
            assert!(fault.status.code() >= 400, "{fault}");
        }
    }
}
