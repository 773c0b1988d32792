//! All partitions of this broker: opened at the start, then created, removed and stepped as the image says.
//!
//! Owns the order of a broker's life: open and prove, register, start, apply one image after the other, close. Nothing leads, follows, truncates or deletes before
//! [`Replicas::start`], which needs an image that has applied the registration (design rule 3a.6).

mod background;
mod cleaner;
mod create;
mod gauges;
mod open;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};

use log_storage::{Checkpoints, DiskReserve, FatalError, FatalHandler, FileSystem, Flusher, Log};
use model::{BrokerId, Clock, DirectoryId, TopicIdPartition, TopicPartition};
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;

use self::gauges::ReplicaGauges;
use self::open::OpenedReplica;
use crate::config::ReplicationConfig;
use crate::image_update::{
    AssignedPartition, DirectoryProof, ImageUpdate, PartitionChange, Registration,
};
use crate::local_broker::{LocalBroker, Running};
use crate::metrics::ReplicationMetrics;
use crate::partition::{Generation, Options};
use crate::partition_handle::{Host, NewReplica, Outboxes, PartitionHandle, Timers};
use crate::requests::{ReplicaRequest, Requests};
use crate::storage::Storage;
use crate::storage::partition_directory::LostMark;
use crate::stream::leader_end::{ReplicationService, Streams};
use crate::stream::{GrpcService, Services, tune_server};

/// What [`Replicas::open`] needs.
#[derive(Clone, Debug)]
pub struct ReplicasOptions {
    /// This broker.
    pub broker_id: BrokerId,
    /// Identity of the data directory.
    pub directory_id: DirectoryId,
    /// The data directory, which exists and which the caller holds locked.
    pub data_dir: PathBuf,
    /// How many logs are recovered at once (`num.recovery.threads.per.data.dir`); 1 or greater.
    pub recovery_threads: usize,
    /// Access to the disk.
    pub fs: Arc<dyn FileSystem>,
    /// The storage threads of the data directory.
    pub flusher: Flusher,
    /// Hears of the first fatal error.
    pub fatal: FatalHandler,
    /// The broker's clock.
    pub clock: Clock,
    /// Settings.
    pub config: ReplicationConfig,
    /// The counters, which the flusher's observer may share.
    pub metrics: ReplicationMetrics,
}

/// Why the replicas of a data directory could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenReplicasError {
    /// The directory could not be read.
    #[error("the data directory {} cannot be read", path.display())]
    Directory {
        /// The data directory.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A checkpoint file or a log could not be opened.
    #[error("a log cannot be opened")]
    Log(#[from] log_storage::OpenError),
}

/// All partitions of this broker.
#[derive(Debug)]
pub struct Replicas {
    local: Arc<LocalBroker>,
    /// The streams that followers have open to this broker.
    streams: Arc<Streams>,
    /// Logs that were opened and wait for [`Replicas::start`].
    opened: Mutex<HashMap<TopicIdPartition, OpenedReplica>>,
    pending: Mutex<Pending>,
    created: Notify,
}

/// Directories that come and go.
#[derive(Debug, Default)]
struct Pending {
    /// Replicas that are being created, with the newest image of each.
    creating: HashMap<TopicIdPartition, AssignedPartition>,
    /// Those of them that the disk had no room for when they were last tried.
    without_room: HashSet<TopicIdPartition>,
    /// Names whose directories are being deleted, with the replicas that wait for the name: a topic that was deleted and created again.
    deleting: HashMap<TopicPartition, Vec<TopicIdPartition>>,
    /// Replicas that were found damaged at the start, until another broker leads and they can be cut and fetched again: nothing is created in their place.
    damaged: HashMap<TopicIdPartition, OpenedReplica>,
}

impl Replicas {
    /// Opens and recovers all logs of the data directory, several at once. Blocks. Returns with it what the registration must say about the disk.
    ///
    /// # Errors
    /// [`OpenReplicasError`] names what cannot be read.
    pub fn open(
        options: ReplicasOptions,
    ) -> Result<(Arc<Self>, DirectoryProof), OpenReplicasError> {
        let checkpoints = Checkpoints::load(Arc::clone(&options.fs), &options.data_dir)?;
        let storage = Storage {
            reserve: Arc::new(DiskReserve::new(Arc::clone(&options.fs), &options.data_dir)),
            fs: options.fs,
            data_dir: options.data_dir,
            flusher: options.flusher,
            checkpoints,
            fatal_handler: options.fatal,
        };
        let wall = options.clock.wall();
        let (opened, proof) = open::open_all(&storage, options.recovery_threads, wall)?;
        let host = Host {
            broker_id: options.broker_id,
            clock: options.clock,
            metrics: options.metrics,
            storage,
            timers: Timers::default(),
            requests: Requests::default(),
            outboxes: Outboxes::default(),
        };
        let replicas = Arc::new(Self {
            local: Arc::new(LocalBroker::new(options.directory_id, options.config, host)),
            streams: Arc::default(),
            opened: Mutex::new(opened),
            pending: Mutex::default(),
            created: Notify::new(),
        });
        Ok((replicas, proof))
    }

    /// Begins to serve after the registration, on the runtime that it is called on. Blocks for as long as it takes to set stray directories aside.
    ///
    /// `image` holds every registered broker and every partition assigned to this broker, from the broker's first image that has applied the registration.
    /// Directories that it does not name are renamed `-stray` and kept. Starts the background tasks. Called once.
    ///
    /// # Panics
    /// When called twice, or outside of a runtime.
    pub fn start(
        self: &Arc<Self>,
        registration: Registration,
        image: ImageUpdate,
        tasks: &TaskTracker,
        stop: CancellationToken,
    ) {
        let (tasks, runtime) = (tasks.clone(), Handle::current());
        self.local.start(Running { registration, tasks, stop, runtime });
        self.adopt_opened(&image);
        self.apply(image);
        self.spawn_background();
    }

    /// Applies one step of the image. Called by the image applier alone, one step after the other in log order. New replicas are created in the background: see
    /// [`Self::settled`].
    ///
    /// # Panics
    /// When called before [`Self::start`].
    pub fn apply(self: &Arc<Self>, update: ImageUpdate) {
        assert!(self.local.running().is_some(), "an image is applied after the start");
        if !update.brokers.is_empty() {
            self.local.note_registered(&update.brokers);
            for broker in &update.brokers {
                self.streams.broker_registered(broker);
            }
        }
        let mut new = Vec::new();
        for change in update.partitions {
            match change {
                PartitionChange::Assigned(assigned) => new.extend(self.assign(assigned)),
                PartitionChange::Removed(id) => self.remove(id),
            }
        }
        self.create(new);
    }

    /// Waits until each replica that an applied image asked for is there, or has found no room on the disk.
    pub async fn settled(&self) {
        loop {
            let created = self.created.notified();
            let is_settled = {
                let pending = self.pending();
                pending.creating.keys().all(|id| pending.without_room.contains(id))
            };
            if is_settled {
                return;
            }
            created.await;
        }
    }

    /// Waits until a partition's replica is there and knows its role. For the caller to bound: one that no image assigns to this broker never comes.
    pub async fn made(&self, id: &TopicIdPartition) -> Arc<PartitionHandle> {
        loop {
            let created = self.created.notified();
            // Under the lock of those that make it, which hold it until the new replica has taken in its first image.
            let replica = {
                let _pending = self.pending();
                self.get(id)
            };
            if let Some(replica) = replica {
                return replica;
            }
            created.await;
        }
    }

    /// Returns a partition's replica on this broker.
    #[must_use]
    pub fn get(&self, id: &TopicIdPartition) -> Option<Arc<PartitionHandle>> {
        self.local.partition(id)
    }

    /// Says whether a replica is not there because the disk has no room for it (KAFKA_STORAGE_ERROR). It is created as soon as there is room.
    #[must_use]
    pub fn is_without_room(&self, id: &TopicIdPartition) -> bool {
        self.pending().without_room.contains(id)
    }

    /// Returns all replicas of this broker, in no order.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<PartitionHandle>> {
        self.local.partitions().values().cloned().collect()
    }

    /// Says whether this broker follows a leader and has no stream to it at this moment: it may have died just now. No proof, and soon over when it lives.
    #[must_use]
    pub fn is_cut_off_from(&self, leader: BrokerId) -> bool {
        self.local.host.outboxes.is_cut_off_from(leader)
    }

    /// Waits for the next request to the controller. For one caller. A request that could not be carried may be dropped: it is repeated.
    pub async fn next_request(&self) -> ReplicaRequest {
        self.local.host.requests.next().await
    }

    /// Serves the replication streams on a listener until the token is cancelled and the streams have ended. What is called by another path goes to `others`: what else brokers say to
    /// one another on this port.
    ///
    /// # Errors
    /// When the listener fails.
    pub async fn serve(
        &self,
        listener: TcpListener,
        others: impl GrpcService,
        stop: CancellationToken,
    ) -> Result<(), tonic::transport::Error> {
        let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
        let services = Services::new(self.service().into_server(), others);
        tune_server(Server::builder())
            .serve_with_incoming_shutdown(services, incoming, stop.cancelled_owned())
            .await
    }

    /// Returns the gRPC service that followers open their streams to.
    pub(crate) fn service(&self) -> ReplicationService {
        ReplicationService::new(Arc::clone(&self.local), Arc::clone(&self.streams))
    }

    /// Registers counters and gauges.
    pub fn register_metrics(&self, registry: &mut Registry) {
        self.local.host.metrics.register(registry);
        registry.register_collector(Box::new(ReplicaGauges::new(Arc::clone(&self.local))));
    }

    /// Ends the storage threads, flushes all logs, writes all checkpoints and lets go of the partitions, after the tasks were stopped. Blocks. With it done, the broker
    /// may write its clean mark.
    ///
    /// # Errors
    /// The fatal error of the storage, already reported.
    pub fn close(&self) -> Result<(), FatalError> {
        // First, so that no checkpoint and no truncation is under way: a log has one at a time, and what was appended after it began would be left out.
        self.local.host.storage.flusher.stop();
        for partition in self.local.partitions().values() {
            partition.checkpoint()?;
        }
        self.local.host.storage.checkpoints.persist()?;
        // Also for whoever holds on to this: the logs close their files.
        self.local.remove_all_partitions();
        Ok(())
    }

    /// Steps the image of a replica that is there or on its way; gives it back when it is neither.
    fn assign(&self, assigned: AssignedPartition) -> Option<AssignedPartition> {
        let mut pending = self.pending();
        if let Some(waiting) = pending.creating.get_mut(&assigned.id) {
            *waiting = assigned;
            return None;
        }
        let damaged = pending.damaged.remove(&assigned.id);
        drop(pending);
        if let Some(replica) = damaged {
            self.adopt(&assigned, replica);
        }
        if self.pending().damaged.contains_key(&assigned.id) {
            return None;
        }
        let Some(partition) = self.local.partition(&assigned.id) else { return Some(assigned) };
        partition.metadata_changed(assigned.metadata, &assigned.config);
        None
    }

    /// Makes the replica of an opened log. It is offline until its first image.
    ///
    /// # Panics
    /// Before the broker is registered: a machine belongs to one registration.
    fn new_partition(
        &self,
        id: TopicIdPartition,
        name: TopicPartition,
        log: Log,
        mark: LostMark,
    ) -> Arc<PartitionHandle> {
        let running = self.local.running().expect("replicas are made after the registration");
        let (config, host) = (&self.local.config, &self.local.host);
        let options = Options {
            broker_id: host.broker_id,
            broker_epoch: running.registration.broker_epoch,
            replica_lag_time_max: config.replica_lag_time_max,
            broker_session_timeout: config.broker_session_timeout,
            // Nanoseconds since the start outrun any count of positions, so a replica that comes back here begins above its predecessor's.
            first_generation: Generation(host.clock.now().0.max(1)),
        };
        let checkpoint = host.storage.checkpoints.register(name.clone(), id.topic_id);
        let high_watermark = checkpoint.high_watermark();
        PartitionHandle::new(host, options, NewReplica { id, name, log, high_watermark, mark })
    }

    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().expect("a panic ends the process, so no lock is ever poisoned")
    }
}
