//! Creates topics when clients first ask for them (`auto.create.topics.enable`), and the offsets topic when the first group does.
//!
//! Owns the bound on creations at once and the wait for their outcome. Invariant: a topic is never created quietly smaller than
//! `default.replication.factor` (the offsets topic: `offsets.topic.replication.factor`) says; while the brokers for it are not there, clients are told to wait.

use std::collections::BTreeMap;
use std::time::Duration;

use controller::Controller;
use controller::metadata::{Assignment, Command, CreateTopics, Image, LiveSet, NewTopic, Outcome};
use coordinator::config::CoordinatorConfig;
use model::{ErrorCode, TopicId};
use tokio::sync::Semaphore;
use uuid::Uuid;

use crate::error_code::ToErrorCode as _;
use crate::topics::internal::{OFFSETS_TOPIC, OffsetsTopic, TRANSACTIONS_TOPIC};

/// Creations under way at once; further ones wait, within the client's patience.
const MAX_CREATIONS: usize = 16;

/// Longest wait for a creation: a client that retries three times in 250 ms must find the topic at the second try at the latest.
const PATIENCE: Duration = Duration::from_millis(1_500);

/// The bound on creations at once.
#[derive(Debug)]
pub struct AutoTopics {
    creations: Semaphore,
    voters: usize,
    coordinators: CoordinatorConfig,
}

impl AutoTopics {
    /// Makes the bound; `voters` is the number of configured voters, which replication factors count.
    #[must_use]
    pub fn new(voters: usize, coordinators: CoordinatorConfig) -> Self {
        Self { creations: Semaphore::new(MAX_CREATIONS), voters, coordinators }
    }

    /// Returns the shape in which the offsets topic is created now.
    #[must_use]
    pub(crate) fn offsets_topic(&self, image: &Image) -> OffsetsTopic {
        OffsetsTopic::of(&self.coordinators, image, self.voters)
    }

    /// Returns the longest session timeout that a member may ask for.
    #[must_use]
    pub(crate) fn max_session_timeout(&self) -> Duration {
        self.coordinators.group.max_session_timeout
    }

    /// Creates a topic with the cluster's defaults, or the offsets topic in its own shape, and waits until this broker's image has it.
    ///
    /// # Errors
    /// The code for the client: LEADER_NOT_AVAILABLE while it is worth another try.
    pub async fn create(&self, controller: &Controller, name: &str) -> Result<(), ErrorCode> {
        match tokio::time::timeout(PATIENCE, self.propose(controller, name)).await {
            Ok(result) => result,
            Err(_) => Err(ErrorCode::LeaderNotAvailable),
        }
    }

    async fn propose(&self, controller: &Controller, name: &str) -> Result<(), ErrorCode> {
        let _permit = self.creations.acquire().await.map_err(|_| ErrorCode::LeaderNotAvailable)?;
        let image = controller.image();
        if image.topic_id(name).is_some() {
            return Ok(());
        }
        let topics = vec![self.new_topic(&image, name)?];
        let command = CreateTopics { topics, live: LiveSet::default() };
        let applied = controller.propose(Command::CreateTopics(command)).await;
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
        controller.wait_for(applied.index).await.map_err(|error| error.error_code())
    }

    fn new_topic(&self, image: &Image, name: &str) -> Result<NewTopic, ErrorCode> {
        let (partition_count, replication_factor, configs) = match name {
            OFFSETS_TOPIC => {
                let shape = self.offsets_topic(image);
                (shape.partition_count, shape.replication_factor, shape.configs)
            }
            // Whoever serves transactions will know its shape.
            TRANSACTIONS_TOPIC => return Err(ErrorCode::UnknownTopicOrPartition),
            _ => (
                image.default_partition_count(),
                image.default_replication_factor(self.voters),
                BTreeMap::new(),
            ),
        };
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

/// Draws a topic id. Kafka reserves the ids that look like a command line option, and the two lowest.
#[must_use]
pub fn fresh_topic_id() -> TopicId {
    loop {
        let id = TopicId(Uuid::new_v4());
        if !id.to_string().starts_with('-') {
            return id;
        }
    }
}

/// Draws where placement begins, so that topics spread over the brokers.
#[must_use]
pub fn placement_start() -> u32 {
    Uuid::new_v4().as_fields().0
}
