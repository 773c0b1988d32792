//! The transaction machine: the transactional producers of one partition of `__transaction_state` as a pure state machine.
//!
//! It owns who a transactional producer is (its producer id and epoch), which partitions its open transaction has, and how that ended (Kafka's `TransactionCoordinator` and
//! `TransactionStateManager`). It has no clock, files, sockets, tasks or randomness. The driver keeps it behind one lock and, under it, does one synchronous pass:
//! [`Shard::step`], then, action by action, [`Shard::poll_action`]: append what is to be written, hand out what is to be answered and which markers are to be written; then
//! arm one timer from [`Shard::poll_timeout`].
//!
//! State changes at the append, before it is committed; so a reply and a wish for markers name the write that they depend on, and the driver holds them until that is committed.
//! A shard whose append failed is thrown away and loaded again: the log is the truth.
//!
//! **Invariants.** A transactional id has one open transaction at most. The epoch of a producer id never goes back, and what a former incarnation of a producer says changes nothing.
//! A decision (Prepare) is never changed; the markers are asked for once it is committed, from whoever is the coordinator then, until each partition has its own; and only then is the
//! transaction complete, and the next one may begin.
//!
//! `shard` finds the producer of each event and gives it its `turn`; `initialization`, `partitions`, `ending`, `markers` and `administration` answer it; `producer` is what is known
//! of one, and how it changes.

mod administration;
pub mod config;
mod ending;
pub mod ids;
mod initialization;
mod markers;
#[cfg(not(feature = "mutations"))]
mod mutation;
#[cfg(feature = "mutations")]
pub mod mutation;
mod partitions;
mod producer;
pub mod record;
mod record_size;
pub mod request;
pub mod response;
mod shard;
pub mod state;
#[cfg(test)]
mod tests;
mod turn;

use std::collections::BTreeSet;
use std::time::Duration;

use model::{ProducerId, TopicPartition};

pub use self::shard::{RewriteCursor, Shard, ShardCounts};
pub use crate::group::request::RequestId;
pub use crate::group::{Now, WriteId};

use self::ids::{ProducerIdAndEpoch, TransactionVersion, TransactionalId};
use self::record::TransactionRecord;
use self::request::Request;
use self::response::Response;
use self::state::TransactionResult;

/// Settings of the transaction machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransactionConfig {
    /// `transactional.id.expiration.ms`.
    pub id_expiration: Duration,
    /// `transaction.max.timeout.ms`.
    pub max_timeout: Duration,
    /// `transaction.abort.timed.out.transaction.cleanup.interval.ms`.
    pub timed_out_check_interval: Duration,
    /// `transaction.remove.expired.transaction.cleanup.interval.ms`.
    pub expired_check_interval: Duration,
    /// `transaction.two.phase.commit.enable`.
    pub two_phase_commit: bool,
    /// The most bytes that a record may take; partitions that make it larger are refused, for no batch would hold it.
    pub max_record_bytes: usize,
}

impl TransactionConfig {
    /// The usual [`Self::max_record_bytes`]: Kafka's default `max.message.bytes`, with room for the headers of batch and record.
    pub const MAX_RECORD_BYTES: usize = 1_000_000;
}

/// What happens to a shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A request came. It is answered exactly once, at once.
    Request(RequestId, Request),
    /// Some partitions have the markers that [`Action::WriteMarkers`] asked for: committed, or the partition is gone with its topic. It may be told more than once, and late:
    /// what is not of the decision that waits now changes nothing.
    MarkersWritten(WrittenMarkers),
    /// A producer id that nobody has, in answer to [`Action::DrawProducerId`].
    ProducerIdDrawn(ProducerId),
    /// The time of [`Shard::poll_timeout`] has come.
    TimeoutReached,
}

/// Names one decision, and with it one transaction, to the shard that asked for its markers; none has the name of another, also not of a shard that this process loaded before.
/// (Producer id and epoch do not name a transaction: below version 2 the next one has the same.)
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DecisionId(pub u64);

/// Partitions that have their markers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrittenMarkers {
    /// The transaction's producer.
    pub transactional_id: TransactionalId,
    /// As the shard named it when it asked.
    pub decision: DecisionId,
    /// The partitions.
    pub partitions: Vec<TopicPartition>,
}

/// Markers that are to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MarkersToWrite {
    /// The transaction's producer.
    pub transactional_id: TransactionalId,
    /// What is to be named when they are written.
    pub decision: DecisionId,
    /// What the markers carry.
    pub producer: ProducerIdAndEpoch,
    /// How the transaction ended.
    pub result: TransactionResult,
    /// With version 2 the markers' epoch is above the one of the transaction's batches, and partitions hold them to that.
    pub version: TransactionVersion,
    /// Each partition that is to have one; never none.
    pub partitions: BTreeSet<TopicPartition>,
}

/// What the machine wants done, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Append these records, as one batch if they fit one. When that fails the shard is void.
    Append(WriteId, Vec<TransactionRecord>),
    /// Answer a request, once the write that it depends on is committed; `None` when it depends on nothing uncommitted.
    Reply(RequestId, Response, Option<WriteId>),
    /// Once the write that it depends on is committed, have a marker written to each partition, with the shard's leader epoch as coordinator epoch, and try again until it is, or
    /// until the shard is given up. Say so with [`Event::MarkersWritten`], for each partition or for many at once.
    WriteMarkers(MarkersToWrite, Option<WriteId>),
    /// Draw a producer id and step [`Event::ProducerIdDrawn`]; try again until there is one. At most one draw is asked for at a time.
    DrawProducerId,
}
