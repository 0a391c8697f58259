//! Where sockets meet protocols: the sources of a server, and the program that they share.
//!
//! `service` is what all sources share, composed of objects that do not know it: `clients` (who is admitted, and what they
//! hold), `desk` (work that other threads have, and what follows it), `children` (the processes that the server runs),
//! `lifecycle` (whether it serves or ends). `message` is what sources tell each other, and what other threads send back.
//!
//! `connection` is the state machine of one client; `body` and `outbox` are its two halves that hold bytes; `buffers`
//! lends them memory, so that a connection that says nothing holds none. `chores` is the source without a descriptor: it
//! has deadlines only. `jobs` is how the service hands out work and goes on when it is done; `tally` counts.

mod addresses;
mod admission;
mod buffers;
mod call;
mod children;
mod chores;
mod clients;
mod connection;
mod desk;
mod ending;
mod exchange;
mod framing;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod held;
mod herald;
mod jobs;
mod lifecycle;
mod message;
mod observers;
mod outbox;
mod realm;
mod reply_writer;
mod service;
mod tally;
#[cfg(test)]
mod tests;

pub use admission::Door;
pub use children::{Child, Forked, Role, Roster};
pub use chores::Chores;
pub use clients::{Clients, Passed};
pub use connection::adopt;
pub use desk::Workers;
pub use held::Held;
pub use herald::Herald;
pub use lifecycle::Life;
pub use message::{Completion, Message};
pub use observers::Paced;
pub use realm::Realm;
pub use service::Service;
pub use tally::Tally;
