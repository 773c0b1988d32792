//! A cleaned segment takes the place of those that it was made of, on the disk.
//!
//! Owns the order of the names, by which a crash at any moment leaves the old segments or the new one, and what a start does with names that a crash left:
//!
//! 1. `.cleaned` files are complete and synced; a start removes them: the old segments are all there.
//! 2. The new files are renamed to `.swap`, the batches last, and the directory is synced. From here on a start completes the swap.
//! 3. The old segments' files go, but for the first one's batches, and the producer snapshots below the new segment's end; the directory is synced. What would come back of them later would contradict the new segment.
//! 4. The `.swap` files take the first old segment's names; the directory is synced.
//!
//! In memory the new segment is in place before the first of these steps (the log's `begin_swap`): so whoever touches the names of a log's files does these steps first,
//! if they are still to be done ([`Turn::take`](crate::jobs::turn::Turn::take)).

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use model::Offset;

use super::group::Place;
use crate::error::{FatalError, OpenError};
use crate::file_names::{CLEANED, FileKind, SWAP, with_suffix};
use crate::file_system::{FileSystem, OpenMode, remove_if_there};
use crate::jobs::turn::Turn;
use crate::segment::Segment;
use crate::segment::scan::HeaderScan;

/// A cleaned segment that is durable, and those that it replaces.
#[derive(Debug)]
pub struct Replacement {
    pub(crate) place: Place,
    /// Base offsets of the old segments; the first one's is the new one's too.
    pub(crate) sources: Vec<Offset>,
    pub(crate) segment: Segment,
}

/// A swap that the log has begun.
#[derive(Debug)]
#[must_use = "the files still have their old names"]
pub struct Swap {
    pub(crate) turn: Turn,
}

impl Swap {
    /// Gives the files their names; blocks. The owner's lock must not be held.
    ///
    /// # Errors
    /// The first failure; it is final.
    pub fn run(self) -> Result<(), FatalError> {
        self.turn.take().map(drop)
    }
}

/// Names that have to change before anything else touches the log's files.
#[derive(Debug)]
pub(crate) struct PendingSwap {
    pub(crate) fs: Arc<dyn FileSystem>,
    pub(crate) directory: PathBuf,
    pub(crate) sources: Vec<Offset>,
    /// Where the new segment ends.
    pub(crate) end: Offset,
}

impl PendingSwap {
    /// Does steps 2 to 4. The turn must be taken.
    pub(crate) fn run(&self) -> Result<(), FatalError> {
        let Some((first, others)) = self.sources.split_first() else { return Ok(()) };
        // The batches last: their name is the one that counts.
        for kind in FileKind::OF_SEGMENT.into_iter().rev() {
            let path = kind.path(&self.directory, *first);
            let cleaned = with_suffix(&path, CLEANED);
            rename_if_there(self.fs.as_ref(), &cleaned, &with_suffix(&path, SWAP))
                .map_err(|error| FatalError::new("renaming", &cleaned, error))?;
        }
        let directory = &self.directory;
        self.fs.sync_dir(directory).map_err(|error| FatalError::new("fsync", directory, error))?;
        put_in_place(self.fs.as_ref(), directory, *first, others, self.end)
            .map_err(|error| FatalError::new("swapping a segment of", directory, error))
    }
}

/// Does steps 3 and 4.
fn put_in_place(
    fs: &dyn FileSystem,
    directory: &Path,
    first: Offset,
    others: &[Offset],
    end: Offset,
) -> io::Result<()> {
    for entry in fs.list(directory)? {
        if let Some((FileKind::Snapshot, offset)) = FileKind::parse(&entry.name)
            && offset < end
        {
            remove_if_there(fs, &directory.join(&entry.name))?;
        }
    }
    for kind in FileKind::OF_SEGMENT {
        for other in others {
            remove_if_there(fs, &kind.path(directory, *other))?;
        }
        if kind != FileKind::Log {
            remove_if_there(fs, &kind.path(directory, first))?;
        }
    }
    fs.sync_dir(directory)?;
    for kind in FileKind::OF_SEGMENT {
        let path = kind.path(directory, first);
        rename_if_there(fs, &with_suffix(&path, SWAP), &path)?;
    }
    fs.sync_dir(directory)
}

/// Completes, at a start, the swaps that a crash has interrupted, and removes what never came to one.
pub(crate) fn complete_swaps(fs: &dyn FileSystem, directory: &Path) -> Result<(), OpenError> {
    let entries = fs.list(directory).map_err(OpenError::io("listing", directory))?;
    let names = || entries.iter().map(|entry| entry.name.as_str());
    let bases: Vec<Offset> = names()
        .filter_map(FileKind::parse)
        .filter(|(kind, _)| *kind == FileKind::Log)
        .map(|(_, base)| base)
        .collect();
    let swapped = names()
        .filter_map(|name| FileKind::parse(name.strip_suffix(SWAP)?))
        .filter(|(kind, _)| *kind == FileKind::Log);
    for (_, first) in swapped {
        let path = with_suffix(&FileKind::Log.path(directory, first), SWAP);
        let end = end_of(fs, &path).map_err(OpenError::io("reading", &path))?;
        let others: Vec<Offset> =
            bases.iter().copied().filter(|base| *base > first && *base < end).collect();
        tracing::info!(path = ?path, "a cleaned segment is put in its place: the log was not stopped cleanly");
        // Whatever of step 2 is known by now must not be taken back.
        fs.sync_dir(directory).map_err(OpenError::io("fsync", directory))?;
        put_in_place(fs, directory, first, &others, end)
            .map_err(OpenError::io("swapping a segment of", directory))?;
    }
    for name in names().filter(|name| name.ends_with(CLEANED) || name.ends_with(SWAP)) {
        let path = directory.join(name);
        remove_if_there(fs, &path).map_err(OpenError::io("removing", &path))?;
    }
    Ok(())
}

/// Returns the offset behind the last batch of a segment file.
fn end_of(fs: &dyn FileSystem, path: &Path) -> io::Result<Offset> {
    let file = fs.open(path, OpenMode::Read)?;
    let length = file.len()?;
    let mut scan = HeaderScan::new(file, 0, length, SCAN_CHUNK_BYTES);
    let mut end = Offset::ZERO;
    loop {
        match scan.next() {
            Ok(Some((_, header))) => end = header.next_offset(),
            Ok(None) => return Ok(end),
            // It was durable before it got its name. What is wrong with it is told by the recovery, which reports what is missing as corruption.
            Err(error) => {
                tracing::warn!(path = ?path, %error, "a cleaned segment is damaged");
                return Ok(end);
            }
        }
    }
}

fn rename_if_there(fs: &dyn FileSystem, from: &Path, to: &Path) -> io::Result<()> {
    match fs.rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        outcome => outcome,
    }
}

const SCAN_CHUNK_BYTES: usize = 64 * 1024;
