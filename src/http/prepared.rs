//! Answers that are the same every time, encoded once.

use super::date::Date;
use super::encode::{WireOptions, encode};
use super::message::Version;
use super::response::Response;

/// The framing of nearly all answers, for which a prepared answer is encoded.
const PLAIN: WireOptions<'static> = WireOptions {
    version: Version::Http11,
    head_only: false,
    close: false,
    fields: &[],
};

/// An answer in which only the date changes: sending it costs two copies.
#[derive(Clone, Debug)]
pub struct Prepared {
    response: Response,
    /// The whole answer, with some date.
    bytes: Vec<u8>,
    /// The position of the line with the date.
    date_at: usize,
}

impl Prepared {
    /// Encodes `response`, except the date.
    ///
    /// # Panics
    /// Never: every answer has a date.
    #[must_use]
    pub fn new(response: Response) -> Self {
        let mut bytes = Vec::new();
        let date = Date::new(0);
        encode(&response, PLAIN, &date, &mut bytes);
        let date_at = bytes
            .windows(date.line().len())
            .position(|window| window == date.line())
            .expect("the encoder writes the date");
        Self {
            response,
            bytes,
            date_at,
        }
    }

    /// The answer itself.
    #[must_use]
    pub fn response(&self) -> &Response {
        &self.response
    }

    /// Appends the answer to `out`, as [`encode`] would.
    pub fn encode(&self, wire: WireOptions<'_>, date: &Date, out: &mut Vec<u8>) {
        // Field by field: comparing `fields` with an empty slice would be a call.
        let is_plain = wire.version == PLAIN.version && !wire.head_only && !wire.close;
        if !is_plain || !wire.fields.is_empty() {
            return encode(&self.response, wire, date, out);
        }
        let date_at = out.len() + self.date_at;
        out.extend_from_slice(&self.bytes);
        if let Some(line) = out[date_at..].first_chunk_mut() {
            *line = *date.line();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::status::Status;
    use super::*;

    #[test]
    fn a_prepared_answer_is_what_the_encoder_makes_of_it_whatever_was_asked() {
        let date = Date::new(784_111_777);
        for response in [
            Response::text(Status::OK, "ok"),
            Response::new(Status::NO_CONTENT).with_header("X-Name", "value"),
            Response::problem(Status::NOT_FOUND, "not_found", "nothing"),
        ] {
            let prepared = Prepared::new(response.clone());
            assert_eq!(prepared.response().status, response.status);
            for version in [Version::Http10, Version::Http11] {
                for (head_only, close, fields) in [
                    (false, false, &b""[..]),
                    (false, true, b""),
                    (true, false, b""),
                    (false, false, b"X-Every: time\r\n"),
                ] {
                    let wire = WireOptions {
                        version,
                        head_only,
                        close,
                        fields,
                    };
                    let (mut expected, mut bytes) = (b"before".to_vec(), b"before".to_vec());
                    encode(&response, wire, &date, &mut expected);
                    prepared.encode(wire, &date, &mut bytes);
                    assert_eq!(bytes, expected);
                }
            }
        }
    }
}
