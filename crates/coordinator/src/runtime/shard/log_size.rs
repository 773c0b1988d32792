//! How much a load would have to read, and whether that is worth a rewrite.
//!
//! The log of a shard grows with every commit, what is live in it does not. So that the load after a failover stays short without compaction, the live records are
//! written once more behind everything else as soon as the log is several times their size, and what stood before is cut off.

use model::Offset;

use crate::runtime::partition_writer::LogRange;

/// The log of a loaded shard, as this leader knows it.
#[derive(Debug)]
pub(super) struct LogSize {
    log_start_offset: Offset,
    log_end_offset: Offset,
    /// From the log start to the log end.
    bytes: u64,
    /// No rewrite below this: what the last one left, several times.
    worth_bytes: u64,
    is_rewriting: bool,
}

/// Where a rewrite began.
#[derive(Clone, Copy, Debug)]
pub(super) struct RewriteStart {
    /// Where the rewrite begins, or what is needed of the log before it: everything before is superfluous once the rewrite is committed.
    pub(super) first_offset: Offset,
    /// What stands before it, about.
    bytes_before: u64,
}

impl LogSize {
    pub(super) fn loaded(range: LogRange, bytes: u64) -> Self {
        let LogRange { log_start_offset, log_end_offset } = range;
        Self {
            log_start_offset,
            log_end_offset,
            bytes,
            worth_bytes: MIN_BYTES,
            is_rewriting: false,
        }
    }

    pub(super) fn appended(&mut self, log_end_offset: Offset, bytes: usize) {
        self.log_end_offset = log_end_offset;
        self.bytes += u64::try_from(bytes).unwrap_or(u64::MAX);
    }

    pub(super) fn log_end_offset(&self) -> Offset {
        self.log_end_offset
    }

    /// Says whether a rewrite is to begin, and if so counts it as begun.
    pub(super) fn begin_if_due(&mut self, live_bytes: usize) -> bool {
        let live_bytes = u64::try_from(live_bytes).unwrap_or(u64::MAX);
        let is_due = !self.is_rewriting
            && self.bytes > self.worth_bytes.max(live_bytes.saturating_mul(LOG_PER_LIVE));
        self.is_rewriting |= is_due;
        is_due
    }

    /// Returns where the rewrite begins that is written from now on, or where what is needed of the log begins, if that is before.
    pub(super) fn rewrite_start(&self, needed_from: Option<Offset>) -> RewriteStart {
        match needed_from.filter(|needed| *needed < self.log_end_offset) {
            None => RewriteStart { first_offset: self.log_end_offset, bytes_before: self.bytes },
            Some(first_offset) => {
                RewriteStart { first_offset, bytes_before: self.bytes_before(first_offset) }
            }
        }
    }

    /// Returns about how many bytes stand before an offset, as if all records were of one size.
    fn bytes_before(&self, offset: Offset) -> u64 {
        let count = |from: Offset, to: Offset| u128::try_from(to.0 - from.0).unwrap_or(0);
        let before = count(self.log_start_offset, offset);
        let all = count(self.log_start_offset, self.log_end_offset).max(1);
        u64::try_from(u128::from(self.bytes) * before / all).unwrap_or(self.bytes)
    }

    /// The log now starts with the rewrite. Its real size bounds when the next one comes, should the estimate of what is live be too low.
    pub(super) fn trimmed(&mut self, start: RewriteStart) {
        self.log_start_offset = self.log_start_offset.max(start.first_offset);
        self.bytes = self.bytes.saturating_sub(start.bytes_before);
        self.worth_bytes = MIN_BYTES.max(self.bytes.saturating_mul(LOG_PER_LIVE));
        self.is_rewriting = false;
    }

    /// The rewrite came to nothing: the next one waits until the log has grown again.
    pub(super) fn abandoned(&mut self) {
        self.worth_bytes = self.bytes.saturating_add(MIN_BYTES);
        self.is_rewriting = false;
    }
}

/// A log below this is never rewritten, in bytes: it is read in milliseconds.
const MIN_BYTES: u64 = 4 << 20;

/// How many times the size of what is live in it a log may have.
const LOG_PER_LIVE: u64 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;

    /// Ends at offset 10.
    fn loaded(bytes: u64) -> LogSize {
        let range = LogRange { log_start_offset: Offset::ZERO, log_end_offset: Offset(10) };
        LogSize::loaded(range, bytes)
    }

    #[test]
    fn a_log_is_not_cut_behind_what_is_needed_of_it() {
        let log = loaded(5 << 20);
        assert_eq!(log.rewrite_start(None).first_offset, Offset(10));
        assert_eq!(log.rewrite_start(Some(Offset(20))).first_offset, Offset(10));
        let start = log.rewrite_start(Some(Offset(4)));
        assert_eq!((start.first_offset, start.bytes_before), (Offset(4), 2 << 20));
    }

    #[test]
    fn a_log_is_rewritten_when_it_is_large_and_mostly_dead() {
        let mut log = loaded(4 << 20);
        assert!(!log.begin_if_due(0));
        log.appended(Offset(11), 1);
        assert!(!log.begin_if_due(2 * MIB), "a third of it is live");
        assert!(log.begin_if_due(MIB));
        assert!(!log.begin_if_due(MIB), "one at a time");
    }

    #[test]
    fn an_estimate_that_is_too_low_does_not_lead_to_endless_rewrites() {
        let mut log = loaded(5 << 20);
        assert!(log.begin_if_due(0));
        let start = log.rewrite_start(None);
        assert_eq!(start.first_offset, Offset(10));
        log.appended(Offset(20), 5 * MIB);
        log.trimmed(start);
        assert!(!log.begin_if_due(0));
        log.appended(Offset(30), 10 * MIB);
        assert!(!log.begin_if_due(0));
        log.appended(Offset(31), 1);
        assert!(log.begin_if_due(0));
    }

    #[test]
    fn an_abandoned_rewrite_is_not_begun_again_at_once() {
        let mut log = loaded(5 << 20);
        assert!(log.begin_if_due(0));
        log.abandoned();
        assert!(!log.begin_if_due(0));
        log.appended(Offset(20), 4 * MIB + 1);
        assert!(log.begin_if_due(0));
    }
}
