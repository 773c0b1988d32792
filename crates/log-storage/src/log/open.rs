//! Opening a log: it is recovered, and goes on where what was found ends.
//!
//! Owns how a log is opened. What is believed of the disk is decided by [`crate::recovery`].

use std::io;
use std::path::Path;
use std::sync::Arc;

use model::UnixMillis;

use super::flush::Unflushed;
use super::recent_batches::RecentBatches;
use super::{Log, Turns};
use crate::checkpoint_files::PartitionCheckpoint;
use crate::config::LogConfig;
use crate::error::{FatalError, FatalHandler, NotWritable, OpenError};
use crate::file_system::{DiskReserve, FileSystem};
use crate::producers::ProducerTracking;
use crate::recovery::{Recovered, Recovery, Source, recover};

/// How a log is opened.
#[derive(Clone, Debug)]
pub struct OpenOptions {
    /// Sizes, times and limits.
    pub config: LogConfig,
    /// The partition's entries in the checkpoint files: where recovery begins, and what the log keeps up to date.
    pub checkpoint: PartitionCheckpoint,
    /// Whether idempotent producers are tracked: yes for a topic, no for a Raft log.
    pub producers: ProducerTracking,
    /// Stops appends when the file system runs full; `None` for a log that lives on the reserve (the Raft log).
    pub reserve: Option<Arc<DiskReserve>>,
    /// Hears of the first fatal error.
    pub fatal: FatalHandler,
    /// The wall clock's time; producers that are met in recovery count as active then.
    pub now: UnixMillis,
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
        let recovered = recover(Source {
            fs: &fs,
            directory,
            checkpoint: &options.checkpoint,
            producers: options.producers,
            index_interval_bytes: options.config.index_interval_bytes,
            now: options.now,
        })?;
        let Recovered { log_start_offset, log_end_offset, outcome, .. } = recovered;
        let failed =
            |error: FatalError| OpenError::io(error.operation, directory)(io::Error::other(error));
        if log_start_offset > options.checkpoint.log_start_offset() {
            // Before the recovery point rises above the old one: the next start would miss a head that was never there.
            tracing::info!(directory = ?directory, %log_start_offset, "the log starts where its first segment begins");
            options.checkpoint.set_log_start_offset(log_start_offset);
            options.checkpoint.persist().map_err(failed)?;
        }
        let mut log = Self {
            fs,
            directory: directory.to_owned(),
            segments: recovered.segments,
            log_start_offset: log_start_offset.min(log_end_offset),
            log_end_offset,
            flushed_offset: log_end_offset,
            epochs: recovered.epochs,
            epochs_on_disk: Some(recovered.epochs_on_disk),
            producers: recovered.producers,
            recent: RecentBatches::default(),
            writable: match &outcome.corruption {
                Some(corruption) => Err(NotWritable::Corrupt(corruption.offset)),
                None => Ok(()),
            },
            truncating_to: log_end_offset,
            unflushed: Unflushed::default(),
            bytes_since_checkpoint: outcome.scanned_bytes,
            turns: Turns::default(),
            checkpoint_runs: Arc::default(),
            clean_runs: Arc::default(),
            counts_changed: false,
            options,
        };
        if log_end_offset < log_start_offset && outcome.corruption.is_none() {
            // Everything that was left lies below the log start: the log goes on where it must begin.
            log.restart_at(log_start_offset).map_err(failed)?;
        }
        Ok((log, outcome))
    }
}
