//! loopgate: a login/logout server and event hub on one hand-rolled, single-threaded event loop.

pub mod app;
pub mod config;
pub mod event;
pub mod http;
pub mod ledger;
pub mod net;
pub mod reactor;
pub mod server;
pub mod token;
pub mod work;
