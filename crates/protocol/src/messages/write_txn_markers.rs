//! WriteTxnMarkers (key 27): ends transactions in the logs of partitions.
//!
//! The coordinators of Kafka send it to the leaders of partitions; an operator's tool sends it to end a transaction that hangs.

use model::ErrorCode;

use crate::codec::KafkaString;

message! {
    /// Asks the leaders of partitions to write the markers of transactions.
    WriteTxnMarkersRequest {
        /// The markers.
        markers: Vec<WritableTxnMarker> [0+],
    }

    /// A marker, for each of the partitions.
    WritableTxnMarker {
        /// Producer id of the transaction.
        producer_id: i64 [0+],
        /// Producer epoch of the transaction.
        producer_epoch: i16 [0+],
        /// Set for a commit, unset for an abort.
        transaction_result: bool [0+],
        /// The partitions.
        topics: Vec<WritableTxnMarkerTopic> [0+],
        /// Leader epoch of the coordinator's partition of `__transaction_state`.
        coordinator_epoch: i32 [0+],
        /// Level of `transaction.version` that the transaction has: 2 and above say that the epoch grew before the marker (KIP-1228).
        transaction_version: i8 [2+],
    }

    /// Partitions of a topic.
    WritableTxnMarkerTopic {
        /// Name of the topic.
        name: KafkaString [0+],
        /// Numbers of the partitions.
        partition_indexes: Vec<i32> [0+],
    }

    /// Says where the markers were written.
    WriteTxnMarkersResponse {
        /// The markers of the request.
        markers: Vec<WritableTxnMarkerResult> [0+],
    }

    /// A marker of the request.
    WritableTxnMarkerResult {
        /// Producer id of the transaction.
        producer_id: i64 [0+],
        /// The topics of the marker.
        topics: Vec<WritableTxnMarkerTopicResult> [0+],
    }

    /// A topic of a marker.
    WritableTxnMarkerTopicResult {
        /// Name of the topic.
        name: KafkaString [0+],
        /// The partitions of the marker.
        partitions: Vec<WritableTxnMarkerPartitionResult> [0+],
    }

    /// A partition of a marker.
    WritableTxnMarkerPartitionResult {
        /// Number of the partition.
        partition_index: i32 [0+],
        /// Error of this partition.
        error_code: ErrorCode [0+] = ErrorCode::None,
    }
}
