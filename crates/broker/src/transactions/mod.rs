//! What goes on between brokers for transactions: markers to the partitions of a transaction that ended, and the question whether a partition is part of one (KIP-890).
//!
//! Owns the carrying alone. What a transaction is belongs to `coordinator::transaction`, what a marker does to a log to `log-storage`. In process where the partition or the
//! coordinator is this broker's, over proto/steadfast/transaction/v1 on the replication port where it is another's.

mod carrier;
mod links;
mod local;
mod proto;
mod service;
mod verification;
mod wire;

use coordinator::transaction::ids::ProducerIdAndEpoch;
use model::record_batch::TransactionResult;
use model::{LeaderEpoch, TransactionVersion};

pub(crate) use carrier::Carrier;
pub(crate) use links::Links;
pub(crate) use local::LocalPartitions;
pub(crate) use service::server;
pub(crate) use verification::{SupportedOperation, Verification, partition_of};

/// The end of a transaction, as it is written into each of its partitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Marker {
    /// What the marker carries.
    pub(crate) producer: ProducerIdAndEpoch,
    /// How it ended.
    pub(crate) result: TransactionResult,
    /// Leader epoch of the coordinator's partition.
    pub(crate) coordinator_epoch: LeaderEpoch,
    /// By which rules the transaction went.
    pub(crate) version: TransactionVersion,
}
