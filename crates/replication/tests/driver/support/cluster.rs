//! Brokers' data planes in one process, over loopback ports.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use log_storage::{FatalHandler, FileSystem, Flusher, FlusherOptions, LogConfig, OsFileSystem};
use model::{
    Acks, BrokerEpoch, BrokerId, Clock, ClusterId, DirectoryId, LeaderEpoch, PartitionEpoch,
};
use replication::partition::{
    Assignment, Durability, Fencing, FlushPolicy, PartitionMetadata, ReplicaMetadata,
};
use replication::{
    DirectoryProof, ImageUpdate, NoOtherService, PartitionChange, PartitionHandle, ProduceError,
    Produced, RegisteredBroker, Registration, Replicas, ReplicasOptions, ReplicationConfig,
    ReplicationMetrics,
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::controller::Controller;
use super::{CLUSTER, in_time, options, partition_id};

/// A broker's data plane.
#[derive(Debug)]
pub(crate) struct Broker {
    pub(crate) id: BrokerId,
    pub(crate) epoch: BrokerEpoch,
    pub(crate) replicas: Arc<Replicas>,
    pub(crate) flusher: Flusher,
    pub(crate) proof: DirectoryProof,
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// What a broker is made with.
pub(crate) struct Setup {
    pub(crate) config: ReplicationConfig,
    pub(crate) fs: Arc<dyn FileSystem>,
    pub(crate) cluster_id: String,
    pub(crate) fatal: FatalHandler,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            config: ReplicationConfig::default(),
            fs: Arc::new(OsFileSystem),
            cluster_id: CLUSTER.to_owned(),
            fatal: FatalHandler::new(|error| panic!("fatal: {error}")),
        }
    }
}

impl Setup {
    /// A setup in which a follower may lag for so long; a tenth of it is the pace of keep-alives.
    pub(crate) fn with_lag(replica_lag_time_max: Duration) -> Self {
        let config = ReplicationConfig { replica_lag_time_max, ..ReplicationConfig::default() };
        Self { config, ..Self::default() }
    }
}

/// The brokers, and what the controller knows.
#[derive(Clone)]
pub(crate) struct Cluster {
    controller: Arc<Mutex<Controller>>,
    root: Arc<tempfile::TempDir>,
}

impl Cluster {
    fn controller(&self) -> MutexGuard<'_, Controller> {
        self.controller.lock().unwrap()
    }

    pub(crate) fn new() -> Self {
        Self { controller: Arc::default(), root: Arc::new(tempfile::tempdir().unwrap()) }
    }

    pub(crate) fn data_dir(&self, id: i32) -> PathBuf {
        self.root.path().join(format!("broker-{id}"))
    }

    /// The first segment of partition 0 on a broker.
    pub(crate) fn log_file(&self, id: i32) -> PathBuf {
        self.data_dir(id).join("topic-0/00000000000000000000.log")
    }

    /// Says whether brokers hold the same log of partition 0, byte for byte.
    pub(crate) fn have_same_log(&self, ids: &[i32]) -> bool {
        let logs: Vec<_> =
            ids.iter().map(|id| std::fs::read(self.log_file(*id)).unwrap()).collect();
        logs.windows(2).all(|pair| pair[0] == pair[1])
    }

    /// Lets the controller ignore ISR proposals, or hear them again.
    pub(crate) fn set_deaf(&self, is_deaf: bool) {
        self.controller().is_deaf = is_deaf;
    }

    pub(crate) fn set_config(&self, config: LogConfig) {
        self.controller().config = config;
    }

    /// Starts brokers 1, 2 and 3.
    pub(crate) async fn start_three(&self, setup: impl Fn() -> Setup) -> [Broker; 3] {
        [self.start(1, setup()).await, self.start(2, setup()).await, self.start(3, setup()).await]
    }

    /// Starts a broker, on the data it has.
    pub(crate) async fn start(&self, id: i32, setup: Setup) -> Broker {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let data_dir = self.data_dir(id);
        let ancestors: Vec<_> = data_dir.ancestors().collect();
        for pair in ancestors.windows(2).rev() {
            setup.fs.create_dir(pair[0]).unwrap();
            setup.fs.sync_dir(pair[1]).unwrap();
        }
        let fatal = setup.fatal;
        let flusher = Flusher::start(FlusherOptions::new(data_dir.clone(), fatal.clone())).unwrap();
        let directory_id = DirectoryId::from_bytes([u8::try_from(id).unwrap(); 16]);
        let (replicas, proof) = Replicas::open(ReplicasOptions {
            broker_id: BrokerId(id),
            directory_id,
            data_dir,
            recovery_threads: 2,
            fs: setup.fs,
            flusher: flusher.clone(),
            fatal,
            clock: Clock::start(),
            config: setup.config,
            metrics: ReplicationMetrics::default(),
        })
        .unwrap();
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let (server, end) = (Arc::clone(&replicas), stop.clone());
        tasks.spawn(async move { server.serve(listener, NoOtherService, end).await.unwrap() });
        let registered = RegisteredBroker {
            broker_id: BrokerId(id),
            broker_epoch: BrokerEpoch::default(),
            directory_id,
            replication_host: "127.0.0.1".to_owned(),
            replication_port: port,
        };
        let epoch =
            self.controller().register(registered, &proof, &replicas, |broker_epoch, image| {
                let cluster_id = ClusterId(setup.cluster_id);
                let registration = Registration { cluster_id, broker_epoch };
                replicas.start(registration, image, &tasks, stop.clone());
            });
        self.carry_requests(Arc::clone(&replicas), &tasks, &stop);
        in_time("creation of replicas", replicas.settled()).await;
        Broker { id: BrokerId(id), epoch, replicas, flusher, proof, tasks, stop }
    }

    fn carry_requests(
        &self,
        replicas: Arc<Replicas>,
        tasks: &TaskTracker,
        stop: &CancellationToken,
    ) {
        let (me, stop) = (self.clone(), stop.clone());
        tasks.spawn(async move {
            loop {
                tokio::select! {
                    () = stop.cancelled() => return,
                    request = replicas.next_request() => me.controller().requested(&request),
                }
            }
        });
    }

    /// Creates a partition, led by the first of its replicas, with all of them in sync.
    pub(crate) async fn create(&self, partition: i32, replicas: &[&Broker], min_isr: usize) {
        self.begin_to_create(partition, replicas, min_isr);
        for broker in replicas {
            in_time("creation of replicas", broker.replicas.settled()).await;
        }
    }

    /// Tells the brokers of a new partition and does not wait until they have it.
    pub(crate) fn begin_to_create(&self, partition: i32, replicas: &[&Broker], min_isr: usize) {
        let id = partition_id(partition);
        {
            let mut controller = self.controller();
            let metadata = PartitionMetadata {
                leader: Some(replicas[0].id),
                leader_epoch: LeaderEpoch(0),
                partition_epoch: PartitionEpoch(0),
                isr: replicas.iter().map(|broker| broker.id).collect(),
                replicas: replicas
                    .iter()
                    .map(|broker| {
                        let replica = ReplicaMetadata {
                            broker_epoch: Some(broker.epoch),
                            fencing: Fencing::Unfenced,
                            assignment: Assignment::Target,
                        };
                        (broker.id, replica)
                    })
                    .collect(),
                effective_min_isr: min_isr,
                durability: Durability::Durable,
                flush_policy: FlushPolicy::EachMessage,
            };
            controller.partitions.insert(id, metadata);
            controller.publish(Vec::new(), &[id]);
        }
    }

    /// Lets a broker's image stand still.
    pub(crate) fn hold_back(&self, id: i32) {
        self.controller().held_back.insert(BrokerId(id), Vec::new());
    }

    /// Gives a broker the updates that were held back.
    pub(crate) fn release(&self, id: i32) {
        let mut controller = self.controller();
        let updates = controller.held_back.remove(&BrokerId(id)).unwrap();
        for update in updates {
            controller.replicas[&BrokerId(id)].apply(update);
        }
    }

    /// Changes a partition's metadata and tells all brokers.
    pub(crate) fn change(&self, partition: i32, change: impl FnOnce(&mut PartitionMetadata)) {
        let mut controller = self.controller();
        let id = partition_id(partition);
        let metadata = controller.partitions.get_mut(&id).unwrap();
        change(metadata);
        metadata.partition_epoch = metadata.partition_epoch.next();
        controller.publish(Vec::new(), &[id]);
    }

    /// Elects a leader, with an ISR.
    pub(crate) fn elect(&self, partition: i32, leader: i32, isr: &[i32]) {
        self.change(partition, |metadata| {
            metadata.leader = Some(BrokerId(leader));
            metadata.leader_epoch = metadata.leader_epoch.next();
            metadata.isr = isr.iter().map(|id| BrokerId(*id)).collect();
        });
    }

    /// The replica that leads a partition, if its broker is there.
    pub(crate) fn leader(&self, partition: i32) -> Option<Arc<PartitionHandle>> {
        let controller = self.controller();
        let id = partition_id(partition);
        let leader = controller.partitions.get(&id)?.leader?;
        controller.replicas.get(&leader)?.get(&id)
    }

    pub(crate) fn metadata(&self, partition: i32) -> PartitionMetadata {
        self.controller().partitions[&partition_id(partition)].clone()
    }

    /// Deletes a partition.
    pub(crate) fn remove(&self, partition: i32) {
        let mut controller = self.controller();
        let id = partition_id(partition);
        controller.partitions.remove(&id);
        for replicas in controller.replicas.values() {
            replicas.apply(ImageUpdate {
                brokers: Vec::new(),
                partitions: vec![PartitionChange::Removed(id)],
            });
        }
    }

    /// Ends a broker as a crash does: nothing is flushed, no checkpoint is written.
    pub(crate) async fn kill(&self, broker: Broker) {
        self.controller().replicas.remove(&broker.id);
        broker.stop.cancel();
        broker.tasks.close();
        in_time("the end of a broker's tasks", broker.tasks.wait()).await;
        broker.flusher.stop();
    }

    /// Stops brokers one after the other.
    pub(crate) async fn stop_all(&self, brokers: impl IntoIterator<Item = Broker>) {
        for broker in brokers {
            self.stop(broker).await;
        }
    }

    /// Stops a broker; its data stays.
    pub(crate) async fn stop(&self, broker: Broker) {
        self.controller().replicas.remove(&broker.id);
        broker.stop.cancel();
        broker.tasks.close();
        in_time("the end of a broker's tasks", broker.tasks.wait()).await;
        broker.replicas.close().unwrap();
        broker.flusher.stop();
    }
}

impl Broker {
    pub(crate) fn partition(&self, partition: i32) -> Arc<PartitionHandle> {
        self.replicas.get(&partition_id(partition)).unwrap()
    }

    /// Produces to a partition that this broker leads, and waits for the acknowledgement.
    pub(crate) async fn acknowledged(
        &self,
        partition: i32,
        mut batch: Vec<u8>,
        acks: Acks,
    ) -> Produced {
        let waiter = self.partition(partition).produce(&mut batch, &options(acks));
        in_time("an acknowledgement", waiter).await.unwrap()
    }

    /// Produces to a partition and waits for the refusal.
    pub(crate) async fn refused(
        &self,
        partition: i32,
        mut batch: Vec<u8>,
        acks: Acks,
    ) -> ProduceError {
        let waiter = self.partition(partition).produce(&mut batch, &options(acks));
        in_time("a refusal", waiter).await.unwrap_err()
    }

    pub(crate) fn log_end(&self, partition: i32) -> i64 {
        self.partition(partition).status().log_end_offset.0
    }

    pub(crate) fn high_watermark(&self, partition: i32) -> i64 {
        self.partition(partition).status().high_watermark.0
    }
}
