//! Where sockets meet protocols: the sources of a server, and the program that they share.
//!
//! `service` is what all sources share: the application, the handler table, the workers; `message` is what they tell
//! each other; `jobs` is how
//! it hands out work; `tally` counts. `connection` is the state machine of one client; `body` and `outbox` are its two
//! halves that hold bytes; `buffers` lends them memory, so that a connection that says nothing holds
//! none. `children` are the processes that the server runs. `chores` is the source without a
//! descriptor: it has deadlines only.

mod addresses;
mod body;
mod buffers;
mod children;
mod chores;
mod clients;
mod connection;
mod desk;
mod door;
mod exchange;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod held;
mod jobs;
mod lifecycle;
mod looking;
mod message;
mod outbox;
mod pacing;
mod service;
mod tally;
#[cfg(test)]
mod tests;
mod watching;

pub use children::{Child, Forked, Role, Roster};
pub use chores::Chores;
pub use clients::Clients;
pub use connection::adopt;
pub use desk::Workers;
pub use door::{Door, Realm};
pub use held::Held;
pub use lifecycle::Life;
pub use message::{Completion, Message};
pub use pacing::Paced;
pub use service::{Passed, Service};
pub use tally::Tally;
pub use watching::Herald;
