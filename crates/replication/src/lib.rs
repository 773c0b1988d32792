//! Keeps a partition's replicas consistent and decides when a record is committed: acks = 0 / 1 / all, ISR, high watermark.
//!
//! [`partition`] is the pure state machine; [`PartitionHandle`] drives it together with its log, [`Replicas`] holds all partitions of this broker and the replication streams.
//! It does not know the controller: metadata comes in by [`Replicas::apply`], requests go out by [`Replicas::next_request`].

pub mod config;
mod context;
mod error;
mod fetch_waiter;
mod fetchers;
mod follower_stream;
mod image_update;
mod metrics;
pub mod partition;
mod partition_directory;
mod partition_handle;
mod proto;
mod replicas;
mod requests;
mod service;
mod timers;
mod wire;

pub use config::ReplicationConfig;
pub use error::{
    DeleteRecordsError, FetchError, LeaderHint, ListOffsetError, NotServed, ProduceError,
};
pub use fetch_waiter::FetchWaiter;
pub use image_update::{
    AssignedPartition, DirectoryProof, ImageUpdate, PartitionChange, RegisteredBroker,
};
pub use metrics::ReplicationMetrics;
pub use partition_handle::{
    Isolation, ListedOffset, OffsetQuery, PartitionHandle, PartitionStatus, ProduceOptions,
    ProduceWaiter, Produced, ReadRequest, Readable, WatchPosition,
};
pub use replicas::{OpenReplicasError, Registration, Replicas, ReplicasOptions};
pub use requests::ReplicaRequest;
pub use service::{ReplicationService, tune_server};
