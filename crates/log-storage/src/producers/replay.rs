//! Rebuilding the producer state from a snapshot and the batches behind it.
//!
//! Owns the choice of the snapshot: the newest at or below where the log ends that can be read; without one, everything that the log still has is replayed. What the
//! replay comes by besides the state are the entries of the transaction indexes above the snapshot; those below it are counted in it.

use std::path::Path;

use model::record_batch::{Batch, BatchHeader, EndTransactionMarker};
use model::{Offset, UnixMillis};

use super::marker::{marker_in_log, may_hold_marker};
use super::snapshot::{self, AbortedCounts, Snapshot};
use super::state::ProducerState;
use super::transactions::AbortedTransaction;
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

/// Walks over the headers of a segment from the batch that holds `start` on, and the markers that they announce; what lies before it may be visited too.
pub(crate) fn walk(
    segment: &IndexedView,
    start: Offset,
    mut visit: impl FnMut(&BatchHeader, Option<EndTransactionMarker>),
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
        let mut marker = None;
        if may_hold_marker(&header) {
            let bytes = scan.batch_bytes(at, &header).map_err(|error| broken(at, offset, error))?;
            marker = marker_in_log(Batch { header, bytes: &bytes });
        }
        visit(&header, marker);
        offset = header.next_offset();
        position = at + in_file(header.size_bytes);
    }
    Ok(())
}

/// What a replay came to.
#[derive(Debug)]
pub(crate) struct Rebuilt {
    /// The state of all batches below the end, or of those before the walk broke off.
    pub(crate) state: ProducerState,
    /// The offset of the snapshot that it began with; 0 without one.
    pub(crate) start: Offset,
    /// How many entries the transaction indexes have below `start`.
    pub(crate) aborted_below: AbortedCounts,
    /// The entries above, in the order of their markers.
    pub(crate) aborted: Vec<AbortedTransaction>,
    /// Where the walk broke off, if it did.
    pub(crate) outcome: Result<(), Broken>,
}

/// Rebuilds the state of all batches below `end_offset`. Producers that are met on the way count as active at `now`.
pub(crate) fn rebuild_producers(
    fs: &dyn FileSystem,
    directory: &Path,
    replay: &ReplaySegments,
    end_offset: Offset,
    now: UnixMillis,
) -> Rebuilt {
    let usable = replay.snapshots.iter().rev().filter(|offset| **offset <= end_offset);
    let snapshot = usable.copied().find_map(|offset| read_snapshot(fs, directory, offset));
    let (Snapshot { mut state, aborted: aborted_below }, start) = snapshot.unwrap_or_default();
    let mut aborted = Vec::new();
    let mut outcome = Ok(());
    for segment in replay.segments.iter().filter(|segment| segment.next_offset > start) {
        outcome = walk(segment, start, |header, marker| {
            if header.base_offset >= start && header.next_offset() <= end_offset {
                aborted.extend(state.update(header, marker, now));
            }
        });
        if outcome.is_err() {
            break;
        }
    }
    Rebuilt { state, start, aborted_below, aborted, outcome }
}

fn read_snapshot(
    fs: &dyn FileSystem,
    directory: &Path,
    offset: Offset,
) -> Option<(Snapshot, Offset)> {
    let path = FileKind::Snapshot.path(directory, offset);
    let unusable = |error: &dyn std::error::Error| tracing::warn!(path = ?path, %error, "producer snapshot cannot be read, an older one is used");
    let bytes =
        read_file(fs, &path, MAX_SNAPSHOT_BYTES).inspect_err(|error| unusable(error)).ok()?;
    let snapshot = snapshot::decode(&bytes, offset).inspect_err(|error| unusable(error)).ok()?;
    Some((snapshot, offset))
}

/// Ten million producers.
const MAX_SNAPSHOT_BYTES: u64 = 2 << 30;

const REPLAY_CHUNK_BYTES: usize = 64 * 1024;
