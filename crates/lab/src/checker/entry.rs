//! The entries of the table: what is known of a value, of an offset, of a transaction, and of a gap that a poll jumped over.
//!
//! Each is a few words; all zeros means that nothing is known.

use crate::history::OperationId;

/// How an operation ended, as far as is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Outcome {
    /// No such operation.
    #[default]
    Never,
    /// Invoked and not completed: unknown.
    Open,
    /// It happened.
    Ok,
    /// It did not happen.
    Failed,
    /// Unknown.
    Unknown,
}

impl Outcome {
    fn from_word(word: u64) -> Self {
        match word & 7 {
            1 => Self::Open,
            2 => Self::Ok,
            3 => Self::Failed,
            4 => Self::Unknown,
            _ => Self::Never,
        }
    }

    fn word(self) -> u64 {
        match self {
            Self::Never => 0,
            Self::Open => 1,
            Self::Ok => 2,
            Self::Failed => 3,
            Self::Unknown => 4,
        }
    }
}

/// What is known of one value of a partition. It holds the open operation too, so that unknown sends cost no memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ValueEntry {
    pub(super) outcome: Outcome,
    /// Some consumer polled it.
    pub(super) read: bool,
    /// Some read_committed consumer polled it.
    pub(super) read_committed: bool,
    /// Offsets beyond the first.
    pub(super) copies: u64,
    /// The process that sent it.
    pub(super) producer: usize,
    pub(super) send: OperationId,
    pub(super) acked_at: Option<i64>,
    /// Where it was read first.
    pub(super) read_at: Option<i64>,
    /// The poll that read it first; rather one of a read_committed consumer.
    pub(super) poll: OperationId,
    pub(super) transaction: Option<u64>,
    /// The highest offset acknowledged (acks=all) when it was invoked.
    pub(super) floor: Option<i64>,
    /// The read-throughs of the partition that found it, a bit for each.
    pub(super) found_by: u64,
}

impl ValueEntry {
    pub(super) fn from_words(words: [u64; 8]) -> Self {
        Self {
            outcome: Outcome::from_word(words[0]),
            read: words[0] & 8 != 0,
            read_committed: words[0] & 16 != 0,
            copies: words[0] >> 8 & 0xff_ffff,
            producer: usize::try_from(words[0] >> 32).unwrap_or(usize::MAX),
            send: words[1],
            acked_at: offset(words[2]),
            read_at: offset(words[3]),
            poll: words[4],
            transaction: words[5].checked_sub(1),
            floor: offset(words[6]),
            found_by: words[7],
        }
    }

    pub(super) fn words(&self) -> [u64; 8] {
        let flags = u64::from(self.read) << 3 | u64::from(self.read_committed) << 4;
        let producer = (self.producer as u64) << 32;
        [
            self.outcome.word() | flags | self.copies.min(0xff_ffff) << 8 | producer,
            self.send,
            word(self.acked_at),
            word(self.read_at),
            self.poll,
            self.transaction.map_or(0, |number| number + 1),
            word(self.floor),
            self.found_by,
        ]
    }

    /// Where it is, as far as is known.
    pub(super) fn offset(&self) -> Option<i64> {
        self.acked_at.or(self.read_at)
    }
}

/// Groups whose deliveries are noted.
pub(super) const MAX_GROUPS: u32 = u64::BITS - 2;

/// What is known of one offset of a partition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct OffsetEntry {
    /// The value that a poll returned or an acknowledgement of acks=all promised.
    pub(super) value: Option<u64>,
    /// The operation that said so.
    pub(super) said_by: OperationId,
    /// The value that an acknowledgement of acks=1 named: no promise that it stays.
    pub(super) weak_value: Option<u64>,
    /// A poll returned `value` from here.
    pub(super) read: bool,
    /// Two values were seen here; counted once.
    pub(super) inconsistent: bool,
    /// The groups of which a member polled `value`, a bit for each: at most [`MAX_GROUPS`].
    pub(super) delivered: u64,
}

impl OffsetEntry {
    pub(super) fn from_words(words: [u64; 4]) -> Self {
        Self {
            value: words[0].checked_sub(1),
            said_by: words[1],
            weak_value: words[2].checked_sub(1),
            read: words[3] & 1 != 0,
            inconsistent: words[3] & 2 != 0,
            delivered: words[3] >> 2,
        }
    }

    pub(super) fn words(&self) -> [u64; 4] {
        [
            self.value.map_or(0, |value| value + 1),
            self.said_by,
            self.weak_value.map_or(0, |value| value + 1),
            u64::from(self.read) | u64::from(self.inconsistent) << 1 | self.delivered << 2,
        ]
    }
}

/// What is known of one transaction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct TransactionEntry {
    /// `Ok`: committed; `Failed`: not committed, be it aborted or failed.
    pub(super) outcome: Outcome,
    /// A read_committed consumer polled a value of it.
    pub(super) seen: bool,
    pub(super) op: OperationId,
    /// A send of it that a read-through found.
    pub(super) found: Option<OperationId>,
    /// A send of it that a read-through should have found and did not.
    pub(super) missing: Option<OperationId>,
}

impl TransactionEntry {
    pub(super) fn from_words(words: [u64; 4]) -> Self {
        Self {
            outcome: Outcome::from_word(words[0]),
            seen: words[0] & 8 != 0,
            op: words[1],
            found: words[2].checked_sub(1),
            missing: words[3].checked_sub(1),
        }
    }

    pub(super) fn words(&self) -> [u64; 4] {
        [
            self.outcome.word() | u64::from(self.seen) << 3,
            self.op,
            self.found.map_or(0, |op| op + 1),
            self.missing.map_or(0, |op| op + 1),
        ]
    }

    /// Committed: it was said so, or nothing is known but a read_committed consumer saw it.
    pub(super) fn committed(&self) -> bool {
        match self.outcome {
            Outcome::Ok => true,
            Outcome::Open | Outcome::Unknown => self.seen,
            Outcome::Failed | Outcome::Never => false,
        }
    }
}

/// Offsets that were jumped over: legal unless the log has a record there, which may become known only later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Gap {
    /// The process that jumped.
    pub(super) process: usize,
    pub(super) partition: usize,
    /// `[from, to)` was jumped over.
    pub(super) from: i64,
    pub(super) to: i64,
    /// The operation that jumped, and the one before it.
    pub(super) op: OperationId,
    pub(super) before: OperationId,
    pub(super) jump: Jump,
}

/// Who jumped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Jump {
    /// A consumer from one record to the next.
    Poll,
    /// A group, from what its members polled to the position it handed out.
    Group,
}

impl Gap {
    pub(super) fn from_words(words: [u64; 8]) -> Self {
        Self {
            process: usize::try_from(words[0]).unwrap_or(usize::MAX),
            partition: usize::try_from(words[1]).unwrap_or(usize::MAX),
            from: offset(words[2]).unwrap_or(0),
            to: offset(words[3]).unwrap_or(0),
            op: words[4],
            before: words[5],
            jump: if words[6] == 0 { Jump::Poll } else { Jump::Group },
        }
    }

    pub(super) fn words(&self) -> [u64; 8] {
        let jump = u64::from(self.jump == Jump::Group);
        let (process, partition) = (self.process as u64, self.partition as u64);
        let (from, to) = (word(Some(self.from)), word(Some(self.to)));
        [process, partition, from, to, self.op, self.before, jump, 0]
    }
}

/// Offsets in the table are never negative.
fn offset(word: u64) -> Option<i64> {
    word.checked_sub(1).and_then(|offset| i64::try_from(offset).ok())
}

fn word(offset: Option<i64>) -> u64 {
    offset.and_then(|offset| u64::try_from(offset).ok()).map_or(0, |offset| offset + 1)
}
