//! How topics come to be that no administrator laid out: those that a client's first use creates, and the cluster's own.

pub(crate) mod internal;

mod auto_topics;

pub use auto_topics::{AutoTopics, fresh_topic_id, placement_start};
