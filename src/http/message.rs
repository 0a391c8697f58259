//! The version of a message, and where its body ends (RFC 9112, sections 2.3 and 6).

/// The version of a request. Answers always say HTTP/1.1 (RFC 9110, section 6.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Version {
    /// Has neither chunks nor interim answers, and closes the connection unless the client asked to keep it.
    Http10,
    /// Keeps the connection unless either side says `close`.
    Http11,
}

/// How the end of a request body is found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Framing {
    /// So many bytes follow the head; 0 is no body. It may exceed the limit of a body: code that reads the body
    /// checks that; code that answers from the head alone need not.
    Length(u64),
    /// A [`Chunked`](super::Chunked) body follows.
    Chunked,
}
