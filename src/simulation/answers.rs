//! Parses the bytes that a client gets: answers, server-sent events, WebSocket frames.
//!
//! Written independently of the server's encoders, so that the two cannot share a mistake.

use std::fmt;

/// One complete answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    fields: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

/// The bytes are not a valid answer.
#[derive(Debug)]
pub(super) struct NoAnswer(pub(super) String);

impl fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Answer {
    pub(super) fn field(&self, name: &str) -> Option<&str> {
        let mut fields = self.fields.iter();
        let found = fields.find(|(field, _)| field.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// All fields, in their order.
    pub(super) fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        let fields = self.fields.iter();
        fields.map(|(name, value)| (name.as_str(), value.as_str()))
    }

    pub(super) fn closes(&self) -> bool {
        self.field("connection")
            .is_some_and(|value| value.eq_ignore_ascii_case("close"))
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(super) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

fn position(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes
        .windows(wanted.len())
        .position(|window| window == wanted)
}

/// What follows the head of an answer, depending on the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Follows {
    /// A body, if the status has one.
    Body,
    /// Nothing: it was HEAD.
    Nothing,
    /// If the status is 200, a body that continues until the connection ends and is not to be waited for.
    Stream,
}

/// Takes the first answer out of `bytes`, if all of it is there.
pub(super) fn take_answer(
    bytes: &mut Vec<u8>,
    follows: Follows,
) -> Result<Option<Answer>, NoAnswer> {
    let Some(head_length) = position(bytes, b"\r\n\r\n") else {
        return Ok(None);
    };
    let wrong = |why: &str| {
        let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(120)]);
        NoAnswer(format!("{why}: {shown:?}"))
    };
    let head = std::str::from_utf8(&bytes[..head_length]).map_err(|_| wrong("not text"))?;
    let mut lines = head.split("\r\n");
    let status = lines
        .next()
        .and_then(|line| line.strip_prefix("HTTP/1.1 "))
        .and_then(|rest| rest.get(..3)?.parse().ok())
        .ok_or_else(|| wrong("not a status line"))?;
    let mut fields = Vec::new();
    for line in lines {
        let (name, value) = line.split_once(':').ok_or_else(|| wrong("not a field"))?;
        fields.push((name.to_owned(), value.trim().to_owned()));
    }
    let mut answer = Answer {
        status,
        fields,
        body: Vec::new(),
    };
    let begin = head_length + 4;
    // The server does not know that a request is HEAD if it refuses it before it has parsed it.
    let unread = matches!(status, 408 | 503) || status == 429 && answer.closes();
    let bare = follows == Follows::Nothing && !unread;
    let end = if bare || matches!(status, 100 | 101 | 204 | 304) {
        begin
    } else if let Some(length) = answer.field("content-length") {
        let length: usize = length.parse().map_err(|_| wrong("not a length"))?;
        if bytes.len() < begin + length {
            return Ok(None);
        }
        answer.body = bytes[begin..begin + length].to_vec();
        begin + length
    } else if answer.field("transfer-encoding").is_some() {
        let Some((body, length)) = dechunk(&bytes[begin..]).map_err(wrong)? else {
            return Ok(None);
        };
        answer.body = body;
        begin + length
    } else if follows == Follows::Stream {
        begin
    } else {
        return Err(wrong("an answer without an end"));
    };
    bytes.drain(..end);
    Ok(Some(answer))
}

/// A chunked body and its length on the wire, if all of it is there.
fn dechunk(bytes: &[u8]) -> Result<Option<(Vec<u8>, usize)>, &'static str> {
    let (mut body, mut at) = (Vec::new(), 0);
    loop {
        let Some(line) = position(&bytes[at..], b"\r\n") else {
            return Ok(None);
        };
        let size = std::str::from_utf8(&bytes[at..at + line]).map_err(|_| "not a chunk size")?;
        let size = usize::from_str_radix(size, 16).map_err(|_| "not a chunk size")?;
        at += line + 2;
        if bytes.len() < at + size + 2 {
            return Ok(None);
        }
        if &bytes[at + size..at + size + 2] != b"\r\n" {
            return Err("a chunk without an end");
        }
        body.extend_from_slice(&bytes[at..at + size]);
        at += size + 2;
        if size == 0 {
            return Ok(Some((body, at)));
        }
    }
}

/// A server-sent event (HTML Living Standard, section 9.2).
#[derive(Debug, Default)]
pub(super) struct Sse {
    pub(super) id: Option<String>,
    pub(super) name: String,
    /// Empty, if the event has none.
    pub(super) data: String,
}

/// Takes the first server-sent event out of `bytes`.
pub(super) fn take_sse(bytes: &mut Vec<u8>) -> Result<Option<Sse>, NoAnswer> {
    let Some(end) = position(bytes, b"\n\n") else {
        return Ok(None);
    };
    let block: Vec<u8> = bytes.drain(..end + 2).collect();
    let mut sse = Sse::default();
    for line in String::from_utf8_lossy(&block).lines() {
        match line.split_once(": ") {
            Some(("id", id)) if sse.id.is_none() => sse.id = Some(id.to_owned()),
            Some(("event", name)) if sse.name.is_empty() => name.clone_into(&mut sse.name),
            Some(("data", data)) if sse.data.is_empty() => data.clone_into(&mut sse.data),
            Some(("retry", ms)) if ms.parse::<u32>().is_ok() => {}
            None if line.is_empty() || line == ":" => {}
            _ => return Err(NoAnswer(format!("not a line of an event: {line:?}"))),
        }
    }
    Ok(Some(sse))
}

/// A frame of a WebSocket.
#[derive(Debug)]
pub(super) enum Frame {
    Text(String),
    Ping(Vec<u8>),
    Close(u16),
    Other,
}

/// Takes the first frame out of `bytes`, which a server sent (RFC 6455, section 5.2).
pub(super) fn take_frame(bytes: &mut Vec<u8>) -> Result<Option<Frame>, NoAnswer> {
    let [first, second, ..] = bytes[..] else {
        return Ok(None);
    };
    if second & 0x80 != 0 || first & 0x70 != 0 {
        return Err(NoAnswer(format!("not a frame: {first:#04x} {second:#04x}")));
    }
    let (length, begin) = match second & 0x7f {
        126 if bytes.len() < 4 => return Ok(None),
        126 => (usize::from(u16::from_be_bytes([bytes[2], bytes[3]])), 4),
        127 => return Err(NoAnswer("a frame that is too long".into())),
        short => (usize::from(short), 2),
    };
    if bytes.len() < begin + length {
        return Ok(None);
    }
    let payload = bytes[begin..begin + length].to_vec();
    bytes.drain(..begin + length);
    Ok(Some(match first & 0x0f {
        1 => Frame::Text(String::from_utf8_lossy(&payload).into_owned()),
        8 => Frame::Close(match payload[..] {
            [high, low, ..] => u16::from_be_bytes([high, low]),
            _ => 1005,
        }),
        9 => Frame::Ping(payload),
        _ => Frame::Other,
    }))
}

/// A frame as a client sends it, masked with zeros.
pub(super) fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![
        0x80 | opcode,
        0x80 | payload.len().min(125) as u8,
        0,
        0,
        0,
        0,
    ];
    frame.extend_from_slice(&payload[..payload.len().min(125)]);
    frame
}
