//! Administration of transactions (KIP-664): which transactional ids there are, what their transactions do, what partitions know of producers, and how to
//! end a transaction that hangs: one that is open in a partition although its coordinator knows nothing of it.

mod listing;
mod producers;

use std::collections::BTreeMap;
use std::time::Duration;

use model::{ErrorCode, ProducerEpoch, ProducerId, TopicPartition, UnixMillis};
use protocol::codec::KafkaString;
use protocol::messages::describe_transactions::TransactionState as DescribedState;
use protocol::messages::{DescribeTransactionsRequest, InitProducerIdRequest};
use protocol::transaction_log::TransactionStatus;

use crate::client::Client;
use crate::coordinator_link::Link;
use crate::error::Error;
use crate::groups::Coordinator;
use crate::groups::coordinators::{ByGroup, CoordinatorKey, CoordinatorKind};
use crate::wire::partition;

/// State of a transactional id, by Kafka's name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TransactionState(String);

/// A transactional id as a list shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransactionListing {
    /// The transactional id.
    pub transactional_id: String,
    /// The broker that keeps it.
    pub coordinator: model::BrokerId,
    /// Its producer id.
    pub producer_id: ProducerId,
    /// Its state.
    pub state: TransactionState,
}

/// Which transactional ids to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TransactionFilter {
    /// Those in one of these states; all when there is none.
    pub states: Vec<TransactionState>,
    /// Those with one of these producer ids; all when there is none.
    pub producer_ids: Vec<ProducerId>,
    /// Those whose transaction has been running for longer (KIP-994).
    pub running_longer_than: Option<Duration>,
    /// Those that a regular expression matches as a whole (KIP-1152).
    pub pattern: Option<String>,
}

/// What a transactional id does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransactionDescription {
    /// The transactional id.
    pub transactional_id: String,
    /// The broker that keeps it.
    pub coordinator: Coordinator,
    /// Its producer id.
    pub producer_id: ProducerId,
    /// Its producer epoch.
    pub producer_epoch: i16,
    /// Its state.
    pub state: TransactionState,
    /// Time after which an open transaction is aborted.
    pub timeout: Duration,
    /// When its transaction began; `None` without one.
    pub started_at: Option<UnixMillis>,
    /// The partitions of its transaction.
    pub partitions: Vec<TopicPartition>,
}

/// What a partition knows of a producer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ActiveProducer {
    /// Its id.
    pub producer_id: ProducerId,
    /// Its epoch.
    pub producer_epoch: i32,
    /// Sequence number of its last record.
    pub last_sequence: Option<i32>,
    /// When it wrote last.
    pub last_timestamp: Option<UnixMillis>,
    /// Epoch of the coordinator that wrote its last marker.
    pub coordinator_epoch: Option<i32>,
    /// Where its open transaction begins; `None` without one.
    pub transaction_start_offset: Option<i64>,
}

/// A marker that aborts a transaction in one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AbortedByHand {
    /// The partition.
    pub partition: TopicPartition,
    /// The producer.
    pub producer_id: ProducerId,
    /// Its epoch, as the partition knows it.
    pub producer_epoch: ProducerEpoch,
    /// Epoch of the coordinator, as the partition knows it; 0 where it knows none.
    pub coordinator_epoch: i32,
}

impl TransactionState {
    /// Returns the names of all states that there are.
    #[must_use]
    pub fn names() -> [&'static str; 8] {
        TransactionStatus::ALL.map(TransactionStatus::name)
    }

    /// Reads Kafka's name in whatever case; one that is not known is kept as it is.
    #[must_use]
    pub fn from_name(name: &str) -> Self {
        let found = Self::names().into_iter().find(|known| known.eq_ignore_ascii_case(name));
        Self(found.unwrap_or(name).to_owned())
    }

    /// Returns Kafka's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0
    }
}

impl Client {
    /// Describes transactional ids: a result for each, `TRANSACTIONAL_ID_NOT_FOUND` for one that does not exist.
    pub async fn describe_transactions(
        &self,
        ids: &[String],
    ) -> BTreeMap<String, Result<TransactionDescription, Error>> {
        let ask = |connection: crate::Connection, coordinator: Coordinator, ids: Vec<String>| async move {
            let request = DescribeTransactionsRequest {
                transactional_ids: ids.iter().map(KafkaString::from).collect(),
            };
            let response = connection.request(&request).await?;
            let states = response.transaction_states.iter();
            Ok(states.map(|state| description(state, &coordinator)).collect::<ByGroup<_>>())
        };
        self.ask_coordinators_of(CoordinatorKind::Transaction, ids, ask).await
    }

    /// Takes a transactional id over and leaves it: whoever has it is fenced, and an open transaction is aborted (Java's `fenceProducers`).
    ///
    /// # Errors
    /// [`Error::Broker`], [`Error::GaveUp`].
    pub async fn fence_producer(
        &self,
        transactional_id: &str,
    ) -> Result<(ProducerId, ProducerEpoch), Error> {
        let key = CoordinatorKey::of_transactional_id(transactional_id);
        let subject = key.subject();
        let link = Link::new(self.clone(), key, self.patience());
        let request = InitProducerIdRequest {
            transactional_id: Some(transactional_id.into()),
            // Nothing is written with it.
            transaction_timeout_ms: 1,
            ..InitProducerIdRequest::default()
        };
        let attempt = || async {
            let check = |response: protocol::messages::InitProducerIdResponse| {
                Error::check(subject.clone(), response.error_code, None)?;
                Ok((ProducerId(response.producer_id), ProducerEpoch(response.producer_epoch)))
            };
            link.ask(&request, Duration::ZERO, check).await
        };
        self.backoff().run(Error::is_retriable_in_transaction, attempt).await
    }
}

fn description(
    state: &DescribedState,
    coordinator: &Coordinator,
) -> (String, Result<TransactionDescription, Error>) {
    let id = String::from(&state.transactional_id);
    let subject = CoordinatorKind::Transaction.subject(&id);
    let described = Error::check(subject, state.error_code, None).map(|()| {
        let partitions = state.topics.iter().flat_map(|topic| {
            topic.partitions.iter().map(|number| partition(&topic.topic, *number))
        });
        let timeout = u64::try_from(state.transaction_timeout_ms).unwrap_or_default();
        let started = state.transaction_start_time_ms;
        TransactionDescription {
            transactional_id: id.clone(),
            coordinator: coordinator.clone(),
            producer_id: ProducerId(state.producer_id),
            producer_epoch: state.producer_epoch,
            state: TransactionState(String::from(&state.transaction_state)),
            timeout: Duration::from_millis(timeout),
            started_at: (started >= 0).then_some(UnixMillis(started)),
            partitions: partitions.collect(),
        }
    });
    (id, described)
}

/// Says whether an error tells that the transactional id does not exist.
#[must_use]
pub fn is_unknown_id(error: &Error) -> bool {
    error.code() == Some(ErrorCode::TransactionalIdNotFound)
}
