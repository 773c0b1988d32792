//! The driver of partitions: machines, logs and replication streams together, in one process.

#![expect(clippy::unwrap_used, reason = "what fails here is a test")]

mod compaction;
mod damage;
mod gate;
mod one_broker;
mod power_loss;
mod several_brokers;
mod support;
mod transactions;
