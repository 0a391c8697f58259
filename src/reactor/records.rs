//! Computes how many bytes from its peer a TLS session holds.
//!
//! rustls keeps a record until it is complete, and the records of a handshake message until the message is complete,
//! and does not say how much that is. So the records are counted as they arrive (RFC 8446, section 5.1): a session
//! holds what has arrived since it last produced something from it, plain bytes or the end of the handshake.

/// Bytes before a record's own: its type, a version, its length.
const HEADER_BYTES: u8 = 5;
/// Bytes by which rustls's buffer grows.
const STEP_BYTES: usize = 4096;

/// The records that have arrived.
#[derive(Debug, Default)]
pub(super) struct Records {
    /// Bytes of complete records that have produced nothing yet.
    whole: u32,
    /// Bytes of the incomplete record, including its header.
    part: u32,
    /// Bytes of its header that have arrived.
    header: u8,
    /// Bytes that are still to arrive after its header.
    left: u16,
}

impl Records {
    /// These bytes have arrived.
    pub(super) fn came(&mut self, mut bytes: &[u8]) {
        while let [first, rest @ ..] = bytes {
            if self.header < HEADER_BYTES {
                match self.header {
                    3 => self.left = u16::from(*first) << 8,
                    4 => self.left |= u16::from(*first),
                    _ => {}
                }
                self.header += 1;
                self.part += 1;
                bytes = rest;
            } else {
                let count = bytes.len().min(self.left.into());
                self.left -= count as u16;
                self.part += count as u32;
                bytes = &bytes[count..];
            }
            if self.header == HEADER_BYTES && self.left == 0 {
                self.whole = self.whole.saturating_add(self.part);
                (self.part, self.header) = (0, 0);
            }
        }
    }

    /// The complete records have produced something.
    pub(super) fn gave(&mut self) {
        self.whole = 0;
    }

    /// Bytes of memory that the session holds for them.
    pub(super) fn held(&self) -> usize {
        let bytes = self.whole as usize + self.part as usize;
        bytes.next_multiple_of(STEP_BYTES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(length: u16) -> Vec<u8> {
        let mut record = vec![23, 3, 3];
        record.extend(length.to_be_bytes());
        record.resize(5 + usize::from(length), 7);
        record
    }

    #[test]
    fn what_has_come_is_held_until_something_is_given_for_it() {
        let bytes = [record(0), record(10), record(16_384), record(300)].concat();
        for cut in [1, 2, 3, 5, 7, 100, 5000, bytes.len()] {
            let mut records = Records::default();
            for piece in bytes.chunks(cut) {
                records.came(piece);
            }
            assert_eq!(records.whole as usize, bytes.len(), "in pieces of {cut}");
            assert_eq!(records.held(), 20_480);
            records.gave();
            assert_eq!(records.held(), 0);
        }
    }

    #[test]
    fn of_a_record_in_part_that_part_is_held_whatever_was_given_before() {
        for (part, held) in [(0, 0), (1, 4096), (5, 4096), (4096, 4096), (4097, 8192)] {
            let mut records = Records::default();
            records.came(&[record(700), record(16_000)[..part].to_vec()].concat());
            records.gave();
            assert_eq!(records.held(), held, "{part}");
        }
    }
}
