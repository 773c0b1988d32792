//! What all partitions of a broker share.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};

use arc_swap::ArcSwap;
use log_storage::{
    Checkpoints, DiskReserve, FatalError, FatalHandler, FileSystem, Flusher, Log, Retirement,
};
use model::{BrokerId, Clock, DirectoryId, TopicIdPartition, TopicPartition};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::ReplicationConfig;
use crate::image_update::RegisteredBroker;
use crate::metrics::ReplicationMetrics;
use crate::partition::{
    EpochEntry, Generation, LogState, OpenedLog, Options, Partition, TruncationGeneration,
};
use crate::partition_handle::{NewReplica, PartitionHandle};
use crate::replicas::Registration;
use crate::requests::Requests;
use crate::storage::partition_directory::{self as directory, LostMark};
use crate::stream::follower_end::fetchers::Fetchers;
use crate::stream::leader_end::service::Streams;
use crate::timers::Timers;

/// What all partitions of a broker share.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) broker_id: BrokerId,
    pub(crate) directory_id: DirectoryId,
    pub(crate) clock: Clock,
    pub(crate) config: ReplicationConfig,
    pub(crate) flusher: Flusher,
    pub(crate) storage: Storage,
    pub(crate) metrics: ReplicationMetrics,
    /// Every replica of this broker. Replaced as a whole, so that a look-up takes no lock.
    pub(crate) partitions: ArcSwap<HashMap<TopicIdPartition, Arc<PartitionHandle>>>,
    /// Every registered broker, by the image.
    pub(crate) brokers: ArcSwap<HashMap<BrokerId, RegisteredBroker>>,
    /// Set once, when the broker was registered and begins to serve.
    pub(crate) running: OnceLock<Running>,
    pub(crate) timers: Timers,
    pub(crate) requests: Requests,
    pub(crate) fetchers: Fetchers,
    pub(crate) streams: Streams,
}

/// The data directory.
#[derive(Debug)]
pub(crate) struct Storage {
    pub(crate) fs: Arc<dyn FileSystem>,
    pub(crate) data_dir: PathBuf,
    pub(crate) checkpoints: Arc<Checkpoints>,
    pub(crate) reserve: Arc<DiskReserve>,
    pub(crate) fatal: FatalHandler,
}

/// What is known once the broker is registered.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) registration: Registration,
    pub(crate) tasks: TaskTracker,
    pub(crate) stop: CancellationToken,
    pub(crate) runtime: Handle,
}

impl Context {
    /// Returns a partition's replica on this broker.
    pub(crate) fn partition(&self, id: &TopicIdPartition) -> Option<Arc<PartitionHandle>> {
        self.partitions.load().get(id).cloned()
    }

    /// Makes the replica of an opened log. It is offline until its first image.
    ///
    /// # Panics
    /// Before the broker is registered: a machine belongs to one registration.
    pub(crate) fn new_partition(
        self: &Arc<Self>,
        id: TopicIdPartition,
        name: TopicPartition,
        log: Log,
        mark: LostMark,
    ) -> Arc<PartitionHandle> {
        let running = self.running.get().expect("replicas are made after the registration");
        let options = Options {
            broker_id: self.broker_id,
            broker_epoch: running.registration.broker_epoch,
            replica_lag_time_max: self.config.replica_lag_time_max,
            broker_session_timeout: self.config.broker_session_timeout,
            // Nanoseconds since the start outrun any count of positions, so a replica that comes back here begins above its predecessor's.
            first_generation: Generation(self.clock.now().0.max(1)),
        };
        let epochs = log
            .epoch_entries()
            .iter()
            .map(|entry| EpochEntry { epoch: entry.epoch, start_offset: entry.start_offset });
        let opened = OpenedLog {
            log: LogState {
                log_start_offset: log.log_start_offset(),
                log_end_offset: log.log_end_offset(),
                flushed_offset: log.flushed_offset(),
                truncation_generation: TruncationGeneration(log.truncation_generation().0),
            },
            high_watermark: Some(
                self.storage.checkpoints.register(name.clone(), id.topic_id).high_watermark(),
            ),
            epochs: epochs.collect(),
        };
        let machine = Partition::new(options, opened);
        PartitionHandle::new(self, NewReplica { id, name, machine, log, mark })
    }

    /// Makes replicas visible.
    pub(crate) fn add_partitions(&self, partitions: Vec<Arc<PartitionHandle>>) {
        self.partitions.rcu(|known| {
            let mut known = HashMap::clone(known);
            known
                .extend(partitions.iter().map(|partition| (partition.id(), Arc::clone(partition))));
            known
        });
    }

    /// Stops a replica and makes it invisible. Its directory may be deleted once the retirement has run.
    pub(crate) fn remove_partition(&self, partition: &Arc<PartitionHandle>) -> Retirement {
        self.partitions.rcu(|known| {
            let mut known = HashMap::clone(known);
            known.remove(&partition.id());
            known
        });
        let retirement = partition.remove();
        self.streams.partition_removed(partition);
        retirement
    }

    /// Runs a job on a storage thread; on this thread when their queue is full, since none of these jobs may be lost.
    pub(crate) fn run_job(&self, job: impl FnOnce() + Send + 'static) {
        let slot = Arc::new(Mutex::new(Some(job)));
        let queued = Arc::clone(&slot);
        if self.flusher.run(move || run_once(&queued)).is_err() {
            run_once(&slot);
        }
    }

    /// Ends the process by the storage's fatal handler.
    pub(crate) fn fatal(&self, error: &FatalError) {
        self.flusher.fatal(error);
    }

    /// Ends the process because a change of the data directory failed.
    pub(crate) fn storage_failed(&self, operation: &'static str, path: &Path, error: io::Error) {
        self.fatal(&FatalError { operation, path: path.to_owned(), source: Arc::new(error) });
    }

    /// Takes a lost mark away, durably. Blocks.
    pub(crate) fn remove_lost_mark(&self, path: &Path) {
        if let Err(error) = directory::remove_lost_mark(self.storage.fs.as_ref(), path) {
            self.storage_failed("removing", path, error);
        }
    }
}

fn run_once(slot: &Mutex<Option<impl FnOnce()>>) {
    let job = slot.lock().expect("a panic ends the process, so no lock is ever poisoned").take();
    if let Some(job) = job {
        job();
    }
}
