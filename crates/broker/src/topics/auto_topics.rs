//! Creates topics when clients first ask for them (`auto.create.topics.enable`), and the coordinators' topics when the first group or transaction does.
//!
//! Owns the bound on creations at once and the wait for their outcome. Invariant: a topic is never created quietly smaller than
//! `default.replication.factor` (the offsets topic: `offsets.topic.replication.factor`) says; while the brokers for it are not there, clients are told to wait.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use controller::Controller;
use controller::metadata::{Assignment, Command, CreateTopics, Image, LiveSet, NewTopic, Outcome};
use model::{ErrorCode, TopicIdPartition};
use replication::Replicas;
use tokio::sync::Semaphore;

use super::internal::{OFFSETS_TOPIC, TRANSACTIONS_TOPIC, offsets_topic, transactions_topic};
use super::{TopicDefaults, fresh_topic_id, placement_start};
use crate::coordinators::{CoordinatorSettings, Coordinators};
use crate::error_code::ToErrorCode as _;

/// Creates topics with the cluster's defaults.
#[derive(Debug)]
pub(crate) struct AutoTopics {
    controller: Controller,
    replicas: Arc<Replicas>,
    /// Configured voters, which replication factors count.
    voter_count: usize,
    coordinators: CoordinatorSettings,
    creations: Semaphore,
}

impl AutoTopics {
    pub(crate) fn new(
        controller: &Controller,
        replicas: &Arc<Replicas>,
        voter_count: usize,
        coordinators: &Coordinators,
    ) -> Self {
        let (controller, replicas) = (controller.clone(), Arc::clone(replicas));
        let coordinators = coordinators.settings().clone();
        let creations = Semaphore::new(MAX_CREATIONS);
        Self { controller, replicas, voter_count, coordinators, creations }
    }

    /// Returns what a topic of this name is created with now where nobody says otherwise.
    #[must_use]
    pub(crate) fn defaults(&self, image: &Image, name: &str) -> TopicDefaults {
        if name == OFFSETS_TOPIC {
            return offsets_topic(&self.coordinators.groups, image, self.voter_count);
        }
        if name == TRANSACTIONS_TOPIC {
            return transactions_topic(&self.coordinators.transactions, image, self.voter_count);
        }
        TopicDefaults {
            partition_count: image.default_partition_count(),
            replication_factor: image.default_replication_factor(self.voter_count),
            configs: BTreeMap::new(),
        }
    }

    /// Creates a topic with its defaults, unless this broker's image has it, and waits until the image does and its replicas are there.
    ///
    /// # Errors
    /// The code for the client: LEADER_NOT_AVAILABLE while it is worth another try.
    pub(crate) async fn create(&self, name: &str) -> Result<(), ErrorCode> {
        match tokio::time::timeout(PATIENCE, self.propose(name)).await {
            Ok(result) => result?,
            Err(_) => return Err(ErrorCode::LeaderNotAvailable),
        }
        self.until_led(name).await;
        Ok(())
    }

    /// Waits until the replicas of a new topic that this broker leads are there, so that a client that goes on at once finds them. Bounded:
    /// a client that comes too early is told to try again anyway.
    pub(crate) async fn until_led(&self, topic: &str) {
        let own = Some(self.controller.broker_id());
        let led: Vec<TopicIdPartition> = {
            let image = self.controller.image();
            let Some(topic_id) = image.topic_id(topic) else { return };
            let partitions = image.partitions_of(topic_id);
            partitions.filter(|(_, state)| state.leader == own).map(|(id, _)| id).collect()
        };
        let all_made = async {
            for id in &led {
                self.replicas.made(id).await;
            }
        };
        // What is late is not waited for.
        let _ = tokio::time::timeout(REPLICAS, all_made).await;
    }

    async fn propose(&self, name: &str) -> Result<(), ErrorCode> {
        let _permit = self.creations.acquire().await.map_err(|_| ErrorCode::LeaderNotAvailable)?;
        let image = self.controller.image();
        if image.topic_id(name).is_some() {
            return Ok(());
        }
        let topics = vec![self.new_topic(&image, name)?];
        let command = CreateTopics { topics, live: LiveSet::default() };
        let applied = self.controller.propose(Command::CreateTopics(command)).await;
        let applied = applied.map_err(|_| ErrorCode::LeaderNotAvailable)?;
        match applied.outcome {
            Outcome::TopicsCreated(results) => {
                for result in results {
                    if let Err(refusal) = result.result
                        && refusal.code != ErrorCode::TopicAlreadyExists
                    {
                        return Err(client_code(refusal.code));
                    }
                }
            }
            Outcome::Refused(refusal) => return Err(client_code(refusal.code)),
            _ => return Err(ErrorCode::UnknownServerError),
        }
        self.controller.wait_for(applied.index).await.map_err(|error| error.error_code())
    }

    fn new_topic(&self, image: &Image, name: &str) -> Result<NewTopic, ErrorCode> {
        let TopicDefaults { partition_count, replication_factor, configs } =
            self.defaults(image, name);
        let assignment =
            Assignment::Placed { partition_count, replication_factor, start: placement_start() };
        let (name, topic_id) = (name.to_owned(), fresh_topic_id());
        Ok(NewTopic { name, topic_id, assignment, configs })
    }
}

/// What passes once the brokers are there is worth another try; a bad name never is.
fn client_code(code: ErrorCode) -> ErrorCode {
    match code {
        ErrorCode::InvalidTopicException => code,
        _ => ErrorCode::LeaderNotAvailable,
    }
}

/// Creations under way at once; further ones wait, within the client's patience.
const MAX_CREATIONS: usize = 16;

/// Longest wait for a creation: a client that retries three times in 250 ms must find the topic at the second try at the latest.
const PATIENCE: Duration = Duration::from_millis(1_500);

/// Longest wait for the replicas of a new topic.
const REPLICAS: Duration = Duration::from_millis(500);
