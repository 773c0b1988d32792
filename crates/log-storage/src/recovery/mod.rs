//! Reading a log at a start (design section 4 rule 3).
//!
//! Owns what is believed of a disk after a crash. Below the persisted recovery point everything must be there ([`taken_over`]): what is not is reported as
//! corruption, and nothing is cut. Above it the files are synced, their cached pages dropped, and the bytes read back from the device ([`scanned`]); the first
//! batch that is not intact ends the log there. Opening the same disk twice comes to the same.
//!
//! Read at a start, in this order: the directory's names, the leader epochs, the last index entries of each segment and the batches behind them, all batches
//! above the recovery point, the newest producer snapshot and the batches behind that, the last entry of each transaction index.

mod left_over;
mod scanned;
mod taken_over;
mod transaction_indexes;

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::sync::Arc;

use model::{Offset, UnixMillis};

use left_over::sweep;
use scanned::{Scan, scan_above};
use taken_over::{open_closed, open_up_to};

use crate::checkpoint_files::PartitionCheckpoint;
use crate::error::OpenError;
use crate::file_names::{FileKind, LEADER_EPOCHS};
use crate::file_system::{File, FileSystem, read_file, remove_if_there};
use crate::leader_epoch_cache::LeaderEpochCache;
use crate::producers::replay::{Broken, ReplaySegments, rebuild_producers, walk};
use crate::producers::{ProducerTracking, Producers};
use crate::segment::Segment;

/// What recovery found when a log was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovery {
    /// Where the scan began: the persisted recovery point.
    pub scanned_from: Offset,
    /// Bytes that were read and checked.
    pub scanned_bytes: u64,
    /// Bytes above the recovery point that were no whole, intact batches and were cut.
    pub cut_bytes: u64,
    /// The high watermark of the checkpoint, which is at most what this disk had flushed then. A log that ends below it lost data (design 3a.7).
    pub high_watermark: Offset,
    /// Corruption below the recovery point; the log is open for reading below it and takes no appends until it is truncated or restarted.
    pub corruption: Option<Corruption>,
}

/// Damage to bytes that had been flushed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Corruption {
    /// First offset that is not intact; the log end offset is lowered to it in memory, nothing is cut on disk.
    pub offset: Offset,
    /// What was found where.
    pub reason: String,
}

/// Which log is recovered, and how.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Source<'a> {
    pub(crate) fs: &'a Arc<dyn FileSystem>,
    pub(crate) directory: &'a Path,
    pub(crate) checkpoint: &'a PartitionCheckpoint,
    pub(crate) producers: ProducerTracking,
    /// Bytes of batches between two index entries that are made anew.
    pub(crate) index_interval_bytes: usize,
    /// The wall clock's time; producers that are met count as active then.
    pub(crate) now: UnixMillis,
}

/// A log as it was read.
#[derive(Debug)]
pub(crate) struct Recovered {
    pub(crate) segments: Vec<Segment>,
    /// First offset that is kept. Greater than the log end offset when all that was left lies below it.
    pub(crate) log_start_offset: Offset,
    pub(crate) log_end_offset: Offset,
    pub(crate) epochs: LeaderEpochCache,
    /// The epochs that their file holds.
    pub(crate) epochs_on_disk: LeaderEpochCache,
    /// `None` when they are not tracked.
    pub(crate) producers: Option<Producers>,
    pub(crate) outcome: Recovery,
}

/// Reads the log. Blocks.
pub(crate) fn recover(source: Source<'_>) -> Result<Recovered, OpenError> {
    let checkpointed_start = source.checkpoint.log_start_offset();
    let (mut bases, snapshots) = sweep(source.fs.as_ref(), source.directory, checkpointed_start)?;
    let missing_head = missing_head(&bases, source.checkpoint);
    if missing_head.is_some() {
        // What stands behind a hole does not continue the log; it stays where it is.
        bases.clear();
    }
    let first = bases.first().copied().unwrap_or(checkpointed_start);
    let recovery_point = source.checkpoint.recovery_point().max(first);
    let mut opening = Opening {
        source,
        segments: Vec::new(),
        epochs: LeaderEpochCache::default(),
        corruption: None,
    };
    let epochs_usable = opening.load_epochs()?;
    // What begins above the recovery point is told by the batches that are scanned.
    let epochs_on_disk = opening.epochs.clone();
    opening.epochs.truncate_from_end(recovery_point);
    let scan = opening.open_segments(&bases, recovery_point)?;
    if let Some(reason) = missing_head {
        opening.corrupt_from(checkpointed_start, reason);
    }
    if !epochs_usable {
        opening.rebuild_epochs();
    }
    let producers = opening.rebuild_producers(snapshots, recovery_point)?;
    Ok(opening.finish(recovery_point, producers, epochs_on_disk, scan))
}

/// Says what is wrong when the first segments are not there. The log start is durable before the first name of a removed segment goes, so a log whose segments
/// begin behind its start has lost what lies between, if that had been flushed. Where the recovery point says that nothing had, an interrupted restart below the
/// old log left its old segments.
fn missing_head(bases: &[Offset], checkpoint: &PartitionCheckpoint) -> Option<String> {
    let (start, recovery_point) = (checkpoint.log_start_offset(), checkpoint.recovery_point());
    if recovery_point <= start {
        return None;
    }
    match bases.first() {
        Some(first) if *first > start => Some(format!(
            "the log starts at {start} and is flushed up to {recovery_point}, and its first segment begins at {first}"
        )),
        Some(_) => None,
        None => Some(format!(
            "the log starts at {start} and is flushed up to {recovery_point}, and has no segment"
        )),
    }
}

/// What is known while a log is being read.
struct Opening<'a> {
    source: Source<'a>,
    segments: Vec<Segment>,
    epochs: LeaderEpochCache,
    corruption: Option<Corruption>,
}

impl Opening<'_> {
    /// Opens the segments below the recovery point, then scans what is above it.
    fn open_segments(
        &mut self,
        bases: &[Offset],
        recovery_point: Offset,
    ) -> Result<Scan, OpenError> {
        for (index, base) in bases.iter().enumerate() {
            let mut segment = self.unopened(*base);
            let next_base = bases.get(index + 1).copied();
            if let Some(next_base) = next_base.filter(|next_base| *next_base <= recovery_point) {
                open_closed(self, &mut segment, next_base)?;
                self.segments.push(segment);
                if self.corruption.is_some() {
                    break;
                }
                continue;
            }
            open_up_to(self, &mut segment, recovery_point)?;
            self.segments.push(segment);
            if self.corruption.is_some() {
                break;
            }
            return scan_above(self, &bases[index + 1..]);
        }
        Ok(Scan::default())
    }

    /// A segment whose file exists and of which nothing is known yet.
    fn unopened(&self, base_offset: Offset) -> Segment {
        let Source { fs, directory, now, .. } = self.source;
        Segment::unopened(fs, directory, base_offset, now)
    }

    /// Reads the epoch entries. Says whether they can be used; if not, all headers have to be walked.
    fn load_epochs(&mut self) -> Result<bool, OpenError> {
        let path = self.source.directory.join(LEADER_EPOCHS);
        let bytes = match read_file(self.source.fs.as_ref(), &path, MAX_EPOCHS_BYTES) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(self.source.checkpoint.recovery_point() == Offset::ZERO);
            }
            Err(error) => return Err(OpenError::io("reading", &path)(error)),
        };
        match LeaderEpochCache::from_text(&String::from_utf8_lossy(&bytes)) {
            Ok(epochs) => {
                self.epochs = epochs;
                Ok(true)
            }
            Err(error) => {
                tracing::warn!(path = ?path, %error, "leader epochs are rebuilt from the batches");
                Ok(false)
            }
        }
    }

    fn rebuild_epochs(&mut self) {
        self.epochs.clear();
        let views: Vec<_> = self.segments.iter().map(Segment::indexed_view).collect();
        for view in views {
            let outcome = walk(&view, view.view.base_offset, |header, _marker| {
                if let Some(epoch) = header.leader_epoch {
                    self.epochs.assign(epoch, header.base_offset);
                }
            });
            if let Err(broken) = outcome {
                return self.end_at(&broken);
            }
        }
    }

    /// Rebuilds the producer state, and removes the snapshots of what is no more.
    fn rebuild_producers(
        &mut self,
        snapshots: BTreeSet<Offset>,
        recovery_point: Offset,
    ) -> Result<Option<Producers>, OpenError> {
        let Source { fs, directory, now, producers: tracking, .. } = self.source;
        let mut state = None;
        if tracking == ProducerTracking::Tracked {
            let end = self.end();
            let usable = |offset: &&Offset| **offset <= recovery_point.min(end);
            let replay = ReplaySegments {
                snapshots: snapshots.iter().filter(usable).copied().collect(),
                segments: self.segments.iter().map(Segment::indexed_view).collect(),
            };
            let mut rebuilt = rebuild_producers(fs.as_ref(), directory, &replay, end, now);
            if let Err(broken) = &rebuilt.outcome {
                self.end_at(broken);
            }
            let mut replayed = std::mem::take(&mut rebuilt.state);
            replayed.transactions.committed(self.source.checkpoint.high_watermark());
            state = Some(replayed);
            transaction_indexes::take_over(self, &replay.snapshots, &rebuilt.into())?;
        }
        let end = self.end();
        let (kept, beyond): (BTreeSet<Offset>, BTreeSet<Offset>) =
            snapshots.into_iter().partition(|offset| *offset <= recovery_point.min(end));
        if self.corruption.is_none() {
            // Other batches may come to stand below them.
            for offset in beyond {
                let path = FileKind::Snapshot.path(directory, offset);
                remove_if_there(fs.as_ref(), &path).map_err(OpenError::io("removing", &path))?;
            }
        }
        Ok(state.map(|state| Producers::new(state, kept)))
    }

    /// Where the log ends, as far as is known.
    fn end(&self) -> Offset {
        let start = self.source.checkpoint.log_start_offset();
        self.segments.last().map_or(start, |segment| segment.next_offset)
    }

    /// Ends the log, in memory, where a walk broke off: what was scanned is intact, so this is corruption below the recovery point.
    fn end_at(&mut self, broken: &Broken) {
        self.segments.retain(|segment| segment.base_offset <= broken.base_offset);
        if let Some(last) = self.segments.last_mut() {
            last.size_bytes = broken.position;
            last.next_offset = broken.offset;
        }
        self.corrupt_from(broken.offset, broken.to_string());
    }

    /// Notes corruption below the recovery point; the lowest offset counts.
    fn corrupt_from(&mut self, offset: Offset, reason: String) {
        if self.corruption.as_ref().is_none_or(|earlier| offset < earlier.offset) {
            self.corruption = Some(Corruption { offset, reason });
        }
    }

    fn finish(
        mut self,
        recovery_point: Offset,
        producers: Option<Producers>,
        epochs_on_disk: LeaderEpochCache,
        scan: Scan,
    ) -> Recovered {
        let log_end_offset = self.end();
        let Source { fs, checkpoint, .. } = self.source;
        if let Some((_active, closed)) = self.segments.split_last_mut() {
            closed.iter_mut().for_each(|segment| segment.close_file(fs));
        }
        let first = self.segments.first().map_or(log_end_offset, |segment| segment.base_offset);
        let log_start_offset = checkpoint.log_start_offset().max(first);
        self.epochs.truncate_from_end(log_end_offset);
        self.epochs.truncate_from_start(log_start_offset);
        Recovered {
            segments: self.segments,
            log_start_offset,
            log_end_offset,
            epochs: self.epochs,
            epochs_on_disk,
            producers,
            outcome: Recovery {
                scanned_from: recovery_point,
                scanned_bytes: scan.scanned_bytes,
                cut_bytes: scan.cut_bytes,
                high_watermark: checkpoint.high_watermark(),
                corruption: self.corruption,
            },
        }
    }
}

fn handle(segment: &Segment) -> Result<&Arc<dyn File>, OpenError> {
    segment.file.get().map_err(OpenError::io("opening", segment.file.path()))
}

fn length_of(segment: &Segment) -> Result<u64, OpenError> {
    handle(segment)?.len().map_err(OpenError::io("measuring", segment.file.path()))
}

/// Ten thousand elections with room to spare.
const MAX_EPOCHS_BYTES: u64 = 1 << 24;
