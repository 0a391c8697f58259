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
