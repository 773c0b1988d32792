//! Vocabulary of the tests of compaction: batches with keys, a whole clean, what a reader finds.

use std::cell::RefCell;

use model::record_batch::{
    BatchBuilder, BatchHeader, BatchKind, BatchOptions, BatchProducer, Batches, Codec, NewRecord,
    Records, verify_crc,
};
use model::{LeaderEpoch, ProducerEpoch, ProducerId, TransactionVersion, UnixMillis};

use super::fixture::{NOW, small};
use crate::compaction::{CleanDone, CleanError, CleanStats, CleanedLog, Pace, Replacement, Swap};
use crate::config::{CleanupPolicy, LogConfig};
use crate::error::AppendError;
use crate::log::{AppendOrigin, AppendOutcome, Appended, CleanRequest, LeaderAppend, Log};

/// A record as a test writes and reads it.
pub(super) type Pair = (Option<&'static str>, Option<String>);

/// Small segments, cleaned whenever anything is dirty.
pub(super) fn compacted() -> LogConfig {
    LogConfig {
        cleanup: CleanupPolicy::Compact,
        min_cleanable_millionths: 0,
        delete_retention: std::time::Duration::ZERO,
        ..small()
    }
}

/// A batch with keys.
#[derive(Clone, Debug)]
pub(super) struct Keyed {
    pub(super) records: Vec<Pair>,
    pub(super) codec: Codec,
    pub(super) producer: Option<(i64, i16, i32)>,
    pub(super) kind: BatchKind,
    pub(super) time: i64,
}

impl Keyed {
    pub(super) fn new(records: &[(&'static str, &str)]) -> Self {
        let records = records.iter().map(|(key, value)| (Some(*key), Some((*value).to_owned())));
        Self::of(records.collect())
    }

    pub(super) fn of(records: Vec<Pair>) -> Self {
        Self { records, codec: Codec::None, producer: None, kind: BatchKind::Plain, time: NOW.0 }
    }

    pub(super) fn tombstone(key: &'static str) -> Self {
        Self::of(vec![(Some(key), None)])
    }

    /// The marker of a transaction.
    pub(super) fn marker(producer: i64, is_commit: bool) -> Self {
        // A control record has binary fields; the test reads them as text of these bytes.
        let key = if is_commit { "\0\0\0\u{1}" } else { "\0\0\0\0" };
        Self {
            producer: Some((producer, 0, -1)),
            kind: BatchKind::TransactionMarker,
            ..Self::new(&[(key, "\0\0\0\0\0\0")])
        }
    }

    pub(super) fn by(self, producer: i64, sequence: i32) -> Self {
        Self { producer: Some((producer, 0, sequence)), ..self }
    }

    pub(super) fn transactional(self) -> Self {
        Self { kind: BatchKind::Transactional, ..self }
    }

    pub(super) fn codec(self, codec: Codec) -> Self {
        Self { codec, ..self }
    }

    pub(super) fn at_time(self, time: i64) -> Self {
        Self { time, ..self }
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        let producer = self.producer.map(|(id, epoch, sequence)| BatchProducer {
            id: ProducerId(id),
            epoch: ProducerEpoch(epoch),
            base_sequence: (sequence >= 0).then_some(sequence),
        });
        let mut builder = BatchBuilder::new(BatchOptions {
            codec: self.codec,
            producer,
            kind: self.kind,
            ..BatchOptions::default()
        });
        for (key, value) in &self.records {
            let record = NewRecord {
                timestamp: UnixMillis(self.time),
                key: key.map(str::as_bytes),
                value: value.as_deref().map(str::as_bytes),
                headers: &[],
            };
            builder.append(&record).unwrap();
        }
        builder.build().unwrap()
    }
}

/// A record that a reader finds.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Found {
    pub(super) offset: i64,
    pub(super) key: Option<String>,
    pub(super) value: Option<String>,
}

impl Log {
    pub(super) fn try_write(&mut self, epoch: i32, batch: &Keyed) -> Result<Appended, AppendError> {
        let mut bytes = batch.bytes();
        let producer = producer_of(&bytes);
        let producer = producer.filter(|_| batch.kind == BatchKind::Transactional);
        let verification = producer
            .and_then(|producer| self.begin_verification(producer, TransactionVersion::V0, NOW));
        let append = LeaderAppend {
            leader_epoch: LeaderEpoch(epoch),
            now: NOW,
            verification,
            origin: match batch.kind {
                BatchKind::Plain | BatchKind::Transactional => AppendOrigin::Client,
                _ => AppendOrigin::Coordinator,
            },
        };
        match self.append_as_leader(&mut bytes, append)? {
            AppendOutcome::Appended(appended) => Ok(appended),
            AppendOutcome::Duplicate(duplicate) => panic!("{duplicate:?}"),
        }
    }

    /// Appends and returns the base offset.
    pub(super) fn write_keyed(&mut self, batch: &Keyed) -> i64 {
        self.try_write(0, batch).unwrap().base_offset.0
    }

    /// Makes all but the active segment ready to be cleaned.
    pub(super) fn close_segment(&mut self) {
        if self.segments.last().is_some_and(|active| active.size_bytes > 0) {
            self.roll_at_end(NOW).unwrap();
        }
        self.checkpoint_now().unwrap();
    }

    pub(super) fn clean_at(&mut self, now: i64) -> Option<Result<CleanStats, CleanError>> {
        let stable_offset = self.last_stable_offset(self.log_end_offset());
        let now = UnixMillis(now);
        self.clean_by(CleanRequest { now, stable_offset, map_bytes: 1 << 20 })
    }

    pub(super) fn clean_by(
        &mut self,
        request: CleanRequest,
    ) -> Option<Result<CleanStats, CleanError>> {
        let clean = self.begin_clean(request)?;
        Some(clean.run(&Owned(RefCell::new(self)), &mut |_| Pace::GoOn))
    }

    /// Cleans, when there is anything to clean.
    pub(super) fn clean_now(&mut self) -> Option<CleanStats> {
        self.clean_at(NOW.0).map(Result::unwrap)
    }

    /// Reads all records from the log start on; each batch must be whole and continue the one before.
    pub(super) fn records(&self) -> Vec<Found> {
        let mut found = Vec::new();
        let mut next = self.log_start_offset();
        while next < self.log_end_offset() {
            let bytes = self.read_from(next.0, 700).unwrap();
            assert!(!bytes.is_empty(), "nothing at {next}");
            for batch in Batches::whole(&bytes) {
                let batch = batch.unwrap();
                verify_crc(batch.bytes).unwrap();
                assert!(batch.header.base_offset <= next && batch.header.next_offset() > next);
                next = batch.header.next_offset();
                if batch.header.is_control() {
                    continue;
                }
                for record in Records::of(batch, 1 << 20).unwrap().iter() {
                    let record = record.unwrap();
                    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
                    if record.offset >= self.log_start_offset() {
                        found.push(Found {
                            offset: record.offset.0,
                            key: record.key.map(text),
                            value: record.value.map(text),
                        });
                    }
                }
            }
        }
        found
    }
}

/// A log whose owner has no lock.
struct Owned<'a>(RefCell<&'a mut Log>);

impl CleanedLog for Owned<'_> {
    fn begin_swap(&self, replacement: Replacement) -> Option<Swap> {
        self.0.borrow_mut().begin_swap(replacement)
    }

    fn complete_clean(&self, done: CleanDone) {
        self.0.borrow_mut().complete_clean(done);
    }
}

/// Offset and key of each record, for short comparisons.
pub(super) fn keys(found: &[Found]) -> Vec<(i64, &str)> {
    found.iter().map(|found| (found.offset, found.key.as_deref().unwrap_or("-"))).collect()
}

fn producer_of(batch: &[u8]) -> Option<BatchProducer> {
    BatchHeader::parse(batch).unwrap().producer
}
