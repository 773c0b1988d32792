//! How topics come to be: what they are created with where nobody says otherwise, those that a client's first use creates, and the cluster's own.

pub(crate) mod internal;

mod auto_topics;

use std::collections::BTreeMap;

use model::TopicId;
use uuid::Uuid;

pub(crate) use auto_topics::AutoTopics;

/// What a topic is created with where nobody says otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TopicDefaults {
    /// Number of partitions.
    pub(crate) partition_count: i32,
    /// Replicas of each.
    pub(crate) replication_factor: i16,
    /// The topic's own configuration.
    pub(crate) configs: BTreeMap<String, String>,
}

/// Draws a topic id. Kafka reserves the ids that look like a command line option, and the two lowest.
#[must_use]
pub(crate) fn fresh_topic_id() -> TopicId {
    loop {
        let id = TopicId(Uuid::new_v4());
        if !id.to_string().starts_with('-') {
            return id;
        }
    }
}

/// Draws where placement begins, so that topics spread over the brokers.
#[must_use]
pub(crate) fn placement_start() -> u32 {
    Uuid::new_v4().as_fields().0
}
