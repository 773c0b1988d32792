//! One file per Kafka API, in a room for each subject: maps a request to the crates that do it, and what they say to a response.
//!
//! Each file has `VERSIONS`, the versions whose differences it knows, and `handle`; Produce has `append`, which takes effect before it
//! returns. A test beside the table in [`crate::dispatch`] holds `VERSIONS` against `protocol`'s, so that no version is advertised that nobody thought of.

mod admin;
mod answer_text;
mod authorized_operations;
mod brokers;
mod cluster;
mod groups;
mod named_topic;
mod records;
mod transactions;
mod waits;

pub(crate) use admin::{
    alter_configs, create_partitions, create_topics, delete_topics, describe_configs,
    elect_leaders, incremental_alter_configs,
};
pub(crate) use cluster::{api_versions, describe_cluster, describe_topic_partitions, metadata};
pub(crate) use groups::{
    delete_groups, describe_groups, find_coordinator, heartbeat, join_group, leave_group,
    list_groups, offset_commit, offset_delete, offset_fetch, sync_group, txn_offset_commit,
};
pub(crate) use records::{
    delete_records, describe_producers, fetch, list_offsets, offset_for_leader_epoch, produce,
};
pub(crate) use transactions::{
    add_offsets_to_txn, add_partitions_to_txn, describe_transactions, end_txn, init_producer_id,
    list_transactions, write_txn_markers,
};
