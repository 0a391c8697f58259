//! loopgate: a login/logout server and event hub on one hand-rolled, single-threaded event loop.

pub mod config;
pub mod event;
pub mod ledger;
pub mod reactor;
