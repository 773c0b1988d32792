//! One file per Kafka API, in a room for each subject: maps a request to the crates that do it, and what they say to a response.
//!
//! Each file has `VERSIONS`, the versions whose differences it knows, and `handle`; Produce has `append`, which takes effect before it
//! returns. A test holds `VERSIONS` against `protocol`'s table, so that no version is advertised that nobody thought of.

mod admin;
mod authorized_operations;
mod cluster;
mod groups;
mod records;

pub(crate) use admin::{
    alter_configs, create_partitions, create_topics, delete_topics, describe_configs,
    elect_leaders, incremental_alter_configs,
};
pub(crate) use cluster::{api_versions, describe_cluster, describe_topic_partitions, metadata};
pub(crate) use groups::{
    delete_groups, describe_groups, find_coordinator, heartbeat, join_group, leave_group,
    list_groups, offset_commit, offset_delete, offset_fetch, sync_group,
};
pub(crate) use records::{
    delete_records, fetch, init_producer_id, list_offsets, offset_for_leader_epoch, produce,
};

#[cfg(test)]
mod tests {
    use protocol::{ApiKey, VersionRange};

    use super::*;

    #[test]
    fn every_version_that_is_advertised_is_known_to_its_handler() {
        let known: [(ApiKey, VersionRange); 28] = [
            (ApiKey::Produce, produce::VERSIONS),
            (ApiKey::Fetch, fetch::VERSIONS),
            (ApiKey::ListOffsets, list_offsets::VERSIONS),
            (ApiKey::Metadata, metadata::VERSIONS),
            (ApiKey::OffsetCommit, offset_commit::VERSIONS),
            (ApiKey::OffsetFetch, offset_fetch::VERSIONS),
            (ApiKey::FindCoordinator, find_coordinator::VERSIONS),
            (ApiKey::JoinGroup, join_group::VERSIONS),
            (ApiKey::Heartbeat, heartbeat::VERSIONS),
            (ApiKey::LeaveGroup, leave_group::VERSIONS),
            (ApiKey::SyncGroup, sync_group::VERSIONS),
            (ApiKey::DescribeGroups, describe_groups::VERSIONS),
            (ApiKey::ListGroups, list_groups::VERSIONS),
            (ApiKey::ApiVersions, api_versions::VERSIONS),
            (ApiKey::CreateTopics, create_topics::VERSIONS),
            (ApiKey::DeleteTopics, delete_topics::VERSIONS),
            (ApiKey::DeleteRecords, delete_records::VERSIONS),
            (ApiKey::InitProducerId, init_producer_id::VERSIONS),
            (ApiKey::OffsetForLeaderEpoch, offset_for_leader_epoch::VERSIONS),
            (ApiKey::DescribeConfigs, describe_configs::VERSIONS),
            (ApiKey::AlterConfigs, alter_configs::VERSIONS),
            (ApiKey::CreatePartitions, create_partitions::VERSIONS),
            (ApiKey::DeleteGroups, delete_groups::VERSIONS),
            (ApiKey::ElectLeaders, elect_leaders::VERSIONS),
            (ApiKey::IncrementalAlterConfigs, incremental_alter_configs::VERSIONS),
            (ApiKey::OffsetDelete, offset_delete::VERSIONS),
            (ApiKey::DescribeCluster, describe_cluster::VERSIONS),
            (ApiKey::DescribeTopicPartitions, describe_topic_partitions::VERSIONS),
        ];
        assert_eq!(known.len(), protocol::APIS.len());
        for (key, versions) in known {
            assert_eq!(key.versions(), versions, "{key}");
        }
    }
}
