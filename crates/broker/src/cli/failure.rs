//! Why a command failed, as one line and an exit code.

use std::io;

/// A failed command.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// The cluster refused, or could not be asked.
    #[error("{what}: {source}{}", advice(source))]
    Cluster {
        /// What was to be done.
        what: String,
        /// Why it was not.
        source: client::Error,
    },
    /// The operation ran, and its result is a failure.
    #[error("{0}")]
    Failed(String),
    /// The arguments make no sense together.
    #[error("{0}")]
    Usage(String),
    /// A file could not be read or written.
    #[error("{path}: {source}")]
    File {
        /// Which file.
        path: String,
        /// Why not.
        source: io::Error,
    },
    /// Whoever reads our output has gone.
    #[error("nobody reads the output")]
    BrokenPipe,
}

impl Failure {
    /// Makes a failure of the cluster's.
    pub(super) fn cluster(what: impl Into<String>) -> impl FnOnce(client::Error) -> Self {
        let what = what.into();
        move |source| Self::Cluster { what, source }
    }

    /// Makes a failure to write to standard output.
    pub(super) fn output(source: io::Error) -> Self {
        if source.kind() == io::ErrorKind::BrokenPipe {
            return Self::BrokenPipe;
        }
        Self::File { path: "standard output".to_owned(), source }
    }

    /// Returns the process's exit code.
    pub(super) fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            Self::Cluster { .. } | Self::Failed(_) | Self::File { .. } => 1,
            // Whoever reads no more has what was wanted.
            Self::BrokenPipe => 0,
        }
    }
}

/// Returns what a user can do about an error, where that is not plain from it.
fn advice(error: &client::Error) -> &'static str {
    use model::ErrorCode;
    match error {
        client::Error::Request(client::RequestError::Connect { .. }) => {
            "; is a broker running there? Give --bootstrap-servers or set STEADFAST_BOOTSTRAP_SERVERS"
        }
        client::Error::Request(client::RequestError::UnknownBroker { .. }) => {
            "; `steadfast cluster` names them"
        }
        client::Error::GroupType { .. } => {
            "; Kafka's kafka-consumer-groups.sh describes it, and `steadfast group list -l` shows the types"
        }
        client::Error::GaveUp { last, .. } => advice(last),
        // Where the broker says nothing itself.
        client::Error::Broker { code: ErrorCode::InvalidTopicException, message: None, .. } => {
            "; a name has up to 249 letters, digits, '.', '_' and '-'"
        }
        _ => match error.code() {
            Some(ErrorCode::UnknownTopicOrPartition) => {
                "; `steadfast topic list` names the topics, `steadfast topic create` makes one"
            }
            Some(ErrorCode::NotEnoughReplicas | ErrorCode::NotEnoughReplicasAfterAppend) => {
                "; too few replicas are in sync: `steadfast health` says which brokers are missing"
            }
            Some(ErrorCode::OffsetOutOfRange) => {
                "; `steadfast topic offsets` shows the range, --from earliest or latest is always there"
            }
            Some(ErrorCode::GroupIdNotFound) => "; `steadfast group list` names the groups",
            Some(ErrorCode::NonEmptyGroup) => {
                "; stop its members first: `steadfast group members` shows them"
            }
            Some(ErrorCode::GroupSubscribedToTopic) => {
                "; a member reads that topic: `steadfast group members --verbose` shows who"
            }
            Some(ErrorCode::CoordinatorNotAvailable) => {
                "; is __consumer_offsets led and fully replicated? `steadfast health` says so"
            }
            Some(ErrorCode::TransactionalIdNotFound) => {
                "; `steadfast transaction list` names the transactional ids"
            }
            Some(ErrorCode::FencedInstanceId) => {
                "; another member runs under the same --group-instance-id"
            }
            _ => "",
        },
    }
}
