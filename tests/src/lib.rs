//! One vocabulary for tests with real processes: a cluster that starts, breaks and heals; a load, its history and its judge.
//!
//! Owns the processes it started and their directory; both end with the value. Knows the broker from outside alone: its command line, its files, its ports.

pub mod admin;
pub mod cluster;
pub mod command_line;
pub mod content;
pub mod deadline;
pub mod disk;
pub mod group_simulation;
pub mod history;
pub mod load;
pub mod ports;
pub mod read_back;
pub mod report;
pub mod simulation;
pub mod simulator;
pub mod transaction_simulation;
pub mod transactions;
pub mod turn;
pub mod wire;
