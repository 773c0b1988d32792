//! A cluster as its clients see it, for tests that are not asynchronous: topics, leaders, in-sync sets.

use std::time::{Duration, Instant};

use client::admin::{Mode, NewTopic};
use client::metadata::Partition;
use client::{Client, ClientConfig, Error, Tasks, Topics};
use model::BrokerId;
use tokio::runtime::Runtime;

use crate::deadline::wait_until;

/// A client for questions and for topics.
#[derive(Debug)]
pub struct Admin {
    runtime: Runtime,
    client: Client,
}

impl Admin {
    /// Makes a client; nothing is connected yet.
    ///
    /// # Panics
    /// When `bootstrap` names no servers.
    #[must_use]
    pub fn new(bootstrap: &str) -> Self {
        Self::with_config(ClientConfig {
            // A broker that hangs must not hold a question up for long: another one is asked then.
            request_timeout: Duration::from_secs(3),
            connect_timeout: Duration::from_secs(1),
            api_timeout: Duration::from_secs(30),
            ..ClientConfig::new(bootstrap).expect("a list of servers")
        })
    }

    /// The same with other timeouts.
    ///
    /// # Panics
    /// When no runtime can be made.
    #[must_use]
    pub fn with_config(config: ClientConfig) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime can be made");
        Self { runtime, client: Client::new(config, Tasks::default()) }
    }

    /// The client itself, for questions that only one test has.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Waits for an answer of the client's.
    pub fn block_on<T>(&self, answer: impl Future<Output = T>) -> T {
        self.runtime.block_on(answer)
    }

    /// Creates a topic with this many partitions, three replicas each, and waits until every partition has a leader.
    ///
    /// # Panics
    /// When the topic cannot be created, or has a partition without a leader after 10 s.
    pub fn create_topic(&self, name: &str, partitions: i32) {
        self.create(&NewTopic {
            name: name.to_owned(),
            partitions: Some(partitions),
            replication_factor: Some(3),
            ..NewTopic::default()
        })
        .unwrap_or_else(|error| panic!("{error}"));
        self.wait_for_leaders(name);
    }

    /// Creates a topic whose partitions have these replicas, the preferred leader first, and waits until each leads.
    ///
    /// # Panics
    /// As [`Admin::create_topic`].
    pub fn create_assigned(&self, name: &str, assignments: &[&[u16]]) {
        let brokers =
            |ids: &&[u16]| ids.iter().map(|id| BrokerId(i32::from(*id))).collect::<Vec<_>>();
        self.create(&NewTopic {
            name: name.to_owned(),
            assignments: assignments.iter().map(brokers).collect(),
            ..NewTopic::default()
        })
        .unwrap_or_else(|error| panic!("{error}"));
        self.wait_for_leaders(name);
    }

    /// Creates a topic.
    ///
    /// # Errors
    /// What the broker says.
    pub fn create(&self, topic: &NewTopic) -> Result<(), Error> {
        self.runtime.block_on(self.client.create_topic(topic, Mode::Apply)).map(|_created| ())
    }

    /// Deletes a topic.
    ///
    /// # Errors
    /// What the broker says.
    pub fn delete_topic(&self, name: &str) -> Result<(), Error> {
        self.runtime.block_on(self.client.delete_topic(name))
    }

    /// Waits until every partition of a topic has a leader.
    ///
    /// # Panics
    /// When one has none after 10 s.
    pub fn wait_for_leaders(&self, topic: &str) {
        wait_until(&format!("leaders of {topic}"), Duration::from_secs(10), || {
            let partitions = self.partitions(topic);
            !partitions.is_empty() && partitions.iter().all(|partition| partition.leader.is_some())
        });
    }

    /// Returns the partitions of a topic as a live broker describes them; none while nobody answers.
    #[must_use]
    pub fn partitions(&self, topic: &str) -> Vec<Partition> {
        let names = [topic.to_owned()];
        let asked = self.client.refresh_metadata(Topics::Named(&names));
        let Ok(metadata) = self.runtime.block_on(asked) else { return Vec::new() };
        metadata
            .topics
            .get(topic)
            .map(|topic| topic.partitions.values().cloned().collect())
            .unwrap_or_default()
    }

    /// Returns the leader of a partition, if it has one.
    #[must_use]
    pub fn leader(&self, topic: &str, partition: usize) -> Option<u16> {
        number_of(self.partitions(topic).get(partition)?.leader?)
    }

    /// Waits for the leader of a partition and returns it.
    ///
    /// # Panics
    /// When it has none after 10 s.
    #[must_use]
    pub fn wait_for_leader(&self, topic: &str, partition: usize) -> u16 {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            if let Some(leader) = self.leader(topic, partition) {
                return leader;
            }
            assert!(Instant::now() < deadline, "{topic}-{partition} has no leader after 10 s");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits until every replica of every partition of a topic is in sync, and returns how long that took.
    ///
    /// # Panics
    /// When one is not after `limit`; the message shows the partitions.
    pub fn wait_for_full_isr(&self, topic: &str, limit: Duration) -> Duration {
        let started = Instant::now();
        loop {
            let partitions = self.partitions(topic);
            let is_full = |partition: &Partition| partition.isr.len() == partition.replicas.len();
            if !partitions.is_empty() && partitions.iter().all(is_full) {
                return started.elapsed();
            }
            assert!(
                started.elapsed() < limit,
                "not every replica of {topic} is in sync after {limit:?}: {partitions:#?}"
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

fn number_of(broker: BrokerId) -> Option<u16> {
    u16::try_from(broker.0).ok()
}
