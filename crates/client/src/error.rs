//! What can go wrong on the way to a broker and in what it answers.

use std::time::Duration;

use model::{BrokerId, ErrorCode};
use protocol::{ApiKey, DecodeError, EncodeError};

/// Says why a request brought no response. Whether the broker has acted on it is then unknown, except where
/// `RequestError::is_certainly_unsent`.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RequestError {
    /// No connection.
    #[error("cannot connect to {address}: {reason}")]
    Connect {
        /// Where to.
        address: String,
        /// Why not.
        reason: String,
    },
    /// The broker is not among the live ones, so that nobody knows where it is.
    #[error("broker {broker} is not among the live brokers")]
    UnknownBroker {
        /// Which broker.
        broker: BrokerId,
    },
    /// The connection broke before the response.
    #[error("connection to {address} is closed: {reason}")]
    Closed {
        /// Where to.
        address: String,
        /// Why.
        reason: String,
    },
    /// No response in time.
    #[error("{address} did not answer {api} within {} ms", after.as_millis())]
    Timeout {
        /// Where to.
        address: String,
        /// The API that was asked.
        api: ApiKey,
        /// The time that it had.
        after: Duration,
    },
    /// The broker and this client share no version of the API.
    #[error("{address} does not serve {api} in a version that this client knows")]
    Unsupported {
        /// Where to.
        address: String,
        /// The API.
        api: ApiKey,
    },
    /// The request cannot be expressed.
    #[error("request cannot be written: {0}")]
    Encode(#[from] EncodeError),
    /// The response is malformed; the connection is given up.
    #[error("response from {address} cannot be read: {problem}")]
    Decode {
        /// Where from.
        address: String,
        /// What is wrong.
        problem: DecodeError,
    },
}

impl RequestError {
    /// Says whether another attempt may succeed.
    #[must_use]
    pub fn is_retriable(&self) -> bool {
        match self {
            Self::Connect { .. }
            | Self::UnknownBroker { .. }
            | Self::Closed { .. }
            | Self::Timeout { .. } => true,
            Self::Unsupported { .. } | Self::Encode(_) | Self::Decode { .. } => false,
        }
    }

    /// Says whether it is certain that no broker has acted on the request.
    #[must_use]
    pub(crate) fn is_certainly_unsent(&self) -> bool {
        matches!(
            self,
            Self::Connect { .. }
                | Self::UnknownBroker { .. }
                | Self::Unsupported { .. }
                | Self::Encode(_)
        )
    }
}

/// Says why an operation on the cluster failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// No response.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// The broker refused.
    #[error("{subject}: {code}{}", message.as_deref().map(|message| format!(" ({message})")).unwrap_or_default())]
    Broker {
        /// What it was about: a topic, a partition, a broker.
        subject: String,
        /// Kafka's error code.
        code: ErrorCode,
        /// The broker's words, if it said any.
        message: Option<String>,
    },
    /// The group is of another kind than the classic one, which alone is described here.
    #[error("group {group} is of type {group_type}, not a classic group")]
    GroupType {
        /// The group's id.
        group: String,
        /// Kafka's name of its type: `Consumer` for the protocol of KIP-848.
        group_type: String,
    },
    /// The time for the operation ran out; the last failure says why.
    #[error("gave up after {} ms: {last}", after.as_millis())]
    GaveUp {
        /// The time that it had.
        after: Duration,
        /// The last failure.
        last: Box<Self>,
    },
    /// The broker sent records that are damaged or malformed.
    #[error("{subject}: {problem}")]
    Records {
        /// The partition and offset.
        subject: String,
        /// What is wrong.
        problem: String,
    },
    /// The client was stopped.
    #[error("the client is stopped")]
    Stopped,
}

impl Error {
    /// Makes the error of a broker's code, or nothing for [`ErrorCode::None`].
    ///
    /// # Errors
    /// [`Error::Broker`].
    pub fn check(
        subject: impl Into<String>,
        code: ErrorCode,
        message: Option<&str>,
    ) -> Result<(), Self> {
        if code.is_error() {
            let message = message.map(str::to_owned).filter(|message| !message.is_empty());
            return Err(Self::Broker { subject: subject.into(), code, message });
        }
        Ok(())
    }

    /// Makes the error of a response that leaves out what was asked for.
    pub(crate) fn unnamed(subject: impl Into<String>) -> Self {
        Self::Broker {
            subject: subject.into(),
            code: ErrorCode::UnknownServerError,
            message: Some("the response does not name it".to_owned()),
        }
    }

    /// Returns the broker's code, if it answered with one.
    #[must_use]
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Broker { code, .. } => Some(*code),
            Self::GaveUp { last, .. } => last.code(),
            Self::Request(_) | Self::GroupType { .. } | Self::Records { .. } | Self::Stopped => {
                None
            }
        }
    }

    /// Says whether another attempt may succeed; of reading, writing and asking for metadata.
    #[must_use]
    pub fn is_retriable(&self) -> bool {
        match self {
            Self::Request(error) => error.is_retriable(),
            Self::Broker { code, .. } => code.is_retriable(),
            Self::GaveUp { .. } | Self::GroupType { .. } | Self::Records { .. } | Self::Stopped => {
                false
            }
        }
    }

    /// The same of an administrative operation: an answer about its subject is final, even one that other requests would try again, such as
    /// `UNKNOWN_TOPIC_OR_PARTITION`, and so is that a broker does not live. Tried again is what the broker was not able to look at.
    pub(crate) fn is_retriable_operation(&self) -> bool {
        if matches!(self, Self::Request(RequestError::UnknownBroker { .. })) {
            return false;
        }
        match self.code() {
            Some(code) => matches!(
                code,
                ErrorCode::NotController
                    | ErrorCode::BrokerNotAvailable
                    | ErrorCode::LeaderNotAvailable
                    | ErrorCode::ThrottlingQuotaExceeded
            ),
            None => self.is_retriable(),
        }
    }

    /// The same of a question to the coordinator of a transactional id, and of offsets that are committed in a transaction: it passes also when the
    /// transaction before is over, and when a topic that was just made is known.
    pub(crate) fn is_retriable_in_transaction(&self) -> bool {
        match self.code() {
            Some(code) => {
                self.is_retriable_at_coordinator()
                    || matches!(
                        code,
                        ErrorCode::ConcurrentTransactions
                            | ErrorCode::UnknownTopicOrPartition
                            | ErrorCode::NotLeaderOrFollower
                            | ErrorCode::RequestTimedOut
                    )
            }
            None => self.is_retriable(),
        }
    }

    /// Says whether another producer has taken the transactional id over: this one is of no more use.
    #[must_use]
    pub fn is_fenced(&self) -> bool {
        matches!(
            self.code(),
            Some(
                ErrorCode::ProducerFenced
                    | ErrorCode::InvalidProducerEpoch
                    | ErrorCode::InvalidProducerIdMapping
            )
        )
    }

    /// The same of a question to a group's coordinator: it passes when that has moved, loaded, or come back.
    pub(crate) fn is_retriable_at_coordinator(&self) -> bool {
        match self.code() {
            Some(code) => matches!(
                code,
                ErrorCode::NotCoordinator
                    | ErrorCode::CoordinatorNotAvailable
                    | ErrorCode::CoordinatorLoadInProgress
                    | ErrorCode::UnstableOffsetCommit
            ),
            None => self.is_retriable(),
        }
    }
}
