//! One partition's log: the state that its operations share, and what can be asked of it.
//!
//! Owns segments, epochs, producers and the three offsets. Invariants: log start <= log end, flushed offset <= log end; the batches of
//! the segments are consecutive; nothing in here syncs, and what blocks is handed out as a value to be run off the owner's lock.

mod append;
mod flush;
mod open;
mod read;
mod recent_batches;
mod retention;
#[cfg(test)]
mod tests;
mod truncate;
mod types;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use model::{LeaderEpoch, Offset, UnixMillis};

pub(crate) use open::Opening;
use recent_batches::RecentBatches;
pub(crate) use types::PendingSnapshot;
pub use types::{
    AppendOrigin, AppendOutcome, Appended, Corruption, Duplicate, FlushWish, FollowerAppend,
    LeaderAppend, Minimum, OpenOptions, ProducerTracking, ReadRequest, Recovery,
    TimestampAndOffset, TimestampQuery, TruncationGeneration,
};

use crate::config::LogConfig;
use crate::error::{FatalError, NotWritable, OpenError};
use crate::file_system::FileSystem;
use crate::jobs::turn::{Retirement, Turn};
use crate::leader_epoch_cache::{Changed, EpochEntry, LeaderEpochCache};
use crate::producers::state::ProducerState;
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
    generation: Arc<AtomicU64>,
    epochs: LeaderEpochCache,
    /// Whether the epochs differ from those on disk.
    epochs_changed: Changed,
    producers: Option<ProducerState>,
    /// Producer states at the starts of new segments, to be written with the next checkpoint.
    pending_snapshots: Vec<PendingSnapshot>,
    /// Offsets of the snapshots on disk.
    snapshots: BTreeSet<Offset>,
    /// Held by whichever of checkpoint, truncation and removal works on the files.
    jobs: Arc<Mutex<()>>,
    checkpoint_runs: Arc<AtomicBool>,
    /// Set once the directory is to be deleted.
    retired: Arc<AtomicBool>,
    /// Where a truncation that is under way cuts.
    truncating_to: Offset,
    recent: RecentBatches,
    writable: Result<(), NotWritable>,
    /// Files created since the log was opened, and how many of their names are durable.
    names_created: u64,
    names_synced: u64,
    unflushed_records: u64,
    unflushed_since: Option<UnixMillis>,
    bytes_since_checkpoint: u64,
}

impl Log {
    /// Opens the log in `directory`, which exists and has its `partition.metadata`, and recovers it (design section 4 rule 3). Blocks.
    ///
    /// # Errors
    /// [`OpenError::Io`]. Corruption is no error but reported in the [`Recovery`].
    pub fn open(
        fs: Arc<dyn FileSystem>,
        directory: &Path,
        options: OpenOptions,
    ) -> Result<(Self, Recovery), OpenError> {
        open::open(fs, directory, options)
    }

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
        TruncationGeneration(self.generation.load(Ordering::SeqCst))
    }

    /// Returns the latest leader epoch of the log, from its batches or from [`Log::assign_epoch`].
    #[must_use]
    pub fn last_epoch(&self) -> Option<LeaderEpoch> {
        self.epochs.latest()
    }

    /// Returns the size of all segments in bytes.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.size_bytes).sum()
    }

    /// Returns the base offsets of the segments, oldest first.
    #[must_use]
    pub fn segment_base_offsets(&self) -> Vec<Offset> {
        self.segments.iter().map(|segment| segment.base_offset).collect()
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

    /// Says whether the log takes appends.
    ///
    /// # Errors
    /// [`NotWritable`] says why not.
    pub fn check_writable(&self) -> Result<(), NotWritable> {
        self.writable
    }

    /// Notes that the leader of `epoch` begins at `start_offset` (every election, even with no data). Entries that conflict are dropped.
    pub fn assign_epoch(&mut self, epoch: LeaderEpoch, start_offset: Offset) {
        if self.epochs.assign(epoch, start_offset) == Changed::Yes {
            self.epochs_changed = Changed::Yes;
        }
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

    /// Forgets idempotent producers whose last append, by the local clock, is older than `producer.id.expiration.ms`.
    pub fn expire_producers(&mut self, now: UnixMillis) {
        if let Some(producers) = &mut self.producers {
            producers.expire(now, self.options.config.producer_expiration);
        }
    }

    /// Returns the number of idempotent producers that are known.
    #[must_use]
    pub fn producer_count(&self) -> usize {
        self.producers.as_ref().map_or(0, |state| state.producers.len())
    }

    /// Tells the log its high watermark, for the checkpoint file; held down to the flushed offset there (design 3a.7).
    pub fn set_high_watermark(&self, high_watermark: Offset) {
        self.options.checkpoint.set_high_watermark(high_watermark.min(self.flushed_offset));
    }

    /// Ends the log, ahead of the deletion of its directory: it takes no appends, begins no flush and no checkpoint any more, and what began before is void. The
    /// directory may be renamed or deleted once the retirement has run, off the lock.
    pub fn retire(&mut self) -> Retirement {
        let turn = self.turn();
        self.retired.store(true, Ordering::SeqCst);
        self.generation.fetch_add(1, Ordering::SeqCst);
        self.writable = Err(NotWritable::Retired);
        Retirement { turn }
    }

    /// A job's place in the order of those that work on the log's files.
    fn turn(&self) -> Turn {
        Turn::new(&self.jobs, &self.generation, &self.retired)
    }

    /// Takes note that a write failed for good.
    fn fail(&mut self, error: FatalError) -> FatalError {
        self.writable = Err(NotWritable::Failed);
        self.options.fatal.report(&error);
        error
    }
}
