//! Why a batch was not acknowledged, and how clients of each version of Produce are told.

use controller::metadata::Image;
use model::ErrorCode;
use protocol::messages::produce::{BatchIndexAndErrorMessage, PartitionProduceResponse};
use replication::{LeaderHint, ProduceError};

use super::leader::{Elsewhere, Hints};
use crate::context::Call;
use crate::error_code::{ToErrorCode as _, leader_hint};
use crate::handlers::answer_text::answer_text;

/// First version whose client knows KAFKA_STORAGE_ERROR.
const STORAGE_ERROR_VERSION: i16 = 4;

/// Why a partition's batch was not acknowledged.
#[derive(Debug)]
pub(super) struct Refused {
    error: ErrorCode,
    message: Option<String>,
    hint: Option<LeaderHint>,
    /// The record that is wrong, by its index in the batch.
    record_index: Option<i32>,
}

impl Refused {
    pub(super) fn new(error: ErrorCode, message: impl Into<String>) -> Self {
        Self { message: Some(message.into()), ..error.into() }
    }

    /// Names the record that is wrong, where it is known.
    pub(super) fn of_record(self, record_index: Option<i32>) -> Self {
        Self { record_index, ..self }
    }

    /// Makes the answer for the partition; its index is the caller's.
    pub(super) fn answer(
        self,
        image: &Image,
        call: &Call,
        hints: &mut Hints,
    ) -> PartitionProduceResponse {
        let message = self.message.as_deref().map(answer_text);
        let record_errors = self.record_index.into_iter().map(|batch_index| {
            let batch_index_error_message = message.clone();
            BatchIndexAndErrorMessage { batch_index, batch_index_error_message }
        });
        PartitionProduceResponse {
            error_code: for_version(call.version, self.error),
            base_offset: -1,
            record_errors: record_errors.collect(),
            error_message: message,
            current_leader: hints.name(image, call, self.hint),
            ..PartitionProduceResponse::default()
        }
    }
}

impl From<ErrorCode> for Refused {
    fn from(error: ErrorCode) -> Self {
        Self { error, message: None, hint: None, record_index: None }
    }
}

impl From<Elsewhere> for Refused {
    fn from(elsewhere: Elsewhere) -> Self {
        Self { hint: elsewhere.hint, ..elsewhere.error.into() }
    }
}

impl From<ProduceError> for Refused {
    fn from(error: ProduceError) -> Self {
        let hint = match &error {
            ProduceError::NotServed(not_served) => leader_hint(not_served),
            ProduceError::LeadershipLost(hint) => Some(*hint),
            ProduceError::NotEnoughReplicas
            | ProduceError::NotEnoughReplicasAfterAppend
            | ProduceError::TimedOut
            | ProduceError::Compression(_)
            | ProduceError::Refused(_) => None,
        };
        let message = match &error {
            ProduceError::Refused(reason) => format!("{error}: {reason}"),
            _ => error.to_string(),
        };
        Self { hint, ..Self::new(error.error_code(), message) }
    }
}

/// Clients are told codes that their version knows.
fn for_version(version: i16, error: ErrorCode) -> ErrorCode {
    match error {
        ErrorCode::KafkaStorageError if version < STORAGE_ERROR_VERSION => {
            ErrorCode::NotLeaderOrFollower
        }
        other => other,
    }
}
