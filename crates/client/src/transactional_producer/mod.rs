//! Writes records, and commits offsets, in transactions: all of one become visible together, or none.
//!
//! [`TransactionalProducer::init`] takes the transactional id over: a producer that had it before is fenced, and its open transaction ended. With
//! `transaction.version` 2 (KIP-890) partitions join a transaction by being written to and every transaction has an epoch of its own; with older brokers
//! the partitions are named to the coordinator first. Invariants: a commit is asked for only when every record of the transaction is written; after a
//! failure nothing but an abort follows.

mod messages;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use model::record_batch::TransactionResult;
use model::{ErrorCode, ProducerEpoch, ProducerId, TopicPartition};
use protocol::ApiRequest;

use crate::client::Client;
use crate::coordinator_link::Link;
use crate::error::Error;
use crate::groups::CommittedOffset;
use crate::groups::coordinators::CoordinatorKey;
use crate::producer::{Delivery, Producer, ProducerConfig, ProducerRecord};

/// Settings of a [`TransactionalProducer`]. The names are Kafka's.
#[derive(Clone, Debug)]
pub struct TransactionalProducerConfig {
    /// `transactional.id`: whoever takes it over fences who had it.
    pub transactional_id: String,
    /// `transaction.timeout.ms`: time after which the coordinator aborts an open transaction. 60 s by default.
    pub transaction_timeout: Duration,
    /// How to write; acks are all, and idempotence is on.
    pub producer: ProducerConfig,
}

/// Who commits offsets in a transaction: a member of a group, or with the default of all but the group's id, somebody outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupMetadata {
    /// The group.
    pub group_id: String,
    /// The generation, −1 for none.
    pub generation: i32,
    /// The member's id, empty for none.
    pub member_id: String,
    /// The member's own name, of a static member.
    pub group_instance_id: Option<String>,
}

/// A producer whose records are written in transactions.
#[derive(Debug)]
pub struct TransactionalProducer {
    client: Client,
    config: TransactionalProducerConfig,
    producer: Producer,
    coordinator: Link,
    identity: Identity,
    phase: Phase,
    /// Partitions that the coordinator knows to be in the transaction; of `transaction.version` 2 those that were written to.
    partitions: BTreeSet<TopicPartition>,
    /// Coordinators of the groups whose offsets were committed.
    groups: BTreeMap<String, Link>,
    /// Groups that the coordinator knows to be in the transaction.
    added_groups: BTreeSet<String>,
}

/// Under which id and epoch the next transaction runs, and by which protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Identity {
    id: ProducerId,
    epoch: ProducerEpoch,
    /// Level of `transaction.version`, 2 at most.
    version: i16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// No transaction.
    Ready,
    Open,
    /// The end was asked for, and whether the coordinator took it is not known: only the same end can be asked for again.
    Ending(TransactionResult),
}

impl TransactionalProducerConfig {
    /// Makes the default settings.
    #[must_use]
    pub fn new(transactional_id: impl Into<String>) -> Self {
        Self {
            transactional_id: transactional_id.into(),
            transaction_timeout: Duration::from_secs(60),
            producer: ProducerConfig::default(),
        }
    }
}

impl GroupMetadata {
    /// Names a group from outside.
    #[must_use]
    pub fn of(group_id: impl Into<String>) -> Self {
        Self {
            group_id: group_id.into(),
            generation: -1,
            member_id: String::new(),
            group_instance_id: None,
        }
    }
}

impl TransactionalProducer {
    /// Takes the transactional id over (Java's `initTransactions`). Waits while the transaction of a former producer is being ended.
    ///
    /// # Errors
    /// [`Error::Broker`], `INVALID_TRANSACTION_TIMEOUT` for a time above `transaction.max.timeout.ms`; [`Error::GaveUp`].
    pub async fn init(client: Client, config: TransactionalProducerConfig) -> Result<Self, Error> {
        let key = CoordinatorKey::of_transactional_id(&config.transactional_id);
        let coordinator = Link::new(client.clone(), key, client.patience());
        let id = config.transactional_id.clone();
        let mut this = Self {
            producer: Producer::transactional(client.clone(), config.producer.clone(), id),
            client,
            config,
            coordinator,
            identity: Identity { id: ProducerId(-1), epoch: ProducerEpoch(-1), version: 0 },
            phase: Phase::Ready,
            partitions: BTreeSet::new(),
            groups: BTreeMap::new(),
            added_groups: BTreeSet::new(),
        };
        this.take_identity().await?;
        Ok(this)
    }

    /// Opens a transaction. Nobody is asked: it begins with its first record or offset.
    ///
    /// # Errors
    /// `INVALID_TXN_STATE` when one is open already.
    pub fn begin(&mut self) -> Result<(), Error> {
        self.check_phase(Phase::Ready, "a transaction is open already")?;
        let Identity { id, epoch, version } = self.identity;
        let newest = if version >= 2 { i16::MAX } else { NEWEST_PRODUCE_OF_VERSION_1 };
        self.producer.begin_transaction(id, epoch, newest);
        self.phase = Phase::Open;
        Ok(())
    }

    /// Takes a record into a batch; see [`Producer::send`].
    ///
    /// # Errors
    /// As [`Producer::send`]; the failure of an earlier record of the transaction, which can only be aborted then.
    pub async fn send(&mut self, record: &ProducerRecord<'_>) -> Result<Delivery, Error> {
        self.check_phase(Phase::Open, "no transaction is open")?;
        let partition = self.producer.partition_of(record).await?;
        let at = TopicPartition { topic: record.topic.to_owned(), partition };
        if !self.partitions.contains(&at) {
            if self.identity.version < 2 {
                self.add_partition(&at).await?;
            }
            self.partitions.insert(at);
        }
        self.producer.send(&ProducerRecord { partition: Some(partition), ..*record }).await
    }

    /// Commits offsets for a group as part of the transaction: of each partition, that of the next record to read.
    ///
    /// # Errors
    /// [`Error::Broker`] with the code of the first partition that was refused, `ILLEGAL_GENERATION`, `UNKNOWN_MEMBER_ID` or `FENCED_INSTANCE_ID` for a member that
    /// the group has given up: abort then. [`Error::GaveUp`].
    pub async fn send_offsets(
        &mut self,
        group: &GroupMetadata,
        offsets: &BTreeMap<TopicPartition, CommittedOffset>,
    ) -> Result<(), Error> {
        self.check_phase(Phase::Open, "no transaction is open")?;
        let Identity { id, epoch, version } = self.identity;
        let transactional_id = &self.config.transactional_id;
        if version < 2 && !self.added_groups.contains(&group.group_id) {
            let request = messages::add_offsets(transactional_id, id, epoch, &group.group_id);
            let subject = self.subject();
            let added = self
                .ask(i16::MAX, &request, |response| {
                    Error::check(subject.clone(), response.error_code, None)
                })
                .await;
            self.noted(added)?;
        }
        self.added_groups.insert(group.group_id.clone());
        let newest = if version >= 2 { i16::MAX } else { NEWEST_TXN_OFFSET_COMMIT_OF_VERSION_1 };
        let request = messages::offset_commit(transactional_id, id, epoch, group, offsets);
        let client = self.client.clone();
        let link = self.groups.entry(group.group_id.clone()).or_insert_with(|| {
            let key = CoordinatorKey::of_group(&group.group_id);
            Link::new(client.clone(), key, client.patience())
        });
        let attempt = || async {
            let check = |response| messages::offsets_committed(&response);
            link.ask_up_to(newest, &request, Duration::ZERO, check).await
        };
        let committed = client.backoff().run(Error::is_retriable_in_transaction, attempt).await;
        self.noted(committed)
    }

    /// Waits until all records are written, and commits. After [`Error::GaveUp`] whether it is committed is not known: call it again.
    ///
    /// # Errors
    /// The failure of a record, or of the coordinator: abort then, unless [`Error::is_fenced`] says that another producer has the id.
    pub async fn commit(&mut self) -> Result<(), Error> {
        if self.phase != Phase::Ending(TransactionResult::Commit) {
            self.check_phase(Phase::Open, "no transaction is open")?;
            self.producer.close_transaction().await?;
        }
        self.end(TransactionResult::Commit).await
    }

    /// Aborts: drops records that are not sent yet, and makes the others invisible to who reads committed records.
    ///
    /// # Errors
    /// Of the coordinator.
    pub async fn abort(&mut self) -> Result<(), Error> {
        if self.phase != Phase::Ending(TransactionResult::Abort) {
            if self.phase == Phase::Ready {
                self.check_phase(Phase::Open, "no transaction is open")?;
            }
            self.producer.abort_transaction().await;
        }
        self.end(TransactionResult::Abort).await
    }

    /// Returns the producer id and epoch of the transaction.
    #[must_use]
    pub fn identity(&self) -> (ProducerId, ProducerEpoch) {
        (self.identity.id, self.identity.epoch)
    }

    /// Waits until every record that was taken before the call is delivered or has failed.
    pub async fn flush(&self) {
        self.producer.flush().await;
    }

    async fn end(&mut self, result: TransactionResult) -> Result<(), Error> {
        let is_known = !self.partitions.is_empty() || !self.added_groups.is_empty();
        if is_known {
            self.phase = Phase::Ending(result);
            if let Err(failure) = self.ask_to_end(result).await {
                // A former attempt to add something may not have come to it.
                let is_gone = self.identity.version < 2
                    && result == TransactionResult::Abort
                    && failure.code() == Some(ErrorCode::InvalidTxnState);
                if !is_gone {
                    if !matches!(failure, Error::GaveUp { .. } | Error::Request(_)) {
                        self.phase = Phase::Open;
                        self.producer.fail_transaction(&failure);
                    }
                    return Err(failure);
                }
            }
        }
        self.partitions.clear();
        self.added_groups.clear();
        if self.identity.version < 2 && result == TransactionResult::Abort {
            // Numbers may be missing after an abort, and only a new epoch begins them anew (KIP-360). Until it is there, the abort is not over.
            self.take_identity().await?;
        }
        self.phase = Phase::Ready;
        Ok(())
    }

    async fn ask_to_end(&mut self, result: TransactionResult) -> Result<(), Error> {
        let Identity { id, epoch, version } = self.identity;
        let newest = if version >= 2 { i16::MAX } else { NEWEST_END_TXN_OF_VERSION_1 };
        let request = messages::end(&self.config.transactional_id, id, epoch, result);
        let subject = self.subject();
        let next = self
            .ask(newest, &request, |response| {
                Error::check(subject.clone(), response.error_code, None)?;
                Ok((response.producer_id, response.producer_epoch))
            })
            .await?;
        if version >= 2 && next.0 >= 0 {
            self.identity =
                Identity { id: ProducerId(next.0), epoch: ProducerEpoch(next.1), version };
        }
        Ok(())
    }

    /// Asks for a producer id and epoch, or for the next epoch of those that it has.
    async fn take_identity(&mut self) -> Result<(), Error> {
        let request = messages::init(&self.config, self.identity.id, self.identity.epoch);
        let subject = self.subject();
        let (id, epoch) = self
            .ask(i16::MAX, &request, |response| {
                Error::check(subject.clone(), response.error_code, None)?;
                Ok((ProducerId(response.producer_id), ProducerEpoch(response.producer_epoch)))
            })
            .await?;
        let level = self.coordinator.connection().await?.feature_level(TRANSACTION_VERSION);
        self.identity = Identity { id, epoch, version: level.clamp(0, 2) };
        Ok(())
    }

    async fn add_partition(&mut self, at: &TopicPartition) -> Result<(), Error> {
        let Identity { id, epoch, .. } = self.identity;
        let request = messages::add_partition(&self.config.transactional_id, id, epoch, at);
        let check = |response| messages::partition_added(at, &response);
        let added = self.ask(i16::MAX, &request, check).await;
        self.noted(added)
    }

    /// Asks the coordinator until it answers for good.
    async fn ask<R: ApiRequest, T>(
        &self,
        newest: i16,
        request: &R,
        check: impl Fn(R::Response) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let check = &check;
        let attempt = || async move {
            self.coordinator.ask_up_to(newest, request, Duration::ZERO, check).await
        };
        self.client.backoff().run(Error::is_retriable_in_transaction, attempt).await
    }

    /// Notes a failure, after which the transaction can only be aborted.
    fn noted(&self, result: Result<(), Error>) -> Result<(), Error> {
        if let Err(failure) = &result {
            self.producer.fail_transaction(failure);
        }
        result
    }

    fn check_phase(&self, wanted: Phase, otherwise: &str) -> Result<(), Error> {
        if self.phase == wanted {
            return Ok(());
        }
        let message = match self.phase {
            Phase::Ending(_) => "the end of the last transaction is not known",
            Phase::Ready | Phase::Open => otherwise,
        };
        Err(Error::Broker {
            subject: self.subject(),
            code: ErrorCode::InvalidTxnState,
            message: Some(message.to_owned()),
        })
    }

    fn subject(&self) -> String {
        format!("transactional id {}", self.config.transactional_id)
    }
}

/// The feature that says by which protocol transactions are written (KIP-890).
const TRANSACTION_VERSION: &str = "transaction.version";

// Newer versions of these say that the producer works by version 2: partitions need not be added, and the end brings the next epoch.
const NEWEST_PRODUCE_OF_VERSION_1: i16 = 11;
const NEWEST_TXN_OFFSET_COMMIT_OF_VERSION_1: i16 = 4;
const NEWEST_END_TXN_OF_VERSION_1: i16 = 4;
