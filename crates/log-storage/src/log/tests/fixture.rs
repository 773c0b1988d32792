//! A log on some disk, with the steps that its owner would take.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use model::record_batch::{BatchHeader, Batches};
use model::{LeaderEpoch, Offset, TopicId, TopicPartition, TransactionVersion, UnixMillis};

use crate::checkpoint_files::Checkpoints;
use crate::config::LogConfig;
use crate::error::{
    AppendError, FatalError, FatalHandler, FollowerAppendError, OpenError, ReadError,
};
use crate::file_system::{FileSystem, OsFileSystem, SimulatedDisk};
use crate::log::{
    AppendOrigin, AppendOutcome, Appended, FollowerAppend, LeaderAppend, Log, OpenOptions,
};
use crate::producers::ProducerTracking;
use crate::producers::verification::VerificationGuard;
use crate::reads::read_plan::{Minimum, ReadRequest};
use crate::recovery::Recovery;
use crate::test_batches::BatchSpec;

pub(super) const NOW: UnixMillis = UnixMillis(1_000_000);

/// Where a log lives, across restarts.
pub(super) struct Home {
    pub(super) fs: Arc<dyn FileSystem>,
    pub(super) root: PathBuf,
    _directory: Option<tempfile::TempDir>,
}

impl Home {
    pub(super) fn real() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().to_owned();
        let home = Self { fs: Arc::new(OsFileSystem), root, _directory: Some(directory) };
        home.prepare();
        home
    }

    pub(super) fn on(disk: &SimulatedDisk) -> Self {
        let home =
            Self { fs: Arc::new(disk.clone()), root: PathBuf::from("data"), _directory: None };
        home.fs.create_dir(&home.root).unwrap();
        home.prepare();
        home.fs.sync_dir(Path::new("")).unwrap();
        home
    }

    /// The same place after a crash, when everything in it exists already.
    pub(super) fn again(disk: &SimulatedDisk) -> Self {
        Self { fs: Arc::new(disk.clone()), root: PathBuf::from("data"), _directory: None }
    }

    fn prepare(&self) {
        self.fs.create_dir(&self.log_directory()).unwrap();
        self.fs.sync_dir(&self.root).unwrap();
    }

    pub(super) fn log_directory(&self) -> PathBuf {
        self.root.join("t-0")
    }

    pub(super) fn try_open(&self, config: LogConfig) -> Result<(Log, Recovery), OpenError> {
        self.open_as(config, ProducerTracking::Tracked)
    }

    pub(super) fn open_untracked(&self, config: LogConfig) -> (Log, Recovery) {
        self.open_as(config, ProducerTracking::Untracked).unwrap()
    }

    fn open_as(
        &self,
        config: LogConfig,
        producers: ProducerTracking,
    ) -> Result<(Log, Recovery), OpenError> {
        let checkpoints = Checkpoints::load(Arc::clone(&self.fs), &self.root)?;
        let partition = TopicPartition { topic: "t".to_owned(), partition: 0 };
        let options = OpenOptions {
            config,
            checkpoint: checkpoints.register(partition, TopicId::from_bytes([1; 16])),
            producers,
            reserve: None,
            fatal: FatalHandler::ignore(),
            now: NOW,
        };
        Log::open(Arc::clone(&self.fs), &self.log_directory(), options)
    }

    pub(super) fn open(&self, config: LogConfig) -> (Log, Recovery) {
        self.try_open(config).unwrap()
    }
}

/// Small segments and an index entry for every batch.
pub(super) fn small() -> LogConfig {
    LogConfig { segment_bytes: 500, index_interval_bytes: 0, ..LogConfig::default() }
}

impl Log {
    pub(super) fn lead(
        &mut self,
        epoch: i32,
        spec: BatchSpec,
    ) -> Result<AppendOutcome, AppendError> {
        let append = LeaderAppend {
            leader_epoch: LeaderEpoch(epoch),
            now: NOW,
            origin: AppendOrigin::Client,
            verification: None,
        };
        self.append_as_leader(&mut spec.bytes(), append)
    }

    /// Appends with a guard, as a client whose batch was verified.
    pub(super) fn lead_verified(
        &mut self,
        epoch: i32,
        spec: BatchSpec,
        verification: Option<VerificationGuard>,
    ) -> Result<AppendOutcome, AppendError> {
        let append = LeaderAppend {
            leader_epoch: LeaderEpoch(epoch),
            now: NOW,
            origin: AppendOrigin::Client,
            verification,
        };
        self.append_as_leader(&mut spec.bytes(), append)
    }

    /// Appends a batch of a transaction, verified if it is the first.
    pub(super) fn try_lead_in_transaction(
        &mut self,
        epoch: i32,
        spec: BatchSpec,
    ) -> Result<AppendOutcome, AppendError> {
        let producer = spec.header().producer.unwrap();
        let guard = self.begin_verification(producer, TransactionVersion::V0, NOW);
        self.lead_verified(epoch, spec, guard)
    }

    pub(super) fn lead_in_transaction(&mut self, epoch: i32, spec: BatchSpec) {
        self.try_lead_in_transaction(epoch, spec).unwrap();
    }

    /// Appends a marker.
    pub(super) fn mark_of(
        &mut self,
        epoch: i32,
        spec: BatchSpec,
        version: TransactionVersion,
    ) -> Result<AppendOutcome, AppendError> {
        let append = LeaderAppend {
            leader_epoch: LeaderEpoch(epoch),
            now: NOW,
            origin: AppendOrigin::TransactionMarker(version),
            verification: None,
        };
        self.append_as_leader(&mut spec.bytes(), append)
    }

    /// Appends the marker of a producer, by a coordinator of epoch 0, in leader epoch 0.
    pub(super) fn mark(
        &mut self,
        producer_id: i64,
        producer_epoch: i16,
        commits: bool,
        version: TransactionVersion,
    ) -> Result<AppendOutcome, AppendError> {
        let spec = BatchSpec::marker(commits, 0).producer(producer_id, producer_epoch, -1);
        self.mark_of(0, spec, version)
    }

    pub(super) fn lead_times(&mut self, count: i32, epoch: i32, spec: BatchSpec) {
        for _ in 0..count {
            self.lead(epoch, spec).unwrap();
        }
    }

    pub(super) fn follow(
        &mut self,
        epoch: i32,
        bytes: &[u8],
    ) -> Result<Option<Appended>, FollowerAppendError> {
        self.append_as_follower(
            bytes,
            FollowerAppend { leader_epoch: LeaderEpoch(epoch), now: NOW },
        )
    }

    pub(super) fn flush_now(&mut self) -> Result<(), FatalError> {
        if let Some(flush) = self.begin_flush() {
            self.complete_flush(flush.run()?);
        }
        Ok(())
    }

    pub(super) fn checkpoint_now(&mut self) -> Result<(), FatalError> {
        if let Some(checkpoint) = self.begin_checkpoint() {
            self.complete_checkpoint(checkpoint.run()?);
        }
        self.options.checkpoint.persist()
    }

    pub(super) fn read_from(&self, from: i64, max_bytes: usize) -> Result<Bytes, ReadError> {
        self.read(ReadRequest {
            from: Offset(from),
            upper_bound: self.log_end_offset(),
            max_bytes,
            minimum: Minimum::OneBatch,
        })?
        .execute()
    }

    pub(super) fn segment_base_offsets(&self) -> Vec<Offset> {
        self.segments.iter().map(|segment| segment.base_offset).collect()
    }

    pub(super) fn last_epoch(&self) -> Option<LeaderEpoch> {
        self.epochs.latest()
    }

    /// Reads the whole log, segment by segment.
    pub(super) fn headers(&self) -> Vec<BatchHeader> {
        self.headers_below(self.log_end_offset().0)
    }

    /// Reads what is below an offset, segment by segment.
    pub(super) fn headers_below(&self, upper: i64) -> Vec<BatchHeader> {
        let mut headers: Vec<BatchHeader> = Vec::new();
        loop {
            let next =
                headers.last().map_or_else(|| self.log_start_offset(), BatchHeader::next_offset);
            let request = ReadRequest {
                from: next,
                upper_bound: Offset(upper),
                max_bytes: 1_000_000,
                minimum: Minimum::OneBatch,
            };
            let bytes = self.read(request).unwrap().execute().unwrap();
            if bytes.is_empty() {
                return headers;
            }
            headers.extend(Batches::whole(&bytes).map(|batch| batch.unwrap().header));
        }
    }
}

/// A transactional producer of version 2: its epoch grows with each transaction.
pub(super) struct TxnClient {
    id: i64,
    epoch: i16,
    sequence: i32,
}

impl TxnClient {
    pub(super) fn new(id: i64) -> Self {
        Self { id, epoch: 0, sequence: 0 }
    }

    /// Appends a batch of the present transaction.
    pub(super) fn try_write(
        &mut self,
        log: &mut Log,
        epoch: i32,
        count: i32,
    ) -> Result<AppendOutcome, AppendError> {
        let known = log.active_producers();
        let known = known.iter().find(|known| known.id.0 == self.id);
        // After a crash or a truncation it goes on where the log says.
        if let Some(known) = known {
            self.epoch = known.epoch.0;
            self.sequence = known.last_sequence.map_or(0, |last| last + 1);
        } else {
            self.sequence = 0;
        }
        let spec = BatchSpec::new(count).producer(self.id, self.epoch, self.sequence);
        log.try_lead_in_transaction(epoch, spec.transactional())
    }

    pub(super) fn write(&mut self, log: &mut Log, epoch: i32, count: i32) {
        assert!(matches!(self.try_write(log, epoch, count), Ok(AppendOutcome::Appended(_))));
    }

    /// Ends the present transaction.
    pub(super) fn try_end(
        &mut self,
        log: &mut Log,
        epoch: i32,
        commits: bool,
    ) -> Result<AppendOutcome, AppendError> {
        let known = log.active_producers();
        let known = known.iter().find(|known| known.id.0 == self.id);
        let next = known.map_or(self.epoch, |known| known.epoch.0) + 1;
        let spec = BatchSpec::marker(commits, 0).producer(self.id, next, -1);
        log.mark_of(epoch, spec, TransactionVersion::V2)
    }

    pub(super) fn end(&mut self, log: &mut Log, epoch: i32, commits: bool) {
        self.try_end(log, epoch, commits).unwrap();
    }
}

pub(super) fn offsets(headers: &[BatchHeader]) -> Vec<i64> {
    headers.iter().map(|header| header.base_offset.0).collect()
}
