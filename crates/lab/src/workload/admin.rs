//! What a run asks of the cluster beside sending and polling: topics, who leads what, and what the cluster offers at all.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, Producer as _};

use super::client::{self, QUESTION_PATIENCE, Quiet};
use super::plan::{Isolation, TopicPlan};
use super::{WorkloadError, native, outcome};

const NAP: Duration = Duration::from_millis(100);

impl ConsumerContext for Quiet {}

impl rdkafka::producer::ProducerContext for Quiet {
    type DeliveryOpaque = ();

    fn delivery(&self, _result: &rdkafka::producer::DeliveryResult<'_>, (): ()) {}
}

/// Who leads what, as the cluster's metadata says at the moment of the question.
pub(crate) struct ClusterView {
    client: BaseConsumer<Quiet>,
}

impl std::fmt::Debug for ClusterView {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClusterView").finish_non_exhaustive()
    }
}

impl ClusterView {
    /// A view by a client of its own.
    ///
    /// # Errors
    /// [`WorkloadError::Client`].
    pub(crate) fn new(bootstrap: &str) -> Result<Self, WorkloadError> {
        let name = "cluster-view";
        let client =
            client::reading(bootstrap, name, "lab-cluster-view", Isolation::ReadUncommitted)
                .create_with_context(Quiet)
                .map_err(|source| WorkloadError::Client { client: name.to_owned(), source })?;
        Ok(Self { client })
    }

    /// The broker id of a partition's leader; `None` when it has none or nobody answered.
    pub(crate) fn leader_of(&self, topic: &str, partition: i32) -> Option<u32> {
        let metadata = self.client.fetch_metadata(Some(topic), QUESTION_PATIENCE).ok()?;
        let topic = metadata.topics().iter().find(|found| found.name() == topic)?;
        let found = topic.partitions().iter().find(|found| found.id() == partition)?;
        u32::try_from(found.leader()).ok()
    }

    /// The broker ids of a partition's replicas; empty when nobody answered.
    pub(crate) fn replicas_of(&self, topic: &str, partition: i32) -> Vec<u32> {
        let Ok(metadata) = self.client.fetch_metadata(Some(topic), QUESTION_PATIENCE) else {
            return Vec::new();
        };
        let topic = metadata.topics().iter().find(|found| found.name() == topic);
        let partitions = topic.into_iter().flat_map(rdkafka::metadata::MetadataTopic::partitions);
        let replicas =
            partitions.filter(|found| found.id() == partition).flat_map(|found| found.replicas());
        replicas.filter_map(|id| u32::try_from(*id).ok()).collect()
    }

    /// Whether all partitions of a topic have a leader and all their replicas in sync.
    pub(crate) fn in_sync(&self, topic: &str) -> bool {
        let Ok(metadata) = self.client.fetch_metadata(Some(topic), QUESTION_PATIENCE) else {
            return false;
        };
        let found = metadata.topics().iter().find(|found| found.name() == topic);
        found.is_some_and(|found| {
            let is_whole = |partition: &rdkafka::metadata::MetadataPartition| {
                partition.leader() >= 0 && partition.isr().len() == partition.replicas().len()
            };
            !found.partitions().is_empty() && found.partitions().iter().all(is_whole)
        })
    }

    /// The broker id that brokers name as the controller, which may be another than the leader of the metadata quorum: Kafka names any.
    pub(crate) fn controller(&self) -> Option<u32> {
        // librdkafka answers from the metadata that it last got.
        self.client.fetch_metadata(None, QUESTION_PATIENCE).ok()?;
        native::controller(self.client.client(), QUESTION_PATIENCE)
    }
}

/// Creates topics, unless they exist, and waits until each of their partitions has a leader.
///
/// # Errors
/// [`WorkloadError::CreateTopic`] when the cluster refuses, [`WorkloadError::Impatient`].
pub(crate) fn create_topics(
    bootstrap: &str,
    topics: &[TopicPlan],
    patience: Duration,
) -> Result<(), WorkloadError> {
    let deadline = Instant::now() + patience;
    let admin: AdminClient<Quiet> =
        client::common(bootstrap, "admin")
            .create_with_context(Quiet)
            .map_err(|source| WorkloadError::Client { client: "admin".to_owned(), source })?;
    let view = ClusterView::new(bootstrap)?;
    for topic in topics {
        let impatient = |what: &str, reason: String| WorkloadError::Impatient {
            what: format!("{what} of topic {:?}", topic.name),
            seconds: patience.as_secs(),
            reason,
        };
        while let Some(error) = create(&admin, topic) {
            if is_refusal(&error) {
                let (topic, reason) = (topic.name.clone(), outcome::name(&error));
                return Err(WorkloadError::CreateTopic { topic, reason });
            }
            if Instant::now() >= deadline {
                return Err(impatient("the creation", outcome::name(&error)));
            }
            std::thread::sleep(NAP);
        }
        for partition in 0..topic.partitions {
            while view.leader_of(&topic.name, partition).is_none() {
                if Instant::now() >= deadline {
                    let reason = format!("partition {partition} has no leader");
                    return Err(impatient("the election", reason));
                }
                std::thread::sleep(NAP);
            }
        }
    }
    Ok(())
}

/// Deletes topics, so that those of many rounds do not fill a disk. Returns when the cluster has taken the wish; files go later.
///
/// # Errors
/// [`WorkloadError::Client`], also when the cluster does not answer.
pub(crate) fn delete_topics(bootstrap: &str, topics: &[TopicPlan]) -> Result<(), WorkloadError> {
    let failed = |source| WorkloadError::Client { client: "admin".to_owned(), source };
    let admin: AdminClient<Quiet> =
        client::common(bootstrap, "admin").create_with_context(Quiet).map_err(failed)?;
    let names: Vec<&str> = topics.iter().map(|topic| topic.name.as_str()).collect();
    let options = AdminOptions::new().request_timeout(Some(Duration::from_secs(30)));
    block_on(admin.delete_topics(&names, &options)).map(drop).map_err(failed)
}

/// Asks for one topic; `None` when it is there.
fn create(admin: &AdminClient<Quiet>, plan: &TopicPlan) -> Option<KafkaError> {
    let assignment: Vec<&[i32]> = plan.assignment.iter().map(Vec::as_slice).collect();
    let replication = if assignment.is_empty() {
        TopicReplication::Fixed(plan.replication_factor)
    } else {
        TopicReplication::Variable(&assignment)
    };
    let topic =
        plan.configs.iter().fold(
            NewTopic::new(&plan.name, plan.partitions, replication),
            |topic, (key, value)| topic.set(key, value),
        );
    let options = AdminOptions::new()
        .request_timeout(Some(Duration::from_secs(5)))
        .operation_timeout(Some(Duration::from_secs(4)));
    match block_on(admin.create_topics([&topic], &options)) {
        Err(error) => Some(error),
        Ok(results) => results.into_iter().find_map(|result| match result {
            Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => None,
            Err((_, code)) => Some(KafkaError::AdminOp(code)),
        }),
    }
}

/// Whether asking again cannot help.
fn is_refusal(error: &KafkaError) -> bool {
    use RDKafkaErrorCode as Code;
    let code = match error {
        KafkaError::AdminOp(code) => *code,
        _ => return false,
    };
    matches!(
        code,
        Code::InvalidTopic
            | Code::InvalidPartitions
            | Code::InvalidConfig
            | Code::InvalidRequest
            | Code::PolicyViolation
            | Code::TopicAuthorizationFailed
            | Code::ClusterAuthorizationFailed
            | Code::UnsupportedVersion
            | Code::UnsupportedFeature
    )
}

/// Whether a cluster can do something, tried and not guessed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Offer {
    Yes,
    /// Why not: what librdkafka said.
    No(String),
}

/// What not every cluster offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Offers {
    pub(crate) transactions: Offer,
    /// Groups of KIP-848.
    pub(crate) consumer_group_protocol: Offer,
}

/// Tries out what a cluster offers: begins as a transactional producer, and joins a KIP-848 group that subscribes to `topic`, which must exist.
pub(crate) fn offers(bootstrap: &str, topic: &str, patience: Duration) -> Offers {
    Offers {
        transactions: offers_transactions(bootstrap, patience),
        consumer_group_protocol: offers_consumer_groups(bootstrap, topic, patience),
    }
}

fn offers_transactions(bootstrap: &str, patience: Duration) -> Offer {
    let producer: Result<BaseProducer<Quiet>, _> = client::sending(bootstrap, "probe", patience)
        .set("transactional.id", "lab-probe")
        .set("transaction.timeout.ms", client::millis(patience))
        .create_with_context(Quiet);
    match producer.and_then(|producer| producer.init_transactions(patience)) {
        Ok(()) => Offer::Yes,
        Err(error) => Offer::No(outcome::name(&error)),
    }
}

fn offers_consumer_groups(bootstrap: &str, topic: &str, patience: Duration) -> Offer {
    let isolation = Isolation::ReadUncommitted;
    let consumer: Result<BaseConsumer<Quiet>, _> =
        client::reading(bootstrap, "probe", "lab-probe-848", isolation)
            .set("group.protocol", "consumer")
            .create_with_context(Quiet);
    let joined = consumer.and_then(|consumer| {
        consumer.subscribe(&[topic])?;
        let deadline = Instant::now() + patience;
        while Instant::now() < deadline {
            if let Some(Err(error @ KafkaError::MessageConsumptionFatal(_))) = consumer.poll(NAP) {
                return Err(error);
            }
            if let Some((code, _)) = consumer.client().fatal_error() {
                return Err(KafkaError::MessageConsumptionFatal(code));
            }
            if consumer.assignment()?.count() > 0 {
                return Ok(());
            }
        }
        Err(KafkaError::MessageConsumption(RDKafkaErrorCode::OperationTimedOut))
    });
    match joined {
        Ok(()) => Offer::Yes,
        Err(error) => Offer::No(outcome::name(&error)),
    }
}

/// Waits for the one kind of future that there is here: librdkafka's thread completes it within the request's timeout.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(value) => return value,
            Poll::Pending => std::thread::sleep(Duration::from_millis(5)),
        }
    }
}
