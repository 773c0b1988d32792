//! What the metadata holds of a topic.

use std::sync::Arc;

use imbl::OrdMap;
use model::TopicId;

/// A topic. Its partitions are numbered from 0 and kept beside it, one record each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    /// Identity: another one after deletion and re-creation.
    pub topic_id: TopicId,
    /// Name, unique among the topics there are.
    pub name: Arc<str>,
    /// Number of partitions, at least 1; only grows.
    pub partition_count: i32,
    /// What was set on the topic; what is missing has the cluster's default.
    pub configs: OrdMap<String, String>,
}
