//! The transaction indexes at a start: how many entries of each count is known from the producer snapshot, and what lies above that was come by in its replay.
//!
//! Owns that no index is believed that lost entries: one that does not have as many as the snapshot says, or whose last one cannot be right, is made anew from the
//! batches, loudly. A reader would take for committed what an index that lacks entries does not name.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use model::Offset;

use super::Opening;
use super::taken_over::cut_file;
use crate::error::OpenError;
use crate::file_names::FileKind;
use crate::file_system::LazyFile;
use crate::producers::replay::{Broken, Rebuilt, ReplaySegments, rebuild_producers};
use crate::producers::snapshot::AbortedCounts;
use crate::producers::transactions::AbortedTransaction;
use crate::segment::Segment;
use crate::segment::transaction_index::{EntriesInFile, TransactionIndex, bytes_of};

/// What the replay of the producers says of the indexes.
pub(super) struct Told {
    /// Offset of the snapshot.
    start: Offset,
    /// Entries below it.
    counts: AbortedCounts,
    /// Entries above it, in the order of their markers.
    above: Vec<AbortedTransaction>,
}

impl From<Rebuilt> for Told {
    fn from(rebuilt: Rebuilt) -> Self {
        let Rebuilt { start, aborted_below: counts, aborted: above, .. } = rebuilt;
        Self { start, counts, above }
    }
}

/// Takes over the indexes of all segments, and gives them what the replay came by.
pub(super) fn take_over(
    opening: &mut Opening<'_>,
    snapshots: &[Offset],
    told: &Told,
) -> Result<(), OpenError> {
    for index in 0..opening.segments.len() {
        let base_offset = opening.segments[index].base_offset;
        let count = told.counts.get(&base_offset).map_or(0, |count| *count);
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        let path = FileKind::TransactionIndex.path(opening.source.directory, base_offset);
        match last_counted(opening, path.clone(), count, told.start) {
            Ok(last) => {
                if opening.corruption.is_none() {
                    cut_file(opening, &path, bytes_of(count))?;
                }
                let taken = TransactionIndex::new(opening.source.fs, path, count, last);
                opening.segments[index].aborted = taken;
            }
            Err(error) => {
                tracing::error!(path = ?path, %error, entries = count, "transaction index is damaged, it is made anew from the batches");
                if let Err(broken) = make_anew(opening, index, snapshots, told.start) {
                    opening.end_at(&broken);
                    break;
                }
                if opening.corruption.is_none() {
                    cut_file(opening, &path, 0)?;
                }
            }
        }
    }
    for aborted in &told.above {
        let next =
            opening.segments.partition_point(|segment| segment.base_offset <= aborted.last_offset);
        if let Some(segment) = next.checked_sub(1).and_then(|at| opening.segments.get_mut(at)) {
            segment.aborted.push(*aborted);
        }
    }
    Ok(())
}

/// Returns the last of the entries that count; an error when there are fewer, or when it is none of this log's.
fn last_counted(
    opening: &Opening<'_>,
    path: PathBuf,
    count: usize,
    end: Offset,
) -> io::Result<Option<AbortedTransaction>> {
    if count == 0 {
        return Ok(None);
    }
    let file = LazyFile::unopened(Arc::clone(opening.source.fs), path);
    let length = file.get()?.len()?;
    if length < bytes_of(count) {
        let message = format!("it has {length} bytes, {count} entries need more");
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, message));
    }
    let (below, last) = EntriesInFile::new(Arc::new(file), count).below(end)?;
    if below == count {
        return Ok(last);
    }
    let message = format!("only {below} of {count} entries lie below offset {end}");
    Err(io::Error::new(io::ErrorKind::InvalidData, message))
}

/// Makes the entries of one segment below an offset anew. They stay in memory until the next checkpoint writes them: until then the next start does the same.
fn make_anew(
    opening: &mut Opening<'_>,
    index: usize,
    snapshots: &[Offset],
    end: Offset,
) -> Result<(), Broken> {
    let segments = &opening.segments[..=index];
    let segment = &segments[index];
    let base_offset = segment.base_offset;
    let end = end.min(segment.next_offset);
    let replay = ReplaySegments {
        snapshots: snapshots.iter().copied().filter(|offset| *offset <= base_offset).collect(),
        segments: segments.iter().map(Segment::indexed_view).collect(),
    };
    let super::Source { fs, directory, now, .. } = opening.source;
    let rebuilt = rebuild_producers(fs.as_ref(), directory, &replay, end, now);
    rebuilt.outcome?;
    let path = FileKind::TransactionIndex.path(directory, base_offset);
    let mut made = TransactionIndex::new(fs, path, 0, None);
    let of_segment = |aborted: &&AbortedTransaction| aborted.last_offset >= base_offset;
    rebuilt.aborted.iter().filter(of_segment).for_each(|aborted| made.push(*aborted));
    opening.segments[index].aborted = made;
    Ok(())
}
