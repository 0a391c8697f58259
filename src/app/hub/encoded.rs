//! An event as bytes: made once for each kind of transport that wants it, shared by all outboxes.

use std::cell::OnceCell;

use crate::event::Event;
use crate::websocket;
use crate::work::Missing;

/// How a remote subscriber's bytes are framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire {
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
}

impl Encoded {
    pub(super) fn new(event: Event) -> Self {
        Self {
            event,
            line: OnceCell::new(),
            sse: OnceCell::new(),
            frame: OnceCell::new(),
        }
    }

    /// The event as JSON, with a line end.
    fn line(&self) -> &str {
        self.line.get_or_init(|| {
            let mut line = self.event.to_json();
            line.push('\n');
            line.into()
        })
    }

    /// The event as JSON.
    #[must_use]
    pub(super) fn json(&self) -> &str {
        self.line().trim_end()
    }

    /// The event as it is sent.
    #[must_use]
    pub(super) fn bytes(&self, wire: Wire) -> &[u8] {
        match wire {
            Wire::Line => self.line().as_bytes(),
            Wire::Sse => self.sse.get_or_init(|| {
                let id = Some(self.event.id);
                frame(wire, id, &self.event.fact.name, self.json())
            }),
            Wire::WebSocket => self
                .frame
                .get_or_init(|| frame(wire, None, &self.event.fact.name, self.json())),
        }
    }
}

/// JSON, framed for a transport. What has no id is not part of the sequence, and leaves the place
/// to resume from as it was.
pub(super) fn frame(wire: Wire, id: Option<u64>, name: &str, json: &str) -> Box<[u8]> {
    let mut out = Vec::with_capacity(json.len() + name.len() + 48);
    match wire {
        Wire::Line => out.extend_from_slice(json.as_bytes()),
        Wire::Sse => {
            if let Some(id) = id {
                out.extend_from_slice(format!("id: {id}\n").as_bytes());
            }
            // Neither a name nor JSON contains a line end, so one line holds each.
            out.extend_from_slice(format!("event: {name}\ndata: {json}\n\n").as_bytes());
        }
        Wire::WebSocket => websocket::encode_text(json, &mut out),
    }
    if wire == Wire::Line {
        out.push(b'\n');
    }
    out.into()
}

/// What a subscriber is told in the place of events that it missed.
#[must_use]
pub fn gap_json(missing: Missing) -> String {
    let Missing { from, to, last } = missing;
    let last = last.map_or_else(String::new, |last| format!(r#","last":{last}"#));
    format!(r#"{{"name":"gap","data":{{"from":{from},"to":{to}{last}}}}}"#)
}
