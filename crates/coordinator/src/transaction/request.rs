//! What is asked of the transaction machine: the requests of Kafka's protocol without their versions.
//!
//! Handlers resolve what depends on a version before; the machine sees one form of each. AddOffsetsToTxn is [`Request::AddPartitions`] with the partition of
//! `__consumer_offsets` that keeps the group. InitProducerId without a transactional id never comes here: it is a draw from the broker's block alone.

use std::collections::BTreeSet;
use std::time::Duration;

use model::{ProducerId, TopicPartition};

use super::ids::{ProducerIdAndEpoch, TransactionVersion, TransactionalId};
use super::state::{TransactionResult, TransactionState};

/// A request to the coordinator of one transactional id, or (List) of one shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// InitProducerId with a transactional id.
    InitProducerId(InitProducerId),
    /// AddPartitionsToTxn, one transaction; also AddOffsetsToTxn.
    AddPartitions(AddPartitions),
    /// AddPartitionsToTxn that only asks (`verifyOnly`), one transaction.
    VerifyPartitions(VerifyPartitions),
    /// EndTxn.
    End(EndTransaction),
    /// DescribeTransactions, one id.
    Describe(TransactionalId),
    /// ListTransactions, the ids of this shard.
    List(ListTransactions),
}

/// A producer begins, and fences who had its name before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InitProducerId {
    /// Its name. An empty one is refused.
    pub transactional_id: TransactionalId,
    /// How long a transaction of its may be open (`transaction.timeout.ms`; a negative one on the wire is zero here). Bounds are checked by the machine.
    pub transaction_timeout: Duration,
    /// Whether its transactions end by its word alone, and never by a timeout (KIP-939, from version 6).
    pub two_phase_commit: TwoPhaseCommit,
    /// What the producer believes to be (KIP-360, from version 3): it goes on after an error and fences nobody. `None` for one that begins. A client that tells an id without an
    /// epoch, or the other way round, is refused beforehand.
    pub expected: Option<ProducerIdAndEpoch>,
    /// A producer id that nobody has, drawn by the driver after [`Response::NeedsProducerId`](super::response::Response::NeedsProducerId); unused when it is not needed after all.
    pub spare_producer_id: Option<ProducerId>,
}

/// Who decides that a transaction has been open for too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TwoPhaseCommit {
    /// The coordinator, by the producer's timeout.
    Disabled,
    /// Nobody: the producer takes part in somebody else's two-phase commit.
    Enabled,
}

/// Partitions join a transaction, which begins with the first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddPartitions {
    /// The producer's name.
    pub transactional_id: TransactionalId,
    /// What it believes to be.
    pub producer: ProducerIdAndEpoch,
    /// The partitions. They exist: the handler asked the metadata.
    pub partitions: BTreeSet<TopicPartition>,
    /// What the client knows ([`TransactionVersion::of_add_partitions`]; for AddOffsetsToTxn [`TransactionVersion::V0`]).
    pub client_version: TransactionVersion,
}

/// Asks whether partitions are in a producer's open transaction, before one takes its first batch of it (KIP-890).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifyPartitions {
    /// The producer's name.
    pub transactional_id: TransactionalId,
    /// What it believes to be.
    pub producer: ProducerIdAndEpoch,
    /// The partitions; they are answered in this order.
    pub partitions: Vec<TopicPartition>,
}

/// A producer ends its transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndTransaction {
    /// The producer's name.
    pub transactional_id: TransactionalId,
    /// What it believes to be.
    pub producer: ProducerIdAndEpoch,
    /// How it ends.
    pub result: TransactionResult,
    /// What the client knows ([`TransactionVersion::of_end_txn`]).
    pub client_version: TransactionVersion,
    /// As in [`InitProducerId`].
    pub spare_producer_id: Option<ProducerId>,
}

/// Asks for a shard's ids. Of several wishes all must be met.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListTransactions {
    /// In one of these states; `None` for any. (Names that no state has are the handler's; a list of nothing else is `Some` of an empty set, and matches nothing.)
    pub states: Option<BTreeSet<TransactionState>>,
    /// With one of these producer ids; empty for any.
    pub producer_ids: BTreeSet<ProducerId>,
    /// Begun longer ago than this. As in Kafka an id that has had no transaction yet counts as begun long ago.
    pub open_longer_than: Option<Duration>,
}
