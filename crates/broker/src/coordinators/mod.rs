//! Consumer groups and transactions on this broker: the coordinators over the partitions of their topics that it leads, told of elections and deletions by the image applier.
//!
//! Owns the wiring alone. What a group or a transaction is and what is written belongs to `coordinator`; who leads belongs to the metadata.

mod coordinator_log;
mod lag;

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use controller::Controller;
use controller::metadata::{Changes, Image};
use coordinator::config::CoordinatorConfig;
use coordinator::group::ids::{TopicIdentity, TopicName};
use coordinator::runtime::{
    self, GroupCoordinator, GroupGauges, GroupMetrics, Leadership, PartitionWriter,
    TransactionCoordinator, TransactionCoordinatorParts, TransactionGauges, TransactionMetrics,
};
use coordinator::transaction::config::TransactionCoordinatorConfig;
use model::{BrokerEpoch, LeaderEpoch, TopicId, TopicIdPartition};
use protocol::partition_of_group;
use replication::{GrpcService, Replicas};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::Settings;
use crate::metrics::Metrics;
use crate::producer_ids::ProducerIds;
use crate::topics::internal::{OFFSETS_TOPIC, TRANSACTIONS_TOPIC};
use crate::transactions::{self, Carrier, Links, LocalPartitions, Verification};
use coordinator_log::CoordinatorLog;
use lag::GroupLag;

/// What this broker coordinates.
#[derive(Debug)]
pub(crate) struct Coordinators {
    controller: Controller,
    groups: Arc<GroupCoordinator>,
    transactions: Arc<TransactionCoordinator>,
    verification: Arc<Verification>,
    local: LocalPartitions,
    producer_ids: Arc<ProducerIds>,
    settings: CoordinatorSettings,
    tasks: TaskTracker,
}

/// Settings of both kinds of coordinators.
#[derive(Clone, Debug)]
pub(crate) struct CoordinatorSettings {
    pub(crate) groups: CoordinatorConfig,
    pub(crate) transactions: TransactionCoordinatorConfig,
}

impl CoordinatorSettings {
    pub(crate) fn read(settings: &Settings) -> Self {
        Self {
            groups: CoordinatorConfig::read(|key| settings.integer(key)),
            transactions: TransactionCoordinatorConfig::read(
                |key| settings.integer(key),
                |key| settings.boolean(key),
            ),
        }
    }
}

/// What the coordinators stand on.
pub(crate) struct CoordinatorParts<'a> {
    pub(crate) controller: &'a Controller,
    pub(crate) replicas: &'a Arc<Replicas>,
    pub(crate) settings: CoordinatorSettings,
    /// This broker's registration.
    pub(crate) broker_epoch: BrokerEpoch,
    pub(crate) metrics: &'a Metrics,
    /// What the connections to other brokers belong to, and when they end.
    pub(crate) background: TaskTracker,
    pub(crate) stop: CancellationToken,
}

impl Coordinators {
    /// Starts coordinators that coordinate nothing yet, and registers their metrics. Called on the data runtime.
    pub(crate) fn start(parts: CoordinatorParts<'_>) -> Arc<Self> {
        let CoordinatorParts { controller, replicas, broker_epoch, .. } = parts;
        let CoordinatorSettings { groups, transactions } = parts.settings.clone();
        let producer_ids = Arc::new(ProducerIds::new(controller.clone()));
        let log = CoordinatorLog::new(Arc::clone(replicas), controller.clone());
        let log: Arc<dyn PartitionWriter> = Arc::new(log);
        let tasks = TaskTracker::new();
        let counters = GroupMetrics::default();
        let commit_timeout = groups.commit_timeout;
        let groups = GroupCoordinator::start(runtime::CoordinatorParts {
            writer: Arc::clone(&log),
            config: groups,
            metrics: counters.clone(),
            tasks: tasks.clone(),
            runtime: Handle::current(),
        });
        let links = Links::new(controller.clone(), broker_epoch, parts.background, parts.stop);
        let local =
            LocalPartitions::new(controller.clone(), Arc::clone(replicas), Arc::clone(&groups));
        let carrier = Arc::new(Carrier::new(
            controller.clone(),
            local.clone(),
            Arc::clone(&links),
            Arc::clone(&producer_ids),
            tasks.clone(),
        ));
        let transaction_counters = TransactionMetrics::default();
        let transactions = TransactionCoordinator::start(TransactionCoordinatorParts {
            writer: log,
            outlet: Arc::<Carrier>::clone(&carrier),
            config: transactions,
            commit_timeout,
            metrics: transaction_counters.clone(),
            tasks: tasks.clone(),
            runtime: Handle::current(),
        });
        carrier.serve(Arc::clone(&transactions));
        let verification = Verification::new(controller.clone(), Arc::clone(&transactions), links);
        let lag = GroupLag::new(Arc::clone(&groups), Arc::clone(replicas), controller.clone());
        parts.metrics.register(|registry| {
            counters.register(registry);
            transaction_counters.register(registry);
            registry.register_collector(Box::new(GroupGauges::new(Arc::clone(&groups))));
            registry
                .register_collector(Box::new(TransactionGauges::new(Arc::clone(&transactions))));
            registry.register_collector(Box::new(lag));
        });
        Arc::new(Self {
            controller: controller.clone(),
            groups,
            transactions,
            verification: Arc::new(verification),
            local,
            producer_ids,
            settings: parts.settings,
            tasks,
        })
    }

    /// Returns the groups, to be asked.
    pub(crate) fn groups(&self) -> &GroupCoordinator {
        &self.groups
    }

    /// Returns the transactions, to be asked.
    pub(crate) fn transactions(&self) -> &TransactionCoordinator {
        &self.transactions
    }

    /// Returns what hands out producer ids.
    pub(crate) fn producer_ids(&self) -> &Arc<ProducerIds> {
        &self.producer_ids
    }

    /// Returns the settings.
    pub(crate) fn settings(&self) -> &CoordinatorSettings {
        &self.settings
    }

    /// Returns who asks whether partitions are part of transactions.
    pub(crate) fn verification(&self) -> &Arc<Verification> {
        &self.verification
    }

    /// Says whether partitions are verified for clients that add them themselves (`transaction.partition.verification.enable`).
    pub(crate) fn verifies_partitions(&self) -> bool {
        self.settings.transactions.partition_verification
    }

    /// Makes what other brokers call, for the replication port. Its streams end with `stop`.
    pub(crate) fn service(
        &self,
        tasks: &TaskTracker,
        stop: &CancellationToken,
    ) -> impl GrpcService + use<> {
        let (local, verification) = (self.local.clone(), Arc::clone(&self.verification));
        transactions::server(
            self.controller.clone(),
            local,
            verification,
            tasks.clone(),
            stop.clone(),
        )
    }

    /// Returns where markers for partitions of this broker are written.
    pub(crate) fn local(&self) -> &LocalPartitions {
        &self.local
    }

    /// Returns the longest session timeout that a member may ask for.
    #[must_use]
    pub(crate) fn max_session_timeout(&self) -> Duration {
        self.settings.groups.group.max_session_timeout
    }

    /// Takes in the first image, after the replicas.
    pub(crate) fn start_with(&self, image: &Image) {
        for topic in [Kept::Groups, Kept::Transactions] {
            let Some(topic_id) = image.topic_id(topic.name()) else { continue };
            for (id, _) in image.partitions_of(topic_id) {
                self.changed(topic, image, id);
            }
        }
    }

    /// Takes in one step of the image, in log order, after the replicas took it in. Does not block.
    pub(crate) fn apply(&self, before: &Image, image: &Image, changes: &Changes) {
        // First what is gone, since a topic of the same name may have come with the same step, and its leader epochs begin anew.
        for id in &changes.partitions {
            if let Some(topic) = Kept::find(before, *id)
                && Kept::find(image, *id).is_none()
                && let Some(state) = before.partition(*id)
            {
                self.resigned(topic, leadership(*id, state.leader_epoch));
            }
        }
        for id in &changes.partitions {
            if let Some(topic) = Kept::find(image, *id) {
                self.changed(topic, image, *id);
            }
        }
        let deleted = changes.topics.iter().filter(|id| image.topic(**id).is_none());
        let identity = |id: &TopicId| {
            let name = TopicName::from(&*before.topic(*id)?.name);
            Some(TopicIdentity { name, id: Some(*id) })
        };
        let deleted: Vec<_> = deleted.filter_map(identity).collect();
        if !deleted.is_empty() {
            self.groups.topics_deleted(&deleted);
        }
    }

    fn changed(&self, topic: Kept, image: &Image, id: TopicIdPartition) {
        let Some(state) = image.partition(id) else { return };
        let leadership = leadership(id, state.leader_epoch);
        if state.leader != Some(self.controller.broker_id()) {
            return self.resigned(topic, leadership);
        }
        match topic {
            Kept::Groups => self.groups.elected(leadership),
            Kept::Transactions => self.transactions.elected(leadership),
        }
    }

    fn resigned(&self, topic: Kept, leadership: Leadership) {
        match topic {
            Kept::Groups => self.groups.resigned(leadership),
            Kept::Transactions => self.transactions.resigned(leadership),
        }
    }

    /// Answers everyone who waits, and lets no further request in.
    pub(crate) fn stop(&self) {
        self.groups.stop();
        self.transactions.stop();
        self.tasks.close();
    }

    /// Waits until nothing of the coordinators runs any more, after [`Coordinators::stop`].
    pub(crate) async fn ended(&self) {
        self.tasks.wait().await;
    }
}

/// What a coordinator's topic keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kept {
    Groups,
    Transactions,
}

impl Kept {
    fn name(self) -> &'static str {
        match self {
            Self::Groups => OFFSETS_TOPIC,
            Self::Transactions => TRANSACTIONS_TOPIC,
        }
    }

    /// Finds what a partition keeps; `None` for one of no coordinator's.
    fn find(image: &Image, id: TopicIdPartition) -> Option<Self> {
        let name = &image.topic(id.topic_id)?.name;
        [Self::Groups, Self::Transactions].into_iter().find(|kept| kept.name() == &**name)
    }
}

fn leadership(id: TopicIdPartition, leader_epoch: LeaderEpoch) -> Leadership {
    Leadership { topic_id: id.topic_id, partition: id.partition, leader_epoch }
}

/// Returns the partition of the offsets topic that keeps a group; `None` while there is no such topic.
pub(crate) fn partition_of(image: &Image, group_id: &str) -> Option<TopicIdPartition> {
    let topic = image.topic_by_name(OFFSETS_TOPIC)?;
    let count = NonZeroU32::new(u32::try_from(topic.partition_count).ok()?)?;
    let partition = partition_of_group(group_id, count);
    Some(TopicIdPartition { topic_id: topic.topic_id, partition })
}
