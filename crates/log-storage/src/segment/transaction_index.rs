//! The transaction index of a segment, in Kafka's format (`.txnindex`): the transactions whose abort marker stands in the segment, in the order of their markers.
//!
//! Owns the entries: those that no checkpoint has written yet, and some of the newest beside them, in memory; all older ones in the file. Unlike the other indexes this
//! one is no hint: what it lacks, a reader takes for committed. So its file is synced before the recovery point passes its entries, and how many of them count is known
//! apart from it (see the producer snapshot); bytes behind those are nobody's.
//!
//! ```text
//!  0 version             i16   0
//!  2 producer id         i64
//! 10 first offset        i64   of the transaction in this partition
//! 18 last offset         i64   of its marker
//! 26 last stable offset  i64   once the marker was there: all that is aborted later begins at or above it
//! ```

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use model::{Offset, ProducerId};

use super::index::PendingEntries;
use crate::file_system::{FileSystem, LazyFile, in_file};
use crate::producers::transactions::AbortedTransaction;

/// Size of an entry in the file.
pub(crate) const ENTRY_BYTES: usize = 34;

/// The transaction index of one segment.
#[derive(Debug)]
pub(crate) struct TransactionIndex {
    file: Arc<LazyFile>,
    /// Entries in the file.
    persisted: usize,
    /// The newest entries, oldest first.
    newest: VecDeque<AbortedTransaction>,
    /// How many of those, the last ones, are not in the file.
    unpersisted: usize,
    /// The last of the entries that are in the file alone.
    older: Option<AbortedTransaction>,
}

/// The part of an index that a reader needs, as it stood when it was asked.
#[derive(Debug)]
pub(crate) struct IndexPart {
    /// Where to look before those in memory.
    pub(crate) in_file: Option<EntriesInFile>,
    /// Entries in memory, oldest first.
    pub(crate) in_memory: Vec<AbortedTransaction>,
}

/// Entries in the file of an index, to be read off the owner's lock.
#[derive(Clone, Debug)]
pub(crate) struct EntriesInFile {
    file: Arc<LazyFile>,
    count: usize,
}

/// Bytes that are no entry, or none that can stand there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("entry {index} of the transaction index is malformed")]
pub(crate) struct MalformedEntry {
    index: usize,
}

impl TransactionIndex {
    /// An index whose file has `persisted` entries that count, the last of which is `last` (the file need not exist when there are none).
    pub(crate) fn new(
        fs: &Arc<dyn FileSystem>,
        path: PathBuf,
        persisted: usize,
        last: Option<AbortedTransaction>,
    ) -> Self {
        let file = Arc::new(LazyFile::unopened(Arc::clone(fs), path));
        Self { file, persisted, newest: VecDeque::new(), unpersisted: 0, older: last }
    }

    /// Returns the number of entries.
    pub(crate) fn len(&self) -> usize {
        self.persisted + self.unpersisted
    }

    /// Returns the last entry.
    pub(crate) fn last(&self) -> Option<&AbortedTransaction> {
        self.newest.back().or(self.older.as_ref())
    }

    /// Appends the entry of a marker, which stands behind all others.
    pub(crate) fn push(&mut self, entry: AbortedTransaction) {
        self.newest.push_back(entry);
        self.unpersisted += 1;
    }

    /// Returns the entries that are not in the file, to be written behind those that are.
    pub(crate) fn pending(&self) -> Option<PendingEntries> {
        let written = self.newest.len() - self.unpersisted;
        let mut bytes = Vec::with_capacity(self.unpersisted * ENTRY_BYTES);
        self.newest.range(written..).for_each(|entry| encode(entry, &mut bytes));
        (self.unpersisted > 0).then(|| PendingEntries {
            path: self.file.path().to_owned(),
            position: bytes_of(self.persisted),
            bytes,
            count: self.unpersisted,
        })
    }

    /// Notes that the first `count` entries that were not in the file are there now, durably. The newest `kept_in_memory` stay at hand for readers.
    pub(crate) fn mark_persisted(&mut self, count: usize, kept_in_memory: usize) {
        let count = count.min(self.unpersisted);
        self.persisted += count;
        self.unpersisted -= count;
        while self.newest.len() > kept_in_memory.max(self.unpersisted) {
            self.older = self.newest.pop_front();
        }
        self.newest.shrink_to_fit();
    }

    /// Keeps what lies below a truncation's point: `persisted` entries of the file, the last of which is `last_persisted`, and those in memory below `end`.
    pub(crate) fn truncate(
        &mut self,
        persisted: usize,
        last_persisted: Option<AbortedTransaction>,
        end: Offset,
    ) {
        let written = self.newest.len() - self.unpersisted;
        let kept = self.newest.partition_point(|entry| entry.last_offset < end);
        self.newest.truncate(kept);
        self.unpersisted = kept.saturating_sub(written);
        self.persisted = self.persisted.min(persisted);
        if self.older.is_some_and(|older| older.last_offset >= end) {
            self.older = last_persisted;
        }
    }

    /// Returns what may overlap a range of offsets: entries whose marker lies at or above `from`.
    pub(crate) fn part(&self, from: Offset) -> IndexPart {
        let needs_file = self.older.is_some_and(|older| older.last_offset >= from);
        let in_memory = self.newest.partition_point(|entry| entry.last_offset < from);
        IndexPart {
            in_file: needs_file.then(|| EntriesInFile {
                file: Arc::clone(&self.file),
                count: self.len() - self.newest.len(),
            }),
            in_memory: self.newest.range(in_memory..).copied().collect(),
        }
    }

    /// Returns the entries in the file.
    pub(crate) fn in_file(&self) -> EntriesInFile {
        EntriesInFile { file: Arc::clone(&self.file), count: self.persisted }
    }
}

impl EntriesInFile {
    /// The first `count` entries of a file.
    pub(crate) fn new(file: Arc<LazyFile>, count: usize) -> Self {
        Self { file, count }
    }

    /// Returns how many entries have their marker below an offset, which are a prefix, and the last of them.
    ///
    /// # Errors
    /// `InvalidData` when an entry is malformed; whatever the file system says.
    pub(crate) fn below(&self, end: Offset) -> io::Result<(usize, Option<AbortedTransaction>)> {
        let (mut low, mut high) = (0, self.count);
        let mut last = None;
        while low < high {
            let middle = low + (high - low) / 2;
            let entry = self.entry(middle)?;
            if entry.last_offset < end {
                last = Some(entry);
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok((low, last))
    }

    /// Calls `visit` with each entry from an index on, until it says that this was the last.
    ///
    /// # Errors
    /// `InvalidData` when an entry is malformed; whatever the file system says.
    pub(crate) fn each_from(
        &self,
        index: usize,
        mut visit: impl FnMut(AbortedTransaction) -> Next,
    ) -> io::Result<Next> {
        let mut next = index;
        let mut previous: Option<Offset> = None;
        while next < self.count {
            let count = (self.count - next).min(CHUNK_ENTRIES);
            let mut bytes = vec![0; count * ENTRY_BYTES];
            self.file.get()?.read_exact_at(&mut bytes, bytes_of(next))?;
            for chunk in bytes.chunks_exact(ENTRY_BYTES) {
                let entry = decode(chunk, next).map_err(invalid)?;
                if previous.is_some_and(|previous| entry.last_offset <= previous) {
                    return Err(invalid(MalformedEntry { index: next }));
                }
                previous = Some(entry.last_offset);
                next += 1;
                if visit(entry) == Next::Stop {
                    return Ok(Next::Stop);
                }
            }
        }
        Ok(Next::More)
    }

    fn entry(&self, index: usize) -> io::Result<AbortedTransaction> {
        let mut bytes = [0; ENTRY_BYTES];
        self.file.get()?.read_exact_at(&mut bytes, bytes_of(index))?;
        decode(&bytes, index).map_err(invalid)
    }
}

/// Whether a walk over entries goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    More,
    Stop,
}

/// Appends the file form of an entry.
pub(crate) fn encode(entry: &AbortedTransaction, bytes: &mut Vec<u8>) {
    bytes.extend_from_slice(&VERSION.to_be_bytes());
    bytes.extend_from_slice(&entry.producer_id.0.to_be_bytes());
    bytes.extend_from_slice(&entry.first_offset.0.to_be_bytes());
    bytes.extend_from_slice(&entry.last_offset.0.to_be_bytes());
    bytes.extend_from_slice(&entry.last_stable_offset.0.to_be_bytes());
}

/// Returns the size of `count` entries in a file.
pub(crate) fn bytes_of(count: usize) -> u64 {
    in_file(count * ENTRY_BYTES)
}

/// Reads the file form of an entry; `bytes` has [`ENTRY_BYTES`].
fn decode(bytes: &[u8], index: usize) -> Result<AbortedTransaction, MalformedEntry> {
    let malformed = MalformedEntry { index };
    let (version, rest) = bytes.split_first_chunk().ok_or(malformed)?;
    let number = |at: usize| {
        let field = rest.get(at..).and_then(|field| field.first_chunk());
        field.map(|field| i64::from_be_bytes(*field)).ok_or(malformed)
    };
    let entry = AbortedTransaction {
        producer_id: ProducerId(number(0)?),
        first_offset: Offset(number(8)?),
        last_offset: Offset(number(16)?),
        last_stable_offset: Offset(number(24)?),
    };
    let ordered = entry.first_offset >= Offset::ZERO
        && entry.first_offset < entry.last_offset
        && entry.last_stable_offset.0 <= entry.last_offset.0.saturating_add(1);
    if i16::from_be_bytes(*version) == VERSION && ordered { Ok(entry) } else { Err(malformed) }
}

fn invalid(error: MalformedEntry) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

const VERSION: i16 = 0;

/// Entries that a walk reads at a time.
const CHUNK_ENTRIES: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::file_system::OsFileSystem;

    fn entry(number: i64) -> AbortedTransaction {
        AbortedTransaction {
            producer_id: ProducerId(number),
            first_offset: Offset(number * 10),
            last_offset: Offset(number * 10 + 5),
            last_stable_offset: Offset(number * 10 + 6),
        }
    }

    fn read(index: &TransactionIndex, from: i64) -> Vec<i64> {
        let part = index.part(Offset(from));
        let mut found = Vec::new();
        if let Some(in_file) = part.in_file {
            let (start, _) = in_file.below(Offset(from)).unwrap();
            let visit = |entry: AbortedTransaction| {
                found.push(entry.producer_id.0);
                Next::More
            };
            assert_eq!(in_file.each_from(start, visit).unwrap(), Next::More);
        }
        found.extend(part.in_memory.iter().map(|entry| entry.producer_id.0));
        found
    }

    #[test]
    fn entries_are_found_in_file_and_memory_alike_and_survive_a_truncation() {
        let directory = tempfile::tempdir().unwrap();
        let fs: Arc<dyn FileSystem> = Arc::new(OsFileSystem);
        let mut index = TransactionIndex::new(&fs, directory.path().join("0.txnindex"), 0, None);
        (0..1_500).for_each(|number| index.push(entry(number)));
        let pending = index.pending().unwrap();
        pending.write(fs.as_ref()).unwrap();
        index.mark_persisted(pending.count, 4);
        (1_500..1_510).for_each(|number| index.push(entry(number)));
        for from in [0, 1_495, 1_500, 1_507, 1_509, 1_510] {
            assert_eq!(read(&index, from * 10), (from..1_510).collect::<Vec<_>>(), "from {from}");
        }
        for (end, in_file) in [(1_505, 1_500), (1_498, 1_498), (700, 700), (0, 0)] {
            let (persisted, last) = index.in_file().below(Offset(end * 10)).unwrap();
            assert_eq!(i64::try_from(persisted).unwrap(), in_file);
            index.truncate(persisted, last, Offset(end * 10));
            assert_eq!(read(&index, 0), (0..end).collect::<Vec<_>>(), "cut at {end}");
            assert_eq!(index.len(), usize::try_from(end).unwrap());
            assert_eq!(index.last().map(|last| last.producer_id.0), (end > 0).then_some(end - 1));
        }
    }

    #[test]
    fn an_entry_has_kafkas_form_and_a_malformed_one_is_an_error() {
        let mut bytes = Vec::new();
        encode(&entry(7), &mut bytes);
        let expected = [
            &[0, 0][..],
            &7_i64.to_be_bytes(),
            &70_i64.to_be_bytes(),
            &75_i64.to_be_bytes(),
            &76_i64.to_be_bytes(),
        ];
        assert_eq!(bytes, expected.concat());
        assert_eq!(decode(&bytes, 0), Ok(entry(7)));
        for (position, value) in [(1, 1), (10, 255), (17, 99), (33, 99)] {
            let mut damaged = bytes.clone();
            damaged[position] = value;
            assert_eq!(decode(&damaged, 3), Err(MalformedEntry { index: 3 }), "{position}");
        }
    }
}
