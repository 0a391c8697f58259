//! What one client sends, without its secrets: follows the requests on a connection as the server does, and holds
//! back what may be one until it is whole.

use std::mem;

use super::secrets::{Secrets, mask_letters};
use crate::config::Limits;
use crate::http::{Chunked, Framing, HeaderSlots, parse_head};

/// The bytes of one stream, on their way into a recording.
#[derive(Default)]
pub(super) struct Mask {
    state: State,
    /// Bytes whose meaning is not known yet.
    held: Vec<u8>,
}

#[derive(Default)]
enum State {
    /// A request begins, or has.
    #[default]
    Head,
    /// The body of a login.
    Login { kind: Kind, rest: Rest },
    /// Another body: nothing in it is a secret of the server's.
    Body(Rest),
    /// An offer to speak the WebSocket protocol: what follows shows by its first byte whether it was accepted.
    Upgrade,
    /// Frames of the WebSocket protocol, of which so many bytes belong to the last one. Their payload passes.
    Frames(u64),
    /// No requests: nothing is replaced.
    Open,
    /// The server has refused it, and looks at nothing that follows.
    Refused,
}

/// How a body is to be read.
#[derive(Clone, Copy)]
enum Kind {
    Form,
    Json,
    /// It will be refused.
    Other,
}

/// What is left of a body.
enum Rest {
    Bytes(usize),
    Chunks(Chunked),
}

impl Mask {
    /// For streams on which no requests come.
    pub(super) fn open() -> Self {
        Self {
            state: State::Open,
            held: Vec::new(),
        }
    }

    /// Takes what was read; returns what may be written down.
    pub(super) fn read(&mut self, bytes: &[u8], secrets: &mut Secrets) -> Vec<u8> {
        self.held.extend_from_slice(bytes);
        let mut out = Vec::new();
        while let Some(length) = self.advance(secrets) {
            out.extend(self.held.drain(..length));
        }
        out
    }

    /// Nothing more will come: what is left of what was held back.
    pub(super) fn end(&mut self, secrets: &mut Secrets) -> Vec<u8> {
        let mut left = mem::take(&mut self.held);
        match mem::replace(&mut self.state, State::Refused) {
            State::Head => secrets.mask_head(&mut left),
            State::Login { kind, rest } => mask_login(&mut left, kind, rest, secrets),
            State::Refused => mask_letters(&mut left),
            State::Body(_) | State::Upgrade | State::Frames(_) | State::Open => {}
        }
        left
    }

    /// Masks what is whole at the front of what is held, and says how much that is; `None` to wait for more.
    fn advance(&mut self, secrets: &mut Secrets) -> Option<usize> {
        if self.held.is_empty() {
            return None;
        }
        let all = self.held.len();
        match &mut self.state {
            State::Open => Some(all),
            State::Upgrade => {
                let is_frame = begins_frame(self.held[0]);
                self.state = if is_frame {
                    State::Frames(0)
                } else {
                    State::Head
                };
                Some(0)
            }
            State::Frames(0) => {
                let is_frame = begins_frame(self.held[0]);
                self.state = if is_frame {
                    frame(&self.held)?
                } else {
                    State::Refused
                };
                // What is wrong with the first byte, the server tells the client.
                Some(usize::from(!is_frame))
            }
            State::Frames(left) => {
                let taken = (*left).min(all as u64);
                *left -= taken;
                Some(taken as usize)
            }
            State::Refused => {
                mask_letters(&mut self.held);
                Some(all)
            }
            State::Head => self.head(secrets),
            State::Body(rest) => {
                let (length, done) = rest.take(&self.held, secrets);
                if done {
                    self.state = State::Head;
                }
                Some(length)
            }
            State::Login { kind, rest } => {
                let kind = *kind;
                let (length, done) = rest.clone().take(&self.held, secrets);
                if !done {
                    return None;
                }
                let State::Login { rest, .. } = mem::take(&mut self.state) else {
                    return None;
                };
                mask_login(&mut self.held[..length], kind, rest, secrets);
                Some(length)
            }
        }
    }

    fn head(&mut self, secrets: &mut Secrets) -> Option<usize> {
        let limits = secrets.limits.clone();
        let (length, next) = match parse_head(&self.held, &mut HeaderSlots::new(), &limits) {
            Ok(None) => return None,
            Err(_) => (refused_after(&self.held, &limits), State::Refused),
            Ok(Some(head)) => {
                let rest = match head.framing {
                    Framing::Length(length) => Rest::Bytes(length as usize),
                    Framing::Chunked => Rest::Chunks(Chunked::new()),
                };
                let path = head.target.decoded_path();
                let next = match &rest {
                    Rest::Bytes(0) if head.upgrade => State::Upgrade,
                    Rest::Bytes(0) => State::Head,
                    _ if path.is_ok_and(|path| path == "/login") => {
                        let kind = kind(head.header("content-type"));
                        State::Login { kind, rest }
                    }
                    _ => State::Body(rest),
                };
                match head.framing {
                    // Refused, unless it is answered from the head alone; and then nothing is read of it, either.
                    Framing::Length(n) if n > limits.body_bytes_max as u64 => {
                        (head.length, State::Refused)
                    }
                    _ => (head.length, next),
                }
            }
        };
        secrets.mask_head(&mut self.held[..length]);
        self.state = next;
        Some(length)
    }
}

/// Whether a frame can begin with that byte (RFC 6455, section 5.2): without extensions, three of its bits are zero,
/// which those of no method are, nor is an empty line's.
fn begins_frame(byte: u8) -> bool {
    byte & 0x70 == 0 && !b"\r\n".contains(&byte)
}

/// The frame at the front of `bytes`; `None` to wait for its whole length.
fn frame(bytes: &[u8]) -> Option<State> {
    let [_, second, rest @ ..] = bytes else {
        return None;
    };
    let (length_bytes, payload) = match second & 0x7f {
        126 => (2, u64::from(u16::from_be_bytes(*rest.first_chunk()?))),
        127 => (8, u64::from_be_bytes(*rest.first_chunk()?)),
        length => (0, u64::from(length)),
    };
    let key = if second & 0x80 == 0 { 0 } else { 4 };
    Some(State::Frames(
        payload.saturating_add(2 + length_bytes + key),
    ))
}

/// How much of a head the server looks at that it refuses: the shortest beginning that it would refuse.
fn refused_after(head: &[u8], limits: &Limits) -> usize {
    let (mut good, mut bad) = (0, head.len());
    while good + 1 < bad {
        let middle = good.midpoint(bad);
        match parse_head(&head[..middle], &mut HeaderSlots::new(), limits) {
            Ok(_) => good = middle,
            Err(_) => bad = middle,
        }
    }
    bad
}

fn kind(content_type: Option<&[u8]>) -> Kind {
    let essence = content_type
        .unwrap_or_default()
        .split(|byte| *byte == b';')
        .next();
    let essence = essence.unwrap_or_default().trim_ascii();
    if essence.eq_ignore_ascii_case(b"application/json") {
        Kind::Json
    } else if essence.eq_ignore_ascii_case(b"application/x-www-form-urlencoded") {
        Kind::Form
    } else {
        Kind::Other
    }
}

impl Clone for Rest {
    fn clone(&self) -> Self {
        match self {
            Self::Bytes(left) => Self::Bytes(*left),
            Self::Chunks(chunked) => Self::Chunks(chunked.clone()),
        }
    }
}

impl Rest {
    /// How many of `bytes` belong to the body, and whether they are the last.
    fn take(&mut self, bytes: &[u8], secrets: &Secrets) -> (usize, bool) {
        match self {
            Self::Bytes(left) => {
                let taken = bytes.len().min(*left);
                *left -= taken;
                (taken, *left == 0)
            }
            Self::Chunks(chunked) => {
                let most = secrets.limits.body_bytes_max;
                match chunked.decode(bytes, &mut Vec::new(), most) {
                    Ok(progress) => (progress.consumed, progress.done),
                    // The server refuses it at the same byte, and reads no further.
                    Err(_) => (bytes.len(), true),
                }
            }
        }
    }

    /// Where in `raw` the content is.
    fn content(self, raw: &[u8], secrets: &Secrets) -> Vec<usize> {
        let Self::Chunks(mut chunked) = self else {
            return (0..raw.len()).collect();
        };
        let (mut places, mut content) = (Vec::new(), Vec::new());
        for (place, byte) in raw.iter().enumerate() {
            let before = content.len();
            let most = secrets.limits.body_bytes_max;
            if chunked.decode(&[*byte], &mut content, most).is_err() {
                // Whatever follows is looked at by nobody.
                places.extend(place..raw.len());
                break;
            }
            if content.len() > before {
                places.push(place);
            }
        }
        places
    }
}

/// Masks a login's body, which came in this framing.
fn mask_login(raw: &mut [u8], kind: Kind, framing: Rest, secrets: &Secrets) {
    let places = framing.content(raw, secrets);
    let mut content: Vec<u8> = places.iter().map(|place| raw[*place]).collect();
    match kind {
        Kind::Form => super::login::mask_form(&mut content, secrets),
        Kind::Json => super::login::mask_json(&mut content, secrets),
        Kind::Other => mask_letters(&mut content),
    }
    for (place, byte) in places.into_iter().zip(content) {
        raw[place] = byte;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token::Keys;
    use crate::work::Snapshot;

    fn secrets() -> Secrets {
        let store = Snapshot {
            users: Vec::new(),
            sessions: Vec::new(),
            last_event_id: 0,
        };
        let keys = Keys::ephemeral(1, [1; 32], 0);
        Secrets::new(Limits::default(), keys, &store, [0; 16])
    }

    /// What comes out, however what comes in is cut in two, or when it comes byte by byte.
    fn masked(bytes: &str) -> String {
        let whole = |cuts: &[usize]| {
            let (mut mask, mut secrets) = (Mask::default(), secrets());
            let (mut out, mut from) = (Vec::new(), 0);
            for cut in cuts.iter().copied().chain([bytes.len()]) {
                out.extend(mask.read(&bytes.as_bytes()[from..cut], &mut secrets));
                from = cut;
            }
            out.extend(mask.end(&mut secrets));
            String::from_utf8(out).unwrap()
        };
        let expected = whole(&[]);
        for cut in 0..bytes.len() {
            assert_eq!(whole(&[cut]), expected, "cut at {cut}");
        }
        let every: Vec<usize> = (0..bytes.len()).collect();
        assert_eq!(whole(&every), expected);
        assert_eq!(expected.len(), bytes.len());
        expected
    }

    fn login(kind: &str, body: &str) -> String {
        let length = body.len();
        format!(
            "POST /login HTTP/1.1\r\nHost: x\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n{body}"
        )
    }

    #[test]
    fn no_password_passes_and_what_follows_is_as_it_was() {
        let next = "GET /session HTTP/1.1\r\nHost: x\r\n\r\n";
        let form = "application/x-www-form-urlencoded";
        let json = "application/json; charset=utf-8";
        for request in [
            login(form, "username=a&password=hunter2"),
            login(form, "password=hunter2&username=a"),
            login(form, "%70assword=hunter2"),
            login(json, r#"{"username":"a","password":"hunter2"}"#),
            login(json, r#"{"passw\u006frd" : "hunter2"}"#),
            login(json, r#"{"password":"hunter2"#),
            login("text/plain", "hunter2"),
            "POST /%6cogin HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\
             Content-Type: application/x-www-form-urlencoded\r\n\r\n\
             c\r\npassword=hun\r\n4\r\nter2\r\n0\r\n\r\n"
                .into(),
        ] {
            let masked = masked(&format!("{request}{next}"));
            for secret in ["hunter2", "hun\r", "ter2"] {
                assert!(!masked.contains(secret), "{masked}");
            }
            assert!(masked.ends_with(next), "{masked}");
        }
    }

    #[test]
    fn what_breaks_off_tells_nothing_either() {
        let form = login(
            "application/x-www-form-urlencoded",
            "username=a&password=hunter2",
        );
        for length in 0..form.len() {
            let masked = masked(&form[..length]);
            assert!(!masked.contains("hun"), "{masked}");
        }
        let masked = masked("GET / HTTP/1.1\r\nCookie: a=hunter2");
        assert!(!masked.contains("hun"), "{masked}");
    }

    #[test]
    fn what_follows_a_refused_head_is_masked() {
        let masked = masked("GET / HTTP/1.1\r\nno colon\r\n\r\npassword=hunter2");
        assert!(!masked.contains("hun"), "{masked}");
    }

    const OFFER: &str =
        "GET /events HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";

    #[test]
    fn frames_pass_as_they_are_and_what_is_none_does_not() {
        let long = format!("\u{1}\u{7e}\u{1}\u{0}{}", "long".repeat(64));
        let frames = format!("\u{1}\u{5}hello{long}\u{0}\u{0}");
        let bytes = format!("{OFFER}{frames}POST /login hunter2");
        let masked = masked(&bytes);
        assert!(masked.starts_with(&format!("{OFFER}{frames}")), "{masked}");
        assert!(!masked.contains("hun"), "{masked}");
    }

    #[test]
    fn requests_that_follow_an_offer_are_masked_as_ever() {
        let form = "application/x-www-form-urlencoded";
        let masked = masked(&format!("{OFFER}{}", login(form, "password=hunter2")));
        assert!(!masked.contains("hun"), "{masked}");
    }
}
