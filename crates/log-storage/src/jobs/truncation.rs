//! Truncation and restart of a log, in the order of design section 4 rule 2.
//!
//! Owns that order: the persisted recovery point and high watermark go down first; then epoch entries and producer snapshots past the point go; then the files are
//! cut and synced. A crash anywhere in between leaves either the old bytes with a recovery point that makes recovery read them again, or the cut ones.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use model::{Offset, UnixMillis};

use super::turn::Turn;
use crate::checkpoint_files::PartitionCheckpoint;
use crate::error::FatalError;
use crate::file_names::{FileKind, LEADER_EPOCHS};
use crate::file_system::{FileSystem, OpenMode, remove_if_there, write_aside};
use crate::generation::TruncationGeneration;
use crate::leader_epoch_cache::LeaderEpochCache;
use crate::mutation::{Mutation, is_active};
use crate::producers::replay::{ReplaySegments, rebuild_producers};
use crate::producers::state::ProducerState;
use crate::producers::transactions::AbortedTransaction;
use crate::segment::index::{IndexEntry, IndexView, OffsetEntry, TimeEntry, bytes_of};
use crate::segment::scan::{HeaderScan, ScanError};
use crate::segment::transaction_index::{self, EntriesInFile};
use crate::segment::view::{IndexedView, LOOKUP_CHUNK_BYTES};

/// A truncation that was begun.
#[derive(Debug)]
pub struct Truncation {
    pub(crate) fs: Arc<dyn FileSystem>,
    pub(crate) directory: PathBuf,
    pub(crate) turn: Turn,
    pub(crate) checkpoint: PartitionCheckpoint,
    pub(crate) epochs: LeaderEpochCache,
    /// The epochs that their file holds; `None` when a checkpoint may be writing it.
    pub(crate) epochs_on_disk: Option<LeaderEpochCache>,
    pub(crate) producers: Option<ReplaySegments>,
    pub(crate) now: UnixMillis,
    pub(crate) target: Target,
}

/// What is left of the log.
#[derive(Debug)]
pub(crate) enum Target {
    /// Everything below an offset; the segment that is cut, unless the log has none.
    Below(Offset, Option<CutSegment>),
    /// Nothing: one empty segment that begins here.
    EmptyAt(Offset),
}

/// The last segment that stays, as it stands.
#[derive(Debug)]
pub(crate) struct CutSegment {
    pub(crate) indexed: IndexedView,
    pub(crate) times: IndexView<TimeEntry>,
    pub(crate) aborted: EntriesInFile,
}

/// A truncation that ran.
#[derive(Debug)]
pub struct TruncationDone {
    pub(crate) generation: TruncationGeneration,
    pub(crate) end_offset: Offset,
    pub(crate) kind: DoneKind,
    pub(crate) epochs: LeaderEpochCache,
    pub(crate) producers: Option<ProducerState>,
    pub(crate) snapshots: BTreeSet<Offset>,
}

/// What became of the segments.
#[derive(Debug)]
pub(crate) enum DoneKind {
    /// The last one that stays was cut.
    Cut(Box<CutDone>),
    /// There was none.
    NoSegment,
    /// All went, and an empty one was created.
    Restarted,
}

/// The last segment that stays, cut.
#[derive(Debug)]
pub(crate) struct CutDone {
    pub(crate) base_offset: Offset,
    pub(crate) size_bytes: u64,
    pub(crate) offset_entries: (usize, Option<OffsetEntry>),
    pub(crate) time_entries: (usize, Option<TimeEntry>),
    pub(crate) aborted: (usize, Option<AbortedTransaction>),
    pub(crate) max_timestamp: Option<(UnixMillis, Offset)>,
}

impl Truncation {
    /// Lowers the persisted recovery point and high watermark, drops epoch entries and snapshots, cuts and syncs; blocks. The owner's lock must not be held.
    ///
    /// # Errors
    /// The first failure; it is final.
    pub fn run(mut self) -> Result<TruncationDone, FatalError> {
        let turn = self.turn.clone();
        let _turn = turn.take()?;
        let target = std::mem::replace(&mut self.target, Target::EmptyAt(Offset::ZERO));
        if turn.is_retired() {
            // The name may be another log's by now, and the completion is void.
            let (Target::Below(offset, _) | Target::EmptyAt(offset)) = target;
            let epochs = self.epochs.clone();
            return self.done(offset, DoneKind::NoSegment, epochs, BTreeSet::new());
        }
        self.checkpoint.persist()?;
        match target {
            Target::Below(offset, Some(segment)) => self.cut(offset, &segment),
            Target::Below(offset, None) => self.forget_epochs(offset),
            Target::EmptyAt(offset) => self.restart(offset),
        }
    }

    fn cut(self, offset: Offset, segment: &CutSegment) -> Result<TruncationDone, FatalError> {
        let path = segment.indexed.view.file.path();
        let failed = |operation| move |error| FatalError::new(operation, path, error);
        let point = segment
            .find(offset)
            .map_err(|error| FatalError::new("scanning", path, io::Error::other(error)))?;
        self.hold_down_to(point.end_offset)?;
        // An offset behind the end removes no data, and the entries between the two stay.
        let epochs_end =
            if offset > segment.indexed.next_offset { offset } else { point.end_offset };
        let (epochs, snapshots) = self.drop_beyond(epochs_end)?;
        let base_offset = segment.indexed.view.base_offset;
        self.remove_segments_above(Some(base_offset))?;

        let keep = |relative: u32| base_offset + i64::from(relative) < point.end_offset;
        let offset_entries = segment
            .indexed
            .offsets
            .in_file
            .prefix(|entry| keep(entry.relative_offset))
            .unwrap_or_default();
        let time_entries =
            segment.times.in_file.prefix(|entry| keep(entry.relative_offset)).unwrap_or_default();
        let aborted = segment.aborted_below(point.end_offset)?;
        let file = segment.indexed.view.file.get().map_err(failed("opening"))?;
        file.set_len(point.position).map_err(failed("cutting"))?;
        file.sync_data().map_err(failed("fdatasync"))?;
        let cut_index = |kind: FileKind, length| self.cut_index(kind, base_offset, length);
        cut_index(FileKind::Index, bytes_of::<OffsetEntry>(offset_entries.0))?;
        cut_index(FileKind::TimeIndex, bytes_of::<TimeEntry>(time_entries.0))?;
        cut_index(FileKind::TransactionIndex, transaction_index::bytes_of(aborted.0))?;
        self.sync_directory()?;

        let max_timestamp = segment
            .greatest_timestamp(&point, time_entries.1)
            .map_err(|error| FatalError::new("scanning", path, io::Error::other(error)))?;
        let kind = DoneKind::Cut(Box::new(CutDone {
            base_offset,
            size_bytes: point.position,
            offset_entries,
            time_entries,
            aborted,
            max_timestamp,
        }));
        self.done(point.end_offset, kind, epochs, snapshots)
    }

    /// Lowers what is persisted to where whole batches end, when the offset that was asked for lies inside one: a start would miss the rest of it.
    fn hold_down_to(&self, end: Offset) -> Result<(), FatalError> {
        let checkpoint = &self.checkpoint;
        if checkpoint.recovery_point() <= end && checkpoint.high_watermark() <= end {
            return Ok(());
        }
        checkpoint.set_recovery_point(checkpoint.recovery_point().min(end));
        checkpoint.set_high_watermark(checkpoint.high_watermark().min(end));
        checkpoint.persist()
    }

    fn forget_epochs(self, offset: Offset) -> Result<TruncationDone, FatalError> {
        let (epochs, snapshots) = self.drop_beyond(offset)?;
        self.remove_segments_above(None)?;
        self.sync_directory()?;
        self.done(offset, DoneKind::NoSegment, epochs, snapshots)
    }

    fn restart(self, offset: Offset) -> Result<TruncationDone, FatalError> {
        let (epochs, snapshots) = self.drop_beyond(Offset::ZERO)?;
        self.remove_segments_above(None)?;
        // The names must be gone before the new one is there: what comes back of the old log after a crash would stand behind or before it.
        self.sync_directory()?;
        let path = FileKind::Log.path(&self.directory, offset);
        let file = self
            .fs
            .open(&path, OpenMode::Truncate)
            .map_err(|error| FatalError::new("creating", &path, error))?;
        file.sync_data().map_err(|error| FatalError::new("fdatasync", &path, error))?;
        self.sync_directory()?;
        self.done(offset, DoneKind::Restarted, epochs, snapshots)
    }

    fn done(
        self,
        end_offset: Offset,
        kind: DoneKind,
        epochs: LeaderEpochCache,
        snapshots: BTreeSet<Offset>,
    ) -> Result<TruncationDone, FatalError> {
        let producers = match (&self.producers, &kind) {
            (None, _) => None,
            (Some(_), DoneKind::Restarted | DoneKind::NoSegment) => Some(ProducerState::default()),
            (Some(replay), DoneKind::Cut(cut)) => {
                let replay = replay.cut(cut.base_offset, cut.size_bytes, end_offset);
                let (fs, directory) = (self.fs.as_ref(), &self.directory);
                let rebuilt = rebuild_producers(fs, directory, &replay, end_offset, self.now);
                rebuilt.outcome.map_err(|error| {
                    FatalError::new("replaying", &self.directory, io::Error::other(error))
                })?;
                Some(rebuilt.state)
            }
        };
        Ok(TruncationDone {
            generation: self.turn.generation(),
            end_offset,
            kind,
            epochs,
            producers,
            snapshots,
        })
    }

    /// Drops the epoch entries at and behind the point, and the snapshots behind it. Returns what is left of both.
    fn drop_beyond(
        &self,
        offset: Offset,
    ) -> Result<(LeaderEpochCache, BTreeSet<Offset>), FatalError> {
        let mut epochs = self.epochs.clone();
        epochs.truncate_from_end(offset);
        let path = self.directory.join(LEADER_EPOCHS);
        if self.epochs_on_disk.as_ref() != Some(&epochs) {
            write_aside(self.fs.as_ref(), &path, epochs.to_text().as_bytes())
                .map_err(|error| FatalError::new("writing", &path, error))?;
        }
        let mut kept = BTreeSet::new();
        for (kind, snapshot) in self.files()? {
            if kind == FileKind::Snapshot && snapshot <= offset && offset > Offset::ZERO {
                kept.insert(snapshot);
            } else if kind == FileKind::Snapshot {
                self.remove(kind, snapshot)?;
            }
        }
        Ok((epochs, kept))
    }

    /// Removes the files of all segments above one, newest first, so that what is left at any moment is the head of the log. The directory is asked and not
    /// the log, which does not know the segments behind a corruption.
    fn remove_segments_above(&self, last: Option<Offset>) -> Result<(), FatalError> {
        let mut files = self.files()?;
        files.sort_by_key(|(kind, base_offset)| (*base_offset, *kind));
        for (kind, base_offset) in files.into_iter().rev() {
            if kind != FileKind::Snapshot && last.is_none_or(|last| base_offset > last) {
                self.remove(kind, base_offset)?;
            }
        }
        Ok(())
    }

    fn files(&self) -> Result<Vec<(FileKind, Offset)>, FatalError> {
        let entries = self
            .fs
            .list(&self.directory)
            .map_err(|error| FatalError::new("listing", &self.directory, error))?;
        Ok(entries.iter().filter_map(|entry| FileKind::parse(&entry.name)).collect())
    }

    fn remove(&self, kind: FileKind, offset: Offset) -> Result<(), FatalError> {
        let path = kind.path(&self.directory, offset);
        remove_if_there(self.fs.as_ref(), &path)
            .map_err(|error| FatalError::new("removing", &path, error))
    }

    fn cut_index(
        &self,
        kind: FileKind,
        base_offset: Offset,
        length: u64,
    ) -> Result<(), FatalError> {
        let path = kind.path(&self.directory, base_offset);
        let cut = |path: &Path| match self.fs.open(path, OpenMode::Write) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            file => file.and_then(|file| {
                file.set_len(length)?;
                file.sync_data()
            }),
        };
        cut(&path).map_err(|error| FatalError::new("cutting", &path, error))
    }

    fn sync_directory(&self) -> Result<(), FatalError> {
        self.fs
            .sync_dir(&self.directory)
            .map_err(|error| FatalError::new("fsync", &self.directory, error))
    }
}

/// Where a segment is cut.
struct CutPoint {
    position: u64,
    end_offset: Offset,
}

impl CutSegment {
    /// Finds the first batch that holds or follows the offset. Bytes that are no batch may stand there: that is what a corrupt log is cut for.
    fn find(&self, offset: Offset) -> Result<CutPoint, ScanError> {
        let view = &self.indexed.view;
        if offset >= self.indexed.next_offset {
            return Ok(CutPoint {
                position: view.size_bytes,
                end_offset: self.indexed.next_offset,
            });
        }
        if offset <= view.base_offset {
            return Ok(CutPoint { position: 0, end_offset: view.base_offset });
        }
        let mut scan = view.scan(self.indexed.locator(offset).start()?, LOOKUP_CHUNK_BYTES)?;
        let mut end_offset = view.base_offset;
        loop {
            let position = scan.position();
            match scan.next() {
                Ok(Some((position, header))) if header.last_offset() >= offset => {
                    return Ok(CutPoint { position, end_offset: header.base_offset });
                }
                Ok(Some((_, header))) => end_offset = header.next_offset(),
                Ok(None) => {
                    return Ok(CutPoint {
                        position: view.size_bytes,
                        end_offset: self.indexed.next_offset,
                    });
                }
                // Damage before the offset: whatever stands behind it cannot be found.
                Err(ScanError::Malformed { .. }) => return Ok(CutPoint { position, end_offset }),
                Err(error) => return Err(error),
            }
        }
    }

    /// Counts the entries of the transaction index whose markers stay. Damage to one ends the process: the next start compares the index with its count and makes it
    /// anew, while going on would show readers what was aborted.
    fn aborted_below(
        &self,
        end: Offset,
    ) -> Result<(usize, Option<AbortedTransaction>), FatalError> {
        let base_offset = self.indexed.view.base_offset;
        let path = self.indexed.view.file.path();
        let directory = path.parent().unwrap_or(path);
        let path = FileKind::TransactionIndex.path(directory, base_offset);
        let end = if is_active(Mutation::AbortIndexLostAtTruncation) { base_offset } else { end };
        self.aborted.below(end).map_err(|error| FatalError::new("reading", &path, error))
    }

    /// Finds the greatest timestamp below the point: what the last time entry that stays says, and the batches behind it.
    fn greatest_timestamp(
        &self,
        point: &CutPoint,
        persisted: Option<TimeEntry>,
    ) -> Result<Option<(UnixMillis, Offset)>, ScanError> {
        let view = &self.indexed.view;
        let offset_of = |entry: &TimeEntry| view.base_offset + i64::from(entry.relative_offset);
        let last = self
            .times
            .in_memory
            .iter()
            .rfind(|entry| offset_of(entry) < point.end_offset)
            .copied()
            .or(persisted);
        let mut greatest = last.map(|entry| (UnixMillis(entry.key()), offset_of(&entry)));
        // Whenever the offset index got an entry, the time index got what was greatest so far, so only batches behind the last entry are unknown.
        let start = self.indexed.locator(point.end_offset).start()?.min(point.position);
        let file = Arc::clone(view.open()?);
        let mut scan = HeaderScan::new(file, start, point.position, LOOKUP_CHUNK_BYTES);
        while let Some((_, header)) = scan.next()? {
            let timestamp = header.max_timestamp;
            if timestamp.0 >= 0 && greatest.is_none_or(|(max, _)| timestamp > max) {
                greatest = Some((timestamp, header.last_offset()));
            }
        }
        Ok(greatest)
    }
}
