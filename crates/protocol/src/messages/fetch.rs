//! Fetch (key 1): reads record batches.

use bytes::Bytes;
use model::{DirectoryId, ErrorCode, TopicId};

pub use super::current_leader::{LeaderIdAndEpoch, NodeEndpoint};
use crate::codec::KafkaString;

message! {
    /// Asks for records of partitions.
    FetchRequest {
        /// Id of the cluster, if it is known.
        cluster_id: Option<KafkaString> [12+, tag 0],
        /// Broker id of a follower, −1 for a consumer.
        replica_id: i32 [0-14] = -1,
        /// The follower that asks (KIP-903).
        replica_state: ReplicaState [15+, tag 1],
        /// Milliseconds to wait for `min_bytes`.
        max_wait_ms: i32 [0+],
        /// Bytes that make the answer worth sending.
        min_bytes: i32 [0+],
        /// Most bytes of all partitions; one batch is returned whatever its size (KIP-74).
        max_bytes: i32 [3+] = i32::MAX,
        /// 0 for all committed records, 1 for those of decided transactions only.
        isolation_level: i8 [4+],
        /// Id of the fetch session, 0 for none (KIP-227).
        session_id: i32 [7+],
        /// Epoch within the fetch session, −1 for a request without one (KIP-227).
        session_epoch: i32 [7+] = -1,
        /// The topics to read.
        topics: Vec<FetchTopic> [0+],
        /// Partitions to take out of the fetch session.
        forgotten_topics_data: Vec<ForgottenTopic> [7+],
        /// Rack of the consumer (KIP-392).
        rack_id: KafkaString [11+],
    }

    /// The follower that asks.
    ReplicaState {
        /// Broker id of the follower, −1 for a consumer.
        replica_id: i32 [15+] = -1,
        /// Broker epoch of the follower, −1 when it is not known.
        replica_epoch: i64 [15+] = -1,
    }

    /// A topic to read.
    FetchTopic {
        /// Name of the topic.
        topic: KafkaString [0-12],
        /// Id of the topic.
        topic_id: TopicId [13+],
        /// The partitions to read.
        partitions: Vec<FetchPartition> [0+],
    }

    /// A partition to read.
    FetchPartition {
        /// Number of the partition.
        partition: i32 [0+],
        /// Leader epoch that the client knows, −1 to skip the comparison (KIP-320).
        current_leader_epoch: i32 [9+] = -1,
        /// Offset of the first record.
        fetch_offset: i64 [0+],
        /// Leader epoch of the last record before, −1 for none (KIP-595).
        last_fetched_epoch: i32 [12+] = -1,
        /// First offset that the follower keeps; a consumer says −1.
        log_start_offset: i64 [5+] = -1,
        /// Most bytes of this partition; one batch is returned whatever its size (KIP-74).
        partition_max_bytes: i32 [0+],
        /// Log directory of the follower (KIP-853).
        replica_directory_id: DirectoryId [17+, tag 0],
        /// High watermark that the follower knows, −1 for none, `i64::MAX` when it does not say (KIP-1166).
        high_watermark: i64 [18+, tag 1] = i64::MAX,
    }

    /// A topic whose partitions leave the fetch session.
    ForgottenTopic {
        /// Name of the topic.
        topic: KafkaString [7-12],
        /// Id of the topic.
        topic_id: TopicId [13+],
        /// Numbers of the partitions.
        partitions: Vec<i32> [7+],
    }

    /// Brings records.
    FetchResponse {
        /// Milliseconds for which the client has been throttled.
        throttle_time_ms: i32 [1+],
        /// Error of the whole request.
        error_code: ErrorCode [7+] = ErrorCode::None,
        /// Id of the fetch session, 0 for none (KIP-227).
        session_id: i32 [7+],
        /// The topics.
        responses: Vec<FetchableTopicResponse> [0+],
        /// Where the brokers named as current leaders can be reached (KIP-951).
        node_endpoints: Vec<NodeEndpoint> [16+, tag 0],
    }

    /// A topic that was read.
    FetchableTopicResponse {
        /// Name of the topic.
        topic: KafkaString [0-12],
        /// Id of the topic.
        topic_id: TopicId [13+],
        /// The partitions.
        partitions: Vec<PartitionData> [0+],
    }

    /// A partition that was read.
    PartitionData {
        /// Number of the partition.
        partition_index: i32 [0+],
        /// Error of this partition.
        error_code: ErrorCode [0+] = ErrorCode::None,
        /// High watermark: all before it is committed.
        high_watermark: i64 [0+],
        /// Last stable offset: all before it belongs to decided transactions, −1 when it is not known.
        last_stable_offset: i64 [4+] = -1,
        /// First offset that the partition keeps, −1 when it is not known.
        log_start_offset: i64 [5+] = -1,
        /// Where the follower's log leaves the leader's (KIP-595).
        diverging_epoch: EpochEndOffset [12+, tag 0],
        /// The leader that the client should go to (KIP-595, KIP-951).
        current_leader: LeaderIdAndEpoch [12+, tag 1],
        /// The snapshot to read instead, of the metadata log only (KIP-630).
        snapshot_id: SnapshotId [12+, tag 2],
        /// Aborted transactions among the records; null unless the request is read_committed.
        aborted_transactions: Option<Vec<AbortedTransaction>> [4+],
        /// Broker id of the replica that the consumer should read from, −1 for this one (KIP-392).
        preferred_read_replica: i32 [11+] = -1,
        /// The records: whole batches, of which the first may begin before the offset that was asked for.
        records: Option<Bytes> [0+],
    }

    /// A leader epoch and where it ends.
    EpochEndOffset {
        /// The epoch, −1 for none.
        epoch: i32 [12+] = -1,
        /// Offset behind its last record, −1 for none.
        end_offset: i64 [12+] = -1,
    }

    /// A snapshot of the metadata log.
    SnapshotId {
        /// Offset behind its last record, −1 for none.
        end_offset: i64 [0+] = -1,
        /// Leader epoch of its last record, −1 for none.
        epoch: i32 [0+] = -1,
    }

    /// A transaction that was aborted.
    AbortedTransaction {
        /// Id of the producer.
        producer_id: i64 [4+],
        /// Offset of the transaction's first record.
        first_offset: i64 [4+],
    }
}
