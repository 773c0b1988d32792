//! The names in a partition's directory at a start: which belong to the log, and which a crash or a removal left over.
//!
//! Owns the sweep. Swaps of cleaned segments are completed or discarded first. A segment that lies wholly below the log start was removed, whatever its names say; indexes and snapshots without their segment are nobody's.

use std::collections::BTreeSet;
use std::path::Path;

use model::Offset;

use crate::compaction::swap::complete_swaps;
use crate::error::OpenError;
use crate::file_names::{DELETED, FileKind};
use crate::file_system::{ASIDE_SUFFIX, FileSystem, remove_if_there};

/// Removes what is left over, and lists what belongs to the log: base offsets of segments, offsets of snapshots.
pub(super) fn sweep(
    fs: &dyn FileSystem,
    directory: &Path,
    log_start: Offset,
) -> Result<(Vec<Offset>, BTreeSet<Offset>), OpenError> {
    complete_swaps(fs, directory)?;
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
