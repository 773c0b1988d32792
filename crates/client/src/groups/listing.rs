//! All groups of a cluster: every broker lists those that it keeps.

use std::collections::BTreeMap;

use futures_util::future::try_join_all;
use model::BrokerId;
use protocol::ApiKey;
use protocol::codec::KafkaString;
use protocol::messages::ListGroupsRequest;

use super::{GroupListing, GroupState};
use crate::client::Client;
use crate::error::{Error, RequestError};
use crate::metadata::Topics;

impl Client {
    /// Lists the groups of all live brokers, in the order of their ids; with `states`, those in one of them.
    ///
    /// # Errors
    /// [`Error`] of the first broker that cannot be asked: a list with a hole is no answer. A broker older than Kafka 2.6 does not know states:
    /// [`RequestError::Unsupported`].
    pub async fn list_groups(&self, states: &[GroupState]) -> Result<Vec<GroupListing>, Error> {
        let attempt = || self.list_groups_once(states);
        let groups = self.backoff().run(Error::is_retriable_at_coordinator, attempt).await?;
        Ok(groups.into_values().collect())
    }

    /// Asks once; returns groups by their ids.
    pub(super) async fn list_groups_once(
        &self,
        states: &[GroupState],
    ) -> Result<BTreeMap<String, GroupListing>, Error> {
        let metadata = self.refresh_metadata(Topics::None).await?;
        let asked = metadata.brokers.keys().map(|broker| self.list_groups_of(*broker, states));
        let lists = try_join_all(asked).await?;
        // A group that moves while we ask may be in two lists, or, for the moment, in none.
        let by_id = lists.into_iter().flatten().map(|group| (group.group_id.clone(), group));
        Ok(by_id.collect())
    }

    async fn list_groups_of(
        &self,
        broker: BrokerId,
        states: &[GroupState],
    ) -> Result<Vec<GroupListing>, Error> {
        let connection = self.connection(broker).await?;
        let version = connection.version(ApiKey::ListGroups)?;
        if version < FIRST_WITH_STATES && !states.is_empty() {
            let address = connection.address().to_owned();
            return Err(RequestError::Unsupported { address, api: ApiKey::ListGroups }.into());
        }
        let request = ListGroupsRequest {
            states_filter: states.iter().map(|state| KafkaString::from(state.name())).collect(),
            ..ListGroupsRequest::default()
        };
        let response = connection.request(&request).await?;
        Error::check(format!("groups of broker {broker}"), response.error_code, None)?;
        let listing = |group: &protocol::messages::list_groups::ListedGroup| GroupListing {
            group_id: String::from(&group.group_id),
            protocol_type: String::from(&group.protocol_type),
            state: (version >= FIRST_WITH_STATES)
                .then(|| GroupState::from_name(group.group_state.as_str())),
            group_type: (version >= FIRST_WITH_TYPES).then(|| String::from(&group.group_type)),
        };
        Ok(response.groups.iter().map(listing).collect())
    }
}

/// From version 4 on groups are listed with their states (KIP-518).
const FIRST_WITH_STATES: i16 = 4;

/// From version 5 on groups are listed with their types (KIP-848).
const FIRST_WITH_TYPES: i16 = 5;
