//! The broker: joins protocol, storage, replication and controller into one running server.
//!
//! Owns listeners, handlers, configuration, wiring, the HTTP port and the command line. Never decides who leads, what is committed or
//! what is on disk: it carries requests and metadata to the crates that do. What is public is what the binary and the tests use.

pub mod command_line;
pub mod config;
pub mod connection;
pub mod listener;
pub mod metrics;
pub mod process;

mod cli;
mod context;
mod coordinators;
mod dev;
mod dispatch;
mod error_code;
mod handlers;
mod http;
mod logging;
#[cfg(feature = "mutations")]
mod mutation;
mod producer_ids;
mod server;
mod topics;
mod transactions;

/// What this program calls itself, with a word for builds that can be broken on purpose.
const VERSION: &str = if cfg!(feature = "mutations") {
    concat!(env!("CARGO_PKG_VERSION"), " with mutations (for experiments, broken on purpose)")
} else {
    env!("CARGO_PKG_VERSION")
};
