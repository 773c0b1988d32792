//! Why an operation of the control plane failed: one type per operation.

use std::io;

use model::{BrokerId, ClusterId};

use crate::metadata::Refusal;

/// Why a control plane did not start. Each says what to do, or names the file that is in the way.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A file or the listener could not be used.
    #[error("cannot {what}")]
    Io {
        /// What was tried.
        what: String,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// The directory belongs to another broker.
    #[error("the data directory belongs to broker {found}, but node.id is {configured}")]
    WrongBroker {
        /// The id in `meta.properties`.
        found: BrokerId,
        /// The configured id.
        configured: BrokerId,
    },
    /// The directory belongs to another cluster.
    #[error("the data directory belongs to cluster {found}, but cluster.id is {configured}")]
    WrongCluster {
        /// The id in `meta.properties`.
        found: ClusterId,
        /// The configured id.
        configured: ClusterId,
    },
    /// Raft's own files cannot be read; a node that cannot prove its vote must not vote.
    #[error("Raft's storage is unreadable: {0}")]
    Unreadable(String),
    /// A configuration that cannot work.
    #[error("{0}")]
    Config(String),
}

/// Why a proposal has no outcome.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    /// No active controller took it within the time allowed; it was not proposed.
    #[error("no active controller")]
    NoController,
    /// It was handed to a controller that went away before it answered: it may have been applied, may still be, or never.
    /// A command that is safe to repeat may be proposed again; for another the image tells.
    #[error("the outcome is unknown")]
    OutcomeUnknown,
    /// The command is too large for one entry.
    #[error("the command has {size} bytes, more than {max}")]
    TooLarge {
        /// Bytes of the encoded command.
        size: usize,
        /// The limit.
        max: usize,
    },
    /// The control plane is stopped.
    #[error("the control plane is stopped")]
    Stopped,
}

/// Why a registration failed for good; what passes by itself is retried inside.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegisterError {
    /// The controller refused it: another process has this broker id, or this one was superseded. The process must stop.
    #[error("the registration was refused: {0}")]
    Refused(Refusal),
    /// The control plane has failed: see [`Controller::failed`](crate::Controller::failed).
    #[error("{0}")]
    Failed(String),
    /// The control plane is stopped.
    #[error("the control plane is stopped")]
    Stopped,
}
