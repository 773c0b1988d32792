//! Why a request was not answered by the machine.

use super::partition_writer::WriteError;

/// Why a request was refused, or what it did is not known to be committed. The broker maps each to Kafka's code for the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, thiserror::Error)]
pub enum Refusal {
    /// This broker does not lead the partition, or lost it meanwhile (NOT_COORDINATOR).
    #[error("this broker is not the coordinator")]
    NotCoordinator,
    /// The partition is being loaded (COORDINATOR_LOAD_IN_PROGRESS).
    #[error("the coordinator is still loading")]
    LoadInProgress,
    /// The partition takes no writes, or did not commit in time (COORDINATOR_NOT_AVAILABLE).
    #[error("the coordinator cannot write")]
    NotAvailable,
    /// What was to be written is larger than a batch may be (UNKNOWN_SERVER_ERROR).
    #[error("the record is too large")]
    TooLarge,
}

impl Refusal {
    /// All of them, for what counts by kind.
    pub const ALL: [Self; 4] =
        [Self::NotCoordinator, Self::LoadInProgress, Self::NotAvailable, Self::TooLarge];
}

/// As Kafka's coordinator turns a failed write into its clients' errors.
impl From<WriteError> for Refusal {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::NotLeader | WriteError::Storage => Self::NotCoordinator,
            WriteError::NotEnoughReplicas | WriteError::TimedOut => Self::NotAvailable,
            WriteError::TooLarge => Self::TooLarge,
        }
    }
}
