//! Deletes groups and what they have committed.

use std::collections::BTreeMap;

use model::{ErrorCode, TopicPartition};
use protocol::messages::offset_delete::{OffsetDeleteRequestPartition, OffsetDeleteRequestTopic};
use protocol::messages::{DeleteGroupsRequest, OffsetDeleteRequest};

use super::subject;
use crate::client::Client;
use crate::error::Error;
use crate::wire::{numbers_by_topic, partition};

impl Client {
    /// Deletes a group that has no members, with all that it has committed.
    ///
    /// # Errors
    /// [`Error::Broker`]: `NON_EMPTY_GROUP`, `GROUP_ID_NOT_FOUND`.
    pub async fn delete_group(&self, group: &str) -> Result<(), Error> {
        self.ask_about(group, |connection| async move {
            let request = DeleteGroupsRequest { groups_names: vec![group.into()] };
            let response = connection.request(&request).await?;
            let result = response.results.iter().find(|result| result.group_id == *group);
            let code = result.map_or(ErrorCode::UnknownServerError, |result| result.error_code);
            Error::check(subject(group), code, None)
        })
        .await
    }

    /// Deletes what a group has committed for partitions. Returns the code of each: `GROUP_SUBSCRIBED_TO_TOPIC` while a member reads the topic.
    ///
    /// # Errors
    /// [`Error::Broker`] with the code of the group: `NON_EMPTY_GROUP`, `GROUP_ID_NOT_FOUND`.
    pub async fn delete_group_offsets(
        &self,
        group: &str,
        partitions: &[TopicPartition],
    ) -> Result<BTreeMap<TopicPartition, ErrorCode>, Error> {
        let topics: Vec<_> = numbers_by_topic(partitions)
            .into_iter()
            .map(|(topic, partitions)| OffsetDeleteRequestTopic {
                name: topic.into(),
                partitions: partitions
                    .into_iter()
                    .map(|partition_index| OffsetDeleteRequestPartition { partition_index })
                    .collect(),
            })
            .collect();
        let topics = &topics;
        self.ask_about(group, |connection| async move {
            let request = OffsetDeleteRequest { group_id: group.into(), topics: topics.clone() };
            let response = connection.request(&request).await?;
            Error::check(subject(group), response.error_code, None)?;
            let results = response.topics.iter().flat_map(|topic| {
                topic.partitions.iter().map(|result| {
                    (partition(&topic.name, result.partition_index), result.error_code)
                })
            });
            Ok(results.collect())
        })
        .await
    }
}
