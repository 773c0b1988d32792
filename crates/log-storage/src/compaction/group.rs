//! Writing what stays of a few neighbouring segments into a new one, which is durable when it is done.
//!
//! Owns the names with `.cleaned`, the size of a group, and that the new segment has no hole: where batches go, an empty one takes their offsets, one for all that
//! stand together in the same leader epoch. The new segment begins where the first old one does and ends where the last one does.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use model::record_batch::{Batch, BatchError};
use model::record_batch::{BatchHeader, emptied_batch, vacant_batch};
use model::{LeaderEpoch, Offset, UnixMillis};

use super::clean::CleanError;
use crate::error::FatalError;
use crate::file_names::{CLEANED, FileKind, with_suffix};
use crate::file_system::{
    DiskReserve, File, FileSystem, OpenMode, in_file, is_out_of_space, remove_if_there,
};
use crate::jobs::turn::Turn;
use crate::segment::Segment;
use crate::segment::view::SegmentView;

/// One closed segment as it stood when the clean began.
#[derive(Clone, Debug)]
pub(crate) struct SourceSegment {
    pub(crate) view: SegmentView,
    /// The offset behind its last batch.
    pub(crate) next_offset: Offset,
    /// Bytes of its offset index.
    pub(crate) index_bytes: usize,
    /// Its greatest timestamp, or when it was created.
    pub(crate) newest: UnixMillis,
}

/// What limits a segment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GroupLimits {
    pub(crate) segment_bytes: usize,
    pub(crate) index_bytes: usize,
    pub(crate) index_interval_bytes: usize,
}

/// Counts the segments that become one, from the first on: together they are no larger than one may be (Kafka's `groupSegmentsBySize`).
pub(super) fn group_size(sources: &[SourceSegment], limits: &GroupLimits) -> usize {
    let Some(first) = sources.first() else { return 0 };
    let limit_bytes = in_file(limits.segment_bytes);
    let (mut bytes, mut index_bytes) = (0_u64, 0_usize);
    let fits = |source: &&SourceSegment| {
        bytes += source.view.size_bytes;
        index_bytes += source.index_bytes;
        bytes <= limit_bytes
            && index_bytes <= limits.index_bytes
            && source.next_offset - first.view.base_offset <= i64::from(i32::MAX)
    };
    sources.iter().take_while(fits).count().max(1)
}

/// Where things are, and whose turn it is.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) fs: Arc<dyn FileSystem>,
    pub(crate) directory: PathBuf,
    pub(crate) turn: Turn,
    pub(crate) reserve: Option<Arc<DiskReserve>>,
}

/// Offsets whose batches went.
#[derive(Clone, Copy, Debug)]
struct Gap {
    base_offset: Offset,
    last_offset: Offset,
    leader_epoch: Option<LeaderEpoch>,
}

/// A new segment that is being written.
#[derive(Debug)]
pub(super) struct GroupWriter<'a> {
    place: &'a Place,
    limits: GroupLimits,
    file: Arc<dyn File>,
    index: Arc<dyn File>,
    time_index: Arc<dyn File>,
    segment: Segment,
    buffer: Vec<u8>,
    written: u64,
    gap: Option<Gap>,
}

impl<'a> GroupWriter<'a> {
    /// Creates the files.
    pub(super) fn create(
        place: &'a Place,
        limits: GroupLimits,
        base_offset: Offset,
        newest: UnixMillis,
    ) -> Result<Self, CleanError> {
        let create = |kind: FileKind| {
            let path = with_suffix(&kind.path(&place.directory, base_offset), CLEANED);
            place.fs.open(&path, OpenMode::Truncate).map_err(failed("creating", &path))
        };
        // The directory is touched by name, so the log must not have been retired.
        let _turn = place.turn.take()?;
        if !place.turn.is_current() {
            return Err(CleanError::Abandoned);
        }
        let file = create(FileKind::Log)?;
        let (index, time_index) = (create(FileKind::Index)?, create(FileKind::TimeIndex)?);
        let handle = Arc::clone(&file);
        let segment = Segment::written(&place.fs, &place.directory, base_offset, handle, newest);
        Ok(Self {
            place,
            limits,
            file,
            index,
            time_index,
            segment,
            buffer: Vec::new(),
            written: 0,
            gap: None,
        })
    }

    /// A batch stays.
    pub(super) fn keep(&mut self, bytes: &[u8]) -> Result<(), CleanError> {
        self.fill_gap()?;
        self.push(bytes)
    }

    /// A batch stays without its records.
    pub(super) fn empty(&mut self, batch: Batch<'_>) -> Result<(), CleanError> {
        self.keep(&emptied_batch(batch))
    }

    /// A batch goes.
    pub(super) fn drop_batch(&mut self, header: &BatchHeader) -> Result<(), CleanError> {
        let new = Gap {
            base_offset: header.base_offset,
            last_offset: header.last_offset(),
            leader_epoch: header.leader_epoch,
        };
        match &mut self.gap {
            // A group spans less than 2^31 offsets, so one batch can say it.
            Some(gap) if gap.leader_epoch == new.leader_epoch => gap.last_offset = new.last_offset,
            _ => {
                self.fill_gap()?;
                self.gap = Some(new);
            }
        }
        Ok(())
    }

    /// Writes the rest and syncs all of it, names included.
    pub(super) fn finish(mut self) -> Result<Segment, CleanError> {
        self.fill_gap()?;
        self.flush()?;
        self.segment.close();
        let path = self.segment.file.path().to_owned();
        let write = |outcome: io::Result<()>| outcome.map_err(failed("writing", &path));
        write(self.segment.offset_index.write_whole(&self.place.fs, &self.index))?;
        write(self.segment.time_index.write_whole(&self.place.fs, &self.time_index))?;
        for file in [&self.index, &self.time_index, &self.file] {
            file.sync_data().map_err(|error| FatalError::new("fdatasync", &path, error))?;
        }
        let _turn = self.place.turn.take()?;
        if !self.place.turn.is_current() {
            return Err(CleanError::Abandoned);
        }
        let directory = &self.place.directory;
        let synced = self.place.fs.sync_dir(directory);
        synced.map_err(|error| FatalError::new("fsync", directory, error))?;
        Ok(self.segment)
    }

    fn fill_gap(&mut self) -> Result<(), CleanError> {
        match self.gap.take() {
            Some(gap) => {
                self.push(&vacant_batch(gap.base_offset, gap.last_offset, gap.leader_epoch))
            }
            None => Ok(()),
        }
    }

    fn push(&mut self, bytes: &[u8]) -> Result<(), CleanError> {
        let unreadable = |error: BatchError| CleanError::Unreadable {
            offset: self.segment.next_offset,
            reason: format!("a batch was written wrongly: {error}"),
        };
        let header = BatchHeader::parse(bytes).map_err(unreadable)?;
        self.segment.note(&header, self.limits.index_interval_bytes);
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= WRITE_BYTES { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), CleanError> {
        if let Some(reserve) = &self.place.reserve {
            reserve.take(self.buffer.len()).map_err(CleanError::NoRoom)?;
        }
        let path = self.segment.file.path();
        self.file.write_at(&self.buffer, self.written).map_err(failed("writing", path))?;
        self.written += in_file(self.buffer.len());
        self.buffer.clear();
        Ok(())
    }
}

/// Removes what was written of a segment, unless the directory is somebody else's by now.
pub(super) fn discard(place: &Place, base_offset: Offset) -> Result<(), FatalError> {
    let _turn = place.turn.take()?;
    if place.turn.is_retired() {
        return Ok(());
    }
    for kind in FileKind::OF_SEGMENT {
        let path = with_suffix(&kind.path(&place.directory, base_offset), CLEANED);
        remove_if_there(place.fs.as_ref(), &path)
            .map_err(|error| FatalError::new("removing", &path, error))?;
    }
    Ok(())
}

/// A full disk ends the clean, anything else the process.
fn failed<'a>(
    operation: &'static str,
    path: &'a Path,
) -> impl Fn(io::Error) -> CleanError + use<'a> {
    move |error| {
        if is_out_of_space(&error) {
            CleanError::NoRoom(error)
        } else {
            CleanError::Fatal(FatalError::new(operation, path, error))
        }
    }
}

const WRITE_BYTES: usize = 512 * 1024;
