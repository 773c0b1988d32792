//! What groups have committed: read it, and set it from outside.

use std::collections::BTreeMap;

use model::TopicPartition;

use super::CommittedOffset;
use super::offset_messages::{self, Stability};
use crate::client::Client;
use crate::error::Error;

impl Client {
    /// Returns what a group has committed, for these partitions or for all; partitions for which it has committed nothing are left out. A group
    /// that does not exist has committed nothing.
    ///
    /// # Errors
    /// [`Error::Broker`] with the code of the group or of a partition.
    pub async fn group_offsets(
        &self,
        group: &str,
        partitions: Option<&[TopicPartition]>,
    ) -> Result<BTreeMap<TopicPartition, CommittedOffset>, Error> {
        let request = &offset_messages::offset_fetch(group, partitions, Stability::Any);
        self.ask_about(group, |connection| async move {
            let response = connection.request(request).await?;
            offset_messages::fetched_offsets(group, &response)
        })
        .await
    }

    /// Commits offsets for a group from outside, which the coordinator takes while the group has no members.
    ///
    /// # Errors
    /// [`Error::Broker`] with the code of the first partition that was refused, `UNKNOWN_MEMBER_ID` while the group has members. Other
    /// partitions may have been committed.
    pub async fn commit_group_offsets(
        &self,
        group: &str,
        offsets: &BTreeMap<TopicPartition, CommittedOffset>,
    ) -> Result<(), Error> {
        let request = &offset_messages::offset_commit(group, None, offsets);
        self.ask_about(group, |connection| async move {
            let response = connection.request(request).await?;
            offset_messages::committed(&response)
        })
        .await
    }
}
