//! One segment of a log: a file of batches with its indexes.
//!
//! Owns size, index entries, greatest timestamp, and the decision when the segment is full. Invariant: `size_bytes` is what was written successfully, the
//! file may be longer for a moment. Never syncs.

pub(crate) mod index;
pub(crate) mod scan;
pub(crate) mod transaction_index;
pub(crate) mod view;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use model::record_batch::BatchHeader;
use model::{Offset, UnixMillis};

use index::{Index, IndexEntry, OffsetEntry, TimeEntry};
use transaction_index::TransactionIndex;
use view::{IndexedView, Locator, SegmentView, relative};

use crate::config::LogConfig;
use crate::file_names::FileKind;
use crate::file_system::{File, FileSystem, LazyFile, in_file};

/// One segment.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) base_offset: Offset,
    /// The offset behind its last batch; the base offset when it is empty.
    pub(crate) next_offset: Offset,
    pub(crate) file: Arc<LazyFile>,
    pub(crate) size_bytes: u64,
    pub(crate) offset_index: Index<OffsetEntry>,
    pub(crate) time_index: Index<TimeEntry>,
    /// Transactions whose abort marker stands here.
    pub(crate) aborted: TransactionIndex,
    /// Greatest timestamp, and the last offset of the batch that brought it.
    pub(crate) max_timestamp: Option<(UnixMillis, Offset)>,
    /// Timestamp of the first batch: what `segment.ms` counts from, as Kafka does.
    pub(crate) first_timestamp: Option<UnixMillis>,
    /// Local time at which the segment was created or opened, for segments whose first batch has no timestamp.
    pub(crate) created_at: UnixMillis,
    pub(crate) bytes_since_index_entry: usize,
}

impl Segment {
    /// Creates the file of an empty segment, or takes one over that is there.
    pub(crate) fn create(
        fs: &Arc<dyn FileSystem>,
        directory: &Path,
        base_offset: Offset,
        now: UnixMillis,
    ) -> io::Result<Self> {
        let file = LazyFile::create(Arc::clone(fs), FileKind::Log.path(directory, base_offset))?;
        Ok(Self::empty(fs, directory, base_offset, Arc::new(file), now))
    }

    /// A segment whose file exists and of which nothing is known yet.
    pub(crate) fn unopened(
        fs: &Arc<dyn FileSystem>,
        directory: &Path,
        base_offset: Offset,
        now: UnixMillis,
    ) -> Self {
        let path = FileKind::Log.path(directory, base_offset);
        let file = Arc::new(LazyFile::unopened(Arc::clone(fs), path));
        Self::empty(fs, directory, base_offset, file, now)
    }

    /// A segment whose batches are about to be written to a file that will have its name.
    pub(crate) fn written(
        fs: &Arc<dyn FileSystem>,
        directory: &Path,
        base_offset: Offset,
        handle: Arc<dyn File>,
        now: UnixMillis,
    ) -> Self {
        let path = FileKind::Log.path(directory, base_offset);
        let file = Arc::new(LazyFile::opened(Arc::clone(fs), path, handle));
        Self::empty(fs, directory, base_offset, file, now)
    }

    fn empty(
        fs: &Arc<dyn FileSystem>,
        directory: &Path,
        base_offset: Offset,
        file: Arc<LazyFile>,
        now: UnixMillis,
    ) -> Self {
        let index = FileKind::Index.path(directory, base_offset);
        let time_index = FileKind::TimeIndex.path(directory, base_offset);
        let transaction_index = FileKind::TransactionIndex.path(directory, base_offset);
        Self {
            base_offset,
            next_offset: base_offset,
            file,
            size_bytes: 0,
            offset_index: Index::new(fs, index, 0, None),
            time_index: Index::new(fs, time_index, 0, None),
            aborted: TransactionIndex::new(fs, transaction_index, 0, None),
            max_timestamp: None,
            first_timestamp: None,
            created_at: now,
            bytes_since_index_entry: 0,
        }
    }

    /// Takes note of a batch that stands at the end of what was known so far.
    pub(crate) fn note(&mut self, header: &BatchHeader, index_interval_bytes: usize) {
        let timestamp = header.max_timestamp;
        if timestamp.0 >= 0 && self.max_timestamp.is_none_or(|(max, _)| timestamp > max) {
            self.max_timestamp = Some((timestamp, header.last_offset()));
        }
        if self.size_bytes == 0 {
            self.first_timestamp = (timestamp.0 >= 0).then_some(timestamp);
        }
        // We close a segment before it has 2 GiB; a file that somebody put there may be longer than an index can say, and is scanned from its last entry.
        if self.bytes_since_index_entry > index_interval_bytes
            && let Ok(position) = u32::try_from(self.size_bytes)
        {
            let relative_offset = relative(self.base_offset, header.last_offset());
            self.offset_index.push(OffsetEntry { relative_offset, position });
            self.push_time_entry();
            self.bytes_since_index_entry = 0;
        }
        self.bytes_since_index_entry += header.size_bytes;
        self.size_bytes += in_file(header.size_bytes);
        self.next_offset = header.next_offset();
    }

    /// Takes note that no batch will follow: the time index gets its last entry, by which a reopened segment knows its greatest timestamp.
    pub(crate) fn close(&mut self) {
        self.push_time_entry();
    }

    /// Lets go of the file, which is opened again by whoever reads it; its bytes must be durable. A broker has many closed segments, and most are never read again.
    /// One that nobody has opened stays, so that a clean can open it for all who have planned to read it.
    pub(crate) fn close_file(&mut self, fs: &Arc<dyn FileSystem>) {
        self.offset_index.close_file(fs);
        self.time_index.close_file(fs);
        if !self.file.is_open() {
            return;
        }
        self.file = Arc::new(LazyFile::unopened(Arc::clone(fs), self.file.path().to_owned()));
    }

    fn push_time_entry(&mut self) {
        if let Some((timestamp, offset)) = self.max_timestamp {
            let relative_offset = relative(self.base_offset, offset);
            self.time_index.push(TimeEntry { timestamp: timestamp.0, relative_offset });
        }
    }

    /// Says whether a batch must go to a new segment (Kafka's `LogSegment.shouldRoll`). An empty segment takes any batch whose offsets it can express.
    pub(crate) fn must_roll(
        &self,
        header: &BatchHeader,
        config: &LogConfig,
        now: UnixMillis,
    ) -> bool {
        let offset_overflow = header.last_offset() - self.base_offset > i64::from(i32::MAX);
        if self.size_bytes == 0 {
            return offset_overflow;
        }
        let limit = u64::try_from(config.segment_bytes.min(MAX_SEGMENT_BYTES));
        let size = in_file(header.size_bytes);
        let index_full =
            (self.offset_index.len() + 1) * OffsetEntry::BYTES > config.segment_index_bytes;
        offset_overflow
            || index_full
            || self.size_bytes + size > limit.expect("a size in memory fits 64 bits")
            || self.is_older_than(self.maximum_age(config), header.max_timestamp, now)
    }

    /// Kafka measures by the timestamps of the batches when the first one has any, else by the clock.
    fn is_older_than(&self, age: Duration, timestamp: UnixMillis, now: UnixMillis) -> bool {
        let elapsed = match self.first_timestamp {
            Some(first) if timestamp.0 >= 0 => timestamp.0.saturating_sub(first.0),
            _ => now.0.saturating_sub(self.created_at.0),
        };
        i64::try_from(age.as_millis()).is_ok_and(|age| elapsed > age)
    }

    /// The jitter differs from segment to segment, and is the same each time it is asked for.
    fn maximum_age(&self, config: &LogConfig) -> Duration {
        let age = config.greatest_segment_age();
        let jitter = u64::try_from(config.segment_jitter.as_millis()).unwrap_or(u64::MAX);
        let seed = self.created_at.0 ^ self.base_offset.0;
        let seed = u64::from_ne_bytes(seed.to_ne_bytes()).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let earlier = if jitter == 0 { 0 } else { seed % jitter };
        age.saturating_sub(Duration::from_millis(earlier))
    }

    /// Returns the segment as it stands, to be read off the lock.
    pub(crate) fn view(&self) -> SegmentView {
        SegmentView {
            base_offset: self.base_offset,
            file: Arc::clone(&self.file),
            size_bytes: self.size_bytes,
        }
    }

    /// Returns the segment and its offset index as they stand, to be searched off the lock.
    pub(crate) fn indexed_view(&self) -> IndexedView {
        IndexedView {
            view: self.view(),
            next_offset: self.next_offset,
            offsets: self.offset_index.view(),
        }
    }

    /// Begins the search for the batch that holds an offset.
    pub(crate) fn locator(&self, offset: Offset) -> Locator {
        let search = self.offset_index.search(relative(self.base_offset, offset));
        Locator { view: self.view(), search, offset }
    }
}

/// Positions in an index have 32 bits, and Kafka reads them as signed.
const MAX_SEGMENT_BYTES: usize = 0x7fff_ffff;
