//! How the server behaves, seen from outside: one module per behaviour.
//!
//! Every server listens on port 0, nobody sleeps for what can be waited for, and every child is
//! ended by the test that started it.

mod framing;
mod harness;
mod manners;
mod refusals;
mod scenario;
mod workers;
