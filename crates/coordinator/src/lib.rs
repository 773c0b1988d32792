//! Coordinators: consumer groups and committed offsets, kept in the replicated topic `__consumer_offsets`, and transactions, in `__transaction_state`.
//!
//! * [`group`]: the group machine, pure: one [`group::Shard`] per partition of the topic decides and says what must be written.
//! * [`transaction`]: the transaction machine, pure likewise: one [`transaction::Shard`] per partition of its topic.
//! * [`record_format`]: its records in Kafka's own formats.
//! * [`runtime`]: the shell around the machines: loads a shard when this broker is elected, appends what a step writes, and lets a reply go once what it depends on is
//!   committed. It reaches the log through [`runtime::PartitionWriter`] alone.
//!
//! Invariant: committed offsets, assignments and deletions are told only once no failover can take them back. What JoinGroup tells before the assignment is written, and a
//! LeaveGroup, a failover may take back, as in Kafka: the members join again.

pub mod config;
pub mod group;
pub mod record_format;
pub mod runtime;
pub mod transaction;
