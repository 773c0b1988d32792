//! The states of a transactional id, with Kafka's names, and how a transaction may end.

use std::fmt;

pub use model::record_batch::TransactionResult;

/// What the producer of a transactional id does (Kafka's `TransactionState`).
///
/// ```text
///              InitProducerId
///                   |
///                   v     first partition          EndTxn               all markers written
///    (new) ----> Empty ---------------> Ongoing ----------> PrepareCommit ----> CompleteCommit
///                 ^  |                   ^   |  abort, timeout, fence                |
///                 |  |                   |   +--------------> PrepareAbort ----> CompleteAbort
///                 |  +-- abort (version 2), of nothing ------------^                 |
///                 +------------- InitProducerId -------------+-----------------------+
///                                        ^ first partition --+
/// ```
///
/// Kafka has two more names: *Dead*, of an id that is being removed, and *PrepareEpochFence*, of one that is about to be aborted in another's name. Both are states of
/// a moment within its coordinator: no record holds them, and here no id is ever in one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TransactionState {
    /// The producer has an id and an epoch, and no transaction yet.
    Empty,
    /// A transaction is open.
    Ongoing,
    /// It is decided: committed. Its markers are on their way.
    PrepareCommit,
    /// It is decided: aborted. Its markers are on their way.
    PrepareAbort,
    /// The last transaction is committed, and every partition of it knows.
    CompleteCommit,
    /// The last transaction is aborted, and every partition of it knows.
    CompleteAbort,
}

impl TransactionState {
    /// All of them, in the order of Kafka's numbers.
    pub const ALL: [Self; 6] = [
        Self::Empty,
        Self::Ongoing,
        Self::PrepareCommit,
        Self::PrepareAbort,
        Self::CompleteCommit,
        Self::CompleteAbort,
    ];

    /// Returns Kafka's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::Ongoing => "Ongoing",
            Self::PrepareCommit => "PrepareCommit",
            Self::PrepareAbort => "PrepareAbort",
            Self::CompleteCommit => "CompleteCommit",
            Self::CompleteAbort => "CompleteAbort",
        }
    }

    /// Reads Kafka's name; `None` for one that no id is ever in, `Dead` and `PrepareEpochFence` included.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }

    /// Returns Kafka's number, as records hold it.
    #[must_use]
    pub fn number(self) -> i8 {
        match self {
            Self::Empty => 0,
            Self::Ongoing => 1,
            Self::PrepareCommit => 2,
            Self::PrepareAbort => 3,
            Self::CompleteCommit => 4,
            Self::CompleteAbort => 5,
        }
    }

    /// Reads Kafka's number; `None` for one that no record holds.
    #[must_use]
    pub fn from_number(number: i8) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.number() == number)
    }

    /// Returns what was decided, in a state in which the markers are on their way.
    #[must_use]
    pub fn prepared(self) -> Option<TransactionResult> {
        match self {
            Self::PrepareCommit => Some(TransactionResult::Commit),
            Self::PrepareAbort => Some(TransactionResult::Abort),
            Self::Empty | Self::Ongoing | Self::CompleteCommit | Self::CompleteAbort => None,
        }
    }

    /// Returns the state in which a decision stands and its markers are on their way.
    #[must_use]
    pub fn prepare(result: TransactionResult) -> Self {
        match result {
            TransactionResult::Commit => Self::PrepareCommit,
            TransactionResult::Abort => Self::PrepareAbort,
        }
    }

    /// Returns the state in which all markers are written.
    #[must_use]
    pub fn complete(result: TransactionResult) -> Self {
        match result {
            TransactionResult::Commit => Self::CompleteCommit,
            TransactionResult::Abort => Self::CompleteAbort,
        }
    }
}

impl fmt::Display for TransactionState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
