//! Sparse indexes of a segment, in Kafka's formats: `.index` (relative offset, position) and `.timeindex` (timestamp, relative offset).
//!
//! Owns the entries: the newest in memory, the older ones in the file, where a checkpoint puts them. No mmap: a search in the file is some twenty
//! preads of cached bytes, done off the owner's lock. Indexes are hints: whoever follows an entry checks the batch that it finds there and scans from the
//! segment's start when it is another one, so that a damaged index costs time and never data.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::file_system::{File, FileSystem, LazyFile, OpenMode, in_file};

/// An entry of an index: fixed size, ordered by one key.
pub(crate) trait IndexEntry: Copy + std::fmt::Debug + PartialEq {
    /// What the entries are ordered by, strictly increasing.
    type Key: Ord + Copy + std::fmt::Debug;
    /// Size in the file.
    const BYTES: usize;
    /// Returns the key.
    fn key(&self) -> Self::Key;
    /// Appends the file form.
    fn encode(&self, bytes: &mut Vec<u8>);
    /// Reads the file form; `bytes` has [`IndexEntry::BYTES`].
    fn decode(bytes: &[u8]) -> Self;
}

/// Entry of an offset index: the batch whose *last* offset this is begins at this position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OffsetEntry {
    /// Distance of the batch's last offset from the segment's base offset.
    pub(crate) relative_offset: u32,
    /// Position of the batch in the segment.
    pub(crate) position: u32,
}

/// Entry of a time index: the greatest timestamp so far, and the last offset of the batch that brought it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimeEntry {
    /// Milliseconds since 1970.
    pub(crate) timestamp: i64,
    /// Distance of the batch's last offset from the segment's base offset.
    pub(crate) relative_offset: u32,
}

impl IndexEntry for OffsetEntry {
    type Key = u32;
    const BYTES: usize = 8;

    fn key(&self) -> u32 {
        self.relative_offset
    }

    fn encode(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&self.relative_offset.to_be_bytes());
        bytes.extend_from_slice(&self.position.to_be_bytes());
    }

    fn decode(bytes: &[u8]) -> Self {
        let (relative_offset, position) = bytes.split_at(4);
        Self { relative_offset: u32_of(relative_offset), position: u32_of(position) }
    }
}

impl IndexEntry for TimeEntry {
    type Key = i64;
    const BYTES: usize = 12;

    fn key(&self) -> i64 {
        self.timestamp
    }

    fn encode(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&self.timestamp.to_be_bytes());
        bytes.extend_from_slice(&self.relative_offset.to_be_bytes());
    }

    fn decode(bytes: &[u8]) -> Self {
        let (timestamp, relative_offset) = bytes.split_at(8);
        let timestamp = *timestamp.first_chunk().expect("the split left eight bytes");
        Self { timestamp: i64::from_be_bytes(timestamp), relative_offset: u32_of(relative_offset) }
    }
}

fn u32_of(bytes: &[u8]) -> u32 {
    u32::from_be_bytes(*bytes.first_chunk().expect("an entry's fields have four bytes"))
}

/// One index: a file with the older entries, which may not exist yet, and the newer ones in memory.
#[derive(Debug)]
pub(crate) struct Index<E> {
    path: PathBuf,
    file: Arc<LazyFile>,
    persisted: usize,
    tail: Vec<E>,
    last: Option<E>,
}

/// Where a search ends, or goes on.
#[derive(Debug)]
pub(crate) enum IndexSearch<E> {
    /// The entry, or that there is none.
    Found(Option<E>),
    /// The entry is among those in the file.
    InFile(FileEntries<E>),
}

/// An index as it stood when it was asked, to be searched off the owner's lock.
#[derive(Clone, Debug)]
pub(crate) struct IndexView<E> {
    pub(crate) in_file: FileEntries<E>,
    pub(crate) in_memory: Vec<E>,
}

/// The entries of an index that are in its file, to be searched off the owner's lock.
#[derive(Debug)]
pub(crate) struct FileEntries<E> {
    file: Arc<LazyFile>,
    count: usize,
    entry: std::marker::PhantomData<E>,
}

/// Entries that are about to be written to an index's file.
#[derive(Debug)]
pub(crate) struct PendingEntries {
    pub(crate) path: PathBuf,
    pub(super) position: u64,
    pub(super) bytes: Vec<u8>,
    pub(crate) count: usize,
}

impl<E: IndexEntry> Index<E> {
    /// An index whose file has `persisted` entries, the last of which is `last` (the file need not exist when there are none).
    pub(crate) fn new(
        fs: &Arc<dyn FileSystem>,
        path: PathBuf,
        persisted: usize,
        last: Option<E>,
    ) -> Self {
        let file = Arc::new(LazyFile::unopened(Arc::clone(fs), path.clone()));
        Self { path, file, persisted, tail: Vec::new(), last }
    }

    /// The index of a closed segment, all of it in the file; `None` when there is no such file, it has no entry, or its size is not one of entries.
    pub(crate) fn of_closed(fs: &Arc<dyn FileSystem>, path: &Path) -> io::Result<Option<Self>> {
        let file = match fs.open(path, OpenMode::Read) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file?,
        };
        let length = file.len()?;
        let count = usize::try_from(length).unwrap_or(0) / E::BYTES;
        if count == 0 || bytes_of::<E>(count) != length {
            return Ok(None);
        }
        let mut bytes = vec![0; E::BYTES];
        file.read_exact_at(&mut bytes, bytes_of::<E>(count - 1))?;
        Ok(Some(Self::new(fs, path.to_owned(), count, Some(E::decode(&bytes)))))
    }

    /// Returns the number of entries.
    pub(crate) fn len(&self) -> usize {
        self.persisted + self.tail.len()
    }

    /// Appends an entry; one whose key is not greater than the last key is left out (its batch is found by the entry before).
    pub(crate) fn push(&mut self, entry: E) {
        if self.last.is_none_or(|last| last.key() < entry.key()) {
            self.tail.push(entry);
            self.last = Some(entry);
        }
    }

    /// Returns the last entry.
    pub(crate) fn last(&self) -> Option<E> {
        self.last
    }

    /// Searches the greatest entry whose key is at most `key`.
    pub(crate) fn search(&self, key: E::Key) -> IndexSearch<E> {
        search(&self.tail, key, || self.file_entries())
    }

    /// Returns the index as it stands.
    pub(crate) fn view(&self) -> IndexView<E> {
        IndexView { in_file: self.file_entries(), in_memory: self.tail.clone() }
    }

    fn file_entries(&self) -> FileEntries<E> {
        FileEntries {
            file: Arc::clone(&self.file),
            count: self.persisted,
            entry: std::marker::PhantomData,
        }
    }

    /// Returns the entries in memory, to be written behind those in the file.
    pub(crate) fn pending(&self) -> Option<PendingEntries> {
        let mut bytes = Vec::with_capacity(self.tail.len() * E::BYTES);
        self.tail.iter().for_each(|entry| entry.encode(&mut bytes));
        (!self.tail.is_empty()).then(|| PendingEntries {
            path: self.path.clone(),
            position: bytes_of::<E>(self.persisted),
            bytes,
            count: self.tail.len(),
        })
    }

    /// Writes all entries, none of which is in a file yet, to one that will have the index's name.
    pub(crate) fn write_whole(
        &mut self,
        fs: &Arc<dyn FileSystem>,
        handle: &Arc<dyn File>,
    ) -> io::Result<()> {
        if let Some(pending) = self.pending() {
            handle.write_at(&pending.bytes, pending.position)?;
            self.mark_persisted(pending.count);
        }
        let handle = Arc::clone(handle);
        self.file = Arc::new(LazyFile::opened(Arc::clone(fs), self.path.clone(), handle));
        Ok(())
    }

    /// Lets go of the file, which is opened again by whoever searches it.
    pub(crate) fn close_file(&mut self, fs: &Arc<dyn FileSystem>) {
        if self.file.is_open() {
            self.file = Arc::new(LazyFile::unopened(Arc::clone(fs), self.path.clone()));
        }
    }

    /// Notes that the first `count` entries in memory are in the file now.
    pub(crate) fn mark_persisted(&mut self, count: usize) {
        let count = count.min(self.tail.len());
        self.tail.drain(..count);
        self.tail.shrink_to_fit();
        self.persisted += count;
    }

    /// Keeps the entries that `keep` accepts, which are a prefix: `persisted` of the file, the last of which is `last_persisted`, and those in memory.
    pub(crate) fn truncate(
        &mut self,
        persisted: usize,
        last_persisted: Option<E>,
        keep: impl FnMut(&E) -> bool,
    ) {
        self.persisted = self.persisted.min(persisted);
        self.tail.retain(keep);
        self.last = self.tail.last().copied().or(last_persisted);
    }
}

impl<E: IndexEntry> IndexView<E> {
    /// Searches the greatest entry whose key is at most `key`.
    pub(crate) fn search(&self, key: E::Key) -> IndexSearch<E> {
        search(&self.in_memory, key, || self.in_file.clone())
    }
}

impl PendingEntries {
    /// Writes the entries, creating the file when it is missing.
    pub(crate) fn write(&self, fs: &dyn FileSystem) -> io::Result<Arc<dyn File>> {
        let file = fs.open(&self.path, OpenMode::Create)?;
        file.write_at(&self.bytes, self.position)?;
        Ok(file)
    }
}

impl<E> Clone for FileEntries<E> {
    fn clone(&self) -> Self {
        Self { file: Arc::clone(&self.file), count: self.count, entry: std::marker::PhantomData }
    }
}

impl<E: IndexEntry> FileEntries<E> {
    /// Searches the greatest entry whose key is at most `key`.
    pub(crate) fn search(&self, key: E::Key) -> io::Result<Option<E>> {
        Ok(self.prefix(|entry| entry.key() <= key)?.1)
    }

    /// Returns how many entries `keep` accepts, which are a prefix, and the last of them.
    pub(crate) fn prefix(&self, keep: impl Fn(&E) -> bool) -> io::Result<(usize, Option<E>)> {
        let (mut low, mut high) = (0, self.count);
        let mut last = None;
        while low < high {
            let middle = low + (high - low) / 2;
            let entry = self.entry(middle)?;
            if keep(&entry) {
                last = Some(entry);
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok((low, last))
    }

    fn entry(&self, index: usize) -> io::Result<E> {
        let mut bytes = vec![0; E::BYTES];
        self.file.get()?.read_exact_at(&mut bytes, bytes_of::<E>(index))?;
        Ok(E::decode(&bytes))
    }
}

/// Reads the entries of a file that are usable: the longest prefix in strictly increasing order that `accept` takes. A missing file has none.
pub(crate) fn read_prefix<E: IndexEntry>(
    fs: &dyn FileSystem,
    path: &Path,
    mut accept: impl FnMut(&E) -> bool,
) -> io::Result<Vec<E>> {
    let bytes = match crate::file_system::read_file(fs, path, MAX_INDEX_BYTES) {
        Ok(bytes) => bytes,
        Err(error)
            if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidData) =>
        {
            return Ok(Vec::new());
        }
        Err(error) => return Err(error),
    };
    let mut entries: Vec<E> = Vec::new();
    for chunk in bytes.chunks_exact(E::BYTES) {
        let entry = E::decode(chunk);
        let rises = entries.last().is_none_or(|last| last.key() < entry.key());
        if !rises || !accept(&entry) {
            break;
        }
        entries.push(entry);
    }
    Ok(entries)
}

/// Returns the size of `count` entries in a file.
pub(crate) fn bytes_of<E: IndexEntry>(count: usize) -> u64 {
    in_file(count * E::BYTES)
}

/// The greatest entry in memory whose key is at most `key`, or where to go on.
fn search<E: IndexEntry>(
    in_memory: &[E],
    key: E::Key,
    in_file: impl FnOnce() -> FileEntries<E>,
) -> IndexSearch<E> {
    let next = in_memory.partition_point(|entry| entry.key() <= key);
    match next.checked_sub(1) {
        Some(index) => IndexSearch::Found(Some(in_memory[index])),
        None => IndexSearch::InFile(in_file()),
    }
}

/// No index of a segment of at most 2 GiB is larger, even with an entry per smallest batch of a full `segment.index.bytes`.
const MAX_INDEX_BYTES: u64 = 1 << 31;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::file_system::OsFileSystem;

    fn entry(relative_offset: u32) -> OffsetEntry {
        OffsetEntry { relative_offset, position: relative_offset * 100 }
    }

    fn search(index: &Index<OffsetEntry>, key: u32) -> Option<u32> {
        let found = match index.search(key) {
            IndexSearch::Found(found) => found,
            IndexSearch::InFile(entries) => entries.search(key).unwrap(),
        };
        found.map(|entry| entry.relative_offset)
    }

    #[test]
    fn a_search_finds_the_greatest_entry_at_or_below_in_file_and_memory_alike() {
        let directory = tempfile::tempdir().unwrap();
        let fs: Arc<dyn FileSystem> = Arc::new(OsFileSystem);
        let mut index = Index::new(&fs, directory.path().join("0.index"), 0, None);
        assert_eq!(search(&index, 7), None);
        (1..=10).for_each(|number| index.push(entry(number * 10)));
        for persisted in [0, 4, 10] {
            let pending = index.pending().unwrap();
            pending.write(fs.as_ref()).unwrap();
            index.mark_persisted(persisted - index.persisted);
            for (key, expected) in
                [(5, None), (10, Some(10)), (45, Some(40)), (50, Some(50)), (999, Some(100))]
            {
                assert_eq!(search(&index, key), expected, "key {key}, {persisted} in the file");
            }
        }
        assert_eq!(index.len(), 10);
        assert!(index.pending().is_none());
    }

    #[test]
    fn only_the_increasing_and_accepted_prefix_of_a_file_is_used() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("0.index");
        let mut bytes = Vec::new();
        [10, 20, 30, 30, 40].iter().for_each(|number| entry(*number).encode(&mut bytes));
        bytes.push(1);
        std::fs::write(&path, bytes).unwrap();
        let read = |limit: u32| {
            read_prefix(&OsFileSystem, &path, |entry: &OffsetEntry| entry.relative_offset < limit)
                .unwrap()
                .len()
        };
        assert_eq!(read(100), 3);
        assert_eq!(read(25), 2);
        let missing = Path::new("/nonexistent/0.index");
        assert!(read_prefix(&OsFileSystem, missing, |_: &TimeEntry| true).unwrap().is_empty());
    }
}
