//! What is needed to write answers: memory, the date, and the fields that all of them have.

use super::buffers::Buffers;
use super::outbox::Outbox;
use crate::config::Config;
use crate::http::Date;

/// Writes answers into outboxes.
pub(super) struct ReplyWriter {
    pub(super) buffers: Buffers,
    date: Date,
    /// Field lines of every answer on an encrypted connection.
    secure_fields: Vec<u8>,
}

impl ReplyWriter {
    pub(super) fn new(config: &Config) -> Self {
        let secure_fields = match config.hsts.as_secs() {
            0 => Vec::new(),
            // RFC 6797, section 6.1. Without subdomains, which may belong to others.
            age_s => format!("Strict-Transport-Security: max-age={age_s}\r\n").into(),
        };
        Self {
            buffers: Buffers::default(),
            date: Date::new(0),
            secure_fields,
        }
    }

    /// Writes an answer, or the head of one, behind what waits in `outbox`; returns its length in bytes. `encode` is
    /// given the fields of every answer on such a connection.
    #[inline]
    pub(super) fn write(
        &mut self,
        outbox: &mut Outbox,
        is_secure: bool,
        unix_ms: u64,
        encode: impl FnOnce(&[u8], &Date, &mut Vec<u8>),
    ) -> usize {
        self.date.refresh(unix_ms / 1000);
        let fields: &[u8] = if is_secure { &self.secure_fields } else { &[] };
        let out = outbox.buffer(&mut self.buffers);
        let before = out.len();
        encode(fields, &self.date, out);
        out.len() - before
    }
}
