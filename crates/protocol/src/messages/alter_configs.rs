//! AlterConfigs (key 33): replaces all configuration of a resource. Superseded by IncrementalAlterConfigs, but still sent.

use model::ErrorCode;

use crate::codec::KafkaString;

message! {
    /// Asks for the configuration of resources to be replaced.
    AlterConfigsRequest {
        /// The resources.
        resources: Vec<AlterConfigsResource> [0+],
        /// Whether to check only, and change nothing.
        validate_only: bool [0+],
    }

    /// A resource and its new configuration.
    AlterConfigsResource {
        /// Kind of resource, as in DescribeConfigs.
        resource_type: i8 [0+],
        /// Name of the resource.
        resource_name: KafkaString [0+],
        /// The whole configuration; keys that are not here go back to their defaults.
        configs: Vec<AlterableConfig> [0+],
    }

    /// A key and its new value.
    AlterableConfig {
        /// Key.
        name: KafkaString [0+],
        /// Value.
        value: Option<KafkaString> [0+],
    }

    /// Says what became of the resources.
    AlterConfigsResponse {
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
