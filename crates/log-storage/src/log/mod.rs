//! One partition's log: what it is made of, and what can be asked of it.
//!
//! A log is a row of segments (files of batches), of which the last takes the appends. Around it stand three offsets: where it starts, where it ends, and below
//! which it is durable; and two histories of its batches: which leader epoch begins where, and what each idempotent producer sent last.
//!
//! ```text
//!        log_start_offset                flushed_offset     log_end_offset
//!               v                              v                  v
//!   | segment 0 ...... | segment 5000 ..... | segment 9000 .......|   <- append
//! ```
//!
//! | what happens | under the owner's lock, here | off it, on a storage thread |
//! |--|--|--|
//! | a start | | `open` reads the directory by [`crate::recovery`] |
//! | an append | `append` checks, `write` writes to the page cache and notes the batch | |
//! | a read, a lookup by time | `read` plans | [`crate::reads`] execute |
//! | a flush, a checkpoint | `flush` begins and completes | [`crate::jobs`] sync and write |
//! | a truncation, a restart | `truncate` begins and completes | [`crate::jobs`] cut and sync |
//! | a clean of a compacted log | `clean` chooses segments, and takes the new ones in | [`crate::compaction`] reads, writes and swaps |
//! | the head goes | `retention` chooses segments | [`crate::jobs`] rename and remove |
//!
//! Invariants: log start <= log end, flushed offset <= log end; the batches of the segments are consecutive. Nothing here syncs. Whatever blocks is handed out as a
//! value; one that was begun before a truncation changes nothing after it.

mod append;
mod clean;
mod flush;
mod open;
mod read;
mod recent_batches;
mod retention;
#[cfg(test)]
mod tests;
mod transactions;
mod truncate;
mod write;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use model::{LeaderEpoch, Offset, UnixMillis};

pub use append::{AppendOrigin, AppendOutcome, Appended, FlushWish, FollowerAppend, LeaderAppend};
pub use clean::{CleanRequest, Cleanable};
use flush::Unflushed;
pub use open::OpenOptions;
use recent_batches::RecentBatches;

use crate::config::LogConfig;
use crate::error::{FatalError, NotWritable};
use crate::file_system::FileSystem;
use crate::generation::TruncationGeneration;
use crate::jobs::turn::{Retirement, Turns};
use crate::leader_epoch_cache::{EpochEntry, LeaderEpochCache};
use crate::producers::Producers;
use crate::segment::Segment;

/// One partition's log. It has one owner, who keeps it behind a short lock; what blocks (syncs, cold reads, truncation, removal) is handed out as a
/// value with a `run` or `execute`, to be called off the lock on a storage thread.
#[derive(Debug)]
pub struct Log {
    fs: Arc<dyn FileSystem>,
    directory: PathBuf,
    options: OpenOptions,
    /// Ordered by base offset; empty until the first append.
    segments: Vec<Segment>,
    log_start_offset: Offset,
    log_end_offset: Offset,
    flushed_offset: Offset,
    epochs: LeaderEpochCache,
    /// The epochs that their file holds; `None` while a checkpoint or a truncation writes it.
    epochs_on_disk: Option<LeaderEpochCache>,
    /// `None` in a log that does not track them.
    producers: Option<Producers>,
    /// Where the newest batches lie.
    recent: RecentBatches,
    writable: Result<(), NotWritable>,
    /// Where a truncation that is under way cuts.
    truncating_to: Offset,
    unflushed: Unflushed,
    bytes_since_checkpoint: u64,
    /// The order of the jobs that work on the files.
    turns: Turns,
    checkpoint_runs: Arc<AtomicBool>,
    clean_runs: Arc<AtomicBool>,
    /// A clean has emptied transaction indexes since the last snapshot.
    counts_changed: bool,
}

impl Log {
    /// Returns the first offset that is kept (Kafka's `logStartOffset`).
    #[must_use]
    pub fn log_start_offset(&self) -> Offset {
        self.log_start_offset
    }

    /// Returns the offset that the next record gets (Kafka's LEO).
    #[must_use]
    pub fn log_end_offset(&self) -> Offset {
        self.log_end_offset
    }

    /// Returns the offset below which everything is durable on this disk; lowered by truncation alone.
    #[must_use]
    pub fn flushed_offset(&self) -> Offset {
        self.flushed_offset
    }

    /// Returns the number of truncations that were begun since the log was opened.
    #[must_use]
    pub fn truncation_generation(&self) -> TruncationGeneration {
        self.turns.generation()
    }

    /// Returns the size of all segments in bytes.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.size_bytes).sum()
    }

    /// Returns the partition's directory.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Returns the configuration.
    #[must_use]
    pub fn config(&self) -> &LogConfig {
        &self.options.config
    }

    /// Replaces the configuration; it holds from the next operation on.
    pub fn set_config(&mut self, config: LogConfig) {
        self.options.config = config;
    }

    /// Notes that the leader of `epoch` begins at `start_offset` (every election, even with no data). Entries that conflict are dropped.
    pub fn assign_epoch(&mut self, epoch: LeaderEpoch, start_offset: Offset) {
        self.epochs.assign(epoch, start_offset);
    }

    /// Returns the greatest known epoch that is at most `epoch`, and the offset where it ends (the start of the next one, or the log end offset).
    /// `None` when all known epochs are later, or none is known (KIP-101, KIP-279).
    #[must_use]
    pub fn end_offset_for(&self, epoch: LeaderEpoch) -> Option<(LeaderEpoch, Offset)> {
        self.epochs.end_offset_for(epoch, self.log_end_offset)
    }

    /// Returns the epoch of the record at `offset`, by the epoch entries; for `offset` = log end, that of the latest entry.
    #[must_use]
    pub fn epoch_for(&self, offset: Offset) -> Option<LeaderEpoch> {
        self.epochs.epoch_for(offset)
    }

    /// Returns all epochs and where they begin, oldest first.
    #[must_use]
    pub fn epoch_entries(&self) -> &[EpochEntry] {
        self.epochs.entries()
    }

    /// Forgets producers whose last append, by the local clock, is older than `producer.id.expiration.ms`, but for those with an open transaction.
    pub fn expire_producers(&mut self, now: UnixMillis) {
        if let Some(producers) = &mut self.producers {
            producers.expire(now, self.options.config.producer_expiration);
        }
    }

    /// Tells the log its high watermark: which transactions are decided for good, and, for the checkpoint file, what is committed; held down to the flushed offset there (design 3a.7), and to what a truncation that is under
    /// way leaves: it was lowered on disk before the bytes go.
    pub fn set_high_watermark(&mut self, high_watermark: Offset) {
        if let Some(producers) = &mut self.producers {
            producers.committed(high_watermark);
        }
        let durable_end = self.flushed_offset.min(self.readable_end());
        self.options.checkpoint.set_high_watermark(high_watermark.min(durable_end));
    }

    /// Ends the log, ahead of the deletion of its directory: it takes no appends, begins no flush and no checkpoint any more, and what began before is void. The
    /// directory may be renamed or deleted once the retirement has run, off the lock.
    pub fn retire(&mut self) -> Retirement {
        self.writable = Err(NotWritable::Retired);
        self.turns.retire()
    }

    /// Takes note that a write failed for good.
    fn fail(&mut self, error: FatalError) -> FatalError {
        self.writable = Err(NotWritable::Failed);
        self.options.fatal.report(&error);
        error
    }
}
