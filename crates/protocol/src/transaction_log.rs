//! Records of `__transaction_state`: keys and values of transactional ids.
//!
//! A record without a value says that its key is gone. Keys of another kind are to be skipped.

use std::num::NonZeroU32;

use bytes::Bytes;

use crate::codec::{DecodeError, EncodeError, KafkaString, Layout, Reader, Wire};
use crate::group_log::partition_of_group;
use crate::versioned::{Format, write};

/// Returns the number of the partition of `__transaction_state` that keeps a transactional id, from 0 to
/// `partition_count` − 1: the rule is the same as for groups.
#[must_use]
pub fn partition_of_transactional_id(transactional_id: &str, partition_count: NonZeroU32) -> i32 {
    partition_of_group(transactional_id, partition_count)
}

/// Kind of a transactional id's key, which Kafka calls its version.
const TRANSACTION_KIND: i16 = 0;

/// State of a transactional id, as its record says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(i8)]
pub enum TransactionStatus {
    /// No transaction yet.
    Empty = 0,
    /// A transaction is open.
    Ongoing = 1,
    /// It will be committed; its markers are being written.
    PrepareCommit = 2,
    /// It will be aborted; its markers are being written.
    PrepareAbort = 3,
    /// It is committed.
    CompleteCommit = 4,
    /// It is aborted.
    CompleteAbort = 5,
    /// The transactional id has expired.
    Dead = 6,
    /// A new producer has come; the transaction of the former one is about to be aborted.
    PrepareEpochFence = 7,
}

message! {
    /// Key of a transactional id.
    TransactionLogKey {
        /// The transactional id.
        transactional_id: KafkaString [0+],
    }

    /// A transactional id, versions 0 and 1.
    TransactionLogValue {
        /// Producer id in use.
        producer_id: i64 [0+],
        /// Epoch of the producer id in use.
        producer_epoch: i16 [0+],
        /// Milliseconds after which an open transaction is aborted.
        transaction_timeout_ms: i32 [0+],
        /// Number of the state; see [`TransactionStatus`].
        transaction_status: i8 [0+],
        /// Partitions of the transaction; null in state Empty.
        transaction_partitions: Option<Vec<PartitionsSchema>> [0+],
        /// Unix milliseconds of the last change.
        transaction_last_update_timestamp_ms: i64 [0+],
        /// Unix milliseconds when the transaction began, −1 for none.
        transaction_start_timestamp_ms: i64 [0+],
        /// Producer id of the last transaction that was ended, −1 for none (KIP-890).
        previous_producer_id: i64 [1+, tag 0] = -1,
        /// Producer id that the client has been or will be told for the next transaction, −1 for none (KIP-890).
        next_producer_id: i64 [1+, tag 1] = -1,
        /// Level of `transaction.version` by which the client works (KIP-890).
        client_transaction_version: i16 [1+, tag 2],
        /// Epoch of the next producer id, −1 for none (KIP-890).
        next_producer_epoch: i16 [1+, tag 3] = -1,
    }

    /// Partitions of a topic.
    PartitionsSchema {
        /// Name of the topic.
        topic: KafkaString [0+],
        /// Numbers of the partitions.
        partition_ids: Vec<i32> [0+],
    }
}

impl TransactionStatus {
    /// Reads the number of a state; `None` when it is none.
    #[must_use]
    pub fn from_wire(status: i8) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.to_wire() == status)
    }

    /// Returns the number of the state.
    #[must_use]
    pub fn to_wire(self) -> i8 {
        self as i8
    }

    /// Returns Kafka's name, as DescribeTransactions and ListTransactions say it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::Ongoing => "Ongoing",
            Self::PrepareCommit => "PrepareCommit",
            Self::PrepareAbort => "PrepareAbort",
            Self::CompleteCommit => "CompleteCommit",
            Self::CompleteAbort => "CompleteAbort",
            Self::Dead => "Dead",
            Self::PrepareEpochFence => "PrepareEpochFence",
        }
    }

    /// Returns the state of a name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.name() == name)
    }

    /// All states.
    pub const ALL: [Self; 8] = [
        Self::Empty,
        Self::Ongoing,
        Self::PrepareCommit,
        Self::PrepareAbort,
        Self::CompleteCommit,
        Self::CompleteAbort,
        Self::Dead,
        Self::PrepareEpochFence,
    ];
}

impl TransactionLogKey {
    /// Reads the key of a record; `None` when it is of another kind, of which nothing else has been read.
    ///
    /// # Errors
    /// When the bytes end too early, or are no such key.
    pub fn decode(bytes: Bytes) -> Result<Option<Self>, DecodeError> {
        let mut reader = Reader::new(bytes);
        match reader.read_i16()? {
            TRANSACTION_KIND => Self::read(&mut reader).map(Some),
            _ => Ok(None),
        }
    }

    /// Writes the key of a record.
    ///
    /// # Errors
    /// When the transactional id is too long.
    pub fn encode(&self) -> Result<Bytes, EncodeError> {
        write(self, TRANSACTION_KIND, 0, Layout::Classic)
    }
}

impl TransactionLogValue {
    pub(crate) const FORMAT: Format =
        Format { name: "TransactionLogValue", newest: 1, flexible_from: Some(1) };

    /// Reads the value of a record, in any version.
    ///
    /// # Errors
    /// When the version is not known, or the bytes are no such value.
    pub fn decode(bytes: Bytes) -> Result<Self, DecodeError> {
        Self::FORMAT.decode(bytes)
    }

    /// Writes the value in the version that Kafka writes with `transaction.version` 1 and above: 1.
    ///
    /// # Errors
    /// When a string is too long.
    pub fn encode(&self) -> Result<Bytes, EncodeError> {
        Self::FORMAT.encode(self, 1)
    }
}
