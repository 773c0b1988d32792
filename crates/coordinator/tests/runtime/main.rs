//! The shell around the group machines, over a log in memory: elections, loads, replies that wait for commits, failures, rewrites.
//!
//! Time stands still but for waiting: a test sees exactly what a timeout leads to.

#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

mod failures;
mod leadership;
mod load;
mod memory_log;
mod metrics;
mod rewrite;
mod support;
mod timers;
mod transaction_coordinator;
mod transactions;
