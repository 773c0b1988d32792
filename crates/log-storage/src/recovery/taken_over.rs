//! What lies below the recovery point is taken over: it was durable, so it must be there.
//!
//! Owns how little of it a start reads: of a segment the end of its indexes, checked against the batch that they point to, and the headers behind it. Whatever is
//! not as it must be is reported as corruption; nothing of the batches is cut.

use std::io;
use std::path::Path;
use std::sync::Arc;

use model::record_batch::HEADER_BYTES;
use model::{Offset, UnixMillis};

use super::{Opening, handle, length_of};
use crate::error::OpenError;
use crate::file_names::FileKind;
use crate::file_system::OpenMode;
use crate::segment::Segment;
use crate::segment::index::{Index, OffsetEntry, TimeEntry, bytes_of, read_prefix};
use crate::segment::scan::{HeaderScan, ScanError};

/// Takes over a segment that lies wholly below the recovery point and ends at `next_base`: by the last entries of its indexes and the few batches behind them,
/// so that a start does not grow with the log. Indexes that are missing or wrong are rebuilt.
pub(super) fn open_closed(
    opening: &mut Opening<'_>,
    segment: &mut Segment,
    next_base: Offset,
) -> Result<(), OpenError> {
    let length = length_of(segment)?;
    if take_closed(opening, segment, next_base, length)?.is_none() {
        *segment = opening.unopened(segment.base_offset);
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
    opening: &Opening<'_>,
    segment: &mut Segment,
    next_base: Offset,
    length: u64,
) -> Result<Option<()>, OpenError> {
    let base = segment.base_offset;
    let offset_path = FileKind::Index.path(opening.source.directory, base);
    let time_path = FileKind::TimeIndex.path(opening.source.directory, base);
    let offsets = Index::<OffsetEntry>::of_closed(opening.source.fs, &offset_path)
        .map_err(OpenError::io("reading", &offset_path))?;
    let times = Index::<TimeEntry>::of_closed(opening.source.fs, &time_path)
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
        .map(|entry| (UnixMillis(entry.timestamp), base + i64::from(entry.relative_offset)));
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
    read_first_timestamp(segment, length)?;
    segment.size_bytes = length;
    segment.next_offset = next_base;
    Ok(Some(()))
}

/// Takes over the part of a segment that lies below `end`. Leaves the segment ending there, or at the corruption. A truncation that was interrupted may have left
/// an `end` inside a batch; that batch is not taken over but scanned.
pub(super) fn open_up_to(
    opening: &mut Opening<'_>,
    segment: &mut Segment,
    end: Offset,
) -> Result<(), OpenError> {
    let length = length_of(segment)?;
    read_first_timestamp(segment, length)?;
    let start = load_indexes(opening, segment, end, length)?;
    segment.size_bytes = start.position;
    segment.next_offset = start.next_offset;
    let interval = opening.source.index_interval_bytes;
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

fn report(opening: &mut Opening<'_>, segment: &Segment, offset: Offset, what: String) {
    opening.corrupt_from(offset, format!("{}: {what}", segment.file.path().display()));
}

/// Where the walk over headers begins.
struct Start {
    position: u64,
    next_offset: Offset,
}

/// Takes the index entries below `end` whose batch is where the last of them says; the walk begins there.
fn load_indexes(
    opening: &Opening<'_>,
    segment: &mut Segment,
    end: Offset,
    length: u64,
) -> Result<Start, OpenError> {
    let (fs, directory) = (opening.source.fs, opening.source.directory);
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
        .map(|entry| (UnixMillis(entry.timestamp), base + i64::from(entry.relative_offset)));
    cut_file(opening, &offset_path, bytes_of::<OffsetEntry>(offsets.len()))?;
    cut_file(opening, &time_path, bytes_of::<TimeEntry>(times.len()))?;
    segment.offset_index = Index::new(fs, offset_path, offsets.len(), offsets.last().copied());
    segment.time_index = Index::new(fs, time_path, times.len(), times.last().copied());
    Ok(start)
}

/// Cuts what an index has beyond its usable entries, so that no later reader takes it for entries.
pub(super) fn cut_file(opening: &Opening<'_>, path: &Path, length: u64) -> Result<(), OpenError> {
    match opening.source.fs.open(path, OpenMode::Write) {
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

pub(super) fn read_first_timestamp(segment: &mut Segment, length: u64) -> Result<(), OpenError> {
    let file = Arc::clone(handle(segment)?);
    if let Ok(Some((_, header))) = HeaderScan::new(file, 0, length, HEADER_BYTES).next() {
        let timestamp = header.max_timestamp;
        segment.first_timestamp = (timestamp.0 >= 0).then_some(timestamp);
    }
    Ok(())
}

const WALK_CHUNK_BYTES: usize = 16 * 1024;
