//! Whole control planes over loopback: three in one process form a cluster, and survive what may happen to it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod slow_votes;

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use controller::metadata::{
    Address, AlterConfigs, Assignment, Command, ConfigAlteration, ConfigChange, ConfigOperation,
    ConfigResource, CreateTopics, ElectLeaders, Election, Image, LastShutdown, LiveSet, NewTopic,
    Outcome,
};
use controller::{
    Controller, ControllerConfig, Materialization, RegisterError, RegistrationProof, StartError,
    Voter,
};
use log_storage::{Fault, FaultOperation, FileSystem, SimulatedDisk};
use model::{BrokerEpoch, BrokerId, Clock, ClusterId, TopicId, TopicIdPartition};
use tempfile::TempDir;

use crate::slow_votes::SlowVotes;

/// Longest wait for anything; every wait ends with its condition.
const DEADLINE: Duration = Duration::from_secs(20);

/// A place where a broker's control plane runs, or has run.
struct Site {
    broker_id: BrokerId,
    address: Address,
    listener: Option<TcpListener>,
    directory: TempDir,
    disk: Arc<SlowVotes>,
    controller: Option<Controller>,
    epoch: Option<BrokerEpoch>,
}

struct Cluster {
    sites: Vec<Site>,
    voter_count: usize,
    cluster_id: Option<ClusterId>,
}

impl Cluster {
    fn new(broker_count: i32, voter_count: usize) -> Self {
        let filter = tracing_subscriber::EnvFilter::from_default_env();
        // Another test of this process may have set it up.
        let _ = tracing_subscriber::fmt().with_env_filter(filter).with_test_writer().try_init();
        let site = |id| {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let port = listener.local_addr().unwrap().port();
            Site {
                broker_id: BrokerId(id),
                address: Address { host: "127.0.0.1".to_owned(), port },
                listener: Some(listener),
                directory: tempfile::tempdir().unwrap(),
                disk: Arc::default(),
                controller: None,
                epoch: None,
            }
        };
        Self { sites: (1..=broker_count).map(site).collect(), voter_count, cluster_id: None }
    }

    fn config(&mut self, index: usize) -> ControllerConfig {
        let voters = self.sites[..self.voter_count]
            .iter()
            .map(|site| Voter { broker_id: site.broker_id, address: site.address.clone() })
            .collect();
        let cluster_id = self.cluster_id.clone();
        let site = &mut self.sites[index];
        let port = site.address.port;
        let listener = site
            .listener
            .take()
            .unwrap_or_else(|| TcpListener::bind(("127.0.0.1", port)).expect("the port is free"));
        ControllerConfig {
            broker_id: site.broker_id,
            cluster_id,
            voters,
            listener,
            advertised_address: site.address.clone(),
            data_dir: PathBuf::from(site.directory.path()),
            file_system: Arc::clone(&site.disk) as Arc<dyn FileSystem>,
            materialization: Materialization::Sled,
            clock: Clock::start(),
            cluster_configs: BTreeMap::from([("num.partitions".to_owned(), "4".to_owned())]),
            heartbeat_interval: Duration::from_millis(300),
            session_timeout: Duration::from_secs(1),
        }
    }

    async fn start(&mut self, index: usize) {
        let config = self.config(index);
        let started = tokio::task::spawn_blocking(|| Controller::start(config)).await.unwrap();
        self.sites[index].controller = Some(started.unwrap());
    }

    async fn start_all(&mut self) {
        for index in 0..self.sites.len() {
            self.start(index).await;
        }
    }

    fn at(&self, index: usize) -> &Controller {
        self.sites[index].controller.as_ref().expect("the site runs")
    }

    fn running(&self) -> Vec<usize> {
        let runs = |index: &usize| self.sites[*index].controller.is_some();
        (0..self.sites.len()).filter(runs).collect()
    }

    /// Registers a broker and waits until every running image shows it unfenced.
    async fn join(&mut self, index: usize) {
        self.register(index).await;
        self.unfence(index).await;
    }

    async fn register(&mut self, index: usize) {
        let controller = self.at(index).clone();
        let proof = self.proof(index);
        let registered =
            tokio::time::timeout(DEADLINE, controller.register(proof)).await.unwrap().unwrap();
        self.sites[index].epoch = Some(registered.broker_epoch);
    }

    /// Waits until a site's registration fails because another process has its broker id.
    async fn expect_broker_id_in_use(&self, index: usize) {
        let proof = self.proof(index);
        let refused = tokio::time::timeout(DEADLINE, self.at(index).register(proof)).await.unwrap();
        let Err(RegisterError::Failed(reason)) = refused else { panic!("unexpected {refused:?}") };
        let expected = format!("node.id {}", self.sites[index].broker_id);
        assert!(reason.contains(&expected), "{reason}");
    }

    fn proof(&self, index: usize) -> RegistrationProof {
        RegistrationProof {
            stored_broker_epoch: self.sites[index].epoch,
            last_shutdown: LastShutdown::Clean,
            lost_replicas: Vec::new(),
            endpoints: Vec::new(),
            replication_address: self.sites[index].address.clone(),
            rack: None,
        }
    }

    async fn unfence(&self, index: usize) {
        let epoch = self.sites[index].epoch.expect("the broker is registered");
        self.at(index).set_ready(epoch);
        let broker_id = self.sites[index].broker_id;
        for other in self.running() {
            until(self.at(other), |controller| controller.image().is_unfenced(broker_id)).await;
        }
    }

    async fn join_all(&mut self) {
        for index in 0..self.sites.len() {
            self.join(index).await;
        }
    }

    async fn kill(&mut self, index: usize) {
        let controller = self.sites[index].controller.take().expect("the site runs");
        controller.kill().await;
    }

    async fn stop(&mut self, index: usize) {
        let controller = self.sites[index].controller.take().expect("the site runs");
        tokio::time::timeout(DEADLINE, controller.shutdown()).await.unwrap();
    }

    /// How many votes have been saved at all sites.
    fn votes_saved(&self) -> usize {
        self.sites.iter().map(|site| site.disk.saved()).sum()
    }

    /// Waits until all running sites agree on a running active controller, and returns where it is.
    async fn active(&self) -> usize {
        let begun = Instant::now();
        loop {
            let running = self.running();
            let named: Vec<_> =
                running.iter().map(|index| self.at(*index).active_controller()).collect();
            let found = running.iter().find(|index| {
                named.iter().all(|name| *name == Some(self.sites[**index].broker_id))
            });
            if let Some(index) = found {
                return *index;
            }
            assert!(begun.elapsed() < DEADLINE, "no active controller: {named:?}");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Sets a cluster-wide configuration from one site, and waits until all running images have it.
    async fn set(&self, index: usize, value: &str) {
        let change = ConfigChange {
            resource: ConfigResource::Cluster,
            alteration: ConfigAlteration::Incremental(vec![(
                "num.partitions".to_owned(),
                ConfigOperation::Set(value.to_owned()),
            )]),
        };
        let command = Command::AlterConfigs(AlterConfigs { changes: vec![change] });
        let applied = self.at(index).propose(command).await.unwrap();
        let Outcome::ConfigsAltered(results) = &applied.outcome else {
            panic!("unexpected {:?}", applied.outcome);
        };
        assert!(results.iter().all(|(_, result)| result.is_ok()), "{results:?}");
        for other in self.running() {
            let reached = self.at(other).wait_for(applied.index);
            tokio::time::timeout(DEADLINE, reached).await.unwrap().unwrap();
            assert_eq!(self.partitions_at(other).as_deref(), Some(value));
        }
    }

    /// Creates a topic with one partition on all three brokers, the first one preferred.
    async fn create_topic(&self, index: usize, replicas: &[BrokerId]) -> TopicIdPartition {
        let topic_id = TopicId(uuid::Uuid::new_v4());
        let topic = NewTopic {
            name: "test-topic".to_owned(),
            topic_id,
            assignment: Assignment::Manual(vec![replicas.to_vec()]),
            configs: BTreeMap::new(),
        };
        let live = LiveSet::default();
        let command = Command::CreateTopics(CreateTopics { topics: vec![topic], live });
        let applied = self.at(index).propose(command).await.unwrap();
        let Outcome::TopicsCreated(results) = &applied.outcome else {
            panic!("unexpected {:?}", applied.outcome);
        };
        assert!(results.iter().all(|topic| topic.result.is_ok()), "{results:?}");
        for other in self.running() {
            self.at(other).wait_for(applied.index).await.unwrap();
        }
        TopicIdPartition { topic_id, partition: 0 }
    }

    fn leader_at(&self, index: usize, partition: TopicIdPartition) -> Option<BrokerId> {
        self.at(index).image().partition(partition).and_then(|state| state.leader)
    }

    fn partitions_at(&self, index: usize) -> Option<String> {
        self.at(index).image().cluster_config("num.partitions").map(ToOwned::to_owned)
    }
}

/// Waits until an image change makes the condition true.
async fn until(controller: &Controller, condition: impl Fn(&Controller) -> bool) {
    let mut changes = controller.changes();
    let reached = async {
        while !condition(controller) {
            assert!(changes.next().await.is_some(), "the control plane has stopped");
        }
    };
    tokio::time::timeout(DEADLINE, reached).await.expect("the condition holds in time");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_blank_nodes_form_a_cluster_and_each_may_propose() {
    let mut cluster = Cluster::new(3, 3);
    let begun = Instant::now();
    cluster.start_all().await;
    for index in 0..3 {
        cluster.register(index).await;
    }
    for index in 0..3 {
        cluster.unfence(index).await;
    }
    let elapsed = begun.elapsed();
    println!("three brokers registered and unfenced after {elapsed:?}");
    let id = cluster.at(0).image().cluster_id().cloned();
    assert!(id.as_ref().is_some_and(|id| id.0.len() == 22), "{id:?}");
    for index in 0..3 {
        until(cluster.at(index), |controller| controller.image().voters().len() == 3).await;
        assert_eq!(cluster.at(index).image().cluster_id(), id.as_ref());
        assert_eq!(cluster.partitions_at(index).as_deref(), Some("4"), "the seed is in the image");
    }
    for (index, value) in ["5", "6", "7"].iter().enumerate() {
        cluster.set(index, value).await;
    }
    assert!(elapsed < Duration::from_secs(5), "{elapsed:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_controller_is_replaced_and_its_broker_fenced() {
    let mut cluster = Cluster::new(3, 3);
    cluster.start_all().await;
    cluster.join_all().await;
    let active = cluster.active().await;
    let killed = cluster.sites[active].broker_id;
    let begun = Instant::now();
    cluster.kill(active).await;
    cluster.active().await;
    println!("another controller after {:?}", begun.elapsed());
    for index in cluster.running() {
        until(cluster.at(index), |controller| !controller.image().is_unfenced(killed)).await;
    }
    println!("the killed broker is fenced after {:?}", begun.elapsed());
    let witness = cluster.running()[0];
    cluster.set(witness, "9").await;

    cluster.start(active).await;
    cluster.join(active).await;
    cluster.set(active, "10").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_candidacy_is_not_superseded_while_votes_take_long_to_save() {
    let mut cluster = Cluster::new(5, 5);
    cluster.start_all().await;
    cluster.join_all().await;
    let mut saved = Vec::new();
    // Each of the four that are left votes for the candidate, and again for the leader. A machine under load may let two candidacies begin at
    // the same moment, which is legal and costs a round; candidacies that supersede one another cost every round.
    while saved.last().is_none_or(|votes| *votes > 12) {
        assert!(saved.len() < 10, "candidacies were superseded: {saved:?} votes saved");
        let active = cluster.active().await;
        let left: Vec<usize> = (0..5).filter(|index| *index != active).collect();
        for index in &left[2..] {
            cluster.sites[*index].disk.slow_down(Duration::from_millis(100));
        }
        let before = cluster.votes_saved();
        let begun = Instant::now();
        cluster.kill(active).await;
        cluster.active().await;
        saved.push(cluster.votes_saved() - before);
        println!("another controller after {:?}, votes saved: {saved:?}", begun.elapsed());
        for index in left {
            cluster.sites[index].disk.slow_down(Duration::ZERO);
        }
        cluster.start(active).await;
        cluster.join(active).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_broker_is_fenced_by_its_refused_port_long_before_its_session_ends() {
    let mut cluster = Cluster::new(3, 3);
    cluster.start_all().await;
    cluster.join_all().await;
    let active = cluster.active().await;
    let victim = (0..3).find(|index| *index != active).unwrap();
    let killed = cluster.sites[victim].broker_id;
    let begun = Instant::now();
    cluster.kill(victim).await;
    until(cluster.at(active), |controller| !controller.image().is_unfenced(killed)).await;
    let elapsed = begun.elapsed();
    println!("fenced after {elapsed:?}");
    assert!(elapsed < Duration::from_millis(900), "{elapsed:?}");
    cluster.start(victim).await;
    cluster.join(victim).await;
    assert!(!cluster.at(active).is_suspected(killed));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partition_whose_leader_died_with_the_controller_gets_another_one() {
    let mut cluster = Cluster::new(3, 3);
    cluster.start_all().await;
    cluster.join_all().await;
    let active = cluster.active().await;
    let killed = cluster.sites[active].broker_id;
    let mut replicas: Vec<BrokerId> = cluster.sites.iter().map(|site| site.broker_id).collect();
    replicas.rotate_left(active);
    let partition = cluster.create_topic(active, &replicas).await;
    assert_eq!(cluster.leader_at(active, partition), Some(killed));
    let before = cluster.at(active).image();
    let begun = Instant::now();
    cluster.kill(active).await;
    for index in cluster.running() {
        until(cluster.at(index), |controller| {
            let image = controller.image();
            let leader = image.partition(partition).and_then(|state| state.leader);
            leader.is_some_and(|leader| leader != killed)
        })
        .await;
    }
    println!("another leader after {:?}", begun.elapsed());
    let witness = cluster.running()[0];
    let after = cluster.at(witness).image();
    let epoch = |image: &Image| image.partition(partition).map(|state| state.leader_epoch);
    assert!(epoch(&after) > epoch(&before));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_controlled_shutdown_moves_every_leadership_away_first() {
    let mut cluster = Cluster::new(3, 3);
    cluster.start_all().await;
    cluster.join_all().await;
    let replicas: Vec<BrokerId> = cluster.sites.iter().map(|site| site.broker_id).collect();
    let partition = cluster.create_topic(0, &replicas).await;
    assert_eq!(cluster.leader_at(0, partition), Some(replicas[0]));
    let left = cluster.at(0).controlled_shutdown(DEADLINE).await.unwrap();
    assert_eq!(left, 0);
    assert!(cluster.leader_at(0, partition).is_some_and(|leader| leader != replicas[0]));
    assert!(cluster.at(0).image().is_unfenced(replicas[0]), "it still serves");
    cluster.stop(0).await;
}

/// A site that claims the broker id of another one, which listens elsewhere.
fn twin_of(broker_id: BrokerId) -> Site {
    Site { broker_id, ..Cluster::new(1, 1).sites.remove(0) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_process_with_the_same_broker_id_is_refused_while_the_first_lives() {
    let mut cluster = Cluster::new(3, 3);
    cluster.start_all().await;
    cluster.join_all().await;
    let broker_id = cluster.sites[1].broker_id;
    cluster.sites.push(twin_of(broker_id));
    cluster.start(3).await;
    cluster.expect_broker_id_in_use(3).await;
    let first = cluster.at(1);
    assert_eq!(first.image().voters().get(&broker_id), Some(&first.raft_id()));
    assert!(first.image().is_unfenced(broker_id));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_whose_place_another_storage_took_while_it_was_away_is_refused() {
    let mut cluster = Cluster::new(3, 3);
    cluster.start_all().await;
    cluster.join_all().await;
    let active = cluster.active().await;
    let away = (0..3).find(|index| *index != active).unwrap();
    let owner = cluster.sites[away].broker_id;
    cluster.kill(away).await;
    let directory =
        std::mem::replace(&mut cluster.sites[away].directory, tempfile::tempdir().unwrap());
    cluster.sites[away].epoch = None;
    cluster.start(away).await;
    cluster.join(away).await;
    let voter = cluster.at(away).raft_id();
    until(cluster.at(active), |controller| controller.image().voters().get(&owner) == Some(&voter))
        .await;
    cluster.sites.push(Site { directory, ..twin_of(owner) });
    cluster.start(3).await;
    cluster.expect_broker_id_in_use(3).await;
    assert!(cluster.at(active).image().is_unfenced(owner));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopping_controller_hands_its_leadership_over() {
    let mut cluster = Cluster::new(3, 3);
    cluster.start_all().await;
    cluster.join_all().await;
    let active = cluster.active().await;
    let begun = Instant::now();
    cluster.stop(active).await;
    println!("stopped after {:?}", begun.elapsed());
    cluster.active().await;
    println!("another controller after {:?}", begun.elapsed());
    let witness = cluster.running()[0];
    cluster.set(witness, "8").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wiped_voter_comes_back_under_a_fresh_id_and_votes() {
    let mut cluster = Cluster::new(3, 3);
    cluster.start_all().await;
    cluster.join_all().await;
    let active = cluster.active().await;
    let wiped = (0..3).find(|index| *index != active).unwrap();
    let old_id = cluster.at(wiped).raft_id();
    cluster.kill(wiped).await;
    cluster.sites[wiped].directory = tempfile::tempdir().unwrap();
    cluster.sites[wiped].epoch = None;
    cluster.start(wiped).await;
    cluster.join(wiped).await;
    let new_id = cluster.at(wiped).raft_id();
    assert_ne!(old_id, new_id);
    let broker_id = cluster.sites[wiped].broker_id;
    for index in 0..3 {
        until(cluster.at(index), |controller| {
            controller.image().voters().get(&broker_id) == Some(&new_id)
        })
        .await;
    }
    // Two of three are needed now, and the fresh one is among them.
    let other = (0..3).find(|index| *index != active && *index != wiped).unwrap();
    cluster.kill(other).await;
    cluster.set(wiped, "11").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_is_no_voter_follows_as_a_learner() {
    let mut cluster = Cluster::new(2, 1);
    cluster.start_all().await;
    cluster.join_all().await;
    assert_eq!(cluster.active().await, 0);
    cluster.set(1, "12").await;
    assert_eq!(cluster.at(1).image().voters().len(), 1);
    let learner = cluster.sites[1].broker_id;
    cluster.kill(1).await;
    until(cluster.at(0), |controller| !controller.image().is_unfenced(learner)).await;
    cluster.set(0, "13").await;
    cluster.start(1).await;
    cluster.join(1).await;
    assert_eq!(cluster.partitions_at(1).as_deref(), Some("13"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_learner_that_moved_to_another_port_is_found_again() {
    let mut cluster = Cluster::new(2, 1);
    cluster.start_all().await;
    cluster.join_all().await;
    cluster.kill(1).await;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    cluster.sites[1].address.port = listener.local_addr().unwrap().port();
    cluster.sites[1].listener = Some(listener);
    cluster.start(1).await;
    cluster.join(1).await;
    let moved = cluster.sites[1].address.clone();
    let registered = cluster.at(0).image();
    let registered = registered.broker(cluster.sites[1].broker_id).unwrap();
    assert_eq!(registered.control_address, moved);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_fsync_of_the_metadata_log_ends_the_control_plane_with_one_line() {
    let disk = SimulatedDisk::new(1);
    let data_dir = PathBuf::from("/data");
    disk.create_dir(&data_dir).unwrap();
    disk.sync_dir(Path::new("/")).unwrap();
    let mut cluster = Cluster::new(1, 1);
    let mut config = cluster.config(0);
    config.file_system = Arc::new(disk.clone());
    config.data_dir = data_dir;
    config.materialization = Materialization::Off;
    let started = tokio::task::spawn_blocking(|| Controller::start(config)).await.unwrap();
    cluster.sites[0].controller = Some(started.unwrap());
    cluster.join(0).await;
    disk.inject(Fault {
        operation: FaultOperation::SyncData,
        path_contains: "__cluster_metadata-0".to_owned(),
        after: 0,
        times: 1,
        error: ErrorKind::Other,
    });
    let controller = cluster.at(0).clone();
    let command = Command::ElectLeaders(ElectLeaders {
        election: Election::Preferred,
        partitions: None,
        live: LiveSet::default(),
    });
    let proposed = controller.propose(command);
    let failed = tokio::time::timeout(DEADLINE, controller.failed());
    let reason = tokio::select! {
        reason = failed => reason.unwrap(),
        answer = proposed => panic!("answered {answer:?} although nothing is durable"),
    };
    assert!(!reason.contains('\n') && reason.contains("__cluster_metadata-0"), "{reason}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_keeps_the_image_after_a_clean_stop_and_after_a_kill() {
    let mut cluster = Cluster::new(1, 1);
    cluster.start(0).await;
    cluster.join(0).await;
    cluster.set(0, "14").await;
    let before = cluster.at(0).image();
    cluster.stop(0).await;
    assert!(cluster.sites[0].directory.path().join("metadata.sled/clean").exists());
    cluster.start(0).await;
    until(cluster.at(0), |controller| controller.image().cluster_id().is_some()).await;
    assert_eq!(cluster.at(0).image().cluster_id(), before.cluster_id());
    assert_eq!(cluster.partitions_at(0).as_deref(), Some("14"));
    assert!(!cluster.sites[0].directory.path().join("metadata.sled/clean").exists());
    cluster.join(0).await;
    cluster.set(0, "15").await;
    cluster.kill(0).await;
    cluster.start(0).await;
    until(cluster.at(0), |controller| {
        controller.image().cluster_config("num.partitions") == Some("15")
    })
    .await;
    cluster.join(0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_of_another_cluster_is_refused_at_the_start() {
    let mut cluster = Cluster::new(1, 1);
    cluster.cluster_id = Some(ClusterId("AAAAAAAAAAAAAAAAAAAAAA".to_owned()));
    cluster.start(0).await;
    cluster.join(0).await;
    assert_eq!(cluster.at(0).image().cluster_id(), cluster.cluster_id.as_ref());
    let meta = cluster.sites[0].directory.path().join("meta.properties");
    cluster.stop(0).await;
    assert!(std::fs::read_to_string(meta).unwrap().contains("cluster.id=AAAAAAAAAAAAAAAAAAAAAA"));
    cluster.cluster_id = Some(ClusterId("BBBBBBBBBBBBBBBBBBBBBB".to_owned()));
    let config = cluster.config(0);
    let refused = tokio::task::spawn_blocking(|| Controller::start(config)).await.unwrap();
    assert!(matches!(refused, Err(StartError::WrongCluster { .. })));
}
