//! A small asynchronous Kafka client: the command line, the tests and the tools use it. It works against any Kafka-compatible cluster.
//!
//! [`Client`] holds connections and metadata; [`producer`], [`consumer`] and [`admin`] stand on it, and for groups [`groups`] (from outside) and
//! [`group_consumer`] (a member), and for transactions [`transactional_producer`] and [`transactions`] (from outside).
//! Tasks run in the tracker that the caller hands in and end with its token. Every buffer has a bound: a full one makes the caller wait.

pub mod admin;
mod backoff;
mod client;
pub mod config;
pub mod connection;
mod connection_slot;
pub mod consumer;
mod coordinator_link;
pub mod error;
pub mod group_consumer;
pub mod groups;
pub mod metadata;
mod partition_offsets;
pub mod partitioner;
pub mod producer;
pub mod transactional_producer;
pub mod transactions;
mod versions;
mod wire;

pub use client::Client;
pub use config::{AutoCreation, ClientConfig, Tasks};
pub use connection::Connection;
pub use consumer::Consumer;
pub use error::{Error, RequestError};
pub use group_consumer::GroupConsumer;
pub use metadata::{Metadata, Topics};
pub use partition_offsets::OffsetAt;
pub use producer::Producer;
pub use transactional_producer::TransactionalProducer;

#[cfg(test)]
mod fake_broker;
