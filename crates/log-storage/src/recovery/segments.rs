//! Reading segments at a start: what lies below the flush point is taken over, what lies above is checked byte by byte.
//!
//! Owns the two readings, and the cut. Below the flush point headers are walked from the last usable index entry on; above it every batch must be whole, have its
//! checksum right and continue the offsets. Nothing is cut below the flush point.

use std::io;
use std::path::Path;
use std::sync::Arc;

use model::Offset;
use model::record_batch::{BatchHeader, HEADER_BYTES, verify_crc};

use crate::error::OpenError;
use crate::file_names::FileKind;
use crate::file_system::{File, OpenMode, remove_if_there};
use crate::log::Opening;
use crate::segment::Segment;
use crate::segment::index::{Index, OffsetEntry, TimeEntry, bytes_of, read_prefix};
use crate::segment::scan::{HeaderScan, ScanError};

/// What the scan above the flush point met.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    pub(crate) scanned_bytes: u64,
    pub(crate) cut_bytes: u64,
}

/// Takes over a segment that lies wholly below the flush point and ends at `next_base`: by the last entries of its indexes and the few batches behind them,
/// so that a start does not grow with the log. Indexes that are missing or wrong are rebuilt.
pub(crate) fn open_closed(
    opening: &mut Opening,
    segment: &mut Segment,
    next_base: Offset,
) -> Result<(), OpenError> {
    let length = length_of(segment)?;
    if take_closed(opening, segment, next_base, length)?.is_none() {
        let (fs, directory, now) = (&opening.fs, &opening.directory, opening.options.now);
        *segment = Segment::unopened(fs, directory, segment.base_offset, now);
        open_up_to(opening, segment, next_base)?;
        segment.close();
    }
    if opening.corruption.is_none() && segment.next_offset != next_base {
        let expected = segment.next_offset;
        report(opening, segment, expected, format!("a batch reaches beyond {next_base}"));
    } else if opening.corruption.is_none() && length != segment.size_bytes {
        let extra = length - segment.size_bytes;
        let path = segment.file.path().display().to_string();
        opening.corrupt_from(next_base, format!("{path} has {extra} bytes too many"));
    }
    Ok(())
}

/// `None` when the indexes do not lead to the segment's end.
fn take_closed(
    opening: &Opening,
    segment: &mut Segment,
    next_base: Offset,
    length: u64,
) -> Result<Option<()>, OpenError> {
    let base = segment.base_offset;
    let offset_path = FileKind::Index.path(&opening.directory, base);
    let time_path = FileKind::TimeIndex.path(&opening.directory, base);
    let offsets = Index::<OffsetEntry>::of_closed(&opening.fs, &offset_path)
        .map_err(OpenError::io("reading", &offset_path))?;
    let times = Index::<TimeEntry>::of_closed(&opening.fs, &time_path)
        .map_err(OpenError::io("reading", &time_path))?;
    // A closed segment's time index ends with its greatest timestamp, so there is one unless no batch had any.
    let (Some(offsets), Some(times)) = (offsets, times) else {
        return Ok(None);
    };
    let start = offsets.last().map_or(0, |entry| u64::from(entry.position));
    if start >= length {
        return Ok(None);
    }
    segment.offset_index = offsets;
    segment.max_timestamp = times
        .last()
        .map(|entry| (model::UnixMillis(entry.timestamp), base + i64::from(entry.relative_offset)));
    segment.time_index = times;
    let file = Arc::clone(handle(segment)?);
    let mut scan = HeaderScan::new(file, start, length, WALK_CHUNK_BYTES);
    let mut expected = None;
    while let Ok(Some((_, header))) = scan.next() {
        if expected.is_some_and(|expected| expected != header.base_offset) {
            return Ok(None);
        }
        expected = Some(header.next_offset());
    }
    if expected != Some(next_base) || scan.position() != length {
        return Ok(None);
    }
    segment.size_bytes = length;
    segment.next_offset = next_base;
    Ok(Some(()))
}

/// Takes over the part of a segment that lies below `end`. Leaves the segment ending there, or at the corruption. A truncation that was interrupted may have left
/// an `end` inside a batch; that batch is not taken over but scanned.
pub(crate) fn open_up_to(
    opening: &mut Opening,
    segment: &mut Segment,
    end: Offset,
) -> Result<(), OpenError> {
    let length = length_of(segment)?;
    read_first_timestamp(segment, length)?;
    let start = load_indexes(opening, segment, end, length)?;
    segment.size_bytes = start.position;
    segment.next_offset = start.next_offset;
    let interval = opening.options.config.index_interval_bytes;
    let file = Arc::clone(handle(segment)?);
    let mut scan = HeaderScan::new(file, start.position, length, WALK_CHUNK_BYTES);
    while segment.next_offset < end {
        let expected = segment.next_offset;
        match scan.next() {
            Ok(Some((_, header))) if header.base_offset == expected => {
                if header.next_offset() > end {
                    return Ok(());
                }
                segment.note(&header, interval);
            }
            Ok(Some((position, header))) => {
                let found = format!("offsets {} to {}", header.base_offset, header.last_offset());
                report(opening, segment, expected, format!("{found} at position {position}"));
                return Ok(());
            }
            Ok(None) => {
                report(opening, segment, expected, format!("the file ends, {end} is flushed"));
                return Ok(());
            }
            Err(ScanError::Io(error)) => {
                report(opening, segment, expected, format!("reading failed: {error}"));
                return Ok(());
            }
            Err(error) => {
                report(opening, segment, expected, error.to_string());
                return Ok(());
            }
        }
    }
    Ok(())
}

fn report(opening: &mut Opening, segment: &Segment, offset: Offset, what: String) {
    opening.corrupt_from(offset, format!("{}: {what}", segment.file.path().display()));
}

/// Where the walk over headers begins.
struct Start {
    position: u64,
    next_offset: Offset,
}

/// Takes the index entries below `end` whose batch is where the last of them says; the walk begins there.
fn load_indexes(
    opening: &Opening,
    segment: &mut Segment,
    end: Offset,
    length: u64,
) -> Result<Start, OpenError> {
    let (fs, directory) = (&opening.fs, &opening.directory);
    let base = segment.base_offset;
    let from_start = Start { position: 0, next_offset: base };
    let offset_path = FileKind::Index.path(directory, base);
    let time_path = FileKind::TimeIndex.path(directory, base);
    let mut offsets: Vec<OffsetEntry> =
        read_prefix(fs.as_ref(), &offset_path, |entry: &OffsetEntry| {
            base + i64::from(entry.relative_offset) < end && u64::from(entry.position) < length
        })
        .map_err(OpenError::io("reading", &offset_path))?;
    let mut start = from_start;
    if let Some(last) = offsets.last() {
        let file = Arc::clone(handle(segment)?);
        let mut scan = HeaderScan::new(file, u64::from(last.position), length, HEADER_BYTES);
        match scan.next() {
            Ok(Some((position, header)))
                if header.last_offset() == base + i64::from(last.relative_offset) =>
            {
                start = Start { position, next_offset: header.base_offset };
            }
            _ => offsets.clear(),
        }
    }
    let last = offsets.last().map(|entry| entry.relative_offset);
    let times: Vec<TimeEntry> = read_prefix(fs.as_ref(), &time_path, |entry: &TimeEntry| {
        last.is_some_and(|last| entry.relative_offset <= last)
    })
    .map_err(OpenError::io("reading", &time_path))?;
    segment.max_timestamp = times
        .last()
        .map(|entry| (model::UnixMillis(entry.timestamp), base + i64::from(entry.relative_offset)));
    cut_file(opening, &offset_path, bytes_of::<OffsetEntry>(offsets.len()))?;
    cut_file(opening, &time_path, bytes_of::<TimeEntry>(times.len()))?;
    segment.offset_index = Index::new(fs, offset_path, offsets.len(), offsets.last().copied());
    segment.time_index = Index::new(fs, time_path, times.len(), times.last().copied());
    Ok(start)
}

/// Cuts what an index has beyond its usable entries, so that no later reader takes it for entries.
fn cut_file(opening: &Opening, path: &Path, length: u64) -> Result<(), OpenError> {
    match opening.fs.open(path, OpenMode::Write) {
        Ok(file) => {
            let has = file.len().map_err(OpenError::io("measuring", path))?;
            if has > length {
                file.set_len(length).map_err(OpenError::io("cutting", path))?;
            }
            Ok(())
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(OpenError::io("opening", path)(error)),
    }
}

fn read_first_timestamp(segment: &mut Segment, length: u64) -> Result<(), OpenError> {
    let file = Arc::clone(handle(segment)?);
    if let Ok(Some((_, header))) = HeaderScan::new(file, 0, length, HEADER_BYTES).next() {
        let timestamp = header.max_timestamp;
        segment.first_timestamp = (timestamp.0 >= 0).then_some(timestamp);
    }
    Ok(())
}

/// Scans everything above the flush point: the rest of the last opened segment, then the `later` ones. Cuts at the first batch that is not intact.
pub(crate) fn scan_above(opening: &mut Opening, later: &[Offset]) -> Result<Scan, OpenError> {
    let mut scan = Scan::default();
    let mut later = later.iter();
    sync_before_reading(opening, later.as_slice())?;
    loop {
        let Some(mut segment) = opening.segments.pop() else {
            return Ok(scan);
        };
        let is_intact = scan_segment(opening, &mut segment, &mut scan)?;
        let end = segment.next_offset;
        opening.segments.push(segment);
        match later.as_slice().first() {
            Some(next) if is_intact && *next == end => {
                if let Some(last) = opening.segments.last_mut() {
                    last.close();
                }
                let now = opening.options.now;
                let next = Segment::unopened(&opening.fs, &opening.directory, *next, now);
                let length = length_of(&next)?;
                let mut next = next;
                read_first_timestamp(&mut next, length)?;
                drop_indexes(opening, &next)?;
                opening.segments.push(next);
                later.next();
            }
            Some(_) => return remove_later(opening, later.as_slice(), scan),
            None => return Ok(scan),
        }
    }
}

/// After a kill the newest bytes may be in the page cache alone, and so may a cut or a removal; they count only once they are synced and were read back
/// from the device. Done even when nothing seems to lie above the flush point: what a truncation cut or removed could come back with the next power loss.
fn sync_before_reading(opening: &Opening, later: &[Offset]) -> Result<(), OpenError> {
    let Some(first) = opening.segments.last() else {
        return Ok(());
    };
    let paths = std::iter::once(first.file.path().to_owned())
        .chain(later.iter().map(|base| FileKind::Log.path(&opening.directory, *base)));
    for path in paths {
        let file =
            opening.fs.open(&path, OpenMode::Write).map_err(OpenError::io("opening", &path))?;
        file.sync_data().map_err(OpenError::io("fdatasync", &path))?;
        file.drop_cached().map_err(OpenError::io("dropping cached pages", &path))?;
    }
    let directory = &opening.directory;
    opening.fs.sync_dir(directory).map_err(OpenError::io("fsync", directory))
}

/// The index of a segment above the flush point is written anew.
fn drop_indexes(opening: &Opening, segment: &Segment) -> Result<(), OpenError> {
    for kind in [FileKind::Index, FileKind::TimeIndex] {
        cut_file(opening, &kind.path(&opening.directory, segment.base_offset), 0)?;
    }
    Ok(())
}

/// Scans one segment from where it ends so far. Says whether it is intact to the end of its file; if not, the rest was cut.
fn scan_segment(
    opening: &mut Opening,
    segment: &mut Segment,
    scan: &mut Scan,
) -> Result<bool, OpenError> {
    let length = length_of(segment)?;
    let file = Arc::clone(handle(segment)?);
    let path = segment.file.path().to_owned();
    let interval = opening.options.config.index_interval_bytes;
    let mut window = Window { file: file.as_ref(), length, bytes: Vec::new(), position: 0 };
    while segment.size_bytes < length {
        let header = window
            .intact_batch(segment.size_bytes, segment.next_offset)
            .map_err(OpenError::io("reading", &path))?;
        let Some(header) = header else {
            break;
        };
        segment.note(&header, interval);
        scan.scanned_bytes += u64::try_from(header.size_bytes).unwrap_or(0);
        if let Some(epoch) = header.leader_epoch {
            let _ = opening.epochs.assign(epoch, header.base_offset);
        }
    }
    if segment.size_bytes == length {
        return Ok(true);
    }
    let cut_bytes = length - segment.size_bytes;
    scan.cut_bytes += cut_bytes;
    tracing::info!(path = ?path, offset = %segment.next_offset, cut_bytes, "torn tail is cut");
    file.set_len(segment.size_bytes).map_err(OpenError::io("cutting", &path))?;
    file.sync_data().map_err(OpenError::io("fdatasync", &path))?;
    Ok(false)
}

/// Removes segments behind a cut: their offsets do not continue the log.
fn remove_later(opening: &Opening, later: &[Offset], mut scan: Scan) -> Result<Scan, OpenError> {
    for base in later.iter().rev() {
        for kind in
            [FileKind::Index, FileKind::TimeIndex, FileKind::TransactionIndex, FileKind::Log]
        {
            let path = kind.path(&opening.directory, *base);
            if kind == FileKind::Log {
                let file = opening
                    .fs
                    .open(&path, OpenMode::Read)
                    .map_err(OpenError::io("opening", &path))?;
                scan.cut_bytes += file.len().map_err(OpenError::io("measuring", &path))?;
                tracing::info!(path = ?path, "segment behind a cut is removed");
            }
            remove_if_there(opening.fs.as_ref(), &path)
                .map_err(OpenError::io("removing", &path))?;
        }
    }
    let directory = &opening.directory;
    opening.fs.sync_dir(directory).map_err(OpenError::io("fsync", directory))?;
    Ok(scan)
}

/// A window that slides over a file, so that its bytes are read once and in large pieces.
struct Window<'a> {
    file: &'a dyn File,
    length: u64,
    bytes: Vec<u8>,
    position: u64,
}

impl Window<'_> {
    /// Returns the header of the batch at `position` when it is whole, intact and begins at `expected`.
    fn intact_batch(&mut self, position: u64, expected: Offset) -> io::Result<Option<BatchHeader>> {
        if !self.hold(position, HEADER_BYTES)? {
            return Ok(None);
        }
        let Ok(header) = BatchHeader::parse(self.at(position)) else {
            return Ok(None);
        };
        if header.base_offset != expected || !self.hold(position, header.size_bytes)? {
            return Ok(None);
        }
        Ok(verify_crc(&self.at(position)[..header.size_bytes]).is_ok().then_some(header))
    }

    fn at(&self, position: u64) -> &[u8] {
        let start = usize::try_from(position - self.position).unwrap_or(usize::MAX);
        self.bytes.get(start..).unwrap_or_default()
    }

    /// Makes the window hold `count` bytes from `position` on; `false` when the file ends before.
    fn hold(&mut self, position: u64, count: usize) -> io::Result<bool> {
        let left = usize::try_from(self.length - position).unwrap_or(usize::MAX);
        if count > left {
            return Ok(false);
        }
        if position < self.position || self.at(position).len() < count {
            self.bytes.resize(count.max(SCAN_CHUNK_BYTES).min(left), 0);
            self.position = position;
            self.file.read_exact_at(&mut self.bytes, position)?;
        }
        Ok(true)
    }
}

fn handle(segment: &Segment) -> Result<&Arc<dyn File>, OpenError> {
    segment.file.get().map_err(OpenError::io("opening", segment.file.path()))
}

fn length_of(segment: &Segment) -> Result<u64, OpenError> {
    handle(segment)?.len().map_err(OpenError::io("measuring", segment.file.path()))
}

const WALK_CHUNK_BYTES: usize = 16 * 1024;

const SCAN_CHUNK_BYTES: usize = 1024 * 1024;
