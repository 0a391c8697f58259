//! An event as bytes: encoded once for each kind of transport that wants it, and shared by all outboxes.

use std::cell::OnceCell;

use super::waiting::Waiting;
use crate::event::Event;
use crate::websocket;
use crate::work::Missing;

/// How a remote subscriber's bytes are framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// One line of JSON.
    Line,
    /// A server-sent event (HTML Living Standard, section 9.2).
    Sse,
    /// A text message in one WebSocket frame (RFC 6455, section 5.6).
    WebSocket,
}

/// An event and its bytes.
#[derive(Debug)]
pub(crate) struct Encoded {
    /// The event.
    pub(super) event: Event,
    line: OnceCell<Box<str>>,
    sse: OnceCell<Box<[u8]>>,
    frame: OnceCell<Box<[u8]>>,
    /// The sum that includes its bytes for as long as a subscriber is still to receive it.
    waiting: Waiting,
}

impl Encoded {
    pub(super) fn new(event: Event, waiting: &Waiting) -> Self {
        Self {
            event,
            waiting: waiting.clone(),
            line: OnceCell::new(),
            sse: OnceCell::new(),
            frame: OnceCell::new(),
        }
    }

    /// An event of a page, for the one subscriber that asked for it: only its bytes are kept.
    pub(super) fn for_one(event: Event, encoding: Encoding, waiting: &Waiting) -> Self {
        let mut encoded = Self::new(event, waiting);
        let _made = encoded.bytes(encoding);
        encoded.event.fact.data = serde_json::Value::Null;
        encoded
    }

    /// The event as JSON, with a line end.
    fn line(&self) -> &str {
        self.line.get_or_init(|| {
            let mut line = self.event.to_json();
            line.push('\n');
            self.waiting.change(0, line.len());
            line.into()
        })
    }

    /// The event in a frame. Its JSON is not kept separately: most events go to one transport.
    fn framed(&self, encoding: Encoding, id: Option<u64>) -> Box<[u8]> {
        let name = &self.event.fact.name;
        let framed = match self.line.get() {
            Some(line) => frame(encoding, id, name, line.trim_end()),
            None => frame(encoding, id, name, &self.event.to_json()),
        };
        self.waiting.change(0, framed.len());
        framed
    }

    /// Bytes of all that it was encoded to.
    pub(super) fn encoded_bytes(&self) -> usize {
        let line = self.line.get().map_or(0, |line| line.len());
        let [sse, frame] =
            [&self.sse, &self.frame].map(|framed| framed.get().map_or(0, |bytes| bytes.len()));
        line + sse + frame
    }

    /// The event as JSON.
    #[must_use]
    pub(super) fn json(&self) -> &str {
        self.line().trim_end()
    }

    /// The event as it is sent.
    #[must_use]
    pub(super) fn bytes(&self, encoding: Encoding) -> &[u8] {
        match encoding {
            Encoding::Line => self.line().as_bytes(),
            Encoding::Sse => self
                .sse
                .get_or_init(|| self.framed(encoding, Some(self.event.id))),
            Encoding::WebSocket => self.frame.get_or_init(|| self.framed(encoding, None)),
        }
    }
}

impl Drop for Encoded {
    fn drop(&mut self) {
        self.waiting.change(self.encoded_bytes(), 0);
    }
}

/// JSON, framed for a transport. A message without an id is not part of the sequence, and does not change
/// the position from which a client resumes.
pub(super) fn frame(encoding: Encoding, id: Option<u64>, name: &str, json: &str) -> Box<[u8]> {
    let mut out = Vec::with_capacity(json.len() + name.len() + 48);
    match encoding {
        Encoding::Line => out.extend_from_slice(json.as_bytes()),
        Encoding::Sse => {
            if let Some(id) = id {
                out.extend_from_slice(format!("id: {id}\n").as_bytes());
            }
            // Neither a name nor the JSON contains a line end, so each takes one line.
            out.extend_from_slice(format!("event: {name}\ndata: {json}\n\n").as_bytes());
        }
        Encoding::WebSocket => websocket::encode_text(json, &mut out),
    }
    if encoding == Encoding::Line {
        out.push(b'\n');
    }
    out.into()
}

/// What a subscriber receives in place of the events that it missed.
#[must_use]
pub fn gap_json(missing: Missing) -> String {
    let Missing { from, to, last } = missing;
    let last = last.map_or_else(String::new, |last| format!(r#","last":{last}"#));
    format!(r#"{{"name":"gap","data":{{"from":{from},"to":{to}{last}}}}}"#)
}
