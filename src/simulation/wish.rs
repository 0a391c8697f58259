//! A request that is about to be sent.

use std::fmt::Write as _;

use super::clients::What;

pub(super) const FORM: &str = "Content-Type: application/x-www-form-urlencoded\r\n";
pub(super) const JSON: &str = "Content-Type: application/json\r\n";

/// A request that is about to be sent.
#[derive(Debug)]
pub(super) struct Wish {
    pub(super) what: What,
    pub(super) method: &'static str,
    pub(super) target: String,
    pub(super) fields: String,
    pub(super) body: String,
    /// The body comes in chunks of so many bytes.
    pub(super) chunk: Option<usize>,
    /// Bytes that are sent instead of a request.
    pub(super) raw: Option<String>,
}

impl Wish {
    pub(super) fn get(what: What, target: impl Into<String>) -> Self {
        Self::new(what, "GET", target, String::new())
    }

    pub(super) fn new(
        what: What,
        method: &'static str,
        target: impl Into<String>,
        fields: String,
    ) -> Self {
        Self {
            what,
            method,
            target: target.into(),
            fields,
            body: String::new(),
            chunk: None,
            raw: None,
        }
    }

    pub(super) fn raw(what: What, text: &str) -> Self {
        let raw = Some(text.to_owned());
        Self {
            raw,
            ..Self::get(what, "")
        }
    }

    pub(super) fn with_body(self, body: impl Into<String>) -> Self {
        let body = body.into();
        Self { body, ..self }
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        if let Some(raw) = &self.raw {
            return raw.clone().into_bytes();
        }
        let Self {
            method,
            target,
            fields,
            body,
            ..
        } = self;
        let mut text = format!("{method} {target} HTTP/1.1\r\nHost: h\r\n{fields}");
        if let Some(size) = self.chunk {
            text.push_str("Transfer-Encoding: chunked\r\n\r\n");
            for chunk in body.as_bytes().chunks(size.max(1)) {
                let part = String::from_utf8_lossy(chunk);
                let _ = write!(text, "{:x}\r\n{part}\r\n", chunk.len());
            }
            text.push_str("0\r\n\r\n");
        } else if body.is_empty() {
            text.push_str("\r\n");
        } else {
            let _ = write!(text, "Content-Length: {}\r\n\r\n{body}", body.len());
        }
        text.into_bytes()
    }
}
