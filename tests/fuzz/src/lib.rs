//! What is asserted of any bytes. A target of the fuzzer calls one of these functions, and
//! `tests/corpora.rs` calls them with the bytes that are kept in `corpus`.
//!
//! What concerns types that are private to the crate is in `src/net/fuzz.rs` and
//! `src/app/fuzz.rs`.

mod connection;
mod head;
mod store;
mod streams;
mod target;
mod token;
mod websocket;
mod world;

pub use connection::connection;
pub use head::head;
pub use store::store;
pub use streams::streams;
pub use target::target;
pub use token::token;
pub use websocket::websocket;

/// The first byte chooses something, mostly how the others are cut.
fn choice(data: &[u8]) -> (u8, &[u8]) {
    data.split_first()
        .map_or((0, data), |(first, rest)| (*first, rest))
}
