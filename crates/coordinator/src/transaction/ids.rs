//! Names of transactional producers, and which of the protocol's two ways of ending a transaction a client knows.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use model::{ProducerEpoch, ProducerId};

use crate::group::ids::names;

names! {
    /// A producer's own name (`transactional.id`), under which it is known from one process to the next. Never empty.
    TransactionalId
}

/// A producer as batches and requests name it: its id, and which of its incarnations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProducerIdAndEpoch {
    /// The id.
    pub id: ProducerId,
    /// The epoch.
    pub epoch: ProducerEpoch,
}

impl fmt::Display for ProducerIdAndEpoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.id, self.epoch)
    }
}

/// Kafka's `transaction.version`, as far as a client showed that it knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TransactionVersion {
    /// No version: what is said by clients of before KIP-890.
    V0,
    /// The coordinator's log may have tagged fields; to a client it is as [`Self::V0`].
    V1,
    /// KIP-890: the epoch grows with every transaction, and partitions join a transaction when they are written to.
    V2,
}

impl TransactionVersion {
    /// The version of a client that sends EndTxn in that version of the request.
    #[must_use]
    pub fn of_end_txn(request_version: i16) -> Self {
        if request_version >= 5 { Self::V2 } else { Self::V0 }
    }

    /// The version of a client in whose name AddPartitionsToTxn comes in that version of the request: from version 4 on it is a broker that adds what a client writes to.
    #[must_use]
    pub fn of_add_partitions(request_version: i16) -> Self {
        if request_version >= 4 { Self::V2 } else { Self::V0 }
    }

    /// Says whether each transaction has an epoch of its own.
    #[must_use]
    pub fn bumps_epochs(self) -> bool {
        self == Self::V2
    }

    /// Returns Kafka's number.
    #[must_use]
    pub fn level(self) -> i16 {
        match self {
            Self::V0 => 0,
            Self::V1 => 1,
            Self::V2 => 2,
        }
    }

    /// Reads Kafka's number; `None` for one that is not known.
    #[must_use]
    pub fn from_level(level: i16) -> Option<Self> {
        match level {
            0 => Some(Self::V0),
            1 => Some(Self::V1),
            2 => Some(Self::V2),
            _ => None,
        }
    }
}
