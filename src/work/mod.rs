//! Everything that may block, kept away from the event loop. Floor 1.
//!
//! | file | holds | thread |
//! |---|---|---|
//! | `crew` | runs the work: on threads, or step by step for a test | |
//! | `findings` | results of workers that would not be the same in a second run | |
//! | `stepped` | threads whose work begins and ends when the loop says so | as those of the next |
//! | `lines` | a queue in which each client has a line of its own | |
//! | `pool` | a few threads behind one such queue, which is bounded | `loopgate-hash-0` … |
//! | `password` | Argon2id hashing, and checking without telling by time which names exist | the caller's; in a server, the pool's |
//! | `store` | users, sessions and events, kept by an engine (`SQLite`), committed in groups | `loopgate-store` |
//! | `log_writer` | log lines on their way to stderr or a file | `loopgate-log` |
//! | `watchdog` | says which turn does not end | `loopgate-watch` |
//! | `appender` | bytes on their way to a file | `loopgate-tape` |
//!
//! The threads `loopgate-monitor` of `server::slow_motion` and `loopgate-next` of the program, which waits for the process
//! that is to take over, are hired from `crew`, too.
//!
//! This is the only folder that spawns threads, and `crew` the only place in it that spawns threads for a server's
//! work; `fake` is a crew and a disk for tests. The loop's interface has the same shape three times: a bounded queue
//! whose `submit` never blocks and returns [`Busy`] when it is full, and results that come back through a closure of
//! the caller. None of these threads sees a socket, a timer or the session table; the caller decides how a result
//! wakes the loop.
//!
//! Read next: `pool`, the smallest of the three, then `store`.

pub mod appender;
pub mod crew;
pub mod fake;
mod findings;
mod lines;
pub mod log_writer;
pub mod password;
pub mod pool;
pub mod stepped;
pub mod store;
mod verdict;
pub mod watchdog;

pub use crew::{Crew, Hired, Once, Threads, TimedThreads, Worked, Worker};
pub use findings::{Finding, Findings};
pub use pool::{Busy, Delivery, Job, Pool};
pub use store::{
    Change, Commit, Engine, Keep, Missing, Outcome, Page, Query, SessionRow, Snapshot, Store,
    StoreError, Transaction, UserRow, Writer,
};
