//! All transactional ids of a cluster: every broker lists those that it keeps.

use std::collections::BTreeMap;

use futures_util::future::try_join_all;
use model::{BrokerId, ProducerId};
use protocol::ApiKey;
use protocol::codec::KafkaString;
use protocol::messages::ListTransactionsRequest;

use super::{TransactionFilter, TransactionListing, TransactionState};
use crate::client::Client;
use crate::error::{Error, RequestError};
use crate::metadata::Topics;

impl Client {
    /// Lists the transactional ids of all live brokers, in their order.
    ///
    /// # Errors
    /// [`Error`] of the first broker that cannot be asked: a list with a hole is no answer. [`RequestError::Unsupported`] for a filter that a broker is too old
    /// for.
    pub async fn list_transactions(
        &self,
        filter: &TransactionFilter,
    ) -> Result<Vec<TransactionListing>, Error> {
        let attempt = || async {
            let metadata = self.refresh_metadata(Topics::None).await?;
            let asked =
                metadata.brokers.keys().map(|broker| self.list_transactions_of(*broker, filter));
            try_join_all(asked).await
        };
        let lists = self.backoff().run(Error::is_retriable_at_coordinator, attempt).await?;
        // One that moves while we ask may be in two lists.
        let by_id: BTreeMap<_, _> =
            lists.into_iter().flatten().map(|it| (it.transactional_id.clone(), it)).collect();
        Ok(by_id.into_values().collect())
    }

    async fn list_transactions_of(
        &self,
        broker: BrokerId,
        filter: &TransactionFilter,
    ) -> Result<Vec<TransactionListing>, Error> {
        let connection = self.connection(broker).await?;
        let version = connection.version(ApiKey::ListTransactions)?;
        let needed = match filter {
            TransactionFilter { pattern: Some(_), .. } => FIRST_WITH_PATTERN,
            TransactionFilter { running_longer_than: Some(_), .. } => FIRST_WITH_DURATION,
            _ => 0,
        };
        if version < needed {
            let address = connection.address().to_owned();
            let api = ApiKey::ListTransactions;
            return Err(RequestError::Unsupported { address, api }.into());
        }
        let duration = filter.running_longer_than;
        let request = ListTransactionsRequest {
            state_filters: filter.states.iter().map(|it| KafkaString::from(it.name())).collect(),
            producer_id_filters: filter.producer_ids.iter().map(|id| id.0).collect(),
            duration_filter: duration
                .map_or(-1, |time| i64::try_from(time.as_millis()).unwrap_or(i64::MAX)),
            transactional_id_pattern: filter.pattern.as_ref().map(KafkaString::from),
        };
        let response = connection.request(&request).await?;
        Error::check(format!("transactions of broker {broker}"), response.error_code, None)?;
        let listing =
            |it: &protocol::messages::list_transactions::TransactionState| TransactionListing {
                transactional_id: String::from(&it.transactional_id),
                coordinator: broker,
                producer_id: ProducerId(it.producer_id),
                state: TransactionState(String::from(&it.transaction_state)),
            };
        Ok(response.transaction_states.iter().map(listing).collect())
    }
}

/// From version 1 on a request may ask for old transactions only.
const FIRST_WITH_DURATION: i16 = 1;

/// From version 2 on a request may ask for the ids of a pattern only.
const FIRST_WITH_PATTERN: i16 = 2;
