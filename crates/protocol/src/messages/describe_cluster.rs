//! DescribeCluster (key 60): brokers of the cluster, for administrators (KIP-700).

use model::ErrorCode;

use crate::codec::KafkaString;

message! {
    /// Asks for the cluster's brokers.
    DescribeClusterRequest {
        /// Whether to say what the client may do with the cluster.
        include_cluster_authorized_operations: bool [0+],
        /// Whose addresses to tell: 1 the brokers', 2 the controllers' (KIP-919).
        endpoint_type: i8 [1+] = 1,
        /// Whether to name fenced brokers too (KIP-1073).
        include_fenced_brokers: bool [2+],
    }

    /// Describes the cluster.
    DescribeClusterResponse {
        /// Milliseconds for which the client has been throttled.
        throttle_time_ms: i32 [0+],
        /// Error of the whole request.
        error_code: ErrorCode [0+] = ErrorCode::None,
        /// What went wrong, for a reader.
        error_message: Option<KafkaString> [0+],
        /// Whose addresses these are: 1 the brokers', 2 the controllers'.
        endpoint_type: i8 [1+] = 1,
        /// Id of the cluster.
        cluster_id: KafkaString [0+],
        /// A broker that takes administrative requests, −1 when there is none.
        controller_id: i32 [0+] = -1,
        /// The brokers.
        brokers: Vec<DescribeClusterBroker> [0+],
        /// Bits of the operations that the client may do with the cluster, `i32::MIN` when it did not ask.
        cluster_authorized_operations: i32 [0+] = i32::MIN,
    }

    /// A broker.
    DescribeClusterBroker {
        /// Id of the broker.
        broker_id: i32 [0+],
        /// Host name, as advertised for the listener of the connection.
        host: KafkaString [0+],
        /// Port, as advertised for the listener of the connection.
        port: i32 [0+],
        /// Rack of the broker.
        rack: Option<KafkaString> [0+],
        /// Whether the broker is fenced.
        is_fenced: bool [2+],
    }
}
