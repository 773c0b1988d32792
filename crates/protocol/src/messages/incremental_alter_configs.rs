//! IncrementalAlterConfigs (key 44): changes single configuration keys (KIP-339).

use model::ErrorCode;

use crate::codec::KafkaString;

message! {
    /// Asks for configuration keys of resources to be changed.
    IncrementalAlterConfigsRequest {
        /// The resources.
        resources: Vec<AlterConfigsResource> [0+],
        /// Whether to check only, and change nothing.
        validate_only: bool [0+],
    }

    /// A resource and the changes to its configuration.
    AlterConfigsResource {
        /// Kind of resource, as in DescribeConfigs.
        resource_type: i8 [0+],
        /// Name of the resource.
        resource_name: KafkaString [0+],
        /// The changes; keys that are not here stay as they are.
        configs: Vec<AlterableConfig> [0+],
    }

    /// A change of a key.
    AlterableConfig {
        /// Key.
        name: KafkaString [0+],
        /// What to do (Kafka's `AlterConfigOp.OpType`): 0 set, 1 delete, 2 append to a list, 3 take out of a list.
        config_operation: i8 [0+],
        /// Value; null to delete.
        value: Option<KafkaString> [0+],
    }

    /// Says what became of the resources.
    IncrementalAlterConfigsResponse {
        /// Milliseconds for which the client has been throttled.
        throttle_time_ms: i32 [0+],
        /// The resources of the request.
        responses: Vec<AlterConfigsResourceResponse> [0+],
    }

    /// A resource of the request.
    AlterConfigsResourceResponse {
        /// Error of this resource.
        error_code: ErrorCode [0+] = ErrorCode::None,
        /// What went wrong, for a reader.
        error_message: Option<KafkaString> [0+],
        /// Kind of resource.
        resource_type: i8 [0+],
        /// Name of the resource.
        resource_name: KafkaString [0+],
    }
}
