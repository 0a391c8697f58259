//! interim
/// interim
pub fn encode_text(text: &str, out: &mut Vec<u8>) {
    out.push(0x81);
    match text.len() {
        n @ 0..=125 => out.push(n as u8),
        n @ 126..=0xffff => {
            out.push(126);
            out.extend_from_slice(&(n as u16).to_be_bytes());
        }
        n => {
            out.push(127);
            out.extend_from_slice(&(n as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(text.as_bytes());
}

/// interim
pub enum Message {
    /// t
    Text(String),
    /// b
    Binary(Vec<u8>),
}
/// interim
pub fn encode_message(message: &Message, out: &mut Vec<u8>) {
    if let Message::Text(t) = message {
        encode_text(t, out)
    }
}
/// interim
pub fn accept(_key: &[u8]) -> Option<String> {
    None
}
/// interim
pub enum Heard {
    /// m
    Message(Message),
    /// p
    Pong,
    /// c
    Closed,
}
/// interim
pub struct Violation {
    /// c
    pub code: u16,
    /// r
    pub reason: &'static str,
}
/// interim
pub struct Incoming;
impl Incoming {
    /// n
    #[must_use]
    pub fn new(_: usize) -> Self {
        Self
    }
    /// n
    pub fn next(
        &mut self,
        input: &mut &[u8],
        _out: &mut Vec<u8>,
    ) -> Result<Option<Heard>, Violation> {
        *input = &[];
        Ok(None)
    }
}
/// interim
pub fn encode_ping(_: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&[0x89, 0]);
}
/// interim
pub fn encode_close(code: u16, reason: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(&[0x88, 2 + reason.len() as u8]);
    out.extend_from_slice(&code.to_be_bytes());
    out.extend_from_slice(reason.as_bytes());
}
/// i
pub const SESSION_ENDED: u16 = 4401;
/// i
pub const GOING_AWAY: u16 = 1001;
/// i
pub const TRY_AGAIN_LATER: u16 = 1013;
/// i
pub const NORMAL: u16 = 1000;
/// i
pub const INTERNAL_ERROR: u16 = 1011;
