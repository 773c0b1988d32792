//! One vocabulary for tests with real processes: a cluster that starts, breaks and heals.
//!
//! Owns the processes it started and their directory; both end with the value. Knows the broker from outside alone: its command line, its files, its ports.

pub mod cluster;
pub mod deadline;
pub mod ports;
pub mod wire;
