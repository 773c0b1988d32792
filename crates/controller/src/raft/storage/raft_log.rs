//! Raft's entries in a segment log of ours: offset = Raft index, batch leader epoch = term, one record per entry.
//!
//! Owns the translation; blocks, and is used by the storage thread alone. Invariant: no holes, and an index that was purged is never
//! written again below the purge.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use log_storage::{
    Checkpoints, DelayedRemoval, FatalHandler, FileSystem, FollowerAppend, Log, LogConfig, Minimum,
    OpenOptions, ProducerTracking, ReadRequest,
};
use model::record_batch::{BatchBuilder, BatchOptions, Batches, NewRecord, Records};
use model::{Clock, LeaderEpoch, Offset, TopicId, TopicPartition};
use prost::Message;

use super::small_file;
use crate::raft::codec::{self, log_id, term_of};
use crate::raft::types::{Entry, LogId};

/// Name of the log's directory in the data directory.
pub(crate) const LOG_DIR: &str = "__cluster_metadata-0";
const METADATA_TOPIC: &str = "__cluster_metadata";
/// Largest record that is read back; beyond it the log is damaged.
const MAX_RECORD_BYTES: usize = 64 << 20;
/// Bytes fetched by one read of a range.
const READ_BYTES: usize = 4 << 20;

/// The log, with what openraft wants to know of it.
#[derive(Debug)]
pub(crate) struct RaftLog {
    log: Log,
    fs: Arc<dyn FileSystem>,
    data_dir: PathBuf,
    clock: Clock,
    checkpoints: Arc<Checkpoints>,
    purged: Option<LogId>,
}

/// Kafka's id of the topic `__cluster_metadata`.
fn metadata_topic_id() -> TopicId {
    TopicId::from_bytes(1_u128.to_be_bytes())
}

fn other(error: impl std::error::Error + Send + Sync + 'static) -> io::Error {
    io::Error::other(error)
}

fn offset_of(index: u64) -> io::Result<Offset> {
    i64::try_from(index).map(Offset).map_err(other)
}

fn index_of(offset: Offset) -> io::Result<u64> {
    u64::try_from(offset.0).map_err(other)
}

fn epoch_of(term: u64) -> io::Result<LeaderEpoch> {
    i32::try_from(term).map(LeaderEpoch).map_err(other)
}

fn term_of_epoch(epoch: LeaderEpoch) -> io::Result<u64> {
    u64::try_from(epoch.0).map_err(other)
}

fn damaged(what: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.into())
}

/// What opening found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// The last purged log id.
    pub(crate) purged: Option<LogId>,
    /// The last log id present, or the last purged one.
    pub(crate) last: Option<LogId>,
}

impl RaftLog {
    /// Opens or creates the log and recovers it.
    pub(crate) fn open(
        fs: Arc<dyn FileSystem>,
        data_dir: &Path,
        clock: Clock,
        fatal: FatalHandler,
    ) -> io::Result<Self> {
        let directory = data_dir.join(LOG_DIR);
        fs.create_dir(&directory)?;
        fs.sync_dir(data_dir)?;
        // Checkpoint files of its own, inside its directory: the data directory's belong to the partitions, and have another writer.
        let checkpoints = Checkpoints::load(Arc::clone(&fs), &directory).map_err(other)?;
        let partition = TopicPartition { topic: METADATA_TOPIC.to_owned(), partition: 0 };
        let checkpoint = checkpoints.register(partition, metadata_topic_id());
        let options = OpenOptions {
            config: LogConfig::for_raft_log(),
            checkpoint,
            producers: ProducerTracking::Untracked,
            reserve: None,
            fatal,
            now: clock.wall(),
        };
        let (log, recovery) = Log::open(Arc::clone(&fs), &directory, options).map_err(other)?;
        if let Some(corruption) = recovery.corruption {
            return Err(damaged(format!(
                "Raft's log is damaged at index {}: {}",
                corruption.offset, corruption.reason
            )));
        }
        let purged = small_file::read_purged(fs.as_ref(), data_dir)?;
        let start = index_of(log.log_start_offset())?;
        // A log that begins later than the purge says has lost its head; the first log of a test may begin anywhere.
        if purged.is_some_and(|purged| start > purged.index() + 1) {
            return Err(damaged("the head of Raft's log is missing"));
        }
        Ok(Self { log, fs, data_dir: data_dir.to_owned(), clock, checkpoints, purged })
    }

    pub(crate) fn bounds(&self) -> io::Result<Bounds> {
        Ok(Bounds { purged: self.purged, last: self.last()?.max(self.purged) })
    }

    fn last(&self) -> io::Result<Option<LogId>> {
        if self.log.log_end_offset() <= self.first_offset()? {
            return Ok(None);
        }
        let last = self.log.log_end_offset() + -1;
        let epoch = self.log.epoch_for(last).ok_or_else(|| damaged("Raft's log has no term"))?;
        Ok(Some(log_id(term_of_epoch(epoch)?, index_of(last)?)))
    }

    fn first_offset(&self) -> io::Result<Offset> {
        let purged = self.purged.map_or(Ok(Offset::ZERO), |id| offset_of(id.index() + 1))?;
        Ok(self.log.log_start_offset().max(purged))
    }

    /// Writes entries behind the log's end, into the page cache, and returns how many bytes they take.
    pub(crate) fn append(&mut self, entries: &[Entry]) -> io::Result<usize> {
        let (Some(first), Some(last)) = (entries.first(), entries.last()) else { return Ok(0) };
        let first = offset_of(first.log_id.index())?;
        if self.log.log_end_offset() != first {
            if self.log.log_end_offset() > self.first_offset()? {
                return Err(damaged(format!("entry {first} leaves a hole in Raft's log")));
            }
            // Behind a purge of everything, or in the storage tests, an empty log begins where its first entry says.
            self.log.restart_at(first).map_err(other)?;
        }
        let now = self.clock.wall();
        let mut batches = Vec::new();
        for entry in entries {
            let options = BatchOptions {
                base_offset: offset_of(entry.log_id.index())?,
                leader_epoch: Some(epoch_of(term_of(&entry.log_id))?),
                ..BatchOptions::default()
            };
            let value = codec::encode_payload(entry).encode_to_vec();
            let mut batch = BatchBuilder::new(options);
            let record = NewRecord { timestamp: now, value: Some(&value), ..NewRecord::default() };
            batch.append(&record).map_err(other)?;
            batches.extend_from_slice(&batch.build().map_err(other)?);
        }
        let leader_epoch = epoch_of(term_of(&last.log_id))?;
        let append = FollowerAppend { leader_epoch, now };
        self.log.append_as_follower(&batches, append).map_err(other)?;
        Ok(batches.len())
    }

    /// Returns the log's size on disk.
    pub(crate) fn size_bytes(&self) -> u64 {
        self.log.size_bytes()
    }

    /// Makes everything that was appended durable.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        if let Some(flush) = self.log.begin_flush() {
            let done = flush.run().map_err(other)?;
            self.log.complete_flush(done);
        }
        Ok(())
    }

    /// Flushes, and notes the end so that the next start need not scan up to it.
    pub(crate) fn checkpoint(&mut self) -> io::Result<()> {
        self.flush()?;
        if let Some(checkpoint) = self.log.begin_checkpoint() {
            let done = checkpoint.run().map_err(other)?;
            self.log.complete_checkpoint(done);
        }
        self.checkpoints.persist().map_err(other)
    }

    /// Removes every entry behind `last`; all of them when it is `None`.
    pub(crate) fn truncate_after(&mut self, last: Option<LogId>) -> io::Result<()> {
        let end = match last {
            Some(last) => offset_of(last.index() + 1)?,
            None => self.first_offset()?,
        };
        self.log.truncate_to(end).map_err(other)
    }

    /// Removes entries up to `upto`, whose log id is remembered.
    pub(crate) fn purge(&mut self, upto: LogId) -> io::Result<()> {
        small_file::write_purged(self.fs.as_ref(), &self.data_dir, &upto)?;
        self.purged = Some(upto);
        let start = offset_of(upto.index() + 1)?;
        if self.log.log_end_offset() <= start {
            return self.log.restart_at(start).map_err(other);
        }
        match self.log.advance_log_start(start) {
            Some(removal) => removal.run().map(DelayedRemoval::run).map_err(other),
            None => Ok(()),
        }
    }

    /// Reads the entries of `first..end` that the log holds.
    pub(crate) fn read(&self, first: u64, end: u64) -> io::Result<Vec<Entry>> {
        let mut next = offset_of(first)?.max(self.first_offset()?);
        let end = offset_of(end)?.min(self.log.log_end_offset());
        let mut entries = Vec::new();
        while next < end {
            let request = ReadRequest {
                from: next,
                upper_bound: end,
                max_bytes: READ_BYTES,
                minimum: Minimum::OneBatch,
            };
            let bytes = self.log.read(request).map_err(other)?.execute().map_err(other)?;
            let before = next;
            for batch in Batches::whole(&bytes) {
                let entry = decode_batch(batch.map_err(other)?)?;
                if entry.log_id.index() != index_of(next)? {
                    return Err(damaged(format!("Raft's log has a hole at {next}")));
                }
                entries.push(entry);
                next += 1;
            }
            if next == before {
                return Err(damaged(format!("Raft's log cannot be read at {next}")));
            }
        }
        Ok(entries)
    }
}

fn decode_batch(batch: model::record_batch::Batch<'_>) -> io::Result<Entry> {
    let header = batch.header;
    let epoch = header.leader_epoch.ok_or_else(|| damaged("an entry has no term"))?;
    let id = log_id(term_of_epoch(epoch)?, index_of(header.base_offset)?);
    let records = Records::of(batch, MAX_RECORD_BYTES).map_err(other)?;
    let record = records.iter().next().ok_or_else(|| damaged("an entry has no record"))?;
    let value = record.map_err(other)?.value.ok_or_else(|| damaged("an entry is null"))?;
    codec::decode_entry(id, Bytes::copy_from_slice(value)).map_err(other)
}
