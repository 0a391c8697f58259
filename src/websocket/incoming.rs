//! The incoming side: frames become messages.

use std::io::Cursor;

use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{CloseCode, Control, Data, OpCode};

use super::{CONTROL_BYTES_MAX, INVALID_TEXT, Message, PROTOCOL_ERROR, TOO_LONG, encode_control};

/// Longest header of a frame, in bytes: two, eight of length, four of mask.
const HEADER_BYTES_MAX: usize = 14;

/// The meaning of the peer's bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// A whole message.
    Message(Message),
    /// The answer to a ping, or an unsolicited pong as a sign of life.
    Pong,
    /// The peer closes; the answer has been written, and nothing more is read.
    Closed,
}

/// A protocol violation of the peer: the code to close with, and the reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The close code.
    pub code: u16,
    /// For the close frame and the log.
    pub reason: &'static str,
}

const fn wrong(reason: &'static str) -> Violation {
    Violation {
        code: PROTOCOL_ERROR,
        reason,
    }
}

const NOT_UTF8: Violation = Violation {
    code: INVALID_TEXT,
    reason: "text is not UTF-8",
};

/// The incoming half of a socket.
#[derive(Debug)]
pub struct Incoming {
    message_bytes_max: usize,
    /// Boxed, since between two messages, which is nearly always, there is none.
    pub(super) unfinished: Option<Box<Unfinished>>,
    over: bool,
}

/// A message, or a frame, of which a part has arrived.
#[derive(Debug)]
pub(super) struct Unfinished {
    message_bytes_max: usize,
    /// The part of a frame's header that has arrived.
    header: [u8; HEADER_BYTES_MAX],
    header_length: usize,
    /// The frame whose payload is arriving.
    frame: Option<Frame>,
    /// The payload of a control frame, which may come between the frames of a message.
    control: Vec<u8>,
    /// The message whose frames are arriving.
    message: Option<Partial>,
}

#[derive(Clone, Copy, Debug)]
struct Frame {
    opcode: OpCode,
    is_final: bool,
    mask: [u8; 4],
    length: usize,
    arrived: usize,
}

#[derive(Debug)]
struct Partial {
    is_text: bool,
    bytes: Vec<u8>,
    /// So many of them are known to be UTF-8, if the message is text: invalid text is refused as soon as
    /// it arrives, not at the end.
    checked: usize,
}

impl Incoming {
    /// The state of a new socket. Longer messages are a violation.
    #[must_use]
    pub fn new(message_bytes_max: usize) -> Self {
        Self {
            message_bytes_max,
            unfinished: None,
            over: false,
        }
    }

    /// Bytes that are held of an incomplete message.
    #[must_use]
    pub fn held(&self) -> usize {
        let unfinished = self.unfinished.as_ref();
        unfinished.map_or(0, |unfinished| unfinished.held())
    }

    /// Takes bytes from the front of `input` until they mean something, or none are left. The protocol's
    /// own answers, a pong or the reply to a close frame, are appended to `out`.
    ///
    /// # Errors
    /// The peer's violation. Everything that it sends after that, or after closing, is ignored.
    pub fn next(
        &mut self,
        input: &mut &[u8],
        out: &mut Vec<u8>,
    ) -> Result<Option<Heard>, Violation> {
        if self.over {
            *input = &[];
            return Ok(None);
        }
        let (mut kept, mut begun) = (self.unfinished.take(), None);
        let unfinished = match &mut kept {
            Some(unfinished) => &mut **unfinished,
            None => begun.insert(Unfinished::new(self.message_bytes_max)),
        };
        let heard = unfinished.advance(input, out);
        if let Err(_) | Ok(Some(Heard::Closed)) = heard {
            self.over = true;
            *input = &[];
        } else if !unfinished.is_nothing() {
            self.unfinished = kept.or_else(|| begun.map(Box::new));
        }
        heard
    }
}

impl Unfinished {
    fn new(message_bytes_max: usize) -> Self {
        Self {
            message_bytes_max,
            header: [0; HEADER_BYTES_MAX],
            header_length: 0,
            frame: None,
            control: Vec::new(),
            message: None,
        }
    }

    fn held(&self) -> usize {
        let message = self.message.as_ref();
        message.map_or(0, |message| message.bytes.capacity()) + self.control.capacity()
    }

    /// Whether nothing has arrived of a frame, and none of a message.
    fn is_nothing(&self) -> bool {
        self.header_length == 0 && self.frame.is_none() && self.message.is_none()
    }

    fn advance(
        &mut self,
        input: &mut &[u8],
        out: &mut Vec<u8>,
    ) -> Result<Option<Heard>, Violation> {
        while self.frame.is_some() || !input.is_empty() {
            if self.frame.is_none() && !self.take_header(input)? {
                break;
            }
            let Some(frame) = self.take_payload(input)? else {
                break;
            };
            let heard = match frame.opcode {
                OpCode::Control(control) => self.controlled(control, out)?,
                OpCode::Data(_) if frame.is_final => Some(self.whole()?),
                OpCode::Data(_) => None,
            };
            if heard.is_some() {
                return Ok(heard);
            }
        }
        Ok(None)
    }

    /// Takes the bytes of a frame's header; returns whether the header is complete.
    fn take_header(&mut self, input: &mut &[u8]) -> Result<bool, Violation> {
        loop {
            let wanted = header_length(&self.header[..self.header_length]);
            if self.header_length == wanted {
                break;
            }
            let Some((byte, rest)) = input.split_first() else {
                return Ok(false);
            };
            self.header[self.header_length] = *byte;
            self.header_length += 1;
            *input = rest;
        }
        let mut cursor = Cursor::new(&self.header[..self.header_length]);
        let Ok(Some((header, length))) = FrameHeader::parse(&mut cursor) else {
            return Err(wrong("reserved opcode"));
        };
        self.frame = Some(self.begin(&header, length)?);
        self.header_length = 0;
        Ok(true)
    }

    /// Begins a frame. Its header shows every violation except those in the payload.
    fn begin(&mut self, header: &FrameHeader, length: u64) -> Result<Frame, Violation> {
        if header.rsv1 || header.rsv2 || header.rsv3 {
            return Err(wrong("reserved bit"));
        }
        let Some(mask) = header.mask else {
            return Err(wrong("frame without a mask"));
        };
        if length > i64::MAX as u64 {
            return Err(wrong("length of more than 63 bits"));
        }
        if header.len(length) != self.header_length {
            return Err(wrong("length in more bytes than it needs"));
        }
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        match header.opcode {
            OpCode::Control(_) if !header.is_final => return Err(wrong("control frame in parts")),
            OpCode::Control(_) if length > CONTROL_BYTES_MAX => {
                return Err(wrong("control frame of more than 125 bytes"));
            }
            OpCode::Control(_) => {}
            OpCode::Data(data) => self.begin_data(data, length)?,
        }
        Ok(Frame {
            opcode: header.opcode,
            is_final: header.is_final,
            mask,
            length,
            arrived: 0,
        })
    }

    fn begin_data(&mut self, data: Data, length: usize) -> Result<(), Violation> {
        let before = match (&self.message, data) {
            (None, Data::Continue) => return Err(wrong("continuation of nothing")),
            (Some(message), Data::Continue) => message.bytes.len(),
            (Some(_), _) => return Err(wrong("message within a message")),
            (None, _) => {
                self.message = Some(Partial {
                    is_text: data == Data::Text,
                    bytes: Vec::new(),
                    checked: 0,
                });
                0
            }
        };
        if length > self.message_bytes_max - before {
            return Err(Violation {
                code: TOO_LONG,
                reason: "message too long",
            });
        }
        Ok(())
    }

    /// Takes the bytes of a frame's payload, and unmasks them; returns the frame if it is complete.
    fn take_payload(&mut self, input: &mut &[u8]) -> Result<Option<Frame>, Violation> {
        let Some(frame) = &mut self.frame else {
            return Ok(None);
        };
        let (bytes, rest) = input.split_at(input.len().min(frame.length - frame.arrived));
        *input = rest;
        let unmasked = bytes
            .iter()
            .zip(frame.mask.iter().cycle().skip(frame.arrived % 4))
            .map(|(byte, mask)| byte ^ mask);
        frame.arrived += bytes.len();
        let frame = *frame;
        match (&mut self.message, frame.opcode) {
            (Some(message), OpCode::Data(_)) => {
                message.bytes.extend(unmasked);
                message.check()?;
            }
            _ => self.control.extend(unmasked),
        }
        if frame.arrived < frame.length {
            return Ok(None);
        }
        self.frame = None;
        Ok(Some(frame))
    }

    /// Handles a complete control frame.
    fn controlled(
        &mut self,
        control: Control,
        out: &mut Vec<u8>,
    ) -> Result<Option<Heard>, Violation> {
        // Taken, not cleared: a socket keeps no memory between two frames.
        let payload = std::mem::take(&mut self.control);
        match control {
            Control::Ping => {
                encode_control(Control::Pong, &payload, out);
                Ok(None)
            }
            Control::Pong => Ok(Some(Heard::Pong)),
            Control::Close => {
                let code = closes(&payload)?;
                encode_control(Control::Close, code, out);
                Ok(Some(Heard::Closed))
            }
            Control::Reserved(_) => Err(wrong("reserved opcode")),
        }
    }

    /// The last frame of a message has arrived.
    fn whole(&mut self) -> Result<Heard, Violation> {
        let Some(message) = self.message.take() else {
            return Err(wrong("continuation of nothing"));
        };
        Ok(Heard::Message(if message.is_text {
            // The last character may be cut off, which the checks of the parts allow.
            Message::Text(String::from_utf8(message.bytes).map_err(|_| NOT_UTF8)?)
        } else {
            Message::Binary(message.bytes)
        }))
    }
}

impl Partial {
    fn check(&mut self) -> Result<(), Violation> {
        if !self.is_text {
            return Ok(());
        }
        match std::str::from_utf8(&self.bytes[self.checked..]) {
            Ok(_) => self.checked = self.bytes.len(),
            Err(error) if error.error_len().is_none() => self.checked += error.valid_up_to(),
            Err(_) => return Err(NOT_UTF8),
        }
        Ok(())
    }
}

/// The length of a header, as far as its first bytes determine it.
fn header_length(bytes: &[u8]) -> usize {
    let [_, second, ..] = bytes else {
        return 2;
    };
    let length = match second & 0x7f {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    let mask = if second & 0x80 == 0 { 0 } else { 4 };
    2 + length + mask
}

/// Checks the payload of a close frame; returns its code, which is echoed.
fn closes(payload: &[u8]) -> Result<&[u8], Violation> {
    match payload {
        [] => Ok(payload),
        [_] => Err(wrong("close code cut short")),
        [high, low, reason @ ..] => {
            if !CloseCode::from(u16::from_be_bytes([*high, *low])).is_allowed() {
                return Err(wrong("close code that no peer may send"));
            }
            std::str::from_utf8(reason).map_err(|_| NOT_UTF8)?;
            Ok(&payload[..2])
        }
    }
}
