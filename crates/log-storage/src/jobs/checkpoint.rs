//! A checkpoint of one log: what makes a start from its end cheap (design section 4 rules 3 and 5).
//!
//! Owns the order: batches first, then producer snapshot, epochs and index entries; only after all of it may the recovery point rise. A crash in between
//! leaves files that the old recovery point does not need, and entries of transaction indexes that its snapshot does not count.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use model::Offset;

use super::flush::{Flush, FlushDone};
use super::turn::Turn;
use crate::error::FatalError;
use crate::file_names::{FileKind, LEADER_EPOCHS};
use crate::file_system::{FileSystem, OpenMode, remove_if_there, write_aside};
use crate::leader_epoch_cache::LeaderEpochCache;
use crate::producers::PendingSnapshot;
use crate::segment::index::PendingEntries;

/// A checkpoint that was begun.
#[derive(Debug)]
pub struct Checkpoint {
    pub(crate) fs: Arc<dyn FileSystem>,
    pub(crate) directory: PathBuf,
    pub(crate) turn: Turn,
    pub(crate) running: Running,
    pub(crate) flush: Flush,
    pub(crate) snapshots: Vec<PendingSnapshot>,
    /// Offsets of older snapshots that nobody needs any more.
    pub(crate) obsolete_snapshots: Vec<Offset>,
    /// The leader epochs, when their file may hold others.
    pub(crate) epochs: Option<LeaderEpochCache>,
    pub(crate) indexes: Vec<SegmentEntries>,
}

/// Index entries of one segment that are not in its files yet.
#[derive(Debug)]
pub(crate) struct SegmentEntries {
    pub(crate) base_offset: Offset,
    pub(crate) is_closed: bool,
    pub(crate) offsets: Option<PendingEntries>,
    pub(crate) times: Option<PendingEntries>,
    pub(crate) aborted: Option<PendingEntries>,
}

/// How many entries of one segment are in its files now.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WrittenEntries {
    pub(crate) base_offset: Offset,
    pub(crate) offsets: usize,
    pub(crate) times: usize,
    pub(crate) aborted: usize,
}

/// Says, as long as it lives, that a checkpoint of the log is under way: two at once would write the same index entries.
#[derive(Debug)]
pub(crate) struct Running(Arc<AtomicBool>);

impl Running {
    /// `None` when one is under way already.
    pub(crate) fn begin(flag: &Arc<AtomicBool>) -> Option<Self> {
        (!flag.swap(true, Ordering::SeqCst)).then(|| Self(Arc::clone(flag)))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

/// A checkpoint that succeeded.
#[derive(Debug)]
pub struct CheckpointDone {
    pub(crate) running: Running,
    pub(crate) flush: FlushDone,
    pub(crate) snapshots: Vec<Offset>,
    pub(crate) obsolete_snapshots: Vec<Offset>,
    pub(crate) epochs: Option<LeaderEpochCache>,
    pub(crate) indexed: Vec<WrittenEntries>,
}

impl Checkpoint {
    /// Flushes and writes; blocks. The owner's lock must not be held.
    ///
    /// # Errors
    /// The first failure; it is final.
    pub fn run(self) -> Result<CheckpointDone, FatalError> {
        let Self {
            fs,
            directory,
            turn,
            running,
            flush,
            snapshots,
            obsolete_snapshots,
            epochs,
            indexes,
        } = self;
        let _turn = turn.take()?;
        if !turn.is_current() {
            // A truncation has overtaken this checkpoint: what it would write belongs to bytes that are gone.
            return Ok(CheckpointDone {
                running,
                flush: flush.done,
                snapshots: Vec::new(),
                obsolete_snapshots: Vec::new(),
                epochs: None,
                indexed: Vec::new(),
            });
        }
        let flush = flush.run()?;
        for PendingSnapshot { offset, bytes } in &snapshots {
            let path = FileKind::Snapshot.path(&directory, *offset);
            write_synced(fs.as_ref(), &path, bytes)
                .map_err(|error| FatalError::new("writing", &path, error))?;
        }
        if let Some(epochs) = &epochs {
            let path = directory.join(LEADER_EPOCHS);
            write_aside(fs.as_ref(), &path, epochs.to_text().as_bytes())
                .map_err(|error| FatalError::new("writing", &path, error))?;
        }
        let mut indexed = Vec::with_capacity(indexes.len());
        for entries in &indexes {
            indexed.push(entries.write(fs.as_ref())?);
        }
        for offset in &obsolete_snapshots {
            let path = FileKind::Snapshot.path(&directory, *offset);
            remove_if_there(fs.as_ref(), &path)
                .map_err(|error| FatalError::new("removing", &path, error))?;
        }
        fs.sync_dir(&directory).map_err(|error| FatalError::new("fsync", &directory, error))?;
        let snapshots = snapshots.into_iter().map(|snapshot| snapshot.offset).collect();
        Ok(CheckpointDone { running, flush, snapshots, obsolete_snapshots, epochs, indexed })
    }
}

impl SegmentEntries {
    /// Says whether there is anything to write.
    pub(crate) fn has_any(&self) -> bool {
        self.offsets.is_some() || self.times.is_some() || self.aborted.is_some()
    }

    /// Writes the entries. Those of a closed segment are synced; those of the active one need not be, as a start checks them and scans what is missing. Aborted
    /// transactions are synced wherever they are: below the recovery point nothing else tells of them.
    fn write(&self, fs: &dyn FileSystem) -> Result<WrittenEntries, FatalError> {
        let write = |entries: &Option<PendingEntries>, is_synced: bool| {
            let Some(entries) = entries else {
                return Ok(0);
            };
            let file = entries
                .write(fs)
                .map_err(|error| FatalError::new("writing", &entries.path, error))?;
            if is_synced {
                file.sync_data()
                    .map_err(|error| FatalError::new("fdatasync", &entries.path, error))?;
            }
            Ok(entries.count)
        };
        Ok(WrittenEntries {
            base_offset: self.base_offset,
            offsets: write(&self.offsets, self.is_closed)?,
            times: write(&self.times, self.is_closed)?,
            aborted: write(&self.aborted, true)?,
        })
    }
}

/// Writes a new file whose name carries what it is of, so that it needs no rename; the caller syncs the directory.
fn write_synced(fs: &dyn FileSystem, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let file = fs.open(path, OpenMode::Truncate)?;
    file.write_at(bytes, 0)?;
    file.sync_data()
}
