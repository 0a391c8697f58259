//! Where sockets meet protocols: the sources of a server, and the program that they share.
//!
//! Lowest first. `realm` (clients or monitor), `lifecycle` (whether it serves or ends), `addresses` (connections of each
//! address), `buffers` (memory that connections borrow), `framing` (where requests begin and end), `message` (what sources
//! tell each other, and what other threads send back), `exchange` (what is remembered of a request), `outbox` and
//! `reply_writer` (what answers are written into, and with).
//!
//! `service` is what all sources share, composed of objects that do not know it: `clients` (which connections are
//! admitted, and what they hold), `desk` (work that other threads have, and its continuations), `children::roster`
//! (the processes that the server runs), `observers` (connections that watch the loop). These files do something with
//! several of them at once: `jobs` (submits work and continues when it is done), `shutdown` (drains or hands over),
//! `held` (counts what is held at a moment), `tally` (counts what was done since the start). `call` is the service
//! and the turn together, which most functions need.
//!
//! The sources: `connection` is one client's; `admission` decides which clients a listener lets in; `children` are
//! processes; `maintenance` and the `broadcaster` (batches for connections that watch the loop) have deadlines only.
//!
//! Read next: `service`, then `connection`.

mod access_log;
mod addresses;
mod admission;
mod broadcaster;
mod buffers;
mod call;
mod children;
mod clients;
mod connection;
mod desk;
mod exchange;
mod framing;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod held;
mod jobs;
mod lifecycle;
mod maintenance;
mod message;
mod observers;
mod outbox;
mod realm;
mod reply_writer;
mod service;
mod shutdown;
mod tally;
#[cfg(test)]
mod tests;

pub use access_log::{ACCESS, AccessFormat};
pub use admission::Admission;
pub use broadcaster::Broadcaster;
pub use children::{Child, Forked, Role, Roster};
pub use clients::{Clients, HandedOver};
pub use connection::adopt;
pub use desk::Workers;
pub use held::Held;
pub use lifecycle::Lifecycle;
pub use maintenance::Maintenance;
pub use message::{Completion, Message};
pub use observers::Paced;
pub use realm::Realm;
pub use service::Service;
pub use tally::Tally;
