//! The shell around the machines, one mechanism for both: which partitions this broker coordinates, and the road of a request.
//!
//! The broker tells it of elections, in log order; it loads a machine for each and forgets it at the end of the leadership. A request is stepped on the
//! calling thread, under the shard's lock; its answer waits, in the request's own future, until what it depends on is committed. It is answered exactly once: by the
//! machine, or with a [`Refusal`] when the leadership ends, an append fails or the coordinator stops.
//!
//! Locks: a shard's comes first; under it, its list of notes, or the partition's own inside the [`PartitionWriter`]. The table of shards and the timers' entries are locked alone.
//! None is held across an `.await`, and never two shards' at once.
//!
//! Invariants: committed offsets, assignments and deletions are told only once no failover can take them back. Membership that is not written yet is told at once, as in Kafka: a failover
//! may take back a member id, a generation between JoinGroup and the leader's SyncGroup, and a LeaveGroup; members then join again. What was appended under an older leader epoch than the
//! partition's is nothing: the log refuses it. A coordinator that was replaced and has not heard of it can still answer what needs no write, from what was committed before: as Kafka's.

mod context;
mod gauges;
mod group_coordinator;
mod group_machine;
mod machine;
mod metrics;
mod partition_writer;
mod refusal;
mod shard;
mod shards;
mod timers;
mod transaction_coordinator;
mod transaction_gauges;
mod transaction_machine;

pub use self::gauges::GroupGauges;
pub use self::group_coordinator::{CommittedPosition, CoordinatorParts, GroupCoordinator};
pub use self::machine::Asker;
pub use self::metrics::GroupMetrics;
pub use self::partition_writer::{
    Leadership, LogRange, PartitionWriter, ReadError, TransactionOrigin, TransactionWriteError,
    WriteError,
};
pub use self::refusal::Refusal;
pub use self::transaction_coordinator::{
    TransactionCoordinator, TransactionCoordinatorParts, TransactionMetrics, TransactionOutlet,
};
pub use self::transaction_gauges::TransactionGauges;
