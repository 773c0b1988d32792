//! Rebuilding the producer state from a snapshot and the batches behind it.
//!
//! Owns the choice of the snapshot: the newest at or below where the log ends that can be read; without one, everything that the log still has is replayed.

use std::path::Path;

use model::record_batch::BatchHeader;
use model::{Offset, UnixMillis};

use super::snapshot;
use super::state::ProducerState;
use crate::file_names::FileKind;
use crate::file_system::{FileSystem, in_file, read_file};
use crate::segment::scan::ScanError;
use crate::segment::view::IndexedView;

/// What is replayed.
#[derive(Debug)]
pub(crate) struct ReplaySegments {
    /// Offsets of the snapshots on disk, oldest first.
    pub(crate) snapshots: Vec<Offset>,
    /// The segments, oldest first.
    pub(crate) segments: Vec<IndexedView>,
}

impl ReplaySegments {
    /// Returns what is left when one segment was cut and those behind it went.
    pub(crate) fn cut(&self, base_offset: Offset, size_bytes: u64, end_offset: Offset) -> Self {
        let kept = self.segments.iter().filter(|segment| segment.view.base_offset <= base_offset);
        let mut segments: Vec<IndexedView> = kept.cloned().collect();
        if let Some(last) = segments.last_mut() {
            last.view.size_bytes = size_bytes;
            last.next_offset = end_offset;
        }
        let snapshots =
            self.snapshots.iter().copied().filter(|offset| *offset <= end_offset).collect();
        Self { snapshots, segments }
    }
}

/// Where a walk over a log met bytes that it cannot go on from.
#[derive(Debug, thiserror::Error)]
#[error("segment {base_offset}: {error}")]
pub(crate) struct Broken {
    /// The segment.
    pub(crate) base_offset: Offset,
    /// The offset that should be there.
    pub(crate) offset: Offset,
    /// The position in the segment.
    pub(crate) position: u64,
    /// What was found.
    #[source]
    pub(crate) error: ScanError,
}

/// Walks over the headers of a segment from the batch that holds `start` on; what lies before it may be visited too.
pub(crate) fn walk(
    segment: &IndexedView,
    start: Offset,
    mut visit: impl FnMut(&BatchHeader),
) -> Result<(), Broken> {
    let base_offset = segment.view.base_offset;
    let (mut position, mut offset) = (0, base_offset);
    let broken = |position, offset, error| Broken { base_offset, offset, position, error };
    if start > base_offset
        && let Ok(Some((found, header))) = segment.locator(start).locate()
    {
        (position, offset) = (found, header.base_offset);
    }
    let mut scan = segment
        .view
        .scan(position, REPLAY_CHUNK_BYTES)
        .map_err(|error| broken(position, offset, error))?;
    while let Some((at, header)) = scan.next().map_err(|error| broken(position, offset, error))? {
        visit(&header);
        offset = header.next_offset();
        position = at + in_file(header.size_bytes);
    }
    Ok(())
}

/// Rebuilds the state of all batches below `end_offset`. Producers that are met on the way count as active at `now`. When the walk breaks off, the state is
/// that of the batches before.
pub(crate) fn rebuild_producers(
    fs: &dyn FileSystem,
    directory: &Path,
    replay: &ReplaySegments,
    end_offset: Offset,
    now: UnixMillis,
) -> (ProducerState, Result<(), Broken>) {
    let usable = replay.snapshots.iter().rev().filter(|offset| **offset <= end_offset);
    let snapshot = usable.copied().find_map(|offset| read_snapshot(fs, directory, offset));
    let (mut state, start) = snapshot.unwrap_or_default();
    for segment in replay.segments.iter().filter(|segment| segment.next_offset > start) {
        let outcome = walk(segment, start, |header| {
            if header.base_offset >= start && header.next_offset() <= end_offset {
                state.update(header, now);
            }
        });
        if outcome.is_err() {
            return (state, outcome);
        }
    }
    (state, Ok(()))
}

fn read_snapshot(
    fs: &dyn FileSystem,
    directory: &Path,
    offset: Offset,
) -> Option<(ProducerState, Offset)> {
    let path = FileKind::Snapshot.path(directory, offset);
    let unusable = |error: &dyn std::error::Error| tracing::warn!(path = ?path, %error, "producer snapshot cannot be read, an older one is used");
    let bytes =
        read_file(fs, &path, MAX_SNAPSHOT_BYTES).inspect_err(|error| unusable(error)).ok()?;
    let state = snapshot::decode(&bytes, offset).inspect_err(|error| unusable(error)).ok()?;
    Some((state, offset))
}

/// Ten million producers.
const MAX_SNAPSHOT_BYTES: u64 = 2 << 30;

const REPLAY_CHUNK_BYTES: usize = 64 * 1024;
