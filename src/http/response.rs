//! Answers, before they are bytes. `encode` decides how they are framed.

use std::borrow::Cow;
use std::fmt;
use std::io::Write as _;

use serde::Serialize;

use super::fault::Fault;
use super::grammar::{is_token, is_value_byte};
use super::status::Status;
use crate::planted::{Bug, planted};

/// What follows the head of an answer.
#[derive(Clone, PartialEq, Eq)]
pub enum Body {
    /// Nothing: a length of 0.
    Empty,
    /// Bytes of the program itself.
    Static(&'static [u8]),
    /// Bytes made for this answer.
    Bytes(Vec<u8>),
}

impl Body {
    /// The content.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Empty => &[],
            Self::Static(bytes) => bytes,
            Self::Bytes(bytes) => bytes,
        }
    }
}

impl From<Cow<'static, str>> for Body {
    fn from(text: Cow<'static, str>) -> Self {
        match text {
            Cow::Borrowed(text) => Self::Static(text.as_bytes()),
            Cow::Owned(text) => Self::Bytes(text.into_bytes()),
        }
    }
}

/// An answer to one request.
#[derive(Clone)]
pub struct Response {
    /// The status.
    pub status: Status,
    /// The content.
    pub body: Body,
    content_type: Option<Cow<'static, str>>,
    /// Field lines as they are on the wire.
    fields: Vec<u8>,
}

/// The memory of an answer that has been encoded, for the next one.
#[derive(Debug, Default)]
pub struct Blank {
    body: Vec<u8>,
    fields: Vec<u8>,
}

/// More memory than this is not worth keeping for the next answer.
const BLANK_BYTES_MAX: usize = 16 * 1024;

/// RFC 9457, section 3.1, and the stable code that programs compare.
#[derive(Serialize)]
struct Problem<'p> {
    r#type: String,
    title: &'p str,
    status: u16,
    detail: &'p str,
    code: &'p str,
}

/// Only the encoder knows how the message ends and whether the connection does; the last field is the same in
/// every answer that has content.
const ENCODERS_OWN: [&str; 5] = [
    "Connection",
    "Content-Length",
    "Date",
    "Transfer-Encoding",
    "X-Content-Type-Options",
];

impl Response {
    /// The content as it is sent: none where the status allows none.
    #[must_use]
    pub fn content(&self) -> &[u8] {
        if self.status == Status::RESET_CONTENT || !self.status.allows_content() {
            return &[];
        }
        self.body.as_bytes()
    }

    /// An answer without content.
    #[must_use]
    pub const fn new(status: Status) -> Self {
        Self {
            status,
            body: Body::Empty,
            content_type: None,
            fields: Vec::new(),
        }
    }

    /// As [`new`](Self::new), in memory that was used before.
    #[must_use]
    pub fn reusing(blank: Blank, status: Status) -> Self {
        let Blank {
            mut body,
            mut fields,
        } = blank;
        body.clear();
        fields.clear();
        Self {
            status,
            body: Body::Bytes(body),
            content_type: None,
            fields,
        }
    }

    /// Takes the memory of an answer that has been encoded.
    #[must_use]
    pub fn into_blank(self) -> Blank {
        let worth_keeping = |bytes: Vec<u8>| {
            if bytes.capacity() > BLANK_BYTES_MAX {
                return Vec::new();
            }
            bytes
        };
        let body = match self.body {
            Body::Bytes(bytes) => worth_keeping(bytes),
            Body::Empty | Body::Static(_) => Vec::new(),
        };
        Blank {
            body,
            fields: worth_keeping(self.fields),
        }
    }

    /// `value` as JSON. A value that has no JSON form becomes a 500.
    #[must_use]
    pub fn json(status: Status, value: &impl Serialize) -> Self {
        Self::json_reusing(Blank::default(), status, value)
    }

    /// As [`json`](Self::json), in memory that was used before.
    #[must_use]
    pub fn json_reusing(blank: Blank, status: Status, value: &impl Serialize) -> Self {
        let mut response = Self::reusing(blank, status);
        response.content_type = Some(Cow::Borrowed("application/json"));
        let Body::Bytes(bytes) = &mut response.body else {
            unreachable!("a reused response has bytes")
        };
        if serde_json::to_writer(&mut *bytes, value).is_err() {
            return Self::problem(
                Status::INTERNAL_SERVER_ERROR,
                "internal_error",
                "the answer could not be written as JSON",
            );
        }
        // For users of curl, whose prompt would otherwise stand behind the last brace.
        bytes.push(b'\n');
        response
    }

    /// Plain text in UTF-8.
    #[must_use]
    pub fn text(status: Status, text: impl Into<Cow<'static, str>>) -> Self {
        Self::with_body(status, "text/plain; charset=utf-8", text.into().into())
    }

    /// A page in UTF-8. The caller must have escaped everything that is put into it.
    #[must_use]
    pub fn html(status: Status, page: impl Into<Cow<'static, str>>) -> Self {
        Self::with_body(status, "text/html; charset=utf-8", page.into().into())
    }

    /// Bytes of the program itself: nothing is copied until they are encoded.
    #[must_use]
    pub const fn static_body(
        status: Status,
        content_type: &'static str,
        bytes: &'static [u8],
    ) -> Self {
        Self {
            status,
            body: Body::Static(bytes),
            content_type: Some(Cow::Borrowed(content_type)),
            fields: Vec::new(),
        }
    }

    /// An error as `application/problem+json` (RFC 9457).
    ///
    /// `code` is a stable name in `snake_case`; `detail` is a sentence for people.
    #[must_use]
    pub fn problem(status: Status, code: &str, detail: &str) -> Self {
        let problem = Problem {
            r#type: format!("urn:loopgate:problem:{code}"),
            title: status.reason(),
            status: status.code(),
            detail,
            code,
        };
        Self {
            content_type: Some(Cow::Borrowed("application/problem+json")),
            ..Self::json(status, &problem)
        }
    }

    fn with_body(status: Status, content_type: &'static str, body: Body) -> Self {
        Self {
            status,
            body,
            content_type: Some(Cow::Borrowed(content_type)),
            fields: Vec::new(),
        }
    }

    /// Adds a field. `Content-Type` replaces the present one; fields that the encoder writes itself
    /// (`Connection`, `Content-Length`, `Date`, `Transfer-Encoding`, `X-Content-Type-Options`) are left out.
    ///
    /// Control characters in `value` become spaces: with a line end in it, a peer could write
    /// fields of its own, or a second answer.
    ///
    /// # Panics
    /// In debug builds, if `name` is not a token; in release builds such a field is left out.
    #[must_use]
    pub fn with_header(mut self, name: &'static str, value: impl fmt::Display) -> Self {
        let name_is_token = is_token(name.as_bytes());
        debug_assert!(name_is_token, "{name:?} is no field name");
        if name.eq_ignore_ascii_case("Content-Type") {
            let mut line = Vec::new();
            push_harmless(value, &mut line);
            let value = String::from_utf8_lossy(&line).into_owned();
            self.content_type = Some(Cow::Owned(value));
        } else if name_is_token
            && !ENCODERS_OWN
                .iter()
                .any(|own| own.eq_ignore_ascii_case(name))
        {
            self.fields.extend_from_slice(name.as_bytes());
            self.fields.extend_from_slice(b": ");
            push_harmless(value, &mut self.fields);
            self.fields.extend_from_slice(b"\r\n");
        }
        self
    }

    /// Marks the answer as private to one user: no cache may keep it.
    #[must_use]
    pub fn no_store(mut self) -> Self {
        if planted(Bug::Cacheable) && self.status == Status::NO_CONTENT {
            return self;
        }
        self.fields
            .extend_from_slice(b"Cache-Control: no-store\r\n");
        self
    }

    /// The value of the first field of that name, in any case, among those that were added.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.fields.split(|byte| *byte == b'\n');
        let value = lines.find_map(|line| {
            let (field, value) = line.split_at_checked(name.len())?;
            let value = value.strip_prefix(b": ")?.strip_suffix(b"\r")?;
            let found = field.eq_ignore_ascii_case(name.as_bytes());
            found.then_some(value)
        })?;
        std::str::from_utf8(value).ok()
    }

    /// The type of the content.
    #[must_use]
    pub fn content_type(&self) -> Option<&str> {
        self.content_type.as_deref()
    }

    /// The lines of all fields that were added, each with its line end.
    pub(super) fn field_lines(&self) -> &[u8] {
        &self.fields
    }
}

impl From<Fault> for Response {
    fn from(fault: Fault) -> Self {
        let response = Self::problem(fault.status, fault.code, fault.detail);
        match fault.status {
            Status::SERVICE_UNAVAILABLE => response.with_header("Retry-After", "1"),
            _ => response,
        }
    }
}

/// Appends `value` with a space in place of each control character.
fn push_harmless(value: impl fmt::Display, line: &mut Vec<u8>) {
    let begin = line.len();
    let _ = write!(line, "{value}"); // writing to memory does not fail
    for byte in &mut line[begin..] {
        if !is_value_byte(*byte) {
            *byte = b' ';
        }
    }
}

impl fmt::Debug for Response {
    /// Without fields and content, which hold signatures.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Response({}, {:?})", self.status, self.body)
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.as_bytes().len())
    }
}

#[cfg(test)]
mod tests;
