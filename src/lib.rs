//! loopgate: a login/logout server and event hub on one hand-rolled, single-threaded event loop.
//!
//! This page is the map. `README.md` has the program and the files of the loop; `docs/reading.md` has the other files in
//! reading order; `docs/architecture.md` has the reasons.
//!
//! # Reading order
//!
//! 1. [`reactor`]: the loop. One turn is seven phases, `wait → readiness → completions → timers →
//!    events → flush → reap`. It knows nothing of HTTP; `docs/examples/echo.rs` runs on it alone.
//! 2. [`http`]: bytes in, requests out; answers in, bytes out. It knows nothing of sockets. Nor do
//!    [`websocket`] (bytes in, messages out) and [`token`] (signatures).
//! 3. [`app`]: what is decided. The handler table, login, logout, sessions, the event hub. No I/O. What an event is, is in
//!    [`event`]; what may be configured, in [`config`].
//! 4. [`work`]: what may block, on threads of its own: password hashes, the store, the log.
//! 5. [`net`]: where they meet. A client's connection, a driver with its protocol, on the loop; child processes.
//! 6. [`server`]: wires it all together. What each turn did is in the [`ledger`].
//! 7. `simulation`: a whole server in a world that one seed decides, with everything that can go wrong; and
//!    `recording`: what a real one met, written down and played again.
//!
//! # Floors
//!
//! Imports go to a lower floor only, and the folders of floor 1 do not import each other.
//!
//! | floor | modules |
//! |---|---|
//! | 5 | `simulation`, `recording` |
//! | 4 | [`server`]; the program in `src/cli/mod.rs` is around it |
//! | 3 | [`net`] |
//! | 2 | [`app`] |
//! | 1 | [`reactor`], [`http`], [`websocket`], [`token`], [`work`] |
//! | 0 | [`ledger`], [`config`], [`event`], [`files`]; [`planted`], which compiles to nothing except in one test |
//!
//! # Vocabulary
//!
//! | word | means |
//! |---|---|
//! | turn, phase | one pass of the loop, and a named step of it |
//! | readiness | the system says that a descriptor can be read or written |
//! | source | one thing worth waiting for: a descriptor or a deadline, and the state that goes with it |
//! | token | a source's name: slot and generation, so that a stale one is recognised |
//! | event | a fact of the application, as `user.logged_in`; never readiness |
//! | handler, subscriber | the function registered for a request; a function, object, client or process that receives events |
//! | job, completion | blocking work given to a worker thread; its result, back on the loop |
//! | deadline | a point in time after which something is closed, cancelled or retried |
//! | outbox, feed | bytes waiting to be written; events waiting for one remote subscriber |
//! | ledger | the record of what each turn did, and how long it took |
//!
//! # Embedding
//!
//! A handler gets a [`Request`](app::Request) and a [`Context`](app::Context) and returns a
//! [`Reply`](app::Reply): an answer now, work for another thread and what to do with its result, or a
//! stream. It runs on the loop and must not block.
//!
//! ```no_run
//! use loopgate::{app::Reply, config::Config, event::Event, http::Method, server::Server};
//! use serde_json::json;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut server = Server::bind(Config {
//!     listen: vec!["127.0.0.1:8081".parse()?],
//!     store: "embedded.db".parse()?, // the default keeps everything in memory
//!     ..Config::default()
//! })?;
//!
//! server.on(Method::Get, "/hello/{name}", |request, _cx| {
//!     Reply::json(200, &json!({ "hello": request.parameter("name") }))
//! });
//! server.on(Method::Get, "/sum", |_request, _cx| {
//!     let job = || (1..=100_000_000_u64).sum::<u64>(); // it blocks, so a worker does it
//!     Reply::later(job, |sum, _cx| match sum {
//!         Ok(sum) => Reply::json(200, &json!({ "sum": sum })),
//!         Err(error) => error.into(),
//!     })
//! });
//! server.websocket("/echo", |message, socket| socket.send(message));
//! server.subscribe("user.*", |event: &Event| println!("{event}"));
//!
//! server.handle_signals()?; // SIGTERM drains; leave it out where signals are yours
//! server.run()?;
//! # Ok(())
//! # }
//! ```
//!
//! The feature `program`, on by default, is what only the program needs: without it the crate has no
//! options, prompts or log format, nor the simulation, which is the feature `simulation`.

#[cfg(not(unix))]
compile_error!(
    "loopgate is for Linux, macOS and the BSDs: it waits through epoll and kqueue, and starts processes with sockets; \
     on Windows it runs in the Windows Subsystem for Linux"
);

// Each module has this condition, so that a build elsewhere stops with the line above and no other error.
#[cfg(unix)]
pub mod app;
#[cfg(unix)]
pub mod config;
#[cfg(unix)]
pub mod event;
#[cfg(unix)]
pub mod files;
#[cfg(unix)]
pub mod http;
#[cfg(unix)]
pub mod ledger;
#[cfg(unix)]
pub mod net;
#[cfg(unix)]
pub mod planted;
#[cfg(unix)]
pub mod reactor;
#[cfg(all(unix, feature = "simulation"))]
pub mod recording;
#[cfg(unix)]
pub mod server;
#[cfg(all(unix, feature = "simulation"))]
pub mod simulation;
#[cfg(unix)]
pub mod token;
#[cfg(unix)]
pub mod websocket;
#[cfg(unix)]
pub mod work;
