//! HTTP/1.1 and 1.0 on the server's side, sans-IO: bytes in, requests out; answers in, bytes out.
//! Floor 1.
//!
//! Nothing here reads a socket, a clock or the environment, or keeps the state of a connection: the caller
//! owns the bytes and the time, and closes after a [`Fault`]. So everything can be tested with arrays of
//! bytes, and the same bytes always mean the same thing.
//!
//! It follows RFC 9110 (semantics) and RFC 9112 (syntax). Where they allow a recipient to be lenient about
//! where a message ends, it is not.
//!
//! What it deliberately does not do:
//!
//! - HTTP/2, tunnels (CONNECT), and transfer codings other than `chunked`.
//! - Content codings, ranges, conditional requests, content negotiation.
//! - Trailers: checked, then discarded, never merged into the headers.
//! - Normalising paths: the caller chooses what to match handlers against.
//! - Deadlines and keep-alive policy, which belong to the connection.
//!
//! Reading order: [`parse_head`] in `head`, then `fields` and `target`, which it calls; the state table of
//! [`Chunked`]; [`encode`], and [`Prepared`], which saves its work for fixed answers; and [`Fault`], the list of
//! everything that is refused.

mod chunked;
mod date;
mod encode;
mod fault;
mod fields;
mod grammar;
mod head;
mod message;
mod method;
mod prepared;
mod response;
mod status;
mod target;

pub use chunked::{Chunked, EXTENSION_BYTES_MAX, Progress, TRAILER_BYTES_MAX};
pub use date::Date;
pub(crate) use encode::push_decimal;
pub use encode::{
    CONTINUE, WireOptions, encode, encode_chunk, encode_last_chunk, encode_stream_head,
};
pub use fault::Fault;
pub(crate) use grammar::list_elements;
pub use head::{EMPTY_LINES_MAX, Head, HeaderSlots, parse_head};
pub use message::{Framing, Version};
pub use method::Method;
pub use prepared::Prepared;
pub use response::{Blank, Body, Response};
pub use status::Status;
pub use target::{Target, percent_decode};
