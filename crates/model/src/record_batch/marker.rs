//! The marker that ends a transaction in a partition: the one record of a control batch (Kafka's `EndTransactionMarker`, KIP-98).
//!
//! Key and value each stand behind a version of two bytes, and a reader takes what it knows of a younger version.

use super::{BatchBuilder, BatchKind, BatchOptions, BatchProducer, BuildError, NewRecord};
use crate::epoch::{LeaderEpoch, ProducerEpoch};
use crate::ids::ProducerId;
use crate::offset::Offset;
use crate::timestamp::UnixMillis;

/// How a transaction ends (Kafka's `TransactionResult`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TransactionResult {
    /// Its records become visible.
    Commit,
    /// Its records never become visible.
    Abort,
}

/// The marker that ends a transaction in a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EndTransactionMarker {
    /// How the transaction ends.
    pub result: TransactionResult,
    /// Leader epoch of the coordinator's partition of `__transaction_state` when it decided.
    pub coordinator_epoch: i32,
}

/// Says why a control record is no marker (Kafka answers `CORRUPT_MESSAGE`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MarkerError {
    /// No key or no value, or one that ends too early.
    #[error("a control record's {part} needs {needed} bytes, {available} are there")]
    Incomplete {
        /// Key or value.
        part: &'static str,
        /// Bytes that are needed.
        needed: usize,
        /// Bytes that are there; none for null.
        available: usize,
    },
    /// A version below 0.
    #[error("a control record's {part} has version {version}")]
    Version {
        /// Key or value.
        part: &'static str,
        /// The version.
        version: i16,
    },
}

impl TransactionResult {
    /// Takes the protocol's boolean: true for a commit.
    #[must_use]
    pub fn from_committed(committed: bool) -> Self {
        if committed { Self::Commit } else { Self::Abort }
    }

    /// Says the protocol's boolean: true for a commit.
    #[must_use]
    pub fn is_commit(self) -> bool {
        self == Self::Commit
    }
}

impl EndTransactionMarker {
    /// Returns the record's key: version 0, and the type of the control record.
    #[must_use]
    pub fn key(self) -> [u8; 4] {
        let kind = match self.result {
            TransactionResult::Abort => ABORT_TYPE,
            TransactionResult::Commit => COMMIT_TYPE,
        };
        let [high, low] = kind.to_be_bytes();
        [0, 0, high, low]
    }

    /// Returns the record's value: version 0, and the coordinator epoch.
    #[must_use]
    pub fn value(self) -> [u8; 6] {
        let mut value = [0; 6];
        value[2..].copy_from_slice(&self.coordinator_epoch.to_be_bytes());
        value
    }

    /// Reads key and value of a control record; `None` when it is of another type, whose meaning is not known here.
    ///
    /// # Errors
    /// [`MarkerError`].
    pub fn read(key: Option<&[u8]>, value: Option<&[u8]>) -> Result<Option<Self>, MarkerError> {
        let result = match i16::from_be_bytes(behind_version("key", key)?) {
            ABORT_TYPE => TransactionResult::Abort,
            COMMIT_TYPE => TransactionResult::Commit,
            _ => return Ok(None),
        };
        let coordinator_epoch = i32::from_be_bytes(behind_version("value", value)?);
        Ok(Some(Self { result, coordinator_epoch }))
    }

    /// Makes the control batch, of one record, to be appended in a leader epoch; the base offset is 0 until the log sets it.
    ///
    /// # Errors
    /// None in practice: a marker is far smaller than what a batch can hold.
    pub fn batch(
        self,
        producer_id: ProducerId,
        producer_epoch: ProducerEpoch,
        leader_epoch: Option<LeaderEpoch>,
        timestamp: UnixMillis,
    ) -> Result<Vec<u8>, BuildError> {
        let producer =
            BatchProducer { id: producer_id, epoch: producer_epoch, base_sequence: None };
        let mut builder = BatchBuilder::new(BatchOptions {
            base_offset: Offset::ZERO,
            leader_epoch,
            producer: Some(producer),
            kind: BatchKind::TransactionMarker,
            ..BatchOptions::default()
        });
        let (key, value) = (self.key(), self.value());
        let (key, value) = (Some(&key[..]), Some(&value[..]));
        builder.append(&NewRecord { timestamp, key, value, headers: &[] })?;
        builder.build()
    }
}

/// Reads what stands behind the two bytes of a version; further bytes are left.
fn behind_version<const N: usize>(
    part: &'static str,
    bytes: Option<&[u8]>,
) -> Result<[u8; N], MarkerError> {
    let bytes = bytes.unwrap_or_default();
    let needed = VERSION_BYTES + N;
    let incomplete = MarkerError::Incomplete { part, needed, available: bytes.len() };
    let (version, rest) = bytes.split_first_chunk::<VERSION_BYTES>().ok_or(incomplete)?;
    let read = rest.first_chunk::<N>().ok_or(incomplete)?;
    match i16::from_be_bytes(*version) {
        version if version < 0 => Err(MarkerError::Version { part, version }),
        _ => Ok(*read),
    }
}

const VERSION_BYTES: usize = 2;
const ABORT_TYPE: i16 = 0;
const COMMIT_TYPE: i16 = 1;
