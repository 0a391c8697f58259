//! What a message is made of: its version, and where its body ends (RFC 9112, sections 2.3 and 6).

/// The version that a request speaks. Answers always say HTTP/1.1 (RFC 9110, section 6.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Version {
    /// Knows neither chunks nor interim answers, and closes unless it asked not to.
    Http10,
    /// Keeps the connection unless either side says `close`.
    Http11,
}

/// How the end of a request body is found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Framing {
    /// So many bytes follow the head; 0 is no body. It may be more than any body may have: who reads the body
    /// compares it, and who answers from the head alone does not care.
    Length(u64),
    /// A [`Chunked`](super::Chunked) body follows.
    Chunked,
}
