//! Where sockets meet protocols: the sources of a server, and the program that they share.
//!
//! Lowest first. `realm`, `lifecycle` (whether it serves or ends), `buffers` (memory that connections borrow), `framing`
//! (where requests begin and end), `message` (what sources tell each other, and what other threads send back),
//! `exchange` (what is remembered of a request), `outbox` and `reply_writer` (what answers are written into, and with).
//!
//! `service` is what all sources share, composed of objects that do not know it: `clients` (who is admitted, and what they
//! hold), `desk` (work that other threads have, and what follows it), `children::roster` (the processes that the server
//! runs), `observers` (those who look at the loop, and watch it). What it does with several of them at once: `jobs` (it
//! hands out work and goes on when it is done), `ending`, `held`.
//!
//! The sources: `connection` is one client's; `admission` lets them in; `children` are processes; `chores` and `herald`
//! have deadlines only.

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
