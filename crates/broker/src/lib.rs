//! The broker: joins protocol, storage, replication and controller into one running server.
//!
//! Owns listeners, handlers, configuration, wiring, the HTTP port and the command line. Never decides who leads, what is committed or
//! what is on disk: it carries requests and metadata to the crates that do.

pub mod command_line;
pub mod config;
pub mod connection;
pub mod context;
pub mod coordinators;
pub mod dev;
pub mod dispatch;
pub mod http;
pub mod listener;
pub mod logging;
pub mod metrics;
pub mod process;
pub mod producer_ids;
pub mod server;

mod cli;
mod error_code;
mod handlers;
pub mod topics;
