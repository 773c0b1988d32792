//! Topics: create, delete, add partitions.

use model::BrokerId;
use protocol::messages::create_partitions::CreatePartitionsTopic;
use protocol::messages::create_topics::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig,
};
use protocol::messages::delete_topics::DeleteTopicState;
use protocol::messages::{CreatePartitionsRequest, CreateTopicsRequest, DeleteTopicsRequest};

use super::Mode;
use crate::client::Client;
use crate::error::Error;

/// A topic to create.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewTopic {
    /// Its name.
    pub name: String,
    /// Number of partitions; `None` for the cluster's `num.partitions`.
    pub partitions: Option<i32>,
    /// Replicas of each partition; `None` for the cluster's `default.replication.factor`.
    pub replication_factor: Option<i16>,
    /// Brokers of each partition, the preferred leader first, instead of a number of partitions and replicas; empty to let the cluster decide.
    pub assignments: Vec<Vec<BrokerId>>,
    /// Configuration of the topic.
    pub configs: Vec<(String, String)>,
}

/// A topic that was created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreatedTopic {
    /// Its name.
    pub name: String,
    /// Number of partitions, when the broker tells.
    pub partitions: Option<i32>,
    /// Replicas of each partition, when the broker tells.
    pub replication_factor: Option<i16>,
}

impl Client {
    /// Creates a topic.
    ///
    /// # Errors
    /// [`Error::Broker`] with the code of the topic.
    pub async fn create_topic(&self, topic: &NewTopic, mode: Mode) -> Result<CreatedTopic, Error> {
        let creatable = CreatableTopic {
            name: (&topic.name).into(),
            num_partitions: topic.partitions.unwrap_or(-1),
            replication_factor: topic.replication_factor.unwrap_or(-1),
            assignments: (0..)
                .zip(&topic.assignments)
                .map(|(partition_index, brokers)| CreatableReplicaAssignment {
                    partition_index,
                    broker_ids: brokers.iter().map(|broker| broker.0).collect(),
                })
                .collect(),
            configs: topic
                .configs
                .iter()
                .map(|(name, value)| CreatableTopicConfig {
                    name: name.into(),
                    value: Some(value.into()),
                })
                .collect(),
        };
        let request = CreateTopicsRequest {
            topics: vec![creatable],
            timeout_ms: self.operation_timeout_ms(),
            validate_only: mode == Mode::ValidateOnly,
        };
        self.operate(&request, |response| {
            let subject = format!("topic {}", topic.name);
            let result = response.topics.first().ok_or_else(|| Error::unnamed(&*subject))?;
            Error::check(subject, result.error_code, result.error_message.as_deref())?;
            Ok(CreatedTopic {
                name: topic.name.clone(),
                partitions: (result.num_partitions >= 0).then_some(result.num_partitions),
                replication_factor: (result.replication_factor >= 0)
                    .then_some(result.replication_factor),
            })
        })
        .await
    }

    /// Deletes a topic.
    ///
    /// # Errors
    /// [`Error::Broker`] with the code of the topic.
    pub async fn delete_topic(&self, name: &str) -> Result<(), Error> {
        let request = DeleteTopicsRequest {
            topics: vec![DeleteTopicState {
                name: Some(name.into()),
                ..DeleteTopicState::default()
            }],
            topic_names: vec![name.into()],
            timeout_ms: self.operation_timeout_ms(),
        };
        self.operate(&request, |response| {
            let subject = format!("topic {name}");
            let result = response.responses.first().ok_or_else(|| Error::unnamed(&*subject))?;
            Error::check(subject, result.error_code, result.error_message.as_deref())
        })
        .await
    }

    /// Raises the number of partitions of a topic to `count`.
    ///
    /// # Errors
    /// [`Error::Broker`] with the code of the topic.
    pub async fn create_partitions(
        &self,
        topic: &str,
        count: i32,
        mode: Mode,
    ) -> Result<(), Error> {
        let request = CreatePartitionsRequest {
            topics: vec![CreatePartitionsTopic { name: topic.into(), count, assignments: None }],
            timeout_ms: self.operation_timeout_ms(),
            validate_only: mode == Mode::ValidateOnly,
        };
        self.operate(&request, |response| {
            let subject = format!("topic {topic}");
            let result = response.results.first().ok_or_else(|| Error::unnamed(&*subject))?;
            Error::check(subject, result.error_code, result.error_message.as_deref())
        })
        .await
    }
}
