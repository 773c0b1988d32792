//! The levels of Kafka's feature `transaction.version`: how a transaction's producer and its coordinator agree on epochs.

/// Level of `transaction.version` that a transaction has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum TransactionVersion {
    /// The first protocol (KIP-98): marker and records have one epoch.
    #[default]
    V0,
    /// As 0, with flexible records in `__transaction_state`.
    V1,
    /// The epoch grows with each transaction, and before its marker (KIP-890): a delayed record or marker of a former transaction has another epoch.
    V2,
}

impl TransactionVersion {
    /// Reads the level from the wire; a higher one has all that 2 has, a lower one than 0 is none at all and counts as 0.
    #[must_use]
    pub fn from_wire(level: i8) -> Self {
        match level {
            ..=0 => Self::V0,
            1 => Self::V1,
            2.. => Self::V2,
        }
    }

    /// Writes the level for the wire.
    #[must_use]
    pub fn to_wire(self) -> i8 {
        match self {
            Self::V0 => 0,
            Self::V1 => 1,
            Self::V2 => 2,
        }
    }

    /// Says whether the epoch grows with each transaction.
    #[must_use]
    pub fn bumps_epochs(self) -> bool {
        self >= Self::V2
    }
}
