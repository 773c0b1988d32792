//! Names of the files in a partition's directory (Kafka's `LogFileUtils`).
//!
//! Owns the naming alone: a base offset in twenty digits and a suffix. A name that does not fit is nobody's and is left alone.

use std::path::{Path, PathBuf};

use model::Offset;

/// Epochs of the log and where they begin.
pub(crate) const LEADER_EPOCHS: &str = "leader-epoch-checkpoint";

/// Suffix of a file that left the log and waits for its removal.
pub(crate) const DELETED: &str = ".deleted";

/// Suffix of a file of a cleaned segment that may still be written.
pub(crate) const CLEANED: &str = ".cleaned";

/// Suffix of a file of a cleaned segment that is whole and is about to take the place of others.
pub(crate) const SWAP: &str = ".swap";

/// What a file with a base offset in its name holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum FileKind {
    /// Batches.
    Log,
    /// Offset index.
    Index,
    /// Time index.
    TimeIndex,
    /// Aborted transactions.
    TransactionIndex,
    /// Producer state below the offset.
    Snapshot,
}

impl FileKind {
    /// All kinds.
    pub(crate) const ALL: [Self; 5] =
        [Self::Log, Self::Index, Self::TimeIndex, Self::TransactionIndex, Self::Snapshot];

    /// What a segment consists of.
    pub(crate) const OF_SEGMENT: [Self; 4] =
        [Self::Log, Self::Index, Self::TimeIndex, Self::TransactionIndex];

    fn suffix(self) -> &'static str {
        match self {
            Self::Log => ".log",
            Self::Index => ".index",
            Self::TimeIndex => ".timeindex",
            Self::TransactionIndex => ".txnindex",
            Self::Snapshot => ".snapshot",
        }
    }

    /// Returns the file's path in a partition's directory.
    pub(crate) fn path(self, directory: &Path, base_offset: Offset) -> PathBuf {
        directory.join(format!("{:020}{}", base_offset.0, self.suffix()))
    }

    /// Reads a name; `None` when it is none of these.
    pub(crate) fn parse(name: &str) -> Option<(Self, Offset)> {
        let (digits, suffix) = name.split_at_checked(20)?;
        if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let kind = Self::ALL.into_iter().find(|kind| kind.suffix() == suffix)?;
        Some((kind, Offset::from_wire(digits.parse().ok()?)?))
    }
}

/// Returns a path with something behind its name.
pub(crate) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_kafkas_and_foreign_ones_are_left_alone() {
        let path = FileKind::TimeIndex.path(Path::new("t-0"), Offset(42));
        assert_eq!(path, Path::new("t-0/00000000000000000042.timeindex"));
        assert_eq!(
            FileKind::parse("00000000000000000042.timeindex"),
            Some((FileKind::TimeIndex, Offset(42)))
        );
        for name in [
            "",
            "42.log",
            "00000000000000000042.log.deleted",
            "99999999999999999999.log",
            "-0000000000000000042.log",
            "ä0000000000000000042.log",
        ] {
            assert_eq!(FileKind::parse(name), None, "{name}");
        }
    }
}
