//! The one table from the errors of other crates to Kafka's error codes.
//!
//! Owns the mapping, exhaustively: a new variant anywhere does not compile until it has its code here. `controller` puts error codes into
//! its outcomes itself.

use controller::ProposeError;
use coordinator::runtime::Refusal;
use log_storage::AppendError;
use model::ErrorCode;
use model::record_batch::BatchError;
use protocol::compat::ConversionError;
use replication::{
    DeleteRecordsError, FetchError, LeaderHint, ListOffsetError, NotServed, ProduceError,
};

/// An error that has a code in Kafka's protocol.
pub(crate) trait ToErrorCode {
    /// Returns the code for clients of the newest version.
    fn error_code(&self) -> ErrorCode;
}

impl ToErrorCode for NotServed {
    fn error_code(&self) -> ErrorCode {
        match self {
            Self::NotLeader(_) => ErrorCode::NotLeaderOrFollower,
            Self::FencedLeaderEpoch(_) => ErrorCode::FencedLeaderEpoch,
            Self::UnknownLeaderEpoch => ErrorCode::UnknownLeaderEpoch,
            Self::Storage => ErrorCode::KafkaStorageError,
        }
    }
}

impl ToErrorCode for ProduceError {
    fn error_code(&self) -> ErrorCode {
        match self {
            Self::NotServed(error) => error.error_code(),
            Self::NotEnoughReplicas => ErrorCode::NotEnoughReplicas,
            Self::NotEnoughReplicasAfterAppend => ErrorCode::NotEnoughReplicasAfterAppend,
            Self::TimedOut => ErrorCode::RequestTimedOut,
            Self::LeadershipLost(_) => ErrorCode::NotLeaderOrFollower,
            Self::Compression(_) => ErrorCode::CorruptMessage,
            Self::Refused(error) => error.error_code(),
        }
    }
}

impl ToErrorCode for AppendError {
    fn error_code(&self) -> ErrorCode {
        match self {
            Self::CorruptMessage(error) => error.error_code(),
            Self::InvalidMarker(_) => ErrorCode::CorruptMessage,
            Self::InvalidTransactionState { .. } => ErrorCode::InvalidTxnState,
            Self::TransactionCoordinatorFenced { .. } => ErrorCode::TransactionCoordinatorFenced,
            Self::InvalidRecord(_) | Self::BatchCount { .. } => ErrorCode::InvalidRecord,
            Self::MessageTooLarge { .. } => ErrorCode::MessageTooLarge,
            Self::RecordListTooLarge { .. } => ErrorCode::RecordListTooLarge,
            Self::InvalidTimestamp { .. } => ErrorCode::InvalidTimestamp,
            Self::OutOfOrderSequence { .. } => ErrorCode::OutOfOrderSequenceNumber,
            Self::InvalidProducerEpoch { .. } => ErrorCode::InvalidProducerEpoch,
            Self::FencedLeaderEpoch { .. } => ErrorCode::NotLeaderOrFollower,
            Self::OutOfSpace(_) | Self::NotWritable(_) | Self::Fatal(_) => {
                ErrorCode::KafkaStorageError
            }
        }
    }
}

/// As Kafka answers a Produce: what is no single whole batch of format 2 is invalid, what contradicts its own checksum or length is corrupt.
impl ToErrorCode for BatchError {
    fn error_code(&self) -> ErrorCode {
        match self {
            Self::Incomplete { .. } | Self::Field { .. } | Self::Magic(0 | 1) => {
                ErrorCode::InvalidRecord
            }
            Self::Length(_) | Self::Magic(_) | Self::Checksum { .. } => ErrorCode::CorruptMessage,
        }
    }
}

impl ToErrorCode for FetchError {
    fn error_code(&self) -> ErrorCode {
        match self {
            Self::NotServed(error) => error.error_code(),
            Self::OutOfRange { .. } => ErrorCode::OffsetOutOfRange,
            Self::Corrupt => ErrorCode::KafkaStorageError,
            // The client asks again, and its next read sees the log as it is then.
            Self::Changed => ErrorCode::NotLeaderOrFollower,
        }
    }
}

impl ToErrorCode for ListOffsetError {
    fn error_code(&self) -> ErrorCode {
        match self {
            Self::NotServed(error) => error.error_code(),
            Self::OffsetNotAvailable => ErrorCode::OffsetNotAvailable,
            Self::Corrupt => ErrorCode::KafkaStorageError,
        }
    }
}

impl ToErrorCode for DeleteRecordsError {
    fn error_code(&self) -> ErrorCode {
        match self {
            Self::NotServed(error) => error.error_code(),
            Self::OutOfRange { .. } => ErrorCode::OffsetOutOfRange,
            Self::Policy => ErrorCode::PolicyViolation,
            Self::TimedOut => ErrorCode::RequestTimedOut,
        }
    }
}

/// Why a coordinator did not answer a group's request.
impl ToErrorCode for Refusal {
    fn error_code(&self) -> ErrorCode {
        match self {
            Self::NotCoordinator => ErrorCode::NotCoordinator,
            Self::LoadInProgress => ErrorCode::CoordinatorLoadInProgress,
            Self::NotAvailable => ErrorCode::CoordinatorNotAvailable,
            Self::TooLarge => ErrorCode::UnknownServerError,
        }
    }
}

impl ToErrorCode for ConversionError {
    fn error_code(&self) -> ErrorCode {
        match self {
            Self::Message { .. }
            | Self::Compression(_)
            | Self::Batch(_)
            | Self::Records(_)
            | Self::Build(_) => ErrorCode::CorruptMessage,
            Self::LogAppendTime => ErrorCode::InvalidTimestamp,
            Self::UnsupportedCodec { .. } => ErrorCode::UnsupportedCompressionType,
            Self::TooLarge { .. } => ErrorCode::MessageTooLarge,
        }
    }
}

/// A proposal without an outcome is worth a retry: another broker, or the same one a moment later, will have a controller.
impl ToErrorCode for ProposeError {
    fn error_code(&self) -> ErrorCode {
        match self {
            Self::NoController => ErrorCode::NotController,
            Self::OutcomeUnknown => ErrorCode::RequestTimedOut,
            Self::TooLarge { .. } => ErrorCode::PolicyViolation,
            Self::Stopped => ErrorCode::NotController,
        }
    }
}

/// Returns who leads instead, for errors that send a client elsewhere (KIP-951).
pub(crate) fn leader_hint(error: &NotServed) -> Option<LeaderHint> {
    match error {
        NotServed::NotLeader(hint) | NotServed::FencedLeaderEpoch(hint) => Some(*hint),
        NotServed::UnknownLeaderEpoch | NotServed::Storage => None,
    }
}
