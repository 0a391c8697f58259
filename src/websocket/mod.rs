//! The server's side of the WebSocket protocol, without I/O: bytes in, messages out; messages in,
//! frames out (RFC 6455). Floor 1.
//!
//! tungstenite reads frame headers and close codes. This module assembles messages directly from the bytes
//! that were read: a silent socket holds no buffer, and a length that a peer declares causes no allocation.
//! There are no extensions: a compressed message could be a thousand times as long as it seems.
//!
//! `incoming` reads; this file writes, and answers the handshake.

mod incoming;
#[cfg(test)]
mod tests;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use sha1::{Digest as _, Sha1};
use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{Control, Data, OpCode};

pub use incoming::{Heard, Incoming, Violation};

/// Close code: done (RFC 6455, section 7.4.1, as all below 3000 but one).
pub const NORMAL: u16 = 1000;
/// Close code: the server shuts down, or the page is left.
pub const GOING_AWAY: u16 = 1001;
/// Close code: frames that the protocol does not allow.
pub const PROTOCOL_ERROR: u16 = 1002;
/// Close code: text that is not UTF-8.
pub const INVALID_TEXT: u16 = 1007;
/// Close code: against the rules of this server.
pub const POLICY_VIOLATION: u16 = 1008;
/// Close code: a message that is too long.
pub const TOO_LONG: u16 = 1009;
/// Close code: the server failed.
pub const INTERNAL_ERROR: u16 = 1011;
/// Close code: come back later (IANA's registry of close codes).
pub const TRY_AGAIN_LATER: u16 = 1013;
/// Close code of our own: the session of the socket has ended.
pub const SESSION_ENDED: u16 = 4401;

/// Longest payload of a control frame, in bytes (RFC 6455, section 5.5).
pub const CONTROL_BYTES_MAX: usize = 125;

/// Text that a server appends to the key before it hashes it (RFC 6455, section 1.3).
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// A message, in either direction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Text.
    Text(String),
    /// Bytes.
    Binary(Vec<u8>),
}

impl From<String> for Message {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<&str> for Message {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<Vec<u8>> for Message {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Binary(bytes)
    }
}

/// The value of `Sec-WebSocket-Accept` that proves that `Sec-WebSocket-Key` was understood
/// (RFC 6455, section 4.2.2); `None` if that is not 16 bytes in base64.
#[must_use]
pub fn accept(key: &[u8]) -> Option<String> {
    let nonce = BASE64.decode(key).ok()?;
    if nonce.len() != 16 {
        return None;
    }
    Some(BASE64.encode(Sha1::new().chain_update(key).chain_update(GUID).finalize()))
}

/// Appends a message, in one frame.
pub fn encode_message(message: &Message, out: &mut Vec<u8>) {
    match message {
        Message::Text(text) => encode_text(text, out),
        Message::Binary(bytes) => encode(OpCode::Data(Data::Binary), bytes, out),
    }
}

/// Appends a text message, in one frame.
pub fn encode_text(text: &str, out: &mut Vec<u8>) {
    encode(OpCode::Data(Data::Text), text.as_bytes(), out);
}

/// Appends a ping, with as much of `payload` as a control frame holds.
pub fn encode_ping(payload: &[u8], out: &mut Vec<u8>) {
    encode_control(Control::Ping, payload, out);
}

/// Appends a close frame, with as much of `reason` as it holds.
pub fn encode_close(code: u16, reason: &str, out: &mut Vec<u8>) {
    let mut payload = code.to_be_bytes().to_vec();
    let room = CONTROL_BYTES_MAX - payload.len();
    let fits = (0..=reason.len().min(room)).rfind(|end| reason.is_char_boundary(*end));
    payload.extend_from_slice(&reason.as_bytes()[..fits.unwrap_or(0)]);
    encode_control(Control::Close, &payload, out);
}

fn encode_control(control: Control, payload: &[u8], out: &mut Vec<u8>) {
    let payload = &payload[..payload.len().min(CONTROL_BYTES_MAX)];
    encode(OpCode::Control(control), payload, out);
}

/// Appends one final frame, unmasked like all frames of a server (RFC 6455, section 5.1).
fn encode(opcode: OpCode, payload: &[u8], out: &mut Vec<u8>) {
    let header = FrameHeader {
        opcode,
        ..FrameHeader::default()
    };
    header
        .format(payload.len() as u64, out)
        .expect("a vector takes what is written to it");
    out.extend_from_slice(payload);
}
