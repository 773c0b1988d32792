//! Opening a log and recovering it (design section 4 rule 3).
//!
//! Owns what is believed of a disk after a crash. Below the persisted flush point everything must be there: what is not is reported as corruption, and nothing
//! is cut. Above it the files are synced, their cached pages dropped, and the bytes read back from the device; the first batch that is not intact ends the log
//! there. Opening the same disk twice comes to the same.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};

use model::Offset;

use super::recent_batches::RecentBatches;
use super::{Corruption, Log, OpenOptions, ProducerTracking, Recovery};
use crate::error::{NotWritable, OpenError};
use crate::file_names::{DELETED, FileKind, LEADER_EPOCHS};
use crate::file_system::{ASIDE_SUFFIX, FileSystem, read_file, remove_if_there};
use crate::leader_epoch_cache::{Changed, LeaderEpochCache};
use crate::producers::replay::{Broken, ReplaySegments, rebuild_producers, walk};
use crate::producers::state::ProducerState;
use crate::recovery::segments::{Scan, open_closed, open_up_to, scan_above};
use crate::segment::Segment;

/// What is known while a log is being opened.
pub(crate) struct Opening {
    pub(crate) fs: Arc<dyn FileSystem>,
    pub(crate) directory: PathBuf,
    pub(crate) options: OpenOptions,
    pub(crate) segments: Vec<Segment>,
    pub(crate) epochs: LeaderEpochCache,
    pub(crate) corruption: Option<Corruption>,
}

pub(super) fn open(
    fs: Arc<dyn FileSystem>,
    directory: &Path,
    options: OpenOptions,
) -> Result<(Log, Recovery), OpenError> {
    let checkpointed_start = options.checkpoint.log_start_offset();
    let (bases, snapshots) = tidy(fs.as_ref(), directory, checkpointed_start)?;
    let first = bases.first().copied().unwrap_or(checkpointed_start);
    let recovery_point = options.checkpoint.recovery_point().max(first);
    let mut opening = Opening {
        fs,
        directory: directory.to_owned(),
        options,
        segments: Vec::new(),
        epochs: LeaderEpochCache::default(),
        corruption: None,
    };
    let epochs_usable = opening.load_epochs()?;
    // What begins above the recovery point is told by the batches that are scanned.
    let epochs_on_disk = opening.epochs.clone();
    opening.epochs.truncate_from_end(recovery_point);
    let scan = opening.open_segments(&bases, recovery_point)?;
    if bases.is_empty() && recovery_point > checkpointed_start {
        let reason = format!("no segment below the flush point {recovery_point}");
        opening.corrupt_from(checkpointed_start, reason);
    }
    if !epochs_usable {
        opening.rebuild_epochs();
    }
    let producers = opening.rebuild_producers(&snapshots, recovery_point);
    let end = opening.end();
    let (snapshots, beyond): (BTreeSet<Offset>, BTreeSet<Offset>) =
        snapshots.into_iter().partition(|offset| *offset <= recovery_point.min(end));
    if opening.corruption.is_none() {
        // Other batches may come to stand below them.
        for offset in beyond {
            let path = FileKind::Snapshot.path(directory, offset);
            remove_if_there(opening.fs.as_ref(), &path)
                .map_err(OpenError::io("removing", &path))?;
        }
    }
    opening.finish(recovery_point, producers, &epochs_on_disk, (snapshots, scan))
}

impl Opening {
    /// Opens the segments below the recovery point, then scans what is above it.
    fn open_segments(
        &mut self,
        bases: &[Offset],
        recovery_point: Offset,
    ) -> Result<Scan, OpenError> {
        let mut scan = Scan::default();
        let now = self.options.now;
        for (index, base) in bases.iter().enumerate() {
            let mut segment = Segment::unopened(&self.fs, &self.directory, *base, now);
            let next_base = bases.get(index + 1).copied();
            if self.corruption.is_some() {
                break;
            }
            if let Some(next_base) = next_base.filter(|next_base| *next_base <= recovery_point) {
                open_closed(self, &mut segment, next_base)?;
            } else if *base <= recovery_point {
                open_up_to(self, &mut segment, recovery_point)?;
                self.segments.push(segment);
                if self.corruption.is_none() {
                    scan = scan_above(self, &bases[index + 1..])?;
                }
                break;
            }
            self.segments.push(segment);
        }
        Ok(scan)
    }

    /// Reads the epoch entries. Says whether they can be used; if not, all headers have to be walked.
    fn load_epochs(&mut self) -> Result<bool, OpenError> {
        let path = self.directory.join(LEADER_EPOCHS);
        match read_file(self.fs.as_ref(), &path, MAX_EPOCHS_BYTES) {
            Ok(bytes) => {
                let text = String::from_utf8_lossy(&bytes);
                match LeaderEpochCache::from_text(&text) {
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
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Ok(self.options.checkpoint.recovery_point() == Offset::ZERO)
            }
            Err(error) => Err(OpenError::io("reading", &path)(error)),
        }
    }

    fn rebuild_epochs(&mut self) {
        self.epochs.clear();
        let views: Vec<_> = self.segments.iter().map(Segment::indexed_view).collect();
        for view in views {
            let outcome = walk(&view, view.view.base_offset, |header| {
                if let Some(epoch) = header.leader_epoch {
                    let _ = self.epochs.assign(epoch, header.base_offset);
                }
            });
            if let Err(broken) = outcome {
                return self.end_at(&broken);
            }
        }
    }

    fn rebuild_producers(
        &mut self,
        snapshots: &BTreeSet<Offset>,
        recovery_point: Offset,
    ) -> Option<ProducerState> {
        if self.options.producers == ProducerTracking::Untracked {
            return None;
        }
        let end = self.end();
        let usable = |offset: &&Offset| **offset <= recovery_point.min(end);
        let replay = ReplaySegments {
            snapshots: snapshots.iter().filter(usable).copied().collect(),
            segments: self.segments.iter().map(Segment::indexed_view).collect(),
        };
        let now = self.options.now;
        let (state, outcome) =
            rebuild_producers(self.fs.as_ref(), &self.directory, &replay, end, now);
        if let Err(broken) = outcome {
            self.end_at(&broken);
        }
        Some(state)
    }

    /// Where the log ends, as far as is known.
    fn end(&self) -> Offset {
        let start = self.options.checkpoint.log_start_offset();
        self.segments.last().map_or(start, |segment| segment.next_offset)
    }

    /// Ends the log, in memory, where a walk broke off: what was scanned is intact, so this is corruption below the flush point.
    fn end_at(&mut self, broken: &Broken) {
        self.segments.retain(|segment| segment.base_offset <= broken.base_offset);
        if let Some(last) = self.segments.last_mut() {
            last.size_bytes = broken.position;
            last.next_offset = broken.offset;
        }
        self.corrupt_from(broken.offset, broken.to_string());
    }

    /// Notes corruption below the flush point; the lowest offset counts.
    pub(crate) fn corrupt_from(&mut self, offset: Offset, reason: String) {
        tracing::error!(directory = ?self.directory, %offset, reason, "log is corrupt below its flush point");
        if self.corruption.as_ref().is_none_or(|earlier| offset < earlier.offset) {
            self.corruption = Some(Corruption { offset, reason });
        }
    }

    fn finish(
        mut self,
        recovery_point: Offset,
        producers: Option<ProducerState>,
        epochs_on_disk: &LeaderEpochCache,
        (snapshots, scan): (BTreeSet<Offset>, Scan),
    ) -> Result<(Log, Recovery), OpenError> {
        let end = self.end();
        let first = self.segments.first().map_or(end, |segment| segment.base_offset);
        let log_start = self.options.checkpoint.log_start_offset().max(first);
        self.epochs.truncate_from_end(end);
        self.epochs.truncate_from_start(log_start);
        let epochs_changed =
            if self.epochs == *epochs_on_disk { Changed::No } else { Changed::Yes };
        let recovery = Recovery {
            scanned_from: recovery_point,
            scanned_bytes: scan.scanned_bytes,
            cut_bytes: scan.cut_bytes,
            high_watermark: self.options.checkpoint.high_watermark(),
            corruption: self.corruption.clone(),
        };
        let mut log = Log {
            fs: self.fs,
            directory: self.directory,
            options: self.options,
            segments: self.segments,
            log_start_offset: log_start.min(end),
            log_end_offset: end,
            flushed_offset: end,
            generation: Arc::new(AtomicU64::new(0)),
            epochs: self.epochs,
            epochs_changed,
            producers,
            pending_snapshots: Vec::new(),
            snapshots,
            jobs: Arc::new(Mutex::new(())),
            checkpoint_runs: Arc::default(),
            retired: Arc::default(),
            truncating_to: end,
            recent: RecentBatches::default(),
            writable: match &self.corruption {
                Some(corruption) => Err(NotWritable::Corrupt(corruption.offset)),
                None => Ok(()),
            },
            names_created: 0,
            names_synced: 0,
            unflushed_records: 0,
            unflushed_since: None,
            bytes_since_checkpoint: scan.scanned_bytes,
        };
        if end < log_start && recovery.corruption.is_none() {
            // Everything that was left lies below the log start: the log goes on where it must begin.
            let directory = log.directory.clone();
            log.restart_at(log_start).map_err(|error| {
                OpenError::io(error.operation, &directory)(io::Error::other(error))
            })?;
        }
        Ok((log, recovery))
    }
}

/// Removes what a crash or a removal left, and lists what belongs to the log: base offsets of segments, offsets of snapshots.
fn tidy(
    fs: &dyn FileSystem,
    directory: &Path,
    log_start: Offset,
) -> Result<(Vec<Offset>, BTreeSet<Offset>), OpenError> {
    let entries = fs.list(directory).map_err(OpenError::io("listing", directory))?;
    let mut bases = BTreeSet::new();
    let mut files = Vec::new();
    let mut left_over = Vec::new();
    for entry in &entries {
        match FileKind::parse(&entry.name) {
            Some((FileKind::Log, base)) => {
                bases.insert(base);
            }
            Some(other) => files.push(other),
            None if entry.name.ends_with(DELETED) || entry.name.ends_with(ASIDE_SUFFIX) => {
                left_over.push(directory.join(&entry.name));
            }
            None => {}
        }
    }
    let all: Vec<Offset> = bases.iter().copied().collect();
    for pair in all.windows(2).filter(|pair| pair[1] <= log_start) {
        bases.remove(&pair[0]);
        left_over.push(FileKind::Log.path(directory, pair[0]));
    }
    let first = bases.first().copied().unwrap_or_default();
    let mut snapshots = BTreeSet::new();
    for (kind, offset) in files {
        match kind {
            FileKind::Snapshot if offset >= first => {
                snapshots.insert(offset);
            }
            FileKind::Index | FileKind::TimeIndex | FileKind::TransactionIndex
                if bases.contains(&offset) => {}
            _ => left_over.push(kind.path(directory, offset)),
        }
    }
    for path in &left_over {
        remove_if_there(fs, path).map_err(OpenError::io("removing", path))?;
    }
    Ok((bases.into_iter().collect(), snapshots))
}

/// Ten thousand elections with room to spare.
const MAX_EPOCHS_BYTES: u64 = 1 << 24;
