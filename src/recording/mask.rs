//! Masks the bytes of one client for a recording: follows the requests on a connection as the server does, and holds
//! back bytes that may be a secret until it is known what they are.

use std::mem;

use super::bodies::{mask_event, mask_login_form, mask_login_json};
use super::public::mask_head;
use super::secrets::{Secrets, mask_letters};
use crate::config::Limits;
use crate::http::{Chunked, Framing, Head, HeaderSlots, Method, parse_head};

/// The bytes of one stream, on their way into a recording.
#[derive(Default)]
pub(super) struct Mask {
    state: State,
    /// Bytes whose meaning is not known yet.
    held: Vec<u8>,
}

#[derive(Default)]
enum State {
    /// In the head of a request, or before it.
    #[default]
    Head,
    /// A body.
    Body(Kind, Body),
    /// An offer to change to the WebSocket protocol: the first byte that follows shows whether it was accepted.
    Upgrade,
    /// Frames of the WebSocket protocol; so many bytes of the last one are still to come. Their payload is not masked.
    Frames(u64),
    /// No requests: nothing is replaced.
    Open,
    /// The server has refused the request, and reads nothing that follows.
    Refused,
}

/// What the server makes of a body.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    LoginForm,
    LoginJson,
    Event,
    /// The server ignores it: only its length is not secret.
    Hidden,
}

impl Mask {
    /// For streams without requests.
    pub(super) fn open() -> Self {
        Self {
            state: State::Open,
            held: Vec::new(),
        }
    }

    /// Takes bytes that were read; returns those that may be stored.
    pub(super) fn read(&mut self, bytes: &[u8], secrets: &mut Secrets) -> Vec<u8> {
        self.held.extend_from_slice(bytes);
        let mut out = Vec::new();
        while let Some(length) = self.advance(secrets) {
            out.extend(self.held.drain(..length));
        }
        out
    }

    /// No more will come: returns the rest of the bytes that were held back.
    pub(super) fn end(&mut self, secrets: &mut Secrets) -> Vec<u8> {
        let mut left = mem::take(&mut self.held);
        match mem::replace(&mut self.state, State::Refused) {
            State::Head => mask_head(&mut left, secrets),
            State::Body(kind, mut body) => {
                let taken = body.take(&mut left, &secrets.limits);
                mask_content(kind, &mut left, &taken.content, secrets);
            }
            State::Refused => left.fill(b'x'),
            State::Upgrade | State::Frames(_) | State::Open => {}
        }
        left
    }

    /// Masks the complete part at the front of the held bytes, and returns its length; `None` to wait for more.
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
                // If the first byte is wrong, the server refuses it.
                Some(usize::from(!is_frame))
            }
            State::Frames(left) => {
                let taken = (*left).min(all as u64);
                *left -= taken;
                Some(taken as usize)
            }
            State::Refused => {
                self.held.fill(b'x');
                Some(all)
            }
            State::Head => self.head(secrets),
            // Not examined again for each piece that arrives: its kind is known when it is complete.
            State::Body(kind, Body::Bytes(length)) if *kind != Kind::Hidden && all < *length => {
                None
            }
            State::Body(kind, body) => {
                let (kind, mut after) = (*kind, body.clone());
                let taken = after.take(&mut self.held, &secrets.limits);
                if kind != Kind::Hidden && taken.end.is_none() {
                    return None; // its kind is known when it is complete
                }
                mask_content(kind, &mut self.held, &taken.content, secrets);
                self.state = match taken.end {
                    None => State::Body(kind, after),
                    Some(End::Whole) => State::Head,
                    Some(End::Refused) => State::Refused,
                };
                Some(taken.length)
            }
        }
    }

    fn head(&mut self, secrets: &mut Secrets) -> Option<usize> {
        let limits = secrets.limits.clone();
        let (length, next) = match parse_head(&self.held, &mut HeaderSlots::new(), &limits) {
            Ok(None) => return None,
            Err(_) => (refused_after(&self.held, &limits), State::Refused),
            Ok(Some(head)) => {
                let body = match head.framing {
                    Framing::Length(0) if head.upgrade => None,
                    Framing::Length(length) => Some(Body::Bytes(length as usize)),
                    Framing::Chunked => Some(Body::Chunks(Chunked::new(), Line::default())),
                };
                let next = match body {
                    None => State::Upgrade,
                    Some(Body::Bytes(0)) => State::Head,
                    Some(body) => State::Body(kind(&head), body),
                };
                (head.length, next)
            }
        };
        mask_head(&mut self.held[..length], secrets);
        self.state = next;
        Some(length)
    }
}

/// Whether a frame can begin with that byte (RFC 6455, section 5.2): without extensions, three of its bits are zero,
/// which is not so for the first byte of a method or of an empty line.
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

/// How much of a refused head the server has looked at: the shortest beginning that it would refuse.
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

/// What the server makes of the body behind this head.
fn kind(head: &Head<'_>) -> Kind {
    let content_type = head.header("content-type").unwrap_or_default();
    let essence = content_type.split(|byte| *byte == b';').next();
    let essence = essence.unwrap_or_default().trim_ascii();
    let is = |kind: &str| essence.eq_ignore_ascii_case(kind.as_bytes());
    let Ok(path) = head.target.decoded_path() else {
        return Kind::Hidden;
    };
    match (head.method, &*path) {
        (Method::Post, "/login") if is("application/json") => Kind::LoginJson,
        (Method::Post, "/login") if is("application/x-www-form-urlencoded") => Kind::LoginForm,
        (Method::Post, "/events") if is("application/json") => Kind::Event,
        _ => Kind::Hidden,
    }
}

/// The rest of a body.
#[derive(Clone)]
enum Body {
    Bytes(usize),
    Chunks(Chunked, Line),
}

/// The position in the lines around chunks.
#[derive(Clone, Copy, Default)]
enum Line {
    /// In the hexadecimal digits of a size; whether there was one, and whether one was not zero.
    #[default]
    Before,
    Size {
        is_last: bool,
    },
    /// Behind the digits.
    Extension {
        is_last: bool,
    },
    Trailers,
}

/// The part of some bytes that belongs to a body.
struct Taken {
    length: usize,
    /// The positions of its content.
    content: Vec<usize>,
    end: Option<End>,
}

enum End {
    Whole,
    /// The server refuses it, and reads nothing that follows.
    Refused,
}

impl Body {
    /// Takes the bytes of the body from the front of `bytes`, and masks everything but the content.
    fn take(&mut self, bytes: &mut [u8], limits: &Limits) -> Taken {
        let (chunked, line) = match self {
            Self::Bytes(left) => {
                let length = bytes.len().min(*left);
                *left -= length;
                return Taken {
                    length,
                    content: (0..length).collect(),
                    end: (*left == 0).then_some(End::Whole),
                };
            }
            Self::Chunks(chunked, line) => (chunked, line),
        };
        let (mut places, mut content) = (Vec::new(), Vec::new());
        for place in 0..bytes.len() {
            content.clear();
            let byte = &bytes[place..=place];
            let Ok(progress) = chunked.decode(byte, &mut content, limits.body_bytes_max) else {
                // The fault itself may hold a secret: masked, it is still a fault, and what follows is not read.
                line.mask(&mut bytes[place]);
                bytes[place + 1..].fill(b'x');
                return Taken {
                    length: bytes.len(),
                    content: places,
                    end: Some(End::Refused),
                };
            };
            if content.is_empty() {
                line.mask(&mut bytes[place]);
            } else {
                places.push(place);
            }
            if progress.done {
                return Taken {
                    length: place + 1,
                    content: places,
                    end: Some(End::Whole),
                };
            }
        }
        Taken {
            length: bytes.len(),
            content: places,
            end: None,
        }
    }
}

impl Line {
    /// Masks the next byte, unless it belongs to a size or ends a line.
    fn mask(&mut self, byte: &mut u8) {
        *self = match (*self, *byte) {
            (Self::Trailers, b'\n') => Self::Trailers,
            (Self::Size { is_last: true } | Self::Extension { is_last: true }, b'\n') => {
                Self::Trailers
            }
            (_, b'\n') => Self::Before,
            (line, b'\r') => line,
            (Self::Before, digit) if digit.is_ascii_hexdigit() => Self::Size {
                is_last: digit == b'0',
            },
            (Self::Size { is_last }, digit) if digit.is_ascii_hexdigit() => Self::Size {
                is_last: is_last && digit == b'0',
            },
            (line, _) => {
                if byte.is_ascii() {
                    mask_letters(std::slice::from_mut(byte));
                } else {
                    *byte = 0xff;
                }
                match line {
                    Self::Size { is_last } => Self::Extension { is_last },
                    line => line,
                }
            }
        };
    }
}

/// Masks the bytes of `raw` at these positions.
fn mask_content(kind: Kind, raw: &mut [u8], places: &[usize], secrets: &Secrets) {
    let mut content: Vec<u8> = places.iter().map(|place| raw[*place]).collect();
    match kind {
        Kind::LoginForm => mask_login_form(&mut content, secrets),
        Kind::LoginJson => mask_login_json(&mut content, secrets),
        Kind::Event => mask_event(&mut content),
        Kind::Hidden => content.fill(b'x'),
    }
    for (place, byte) in places.iter().zip(content) {
        raw[*place] = byte;
    }
}

#[cfg(test)]
mod tests;
