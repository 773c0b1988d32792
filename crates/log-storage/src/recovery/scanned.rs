//! What lies above the recovery point is scanned: nothing says that it was durable, so each byte is read back from the device and checked.
//!
//! Owns the scan and the cut. Every batch must be whole, have its checksum right and continue the offsets; the first one that does not ends the log there, and
//! what stands behind it goes. Whether such bytes were torn by a crash or rotted later cannot be told here.

use std::io;
use std::sync::Arc;

use model::Offset;
use model::record_batch::{BatchHeader, HEADER_BYTES, verify_crc};

use super::taken_over::{cut_file, read_first_timestamp};
use super::{Opening, handle, length_of};
use crate::error::OpenError;
use crate::file_names::FileKind;
use crate::file_system::{File, OpenMode, remove_if_there};
use crate::segment::Segment;

/// What the scan met.
#[derive(Debug, Default)]
pub(super) struct Scan {
    pub(super) scanned_bytes: u64,
    pub(super) cut_bytes: u64,
}

/// Scans everything above the recovery point: the rest of the last opened segment, then the `later` ones. Cuts at the first batch that is not intact.
pub(super) fn scan_above(opening: &mut Opening<'_>, later: &[Offset]) -> Result<Scan, OpenError> {
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
                let mut next = opening.unopened(*next);
                let length = length_of(&next)?;
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
/// from the device. Done even when nothing seems to lie above the recovery point: what a truncation cut or removed could come back with the next power loss.
fn sync_before_reading(opening: &Opening<'_>, later: &[Offset]) -> Result<(), OpenError> {
    let Some(first) = opening.segments.last() else {
        return Ok(());
    };
    let paths = std::iter::once(first.file.path().to_owned())
        .chain(later.iter().map(|base| FileKind::Log.path(opening.source.directory, *base)));
    for path in paths {
        let file = opening
            .source
            .fs
            .open(&path, OpenMode::Write)
            .map_err(OpenError::io("opening", &path))?;
        file.sync_data().map_err(OpenError::io("fdatasync", &path))?;
        file.drop_cached().map_err(OpenError::io("dropping cached pages", &path))?;
    }
    let directory = opening.source.directory;
    opening.source.fs.sync_dir(directory).map_err(OpenError::io("fsync", directory))
}

/// The index of a segment above the recovery point is written anew.
fn drop_indexes(opening: &Opening<'_>, segment: &Segment) -> Result<(), OpenError> {
    for kind in [FileKind::Index, FileKind::TimeIndex] {
        cut_file(opening, &kind.path(opening.source.directory, segment.base_offset), 0)?;
    }
    Ok(())
}

/// Scans one segment from where it ends so far. Says whether it is intact to the end of its file; if not, the rest was cut.
fn scan_segment(
    opening: &mut Opening<'_>,
    segment: &mut Segment,
    scan: &mut Scan,
) -> Result<bool, OpenError> {
    let length = length_of(segment)?;
    let file = Arc::clone(handle(segment)?);
    let path = segment.file.path().to_owned();
    let interval = opening.source.index_interval_bytes;
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
            opening.epochs.assign(epoch, header.base_offset);
        }
    }
    if segment.size_bytes == length {
        return Ok(true);
    }
    let cut_bytes = length - segment.size_bytes;
    scan.cut_bytes += cut_bytes;
    tracing::info!(path = ?path, offset = %segment.next_offset, cut_bytes, "the log is cut behind its last intact batch: it was not stopped cleanly");
    file.set_len(segment.size_bytes).map_err(OpenError::io("cutting", &path))?;
    file.sync_data().map_err(OpenError::io("fdatasync", &path))?;
    Ok(false)
}

/// Removes segments behind a cut: their offsets do not continue the log.
fn remove_later(
    opening: &Opening<'_>,
    later: &[Offset],
    mut scan: Scan,
) -> Result<Scan, OpenError> {
    for base in later.iter().rev() {
        for kind in
            [FileKind::Index, FileKind::TimeIndex, FileKind::TransactionIndex, FileKind::Log]
        {
            let path = kind.path(opening.source.directory, *base);
            if kind == FileKind::Log {
                let file = opening
                    .source
                    .fs
                    .open(&path, OpenMode::Read)
                    .map_err(OpenError::io("opening", &path))?;
                scan.cut_bytes += file.len().map_err(OpenError::io("measuring", &path))?;
                tracing::info!(path = ?path, "segment is removed: the log was cut before it");
            }
            remove_if_there(opening.source.fs.as_ref(), &path)
                .map_err(OpenError::io("removing", &path))?;
        }
    }
    let directory = opening.source.directory;
    opening.source.fs.sync_dir(directory).map_err(OpenError::io("fsync", directory))?;
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

const SCAN_CHUNK_BYTES: usize = 1024 * 1024;
