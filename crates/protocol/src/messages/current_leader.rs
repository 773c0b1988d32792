//! Where the leader is, told with an error that says that it is elsewhere (KIP-951). Shared by Produce and Fetch.

use crate::codec::KafkaString;

message! {
    /// The leader of a partition.
    LeaderIdAndEpoch {
        /// Broker id of the leader, −1 when it is not known.
        leader_id: i32 [0+] = -1,
        /// Epoch of the leader, −1 when it is not known.
        leader_epoch: i32 [0+] = -1,
    }

    /// Where a broker named in [`LeaderIdAndEpoch`] can be reached.
    NodeEndpoint {
        /// Id of the broker.
        node_id: i32 [0+],
        /// Host name, as advertised for the listener of the connection.
        host: KafkaString [0+],
        /// Port, as advertised for the listener of the connection.
        port: i32 [0+],
        /// Rack of the broker.
        rack: Option<KafkaString> [0+],
    }
}
