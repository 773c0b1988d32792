//! Metadata: brokers, topics, leaders, as one image shows them.
//!
//! Each client is answered with the addresses of the listener it came in by. Topics that do not exist are created on the way when the
//! cluster says so. Views: `isr` is the unfenced members; a leader that may be dead is not named.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use controller::metadata::{Image, PartitionState, Topic};
use model::topic::validate_topic_name;
use model::{BrokerId, ErrorCode};
use protocol::VersionRange;
use protocol::messages::metadata::{
    MetadataRequestTopic, MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use protocol::messages::{MetadataRequest, MetadataResponse};

use crate::context::{Call, Context};
use crate::handlers::{authorized_operations, brokers};
use crate::topics::internal::is_internal;

pub(crate) const VERSIONS: VersionRange = VersionRange { min: 0, max: 13 };

/// Time in which the end of a connection is seen by everyone at its other ends.
const NEWS: Duration = Duration::from_millis(10);

/// How often it is looked whether they came.
const NEWS_POLL: Duration = Duration::from_millis(1);

/// Time in which the end of a connection that the kernel told of together with a request is seen by the task that it belongs to.
const EVENTS: Duration = Duration::from_millis(1);

pub(crate) async fn handle(
    context: &Context,
    call: &Call,
    request: MetadataRequest,
) -> MetadataResponse {
    let wanted = wanted_topics(call.version, &request);
    if let Some(topics) = wanted {
        let_news_arrive(context, topics).await;
    }
    let refused = match wanted {
        Some(topics) => create_missing(context, call, &request, topics).await,
        None => Vec::new(),
    };
    // The image after the creations: it has what they made.
    let image = context.controller.image();
    let view = View {
        context,
        call,
        image: &image,
        with_operations: request.include_topic_authorized_operations,
    };
    let topics = match wanted {
        None => image.topics().map(|topic| view.topic(topic)).collect(),
        Some(topics) => topics.iter().map(|topic| view.wanted(topic, &refused)).collect(),
    };
    let live = brokers::live(&image, &call.listener.name).map(|(broker, endpoint)| {
        MetadataResponseBroker {
            node_id: broker.broker_id.0,
            host: endpoint.address.host.as_str().into(),
            port: i32::from(endpoint.address.port),
            rack: broker.rack.as_deref().map(Into::into),
        }
    });
    let controller_id = brokers::controller_id(context, &image, &call.listener.name);
    let asked = request.include_cluster_authorized_operations;
    MetadataResponse {
        brokers: live.collect(),
        cluster_id: image.cluster_id().map(|id| id.0.as_str().into()),
        controller_id: controller_id.map_or(-1, |id| id.0),
        topics,
        cluster_authorized_operations: if asked {
            authorized_operations::CLUSTER
        } else {
            authorized_operations::NOT_ASKED
        },
        ..MetadataResponse::default()
    }
}

/// A client that loses its leader asks another broker at once, and may ask before this broker has seen the same end of a connection. An
/// answer that still names the dead leader makes some clients wait a second before they ask again. So an answer about a leader whose replication
/// stream has broken waits a moment for the control plane to hear of the same; all others cost a millisecond, in which that break would show.
async fn let_news_arrive(context: &Context, topics: &[MetadataRequestTopic]) {
    let leaders = leaders_elsewhere(context, topics);
    if leaders.is_empty() {
        return;
    }
    tokio::time::sleep(EVENTS).await;
    let is_open = |leader: &BrokerId| {
        context.replicas.is_cut_off_from(*leader)
            && !brokers::is_doubtful(context, &context.controller.image(), *leader)
    };
    let deadline = Instant::now() + NEWS;
    while leaders.iter().any(is_open) && Instant::now() < deadline {
        tokio::time::sleep(NEWS_POLL).await;
    }
}

/// Returns the other brokers that lead partitions of these topics.
fn leaders_elsewhere(context: &Context, topics: &[MetadataRequestTopic]) -> BTreeSet<BrokerId> {
    let image = context.controller.image();
    let ids = topics.iter().filter_map(|topic| image.topic_id(topic.name.as_ref()?));
    let leaders = ids.flat_map(|id| image.partitions_of(id)).filter_map(|(_, state)| state.leader);
    leaders.filter(|leader| *leader != context.broker_id()).collect()
}

/// Returns the topics that are asked for, `None` for all: null, and in version 0 an empty list.
fn wanted_topics(version: i16, request: &MetadataRequest) -> Option<&[MetadataRequestTopic]> {
    let topics = request.topics.as_deref()?;
    if version == 0 && topics.is_empty() { None } else { Some(topics) }
}

/// Creates what is missing and may be created, and returns the names that were not, with the reason.
async fn create_missing(
    context: &Context,
    call: &Call,
    request: &MetadataRequest,
    topics: &[MetadataRequestTopic],
) -> Vec<(String, ErrorCode)> {
    let allowed_by_client = call.version < 4 || request.allow_auto_topic_creation;
    let image = context.controller.image();
    let enabled = image.cluster_config("auto.create.topics.enable") == Some("true");
    if !allowed_by_client || !enabled {
        return Vec::new();
    }
    let mut refused = Vec::new();
    for name in topics.iter().filter_map(|topic| topic.name.as_ref()) {
        if image.topic_id(name).is_some() || validate_topic_name(name).is_err() {
            continue;
        }
        if let Err(code) = context.auto_topics.create(name).await {
            refused.push((String::from(name), code));
        }
    }
    refused
}

struct View<'a> {
    context: &'a Context,
    call: &'a Call,
    image: &'a Image,
    with_operations: bool,
}

impl View<'_> {
    fn wanted(
        &self,
        wanted: &MetadataRequestTopic,
        refused: &[(String, ErrorCode)],
    ) -> MetadataResponseTopic {
        let Some(name) = &wanted.name else {
            // By id: from version 12 on, where clients may ask so.
            return match self.image.topic(wanted.topic_id) {
                Some(topic) => self.topic(topic),
                None => MetadataResponseTopic {
                    error_code: ErrorCode::UnknownTopicId,
                    name: (self.call.version < 12).then(Default::default),
                    topic_id: wanted.topic_id,
                    ..MetadataResponseTopic::default()
                },
            };
        };
        if let Some(topic) = self.image.topic_by_name(name) {
            return self.topic(topic);
        }
        let code = refused.iter().find(|(other, _)| *name == *other).map(|(_, code)| *code);
        let error_code = match code {
            Some(code) => code,
            None if validate_topic_name(name).is_err() => ErrorCode::InvalidTopicException,
            None => ErrorCode::UnknownTopicOrPartition,
        };
        MetadataResponseTopic {
            error_code,
            is_internal: is_internal(name),
            name: Some(name.clone()),
            ..MetadataResponseTopic::default()
        }
    }

    fn topic(&self, topic: &Topic) -> MetadataResponseTopic {
        let partitions = self.image.partitions_of(topic.topic_id);
        let operations = if self.with_operations {
            authorized_operations::TOPIC
        } else {
            authorized_operations::NOT_ASKED
        };
        MetadataResponseTopic {
            name: Some((&*topic.name).into()),
            topic_id: topic.topic_id,
            is_internal: is_internal(&topic.name),
            partitions: partitions.map(|(id, state)| self.partition(id.partition, state)).collect(),
            topic_authorized_operations: operations,
            ..MetadataResponseTopic::default()
        }
    }

    fn partition(&self, index: i32, state: &PartitionState) -> MetadataResponsePartition {
        let leader =
            state.leader.filter(|leader| !brokers::is_doubtful(self.context, self.image, *leader));
        let reached = leader.is_some_and(|leader| self.is_reached(leader));
        let error_code = match leader {
            None => ErrorCode::LeaderNotAvailable,
            Some(_) if !reached && self.call.version >= 6 => ErrorCode::ListenerNotFound,
            Some(_) if !reached => ErrorCode::LeaderNotAvailable,
            Some(_) => ErrorCode::None,
        };
        let mut partition = MetadataResponsePartition {
            error_code,
            partition_index: index,
            leader_id: if reached { leader.map_or(-1, |leader| leader.0) } else { -1 },
            leader_epoch: state.leader_epoch.0,
            replica_nodes: ids(&state.replicas, |_| true),
            isr_nodes: ids(&state.isr, |broker| self.image.is_unfenced(broker)),
            offline_replicas: ids(&state.replicas, |broker| !self.image.is_unfenced(broker)),
        };
        if self.call.version == 0 && !partition.offline_replicas.is_empty() {
            // Clients of that time look every replica up among the brokers.
            partition.replica_nodes = ids(&state.replicas, |broker| self.image.is_unfenced(broker));
            if partition.error_code == ErrorCode::None {
                partition.error_code = ErrorCode::ReplicaNotAvailable;
            }
        }
        partition
    }

    fn is_reached(&self, broker: BrokerId) -> bool {
        let known = self.image.broker(broker);
        known.is_some_and(|known| known.endpoint(&self.call.listener.name).is_some())
    }
}

fn ids(brokers: &[BrokerId], keep: impl Fn(BrokerId) -> bool) -> Vec<i32> {
    brokers.iter().filter(|broker| keep(**broker)).map(|broker| broker.0).collect()
}
