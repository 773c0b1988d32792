//! Keeps a partition's replicas consistent and decides when a record is committed: acks = 0 / 1 / all, ISR, high watermark.
//!
//! [`partition`] is the pure state machine; [`PartitionHandle`] drives it together with its log; `stream` has the two ends of the replication streams; [`Replicas`] holds
//! all partitions of this broker. Each knows those before it and none behind it.
//! It does not know the controller: metadata comes in by [`Replicas::apply`], requests go out by [`Replicas::next_request`].

pub mod config;
mod error;
#[cfg(test)]
mod fixture;
mod image_update;
mod local_broker;
mod metrics;
pub mod partition;
mod partition_handle;
mod replicas;
mod requests;
mod storage;
mod stream;

pub use config::{CleanerConfig, ReplicationConfig};
pub use error::{
    DeleteRecordsError, FetchError, LeaderHint, ListOffsetError, NotServed, ProduceError,
};
pub use image_update::{
    AssignedPartition, DirectoryProof, ImageUpdate, PartitionChange, RegisteredBroker, Registration,
};
pub use metrics::ReplicationMetrics;
pub use partition_handle::{
    FetchWaiter, Fetched, Isolation, ListedOffset, OffsetQuery, PartitionHandle, PartitionStatus,
    ProduceOptions, ProduceWaiter, Produced, ReadRequest, Readable, TransactionMarker,
    WatchPosition,
};
pub use replicas::{OpenReplicasError, Replicas, ReplicasOptions};
pub use requests::ReplicaRequest;
pub use stream::{GrpcService, NoOtherService};
