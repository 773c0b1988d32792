//! The replication streams: one per pair of brokers, opened by the follower, for all partitions that the other one leads (design section 3b).
//!
//! What a follower sends is its position and its acknowledgement at once; what a leader sends is batches, or news of its offsets. Neither end holds a rule of the
//! protocol: those are the machine's. An end takes values from the driver (`partition_handle::lead`, `partition_handle::follow`), puts them on the wire, and hands what
//! comes from the wire back.

pub(crate) mod follower_end;
pub(crate) mod leader_end;
mod proto;
mod services;
mod transport;
mod wire;

pub(crate) use services::Services;
pub use services::{GrpcService, NoOtherService};
pub(crate) use transport::tune_server;
