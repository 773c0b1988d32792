//! Configuration of topics and brokers: show and change.

use std::fmt;

use model::BrokerId;
use protocol::codec::KafkaString;
use protocol::messages::describe_configs::{
    DescribeConfigsResource, DescribeConfigsResourceResult,
};
use protocol::messages::incremental_alter_configs::{AlterConfigsResource, AlterableConfig};
use protocol::messages::{
    DescribeConfigsRequest, DescribeConfigsResponse, IncrementalAlterConfigsRequest,
};

use super::Mode;
use crate::client::Client;
use crate::error::{Error, RequestError};
use crate::metadata::Topics;

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

impl Client {
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
        let read = |response: DescribeConfigsResponse| {
            let result = response.results.first();
            let result = result.ok_or_else(|| Error::unnamed(resource.to_string()))?;
            Error::check(resource.to_string(), result.error_code, result.error_message.as_deref())?;
            Ok(result.configs.iter().map(ConfigEntry::from_wire).collect())
        };
        let ConfigResource::Broker(broker) = resource else {
            return self.operate(&request, read).await;
        };
        // Only the broker itself knows its static configuration.
        let attempt = || async {
            let metadata = self.refresh_metadata(Topics::None).await?;
            if !metadata.brokers.contains_key(broker) {
                return Err(Error::Request(RequestError::UnknownBroker { broker: *broker }));
            }
            read(self.connection(*broker).await?.request(&request).await?)
        };
        self.backoff().run(Error::is_retriable_operation, attempt).await
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
        self.operate(&request, |response| {
            let result = response.responses.first();
            let result = result.ok_or_else(|| Error::unnamed(resource.to_string()))?;
            Error::check(resource.to_string(), result.error_code, result.error_message.as_deref())
        })
        .await
    }
}

impl ConfigEntry {
    fn from_wire(config: &DescribeConfigsResourceResult) -> Self {
        Self {
            name: String::from(&config.name),
            value: config.value.as_ref().map(String::from),
            source: ConfigSource::from_wire(config.config_source),
            is_read_only: config.read_only,
            is_sensitive: config.is_sensitive,
        }
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

impl fmt::Display for ConfigResource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
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
