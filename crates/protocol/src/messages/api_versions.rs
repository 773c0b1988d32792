//! ApiVersions (key 18): what the broker speaks.

use model::ErrorCode;

use crate::api::{APIS, ApiKey};
use crate::codec::KafkaString;

message! {
    /// Asks which APIs, versions and features the broker serves.
    ApiVersionsRequest {
        /// Name of the client library (KIP-511).
        client_software_name: KafkaString [3+],
        /// Version of the client library (KIP-511).
        client_software_version: KafkaString [3+],
    }

    /// Says which APIs, versions and features the broker serves.
    ApiVersionsResponse {
        /// UNSUPPORTED_VERSION when the request's version is not served, INVALID_REQUEST when the client's name is malformed.
        error_code: ErrorCode [0+] = ErrorCode::None,
        /// The APIs that are served.
        api_keys: Vec<ApiVersion> [0+],
        /// Milliseconds for which the client has been throttled.
        throttle_time_ms: i32 [1+],
        /// Features that the broker supports (KIP-584). Below version 4 those with a least version of 0 have to be left out.
        supported_features: Vec<SupportedFeatureKey> [3+, tag 0],
        /// Epoch of the finalized features, −1 when they are not known.
        finalized_features_epoch: i64 [3+, tag 1] = -1,
        /// Features at the levels that the cluster has agreed on (KIP-584); valid when their epoch is known.
        finalized_features: Vec<FinalizedFeatureKey> [3+, tag 2],
        /// Set while a cluster is being moved from ZooKeeper (KIP-866), which never happens here.
        zk_migration_ready: bool [3+, tag 3],
    }

    /// An API and its versions.
    ApiVersion {
        /// Key of the API.
        api_key: i16 [0+],
        /// Oldest version that is served.
        min_version: i16 [0+],
        /// Newest version that is served.
        max_version: i16 [0+],
    }

    /// A feature and the levels that the broker supports.
    SupportedFeatureKey {
        /// Name of the feature.
        name: KafkaString [3+],
        /// Lowest level that is supported.
        min_version: i16 [3+],
        /// Highest level that is supported.
        max_version: i16 [3+],
    }

    /// A feature and the levels that the cluster has agreed on.
    FinalizedFeatureKey {
        /// Name of the feature.
        name: KafkaString [3+],
        /// Highest level that is in use.
        max_version_level: i16 [3+],
        /// Lowest level that is in use.
        min_version_level: i16 [3+],
    }
}

impl ApiVersionsResponse {
    /// Says all that the table lists. Features are left to the caller.
    #[must_use]
    pub fn of_table() -> Self {
        let api_keys = APIS.iter().map(|api| ApiVersion::of(api.key)).collect();
        Self { api_keys, ..Self::default() }
    }

    /// Answers a request of a version that is not served: has to be sent in version 0.
    pub(crate) fn unsupported_version() -> Self {
        Self {
            error_code: ErrorCode::UnsupportedVersion,
            api_keys: vec![ApiVersion::of(ApiKey::ApiVersions)],
            ..Self::default()
        }
    }
}

impl ApiVersion {
    /// Takes an API's row out of the table.
    fn of(key: ApiKey) -> Self {
        let versions = key.versions();
        Self { api_key: key.to_wire(), min_version: versions.min, max_version: versions.max }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_what_is_advertised() {
        let response = ApiVersionsResponse::of_table();
        let produce = ApiVersion { api_key: 0, min_version: 0, max_version: 13 };
        assert_eq!(response.api_keys[0], produce);
        assert_eq!(response.api_keys.len(), APIS.len());
    }
}
