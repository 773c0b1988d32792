//! DescribeConfigs (key 32).

use model::ErrorCode;

use crate::codec::KafkaString;

message! {
    /// Asks for the configuration of topics and brokers.
    DescribeConfigsRequest {
        /// The resources.
        resources: Vec<DescribeConfigsResource> [0+],
        /// Whether to say what each value overrides.
        include_synonyms: bool [1+],
        /// Whether to explain each key.
        include_documentation: bool [3+],
    }

    /// A resource to describe.
    DescribeConfigsResource {
        /// Kind of resource (Kafka's `ConfigResource.Type`): 2 topic, 4 broker, 8 broker logger, 16 client metrics, 32 group.
        resource_type: i8 [0+],
        /// Name of the topic, id of the broker; an empty id stands for what holds for all brokers.
        resource_name: KafkaString [0+],
        /// Keys to describe, null for all.
        configuration_keys: Option<Vec<KafkaString>> [0+],
    }

    /// Describes configuration.
    DescribeConfigsResponse {
        /// Milliseconds for which the client has been throttled.
        throttle_time_ms: i32 [0+],
        /// The resources of the request.
        results: Vec<DescribeConfigsResult> [0+],
    }

    /// A resource of the request.
    DescribeConfigsResult {
        /// Error of this resource.
        error_code: ErrorCode [0+] = ErrorCode::None,
        /// What went wrong, for a reader.
        error_message: Option<KafkaString> [0+],
        /// Kind of resource.
        resource_type: i8 [0+],
        /// Name of the resource.
        resource_name: KafkaString [0+],
        /// The configuration.
        configs: Vec<DescribeConfigsResourceResult> [0+],
    }

    /// A key and its value.
    DescribeConfigsResourceResult {
        /// Key.
        name: KafkaString [0+],
        /// Value; null when it is secret or has none.
        value: Option<KafkaString> [0+],
        /// Whether it cannot be changed while the broker runs.
        read_only: bool [0+],
        /// Version 0: whether the value is the default.
        is_default: bool [0-0],
        /// Where the value comes from (Kafka's `ConfigSource`): 1 topic, 2 dynamic broker, 3 dynamic default of all brokers,
        /// 4 static broker, 5 default, 6 dynamic broker logger, 7 client metrics, 8 group; −1 when it is not told.
        config_source: i8 [1+] = -1,
        /// Whether it is secret.
        is_sensitive: bool [0+],
        /// This value and what it overrides, strongest first.
        synonyms: Vec<DescribeConfigsSynonym> [1+],
        /// Type of the value (Kafka's `ConfigType`): 1 boolean, 2 string, 3 int, 4 short, 5 long, 6 double, 7 list, 8 class,
        /// 9 password; 0 when it is not known.
        config_type: i8 [3+],
        /// Explains the key.
        documentation: Option<KafkaString> [3+],
    }

    /// A value that is set somewhere.
    DescribeConfigsSynonym {
        /// Key under which it is set.
        name: KafkaString [1+],
        /// Value; null when it is secret or has none.
        value: Option<KafkaString> [1+],
        /// Where it is set, as `config_source`.
        source: i8 [1+],
    }
}
