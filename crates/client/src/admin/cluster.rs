//! The cluster itself: its brokers, and elections of leaders.

use std::collections::BTreeMap;

use model::{BrokerId, ErrorCode, TopicPartition};
use protocol::messages::elect_leaders::TopicPartitions;
use protocol::messages::{DescribeClusterRequest, ElectLeadersRequest};

use crate::client::Client;
use crate::error::Error;
use crate::wire::{address, numbers_by_topic, partition};

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

/// What became of an election that was possible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Elected {
    /// The leader is another one now.
    Now,
    /// Whoever would be elected leads already.
    NotNeeded,
}

impl Client {
    /// Describes the cluster, fenced brokers included where the broker can tell.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn describe_cluster(&self) -> Result<ClusterDescription, Error> {
        let request = DescribeClusterRequest {
            include_fenced_brokers: true,
            ..DescribeClusterRequest::default()
        };
        let attempt = || async {
            let response = self.any_connection().await?.request(&request).await?;
            let message = response.error_message.as_deref();
            Error::check("cluster", response.error_code, message)?;
            let mut brokers: Vec<_> = response
                .brokers
                .iter()
                .map(|broker| BrokerDescription {
                    id: BrokerId(broker.broker_id),
                    address: address(&broker.host, broker.port),
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
        };
        self.backoff().run(Error::is_retriable_operation, attempt).await
    }

    /// Elects leaders of partitions; `None` for all partitions. Returns what became of each partition that was tried; Kafka leaves out those of an election of
    /// all that needed none.
    ///
    /// # Errors
    /// [`Error::Broker`] with the code of the request.
    pub async fn elect_leaders(
        &self,
        election: Election,
        partitions: Option<&[TopicPartition]>,
    ) -> Result<BTreeMap<TopicPartition, Result<Elected, Error>>, Error> {
        let topics = partitions.map(|partitions| {
            let topics = numbers_by_topic(partitions).into_iter();
            topics
                .map(|(topic, partitions)| TopicPartitions { topic: topic.into(), partitions })
                .collect()
        });
        let request = ElectLeadersRequest {
            election_type: match election {
                Election::Preferred => 0,
                Election::Unclean => 1,
            },
            topic_partitions: topics,
            timeout_ms: self.operation_timeout_ms(),
        };
        self.operate(&request, |response| {
            let results = response.replica_election_results.iter().flat_map(|topic| {
                let results = topic.partition_result.iter();
                results.map(|result| (partition(&topic.topic, result.partition_id), result))
            });
            // The error of the whole has no words of its own; each partition repeats it with some.
            let words = results.clone().find_map(|(_, result)| result.error_message.as_deref());
            Error::check("election", response.error_code, words)?;
            let outcomes = results.map(|(partition, result)| {
                let words = result.error_message.as_deref();
                let outcome = match result.error_code {
                    ErrorCode::ElectionNotNeeded => Ok(Elected::NotNeeded),
                    code => Error::check(partition.to_string(), code, words).map(|()| Elected::Now),
                };
                (partition, outcome)
            });
            Ok(outcomes.collect())
        })
        .await
    }
}
