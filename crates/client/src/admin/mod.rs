//! Administrative requests: topics, partitions, configuration, elections, the cluster itself.
//!
//! Requests go to the broker that metadata names as the controller, which forwards them where it must. Each is tried
//! again while the errors say so; `TOPIC_ALREADY_EXISTS` after an attempt whose outcome is unknown is returned as it is.

use std::collections::BTreeMap;
use std::time::Duration;

use model::{BrokerId, ErrorCode, TopicPartition, UnixMillis};
use protocol::ApiRequest;
use protocol::codec::KafkaString;
use protocol::messages::create_partitions::CreatePartitionsTopic;
use protocol::messages::create_topics::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig,
};
use protocol::messages::delete_topics::DeleteTopicState;
use protocol::messages::describe_configs::DescribeConfigsResource;
use protocol::messages::elect_leaders::TopicPartitions;
use protocol::messages::incremental_alter_configs::{AlterConfigsResource, AlterableConfig};
use protocol::messages::{
    CreatePartitionsRequest, CreateTopicsRequest, DeleteTopicsRequest, DescribeClusterRequest,
    DescribeConfigsRequest, ElectLeadersRequest, IncrementalAlterConfigsRequest,
};

use crate::client::Client;
use crate::connection::Connection;
use crate::error::Error;
use crate::metadata::Topics;

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

/// What a request may change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Check, and do it.
    Apply,
    /// Check only.
    ValidateOnly,
}

/// What configuration belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigResource {
    /// A topic, by name.
    Topic(String),
    /// A broker.
    Broker(BrokerId),
    /// What holds for all brokers.
    AllBrokers,
}

/// A change of a configuration key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigChange {
    /// Set the key to a value.
    Set(String, String),
    /// Go back to the default.
    Delete(String),
    /// Add to a list.
    Append(String, String),
    /// Take out of a list.
    Subtract(String, String),
}

/// A configuration key and its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigEntry {
    /// The key.
    pub name: String,
    /// The value; `None` when it is secret or has none.
    pub value: Option<String>,
    /// Where the value comes from.
    pub source: ConfigSource,
    /// Whether it cannot be changed while the broker runs.
    pub is_read_only: bool,
    /// Whether it is secret.
    pub is_sensitive: bool,
}

/// Where a value comes from (Kafka's `ConfigSource`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigSource {
    /// Set on the topic.
    Topic,
    /// Set on the broker while it runs.
    DynamicBroker,
    /// Set for all brokers while they run.
    DynamicDefaultBroker,
    /// From the broker's file or command line.
    StaticBroker,
    /// The default.
    Default,
    /// Another one, or not told.
    Other,
}

/// A cluster and its brokers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterDescription {
    /// The cluster's id.
    pub cluster_id: String,
    /// A broker that takes administrative requests.
    pub controller: Option<BrokerId>,
    /// The brokers, in the order of their ids.
    pub brokers: Vec<BrokerDescription>,
}

/// A broker of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerDescription {
    /// Its id.
    pub id: BrokerId,
    /// Host name and port.
    pub address: String,
    /// Its rack.
    pub rack: Option<String>,
    /// Whether it is fenced: registered, but without a live session.
    pub is_fenced: bool,
}

/// Who is elected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Election {
    /// The preferred replica.
    Preferred,
    /// Any live replica where none in sync is left; loses what it does not have.
    Unclean,
}

/// A place in a partition by what is known of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OffsetAt {
    /// The first offset that is kept.
    Earliest,
    /// The end: the high watermark.
    Latest,
    /// The first record with this timestamp or a later one.
    Time(UnixMillis),
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
        self.retry_operation(|| async {
            let response = self.ask_controller(&request).await?;
            let subject = format!("topic {}", topic.name);
            let result = response.topics.first().ok_or_else(|| nothing(&subject))?;
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
        self.retry_operation(|| async {
            let response = self.ask_controller(&request).await?;
            let subject = format!("topic {name}");
            let result = response.responses.first().ok_or_else(|| nothing(&subject))?;
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
        self.retry_operation(|| async {
            let response = self.ask_controller(&request).await?;
            let subject = format!("topic {topic}");
            let result = response.results.first().ok_or_else(|| nothing(&subject))?;
            Error::check(subject, result.error_code, result.error_message.as_deref())
        })
        .await
    }

    /// Returns the configuration of a resource.
    ///
    /// # Errors
    /// [`Error::Broker`] with the code of the resource.
    pub async fn describe_configs(
        &self,
        resource: &ConfigResource,
    ) -> Result<Vec<ConfigEntry>, Error> {
        let (resource_type, resource_name) = resource.to_wire();
        let request = DescribeConfigsRequest {
            resources: vec![DescribeConfigsResource {
                resource_type,
                resource_name,
                configuration_keys: None,
            }],
            ..DescribeConfigsRequest::default()
        };
        self.retry_operation(|| async {
            let response = match resource {
                // Only the broker itself knows its static configuration.
                ConfigResource::Broker(id) => {
                    self.refresh_metadata(Topics::None).await?;
                    self.connection(*id).await?.request(&request).await?
                }
                _ => self.ask_controller(&request).await?,
            };
            let result = response.results.first().ok_or_else(|| nothing(&resource.to_string()))?;
            Error::check(resource.to_string(), result.error_code, result.error_message.as_deref())?;
            let entry =
                |config: &protocol::messages::describe_configs::DescribeConfigsResourceResult| {
                    ConfigEntry {
                        name: String::from(&config.name),
                        value: config.value.as_ref().map(String::from),
                        source: ConfigSource::from_wire(config.config_source),
                        is_read_only: config.read_only,
                        is_sensitive: config.is_sensitive,
                    }
                };
            Ok(result.configs.iter().map(entry).collect())
        })
        .await
    }

    /// Changes configuration keys of a resource, all or none.
    ///
    /// # Errors
    /// [`Error::Broker`] with the code of the resource.
    pub async fn alter_configs(
        &self,
        resource: &ConfigResource,
        changes: &[ConfigChange],
        mode: Mode,
    ) -> Result<(), Error> {
        let (resource_type, resource_name) = resource.to_wire();
        let request = IncrementalAlterConfigsRequest {
            resources: vec![AlterConfigsResource {
                resource_type,
                resource_name,
                configs: changes.iter().map(ConfigChange::to_wire).collect(),
            }],
            validate_only: mode == Mode::ValidateOnly,
        };
        self.retry_operation(|| async {
            let response = self.ask_controller(&request).await?;
            let result =
                response.responses.first().ok_or_else(|| nothing(&resource.to_string()))?;
            Error::check(resource.to_string(), result.error_code, result.error_message.as_deref())
        })
        .await
    }

    /// Describes the cluster, fenced brokers included where the broker can tell.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn describe_cluster(&self) -> Result<ClusterDescription, Error> {
        let request = DescribeClusterRequest {
            include_fenced_brokers: true,
            ..DescribeClusterRequest::default()
        };
        self.retry_operation(|| async {
            let response = self.any_connection().await?.request(&request).await?;
            let message = response.error_message.as_deref();
            Error::check("cluster", response.error_code, message)?;
            let mut brokers: Vec<_> = response
                .brokers
                .iter()
                .map(|broker| BrokerDescription {
                    id: BrokerId(broker.broker_id),
                    address: format!("{}:{}", broker.host, broker.port),
                    rack: broker.rack.as_ref().map(String::from),
                    is_fenced: broker.is_fenced,
                })
                .collect();
            brokers.sort_by_key(|broker| broker.id);
            Ok(ClusterDescription {
                cluster_id: String::from(&response.cluster_id),
                controller: (response.controller_id >= 0)
                    .then_some(BrokerId(response.controller_id)),
                brokers,
            })
        })
        .await
    }

    /// Elects leaders of partitions; `None` for all partitions. Returns the code of each partition that was tried; Kafka leaves out those of an election of all
    /// that needed none.
    ///
    /// # Errors
    /// [`Error::Broker`] with the code of the request.
    pub async fn elect_leaders(
        &self,
        election: Election,
        partitions: Option<&[TopicPartition]>,
    ) -> Result<BTreeMap<TopicPartition, ErrorCode>, Error> {
        let request = ElectLeadersRequest {
            election_type: match election {
                Election::Preferred => 0,
                Election::Unclean => 1,
            },
            topic_partitions: partitions.map(|partitions| {
                by_topic(partitions)
                    .into_iter()
                    .map(|(topic, partitions)| TopicPartitions { topic: topic.into(), partitions })
                    .collect()
            }),
            timeout_ms: self.operation_timeout_ms(),
        };
        self.retry_operation(|| async {
            let response = self.ask_controller(&request).await?;
            Error::check("election", response.error_code, None)?;
            let results = response.replica_election_results.iter().flat_map(|topic| {
                topic.partition_result.iter().map(|result| {
                    let topic = String::from(&topic.topic);
                    let partition = result.partition_id;
                    (TopicPartition { topic, partition }, result.error_code)
                })
            });
            Ok(results.collect())
        })
        .await
    }

    async fn ask_controller<R: ApiRequest>(&self, request: &R) -> Result<R::Response, Error> {
        let result = self.controller_connection().await?.request(request).await;
        if result.is_err() {
            // The controller may have moved.
            self.refresh_metadata(Topics::None).await?;
        }
        Ok(result?)
    }

    async fn controller_connection(&self) -> Result<Connection, Error> {
        let mut metadata = self.metadata();
        if metadata.controller.is_none() {
            metadata = self.refresh_metadata(Topics::None).await?;
        }
        if let Some(controller) = metadata.controller
            && let Ok(connection) = self.connection(controller).await
        {
            return Ok(connection);
        }
        Ok(self.any_connection().await?)
    }

    /// Time that the broker may take for an operation: a little less than the response may take.
    fn operation_timeout_ms(&self) -> i32 {
        let margin = Duration::from_secs(1);
        let timeout = self.config().request_timeout.saturating_sub(margin).max(margin);
        i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX)
    }
}

impl ConfigResource {
    fn to_wire(&self) -> (i8, KafkaString) {
        match self {
            Self::Topic(name) => (2, name.into()),
            Self::Broker(id) => (4, id.to_string().into()),
            Self::AllBrokers => (4, KafkaString::default()),
        }
    }
}

impl std::fmt::Display for ConfigResource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Topic(name) => write!(f, "topic {name}"),
            Self::Broker(id) => write!(f, "broker {id}"),
            Self::AllBrokers => f.write_str("all brokers"),
        }
    }
}

impl ConfigChange {
    fn to_wire(&self) -> AlterableConfig {
        let (config_operation, name, value) = match self {
            Self::Set(name, value) => (0, name, Some(value)),
            Self::Delete(name) => (1, name, None),
            Self::Append(name, value) => (2, name, Some(value)),
            Self::Subtract(name, value) => (3, name, Some(value)),
        };
        AlterableConfig { name: name.into(), config_operation, value: value.map(KafkaString::from) }
    }
}

impl ConfigSource {
    fn from_wire(source: i8) -> Self {
        match source {
            1 => Self::Topic,
            2 => Self::DynamicBroker,
            3 => Self::DynamicDefaultBroker,
            4 => Self::StaticBroker,
            5 => Self::Default,
            _ => Self::Other,
        }
    }
}

/// Groups partitions by their topics, as most requests name them.
pub(crate) fn by_topic(partitions: &[TopicPartition]) -> BTreeMap<&String, Vec<i32>> {
    let mut topics = BTreeMap::<_, Vec<_>>::new();
    for partition in partitions {
        topics.entry(&partition.topic).or_default().push(partition.partition);
    }
    topics
}

/// The error of a response that leaves out what was asked for.
pub(crate) fn nothing(subject: &str) -> Error {
    Error::Broker {
        subject: subject.to_owned(),
        code: ErrorCode::UnknownServerError,
        message: Some("the response does not name it".to_owned()),
    }
}
