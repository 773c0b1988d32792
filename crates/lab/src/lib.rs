//! Chaos and durability experiments on Kafka-compatible clusters, and a judge that shares no code with any broker.
//!
//! A run goes one way: an *experiment* starts a *target*, lets a *workload* write and read through librdkafka while a *nemesis* breaks things,
//! and records a *history*; the *checker* and the *statistics* read that history alone, and the *report* shows what they found.

mod checker;
mod cli;
mod experiment;
mod history;
mod nemesis;
mod report;
mod statistics;
mod target;
mod workload;

pub use cli::command_line;
