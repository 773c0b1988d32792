//! Errors of the driver's operations, one enum per operation. The broker maps each to Kafka's error code.

use model::{BrokerId, LeaderEpoch, Offset};

/// Who leads a partition as far as this broker knows (KIP-951's hint).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaderHint {
    /// The leader, or `None` when the partition has none.
    pub leader: Option<BrokerId>,
    /// The leader's epoch.
    pub leader_epoch: LeaderEpoch,
}

/// Why a request that names a leader epoch, or needs the leader, is not served here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotServed {
    /// This broker does not lead the partition (NOT_LEADER_OR_FOLLOWER).
    #[error("this broker does not lead the partition")]
    NotLeader(LeaderHint),
    /// The request names an older leader epoch (FENCED_LEADER_EPOCH).
    #[error("the request's leader epoch is older than {}", .0.leader_epoch)]
    FencedLeaderEpoch(LeaderHint),
    /// The request names a leader epoch that this broker has not heard of yet (UNKNOWN_LEADER_EPOCH).
    #[error("the request's leader epoch is newer than this broker's metadata")]
    UnknownLeaderEpoch,
    /// The log cannot be used (KAFKA_STORAGE_ERROR).
    #[error("the partition's log is not available")]
    Storage,
}

/// Why a produced batch is not acknowledged.
#[derive(Debug, thiserror::Error)]
pub enum ProduceError {
    /// Nothing was appended: this broker may not.
    #[error(transparent)]
    NotServed(#[from] NotServed),
    /// Nothing was appended: fewer than the effective min ISR are unfenced and caught up (NOT_ENOUGH_REPLICAS).
    #[error("fewer in-sync replicas than min.insync.replicas")]
    NotEnoughReplicas,
    /// Appended, but too few in-sync replicas were left when it was committed (NOT_ENOUGH_REPLICAS_AFTER_APPEND).
    #[error("fewer in-sync replicas than min.insync.replicas after the append")]
    NotEnoughReplicasAfterAppend,
    /// Appended, but not known to be committed in time (REQUEST_TIMED_OUT).
    #[error("not acknowledged by enough replicas in time")]
    TimedOut,
    /// Appended, but this broker lost the leadership before the acknowledgement (NOT_LEADER_OR_FOLLOWER).
    #[error("the leadership was lost before the acknowledgement")]
    LeadershipLost(LeaderHint),
    /// Nothing was appended: the topic's codec cannot be applied, because the batch's own does not fit its bytes (CORRUPT_MESSAGE).
    #[error("the batch cannot be recompressed")]
    Compression(#[source] model::record_batch::compression::CompressionError),
    /// Nothing was appended: the log refused the batch.
    #[error("the batch was refused")]
    Refused(#[source] log_storage::AppendError),
}

/// Why a read was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// This broker may not serve the read.
    #[error(transparent)]
    NotServed(#[from] NotServed),
    /// The offset is not within the log, or above the high watermark (OFFSET_OUT_OF_RANGE).
    #[error("the offset lies outside of {log_start_offset} to {high_watermark}")]
    OutOfRange {
        /// The first offset that is kept.
        log_start_offset: Offset,
        /// The first offset that is not committed yet.
        high_watermark: Offset,
    },
    /// The log was truncated or its head removed under the read: plan it again (no records, or OFFSET_OUT_OF_RANGE then).
    #[error("the log changed under the read")]
    Changed,
    /// Bytes on the disk are damaged (KAFKA_STORAGE_ERROR); the replica was stopped.
    #[error("the log is damaged")]
    Corrupt,
}

/// Why an offset query was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ListOffsetError {
    /// This broker may not serve the query.
    #[error(transparent)]
    NotServed(#[from] NotServed),
    /// A new leader does not know yet what is committed (OFFSET_NOT_AVAILABLE, KIP-207).
    #[error("the high watermark has not reached the start of the leader's epoch yet")]
    OffsetNotAvailable,
    /// Bytes on the disk are damaged (KAFKA_STORAGE_ERROR).
    #[error("the log is damaged")]
    Corrupt,
}

/// Why records were not deleted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeleteRecordsError {
    /// This broker may not serve the request.
    #[error(transparent)]
    NotServed(#[from] NotServed),
    /// The offset is above the high watermark (OFFSET_OUT_OF_RANGE).
    #[error("the offset is above the high watermark {high_watermark}")]
    OutOfRange {
        /// The first offset that is not committed yet.
        high_watermark: Offset,
    },
    /// The topic's cleanup policy keeps the records (POLICY_VIOLATION).
    #[error("the topic is compacted and does not delete")]
    Policy,
    /// Not all live replicas have deleted in time (REQUEST_TIMED_OUT).
    #[error("not deleted by all live replicas in time")]
    TimedOut,
}
