//! What the cluster is, as this broker's image shows it: brokers, topics, leaders, versions. Metadata alone changes something: it creates topics on the way.

pub(crate) mod api_versions;
pub(crate) mod describe_cluster;
pub(crate) mod describe_topic_partitions;
pub(crate) mod metadata;
