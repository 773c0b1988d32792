//! What the transaction machine answers: one form for all versions; handlers make the version's of it.
//!
//! The codes are those of the newest versions. Older clients are told INVALID_PRODUCER_EPOCH in place of PRODUCER_FENCED (InitProducerId below 4, AddPartitionsToTxn, AddOffsetsToTxn and
//! EndTxn below 2), which is the handlers' to do.

use std::collections::BTreeSet;
use std::time::Duration;

use model::{ErrorCode, ProducerId, TopicPartition, UnixMillis};

use super::ids::{ProducerIdAndEpoch, TransactionalId};
use super::state::TransactionState;

/// The answer to a [`Request`](super::request::Request), of the same name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Response {
    /// To InitProducerId: what the producer is from now on.
    InitProducerId(Result<ProducerIdAndEpoch, ErrorCode>),
    /// To AddPartitionsToTxn and AddOffsetsToTxn: the code of each partition.
    AddPartitions(ErrorCode),
    /// To AddPartitionsToTxn that only asks: one code for each partition, in the request's order.
    VerifyPartitions(Vec<ErrorCode>),
    /// To EndTxn: what the producer is for its next transaction. To a client that does not know version 2 that is what it was, and not told.
    End(Result<ProducerIdAndEpoch, ErrorCode>),
    /// To DescribeTransactions; `None` when there is no such id.
    Describe(Option<TransactionDescription>),
    /// To ListTransactions, ascending.
    List(Vec<ListedTransaction>),
    /// To InitProducerId or EndTxn: nothing has changed; the same request is to come again with a producer id that nobody has.
    NeedsProducerId,
}

/// A transactional id, as tools see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransactionDescription {
    /// The producer's name.
    pub transactional_id: TransactionalId,
    /// What it does.
    pub state: TransactionState,
    /// What the producer is.
    pub producer: ProducerIdAndEpoch,
    /// How long a transaction of its may be open.
    pub transaction_timeout: Duration,
    /// When its transaction began, the last one if none is open; `None` (−1 on the wire) when it has had none yet.
    pub started_at: Option<UnixMillis>,
    /// The partitions of the open transaction whose markers are not written yet.
    pub partitions: BTreeSet<TopicPartition>,
}

/// A transactional id in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedTransaction {
    /// The producer's name.
    pub transactional_id: TransactionalId,
    /// Its id.
    pub producer_id: ProducerId,
    /// What it does.
    pub state: TransactionState,
}
