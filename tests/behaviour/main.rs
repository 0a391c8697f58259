//! How the server behaves, seen from outside: one module per behaviour.
//!
//! Every server listens on port 0, no test sleeps where it can wait for an event, and every child is
//! ended by the test that started it.

mod children;
mod crash;
mod deadlines;
#[cfg(target_os = "linux")]
mod descriptors;
mod draining;
mod events;
mod examples;
mod expiry;
mod floods;
mod framing;
mod handlers;
#[cfg(target_os = "linux")]
mod handovers;
mod harness;
mod home;
mod idle;
mod incomplete;
mod layout;
mod listeners;
mod logging;
mod login;
mod manners;
mod many_sessions;
mod masking;
mod monitor;
#[expect(dead_code, reason = "no test asks for its log here")]
#[path = "../conformance/nginx.rs"]
mod nginx;
mod origin;
mod pages;
mod private_files;
mod program;
mod proxy;
mod publishing;
mod recordings;
mod refusals;
#[cfg(target_os = "linux")]
mod restarts;
mod run;
#[cfg(target_os = "linux")]
mod sandboxes;
mod scenario;
mod sessions;
mod signature;
#[cfg(target_os = "linux")]
mod slow_readers;
mod store;
mod stored;
mod streams;
mod throttle;
mod timing;
#[cfg(feature = "tls")]
mod tls;
mod unix_sockets;
mod users;
mod verify;
mod watching;
mod websockets;
mod workers;
