//! The chunked transfer coding, decoded as it arrives (RFC 9112, section 7.1).
//!
//! A table of states and bytes; what is not in the table is refused. A declared size never causes an allocation,
//! trailers are checked and discarded, and every part of the coding has a limit that counts over the whole body, no
//! matter how it was cut into reads.

use super::fault::Fault;
use super::grammar::{is_token_byte, is_value_byte};

/// Bytes of chunk extensions in one body, with semicolons and white space. Clients do not use extensions, so a small
/// limit is enough.
pub const EXTENSION_BYTES_MAX: usize = 4 * 1024;
/// Bytes of trailer fields in one body, without their line ends.
pub const TRAILER_BYTES_MAX: usize = 8 * 1024;
/// Hexadecimal digits of one chunk size: as many as fit 64 bits, so that they cannot overflow.
const SIZE_DIGITS_MAX: u8 = 16;

/// A decoder for one body.
///
/// After a fault its state does not change: more input causes a fault again.
#[derive(Clone, Debug)]
pub struct Chunked {
    state: State,
    body_bytes: u64,
    extension_bytes: usize,
    trailer_bytes: usize,
}

/// What one call of [`Chunked::decode`] did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub struct Progress {
    /// Bytes of the input that belong to this body: all of them, unless `done`.
    pub consumed: usize,
    /// The body is complete. The next request follows `consumed`.
    pub done: bool,
}

/// The place in the coding where the next byte belongs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Size {
        size: u64,
        digits: u8,
    },
    Extension {
        size: u64,
        place: Place,
    },
    /// Behind the carriage return of a size line.
    SizeLineFeed {
        size: u64,
    },
    Data {
        left: u64,
    },
    DataCarriageReturn,
    DataLineFeed,
    /// At the start of a trailer line, which may be the empty one that ends the body.
    TrailerStart,
    TrailerName,
    TrailerValue,
    TrailerLineFeed,
    LastLineFeed,
    Done,
}

/// The place in a chunk extension (RFC 9112, section 7.1.1), where "white space" is `BWS`:
/// `*( BWS ";" BWS name [ BWS "=" BWS ( token / quoted-string ) ] )`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Place {
    /// Behind white space: another extension must follow.
    BeforeSemicolon,
    BeforeName,
    Name,
    /// Behind white space: a value or another extension must follow.
    AfterName,
    BeforeValue,
    Token,
    Quoted,
    /// Behind a backslash in quotes.
    Escaped,
    AfterQuotes,
}

impl Place {
    /// Whether the line may end here.
    const fn is_whole(self) -> bool {
        matches!(self, Self::Name | Self::Token | Self::AfterQuotes)
    }

    /// The table of extensions: where `byte` leads from here.
    fn step(self, byte: u8) -> Option<Self> {
        Some(match (self, byte) {
            (Self::BeforeName | Self::Name, _) if is_token_byte(byte) => Self::Name,
            (Self::BeforeValue | Self::Token, _) if is_token_byte(byte) => Self::Token,

            (Self::Quoted, b'"') => Self::AfterQuotes,
            (Self::Quoted, b'\\') => Self::Escaped,
            (Self::Quoted | Self::Escaped, _) if is_value_byte(byte) => Self::Quoted,

            (Self::Name | Self::AfterName, b' ' | b'\t') => Self::AfterName,
            (Self::Token | Self::AfterQuotes, b' ' | b'\t') => Self::BeforeSemicolon,
            (Self::BeforeSemicolon | Self::BeforeName | Self::BeforeValue, b' ' | b'\t') => self,

            (Self::BeforeName | Self::BeforeValue, b';') => return None,
            (_, b';') => Self::BeforeName,
            (Self::Name | Self::AfterName, b'=') => Self::BeforeValue,
            (Self::BeforeValue, b'"') => Self::Quoted,
            _ => return None,
        })
    }
}

impl State {
    const START: Self = Self::Size { size: 0, digits: 0 };

    /// The fault when no row of the table fits.
    fn fault(self) -> Fault {
        match self {
            Self::TrailerStart
            | Self::TrailerName
            | Self::TrailerValue
            | Self::TrailerLineFeed
            | Self::LastLineFeed => Fault::BAD_TRAILER,
            _ => Fault::BAD_CHUNK,
        }
    }
}

impl Default for Chunked {
    fn default() -> Self {
        Self::new()
    }
}

impl Chunked {
    /// At the first byte of a body.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            state: State::START,
            body_bytes: 0,
            extension_bytes: 0,
            trailer_bytes: 0,
        }
    }

    /// Takes the bytes of the body from `input` and appends its content to `body`. Input may come in
    /// pieces of any size.
    ///
    /// # Errors
    /// [`Fault::BODY_TOO_LARGE`] as soon as a declared size would take the content of the whole body
    /// above `body_bytes_max`; the faults of chunks, extensions and trailers.
    pub fn decode(
        &mut self,
        input: &[u8],
        body: &mut Vec<u8>,
        body_bytes_max: usize,
    ) -> Result<Progress, Fault> {
        let mut rest = input;
        while self.state != State::Done {
            if let State::Data { left } = self.state {
                let taken = rest.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                let (data, after) = rest.split_at(taken);
                body.extend_from_slice(data);
                rest = after;
                self.state = match left - taken as u64 {
                    0 => State::DataCarriageReturn,
                    left => State::Data { left },
                };
            }
            let [byte, after @ ..] = rest else { break };
            self.state = self.step(*byte, body_bytes_max)?;
            rest = after;
        }
        Ok(Progress {
            consumed: input.len() - rest.len(),
            done: self.state == State::Done,
        })
    }

    /// The table: where `byte` leads from here.
    #[expect(
        clippy::match_same_arms,
        reason = "a row of its own for every transition, in the order of the coding"
    )]
    fn step(&mut self, byte: u8, body_bytes_max: usize) -> Result<State, Fault> {
        let next = match (self.state, byte) {
            (State::Size { size, digits: 1.. }, b'\r') => State::SizeLineFeed { size },
            (State::Size { size, digits: 1.. }, b';' | b' ' | b'\t') => {
                let place = if byte == b';' {
                    Place::BeforeName
                } else {
                    Place::BeforeSemicolon
                };
                State::Extension { size, place }
            }
            (State::Size { size, digits }, _) => self.grow(size, digits, byte, body_bytes_max)?,

            (State::Extension { size, place }, b'\r') if place.is_whole() => {
                State::SizeLineFeed { size }
            }
            (State::Extension { size, place }, _) => {
                let place = place.step(byte).ok_or(Fault::BAD_CHUNK)?;
                State::Extension { size, place }
            }

            (State::SizeLineFeed { size: 0 }, b'\n') => State::TrailerStart,
            (State::SizeLineFeed { size }, b'\n') => {
                self.body_bytes += size;
                State::Data { left: size }
            }
            (State::DataCarriageReturn, b'\r') => State::DataLineFeed,
            (State::DataLineFeed, b'\n') => State::START,

            (State::TrailerStart, b'\r') => State::LastLineFeed,
            (State::TrailerStart | State::TrailerName, _) if is_token_byte(byte) => {
                State::TrailerName
            }
            (State::TrailerName, b':') => State::TrailerValue,
            (State::TrailerValue, b'\r') => State::TrailerLineFeed,
            (State::TrailerValue, _) if is_value_byte(byte) => State::TrailerValue,
            (State::TrailerLineFeed, b'\n') => State::TrailerStart,

            (State::LastLineFeed, b'\n') => State::Done,
            (state, _) => return Err(state.fault()),
        };
        self.count(next)?;
        Ok(next)
    }

    /// One more digit of a size.
    fn grow(&self, size: u64, digits: u8, byte: u8, body_bytes_max: usize) -> Result<State, Fault> {
        let digit = char::from(byte).to_digit(16).ok_or(Fault::BAD_CHUNK)?;
        if digits == SIZE_DIGITS_MAX {
            return Err(Fault::BAD_CHUNK);
        }
        let size = size << 4 | u64::from(digit);
        if size > (body_bytes_max as u64).saturating_sub(self.body_bytes) {
            return Err(Fault::BODY_TOO_LARGE);
        }
        let digits = digits + 1;
        Ok(State::Size { size, digits })
    }

    /// Counts the byte that led to `next`, if it is not part of the content.
    fn count(&mut self, next: State) -> Result<(), Fault> {
        match next {
            State::Extension { .. } => {
                self.extension_bytes += 1;
                if self.extension_bytes > EXTENSION_BYTES_MAX {
                    return Err(Fault::CHUNK_EXTENSIONS_TOO_LARGE);
                }
            }
            State::TrailerName | State::TrailerValue => {
                self.trailer_bytes += 1;
                if self.trailer_bytes > TRAILER_BYTES_MAX {
                    return Err(Fault::TRAILERS_TOO_LARGE);
                }
            }
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
