//! A cluster of brokers' data planes in one process, over loopback ports, with a controller of a few lines: it applies ISR proposals by compare-and-set and hands
//! every change to all brokers in one order.

use std::collections::BTreeMap;
use std::future::Future;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use log_storage::{
    AppendOrigin, FatalHandler, FileSystem, Flusher, FlusherOptions, LogConfig, Minimum,
    OsFileSystem,
};
use model::record_batch::{BatchBuilder, BatchOptions, NewRecord};
use model::{
    Acks, BrokerEpoch, BrokerId, Clock, ClusterId, DirectoryId, LeaderEpoch, Offset,
    PartitionEpoch, TopicId, TopicIdPartition, UnixMillis,
};
use replication::partition::{
    Assignment, Durability, Fencing, FlushPolicy, PartitionMetadata, ReplicaMetadata,
};
use replication::{
    AssignedPartition, DirectoryProof, ImageUpdate, Isolation, PartitionChange, PartitionHandle,
    ProduceOptions, ReadRequest, RegisteredBroker, Registration, ReplicaRequest, Replicas,
    ReplicasOptions, ReplicationConfig, ReplicationMetrics,
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long a test waits for something that must happen.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

pub(crate) const CLUSTER: &str = "AAAAAAAAAAAAAAAAAAAAAA";

/// Names a partition: the last three digits are its index, the others count the topics that had the name one after the other.
pub(crate) fn partition_id(number: i32) -> TopicIdPartition {
    let topic = u8::try_from(number / 1_000).unwrap();
    TopicIdPartition { topic_id: TopicId::from_bytes([topic + 1; 16]), partition: number % 1_000 }
}

/// Waits until a condition holds, or fails the test.
pub(crate) async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + DEADLINE;
    let mut look = tokio::time::interval(Duration::from_millis(2));
    while !holds() {
        assert!(tokio::time::Instant::now() < deadline, "{what} did not happen in time");
        look.tick().await;
    }
}

/// Waits for a future, or fails the test.
pub(crate) async fn in_time<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, future)
        .await
        .unwrap_or_else(|_| panic!("{what} did not happen in time"))
}

/// Builds a batch of one record that holds a number.
pub(crate) fn numbered(number: u64) -> Vec<u8> {
    let mut builder = BatchBuilder::new(BatchOptions::default());
    let value = number.to_be_bytes();
    builder.append(&NewRecord { value: Some(&value), ..NewRecord::default() }).unwrap();
    builder.build().unwrap()
}

/// Builds a batch of records with values of a size.
pub(crate) fn batch(count: usize, value_bytes: usize) -> Vec<u8> {
    batch_at(count, value_bytes, 1_000)
}

pub(crate) fn batch_at(count: usize, value_bytes: usize, timestamp: i64) -> Vec<u8> {
    let mut builder = BatchBuilder::new(BatchOptions::default());
    let value = vec![b'v'; value_bytes];
    for index in 0..count {
        let timestamp = UnixMillis(timestamp + i64::try_from(index).unwrap());
        builder
            .append(&NewRecord { timestamp, value: Some(&value), ..NewRecord::default() })
            .unwrap();
    }
    builder.build().unwrap()
}

pub(crate) fn options(acks: Acks) -> ProduceOptions {
    ProduceOptions {
        acks,
        timeout: DEADLINE,
        expected_leader_epoch: None,
        origin: AppendOrigin::Client,
    }
}

pub(crate) fn read_from(offset: i64, max_bytes: usize) -> ReadRequest {
    ReadRequest {
        offset: Offset(offset),
        max_bytes,
        minimum: Minimum::OneBatch,
        isolation: Isolation::ReadUncommitted,
        current_leader_epoch: None,
        last_fetched_epoch: None,
    }
}

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

/// The brokers, and what the controller knows.
#[derive(Clone)]
pub(crate) struct Cluster {
    state: Arc<Mutex<State>>,
    root: Arc<tempfile::TempDir>,
}

#[derive(Default)]
struct State {
    next_epoch: i64,
    registered: BTreeMap<BrokerId, RegisteredBroker>,
    partitions: BTreeMap<TopicIdPartition, PartitionMetadata>,
    replicas: BTreeMap<BrokerId, Arc<Replicas>>,
    config: LogConfig,
    /// Whether ISR proposals are ignored.
    is_deaf: bool,
    /// Updates that a broker has not been given yet.
    held_back: BTreeMap<BrokerId, Vec<ImageUpdate>>,
}

impl Cluster {
    pub(crate) fn new() -> Self {
        Self { state: Arc::default(), root: Arc::new(tempfile::tempdir().unwrap()) }
    }

    pub(crate) fn data_dir(&self, id: i32) -> PathBuf {
        self.root.path().join(format!("broker-{id}"))
    }

    /// Lets the controller ignore ISR proposals, or hear them again.
    pub(crate) fn set_deaf(&self, is_deaf: bool) {
        self.state.lock().unwrap().is_deaf = is_deaf;
    }

    pub(crate) fn set_config(&self, config: LogConfig) {
        self.state.lock().unwrap().config = config;
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
        tasks.spawn(async move { server.serve(listener, end).await.unwrap() });
        let epoch = self.register(
            id,
            directory_id,
            port,
            &replicas,
            setup.cluster_id,
            &proof,
            &tasks,
            &stop,
        );
        self.carry_requests(Arc::clone(&replicas), &tasks, &stop);
        in_time("creation of replicas", replicas.settled()).await;
        Broker { id: BrokerId(id), epoch, replicas, flusher, proof, tasks, stop }
    }

    #[expect(clippy::too_many_arguments, reason = "a helper of tests")]
    fn register(
        &self,
        id: i32,
        directory_id: DirectoryId,
        port: u16,
        replicas: &Arc<Replicas>,
        cluster_id: String,
        proof: &DirectoryProof,
        tasks: &TaskTracker,
        stop: &CancellationToken,
    ) -> BrokerEpoch {
        let mut state = self.state.lock().unwrap();
        state.next_epoch += 1;
        let broker_epoch = BrokerEpoch(state.next_epoch);
        let broker = RegisteredBroker {
            broker_id: BrokerId(id),
            broker_epoch,
            directory_id,
            replication_host: "127.0.0.1".to_owned(),
            replication_port: port,
        };
        state.registered.insert(BrokerId(id), broker.clone());
        let changed: Vec<_> = state
            .partitions
            .iter_mut()
            .filter_map(|(id, metadata)| {
                let replica = metadata.replicas.get_mut(&broker.broker_id)?;
                if proof.lost.contains(id) {
                    metadata.isr.remove(&broker.broker_id);
                }
                if metadata.leader == Some(broker.broker_id) {
                    // No incarnation leads in an epoch given to an earlier one.
                    metadata.leader_epoch = metadata.leader_epoch.next();
                    if proof.lost.contains(id) {
                        metadata.leader = metadata.isr.first().copied();
                    }
                }
                replica.broker_epoch = Some(broker_epoch);
                replica.fencing = Fencing::Unfenced;
                metadata.partition_epoch = metadata.partition_epoch.next();
                Some(*id)
            })
            .collect();
        state.publish(vec![broker], &changed);
        let image = ImageUpdate {
            brokers: state.registered.values().cloned().collect(),
            partitions: state
                .partitions
                .keys()
                .filter_map(|partition| state.change(BrokerId(id), *partition))
                .collect(),
        };
        let cluster_id = ClusterId(cluster_id);
        replicas.start(Registration { cluster_id, broker_epoch }, image, tasks, stop.clone());
        state.replicas.insert(BrokerId(id), Arc::clone(replicas));
        broker_epoch
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
                    request = replicas.next_request() => me.requested(&request),
                }
            }
        });
    }

    fn requested(&self, request: &ReplicaRequest) {
        let mut state = self.state.lock().unwrap();
        let id = request.partition();
        let is_deaf = state.is_deaf;
        let Some(metadata) = state.partitions.get_mut(&id).filter(|_| !is_deaf) else { return };
        match request {
            ReplicaRequest::AlterIsr { proposal, .. } => {
                if metadata.leader_epoch != proposal.leader_epoch
                    || metadata.partition_epoch != proposal.partition_epoch
                {
                    return;
                }
                metadata.isr = proposal.new_isr.iter().map(|(broker, _)| *broker).collect();
            }
            ReplicaRequest::ReplicaLost { leader_epoch, broker_epoch, .. } => {
                let replica = metadata
                    .replicas
                    .iter()
                    .find(|(_, replica)| replica.broker_epoch == Some(*broker_epoch));
                let Some((lost, _)) = replica else { return };
                if metadata.leader_epoch != *leader_epoch {
                    return;
                }
                metadata.isr.remove(lost);
                metadata.leader = metadata.isr.first().copied();
                metadata.leader_epoch = metadata.leader_epoch.next();
            }
            ReplicaRequest::GiveWay { leader_epoch, .. } => {
                if metadata.leader_epoch != *leader_epoch {
                    return;
                }
                let other = metadata.isr.iter().find(|member| Some(**member) != metadata.leader);
                metadata.leader = other.copied().or(metadata.leader);
                metadata.leader_epoch = metadata.leader_epoch.next();
            }
        }
        metadata.partition_epoch = metadata.partition_epoch.next();
        state.publish(Vec::new(), &[id]);
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
            let mut state = self.state.lock().unwrap();
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
            state.partitions.insert(id, metadata);
            state.publish(Vec::new(), &[id]);
        }
    }

    /// Lets a broker's image stand still.
    pub(crate) fn hold_back(&self, id: i32) {
        self.state.lock().unwrap().held_back.insert(BrokerId(id), Vec::new());
    }

    /// Gives a broker the updates that were held back.
    pub(crate) fn release(&self, id: i32) {
        let mut state = self.state.lock().unwrap();
        let updates = state.held_back.remove(&BrokerId(id)).unwrap();
        for update in updates {
            state.replicas[&BrokerId(id)].apply(update);
        }
    }

    /// Changes a partition's metadata and tells all brokers.
    pub(crate) fn change(&self, partition: i32, change: impl FnOnce(&mut PartitionMetadata)) {
        let mut state = self.state.lock().unwrap();
        let id = partition_id(partition);
        let metadata = state.partitions.get_mut(&id).unwrap();
        change(metadata);
        metadata.partition_epoch = metadata.partition_epoch.next();
        state.publish(Vec::new(), &[id]);
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
        let state = self.state.lock().unwrap();
        let id = partition_id(partition);
        let leader = state.partitions.get(&id)?.leader?;
        state.replicas.get(&leader)?.get(&id)
    }

    pub(crate) fn metadata(&self, partition: i32) -> PartitionMetadata {
        self.state.lock().unwrap().partitions[&partition_id(partition)].clone()
    }

    /// Deletes a partition.
    pub(crate) fn remove(&self, partition: i32) {
        let mut state = self.state.lock().unwrap();
        let id = partition_id(partition);
        state.partitions.remove(&id);
        for replicas in state.replicas.values() {
            replicas.apply(ImageUpdate {
                brokers: Vec::new(),
                partitions: vec![PartitionChange::Removed(id)],
            });
        }
    }

    /// Ends a broker as a crash does: nothing is flushed, no checkpoint is written.
    pub(crate) async fn kill(&self, broker: Broker) {
        self.state.lock().unwrap().replicas.remove(&broker.id);
        broker.stop.cancel();
        broker.tasks.close();
        in_time("the end of a broker's tasks", broker.tasks.wait()).await;
        broker.flusher.stop();
    }

    /// Stops a broker; its data stays.
    pub(crate) async fn stop(&self, broker: Broker) {
        self.state.lock().unwrap().replicas.remove(&broker.id);
        broker.stop.cancel();
        broker.tasks.close();
        in_time("the end of a broker's tasks", broker.tasks.wait()).await;
        broker.replicas.close().unwrap();
        broker.flusher.stop();
    }
}

impl State {
    fn change(&self, broker: BrokerId, id: TopicIdPartition) -> Option<PartitionChange> {
        let metadata = self.partitions.get(&id)?;
        metadata.replicas.contains_key(&broker).then(|| {
            PartitionChange::Assigned(AssignedPartition {
                id,
                topic: Arc::from("topic"),
                metadata: metadata.clone(),
                config: Arc::new(self.config.clone()),
            })
        })
    }

    fn publish(&mut self, brokers: Vec<RegisteredBroker>, partitions: &[TopicIdPartition]) {
        for (broker, replicas) in &self.replicas {
            let update = ImageUpdate {
                brokers: brokers.clone(),
                partitions: partitions.iter().filter_map(|id| self.change(*broker, *id)).collect(),
            };
            match self.held_back.get_mut(broker) {
                Some(held_back) => held_back.push(update),
                None => replicas.apply(update),
            }
        }
    }
}

impl Broker {
    pub(crate) fn partition(&self, partition: i32) -> Arc<PartitionHandle> {
        self.replicas.get(&partition_id(partition)).unwrap()
    }

    pub(crate) fn log_end(&self, partition: i32) -> i64 {
        self.partition(partition).status().log_end_offset.0
    }

    pub(crate) fn high_watermark(&self, partition: i32) -> i64 {
        self.partition(partition).status().high_watermark.0
    }
}
