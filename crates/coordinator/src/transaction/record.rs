//! What the transaction machine writes to its log and reads back: the content of Kafka's records, without their bytes.

use std::collections::BTreeSet;
use std::time::Duration;

use model::{ProducerEpoch, ProducerId, TopicPartition, UnixMillis};

use super::ids::{TransactionVersion, TransactionalId};
use super::state::TransactionState;

/// One record of `__transaction_state`. Each says the whole of its transactional id, so the last one of an id counts, and replay in log order gives the state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransactionRecord {
    /// The producer's name.
    pub transactional_id: TransactionalId,
    /// What is known of it; `None` is its tombstone.
    pub value: Option<TransactionMetadataRecord>,
}

/// The value of a record (Kafka's `TransactionLogValue`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransactionMetadataRecord {
    /// The producer's id; while a transaction is open or its markers are on their way, the one that its batches carry.
    pub producer_id: ProducerId,
    /// The id of one change before: by it a repeated EndTxn is known after the id has changed.
    pub previous_producer_id: Option<ProducerId>,
    /// The id that takes the place of `producer_id` when the markers are written, for the epochs of that one are used up.
    pub next_producer_id: Option<ProducerId>,
    /// The epoch; in the Prepare states it is the one that the markers carry.
    pub producer_epoch: ProducerEpoch,
    /// How long a transaction may be open.
    pub transaction_timeout: Duration,
    /// What the producer does.
    pub state: TransactionState,
    /// The partitions of the open transaction; none in the states Empty and Complete.
    pub partitions: BTreeSet<TopicPartition>,
    /// When this was written: an idle id expires by it.
    pub updated_at: UnixMillis,
    /// When the transaction began; `None` when there has been none.
    pub started_at: Option<UnixMillis>,
    /// What the client knew when it did this.
    pub client_version: TransactionVersion,
}
