//! One file per Kafka API: maps a request to the crates that do it, and what they say to a response.
//!
//! Each file has `VERSIONS`, the versions whose differences it knows, and `handle`; Produce has `append`, which takes effect before it
//! returns. A test holds `VERSIONS` against `protocol`'s table, so that no version is advertised that nobody thought of.

pub(crate) mod alter_configs;
pub(crate) mod api_versions;
pub(crate) mod create_partitions;
pub(crate) mod create_topics;
pub(crate) mod delete_groups;
pub(crate) mod delete_records;
pub(crate) mod delete_topics;
pub(crate) mod describe_cluster;
pub(crate) mod describe_configs;
pub(crate) mod describe_groups;
pub(crate) mod describe_topic_partitions;
pub(crate) mod elect_leaders;
pub(crate) mod fetch;
pub(crate) mod find_coordinator;
pub(crate) mod heartbeat;
pub(crate) mod incremental_alter_configs;
pub(crate) mod init_producer_id;
pub(crate) mod join_group;
pub(crate) mod leave_group;
pub(crate) mod list_groups;
pub(crate) mod list_offsets;
pub(crate) mod metadata;
pub(crate) mod offset_commit;
pub(crate) mod offset_delete;
pub(crate) mod offset_fetch;
pub(crate) mod offset_for_leader_epoch;
pub(crate) mod produce;
pub(crate) mod sync_group;

mod admin;
mod compacted;
mod group;
mod leader;
mod operations;

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
