//! ApiVersions: what this broker speaks.
//!
//! Only features that are served are finalised: transactions by KIP-890. The metadata's own level is not Kafka's.

use model::ErrorCode;
use protocol::VersionRange;
use protocol::messages::api_versions::{FinalizedFeatureKey, SupportedFeatureKey};
use protocol::messages::{ApiVersionsRequest, ApiVersionsResponse};

use crate::context::{Call, Context};

pub(crate) const VERSIONS: VersionRange = VersionRange { min: 0, max: 4 };

pub(crate) async fn handle(
    context: &Context,
    call: &Call,
    request: ApiVersionsRequest,
) -> ApiVersionsResponse {
    let named = is_legal_name(&request.client_software_name)
        && is_legal_name(&request.client_software_version);
    if call.version >= 3 && !named {
        return ApiVersionsResponse {
            error_code: ErrorCode::InvalidRequest,
            ..ApiVersionsResponse::default()
        };
    }
    // A fixed level, so any epoch would do; the image's index shows which broker knows more.
    let epoch = context.controller.applied_index().and_then(|index| i64::try_from(index).ok());
    ApiVersionsResponse {
        supported_features: supported(call.version),
        finalized_features_epoch: epoch.unwrap_or(0),
        finalized_features: vec![FinalizedFeatureKey {
            name: TRANSACTION_VERSION.into(),
            max_version_level: TRANSACTION_LEVEL,
            min_version_level: TRANSACTION_LEVEL,
        }],
        ..ApiVersionsResponse::of_table()
    }
}

/// Returns the features that this broker could serve. Clients of before version 4 do not read a least level of 0, so they are told nothing of it.
fn supported(version: i16) -> Vec<SupportedFeatureKey> {
    if version < 4 {
        return Vec::new();
    }
    vec![SupportedFeatureKey {
        name: TRANSACTION_VERSION.into(),
        min_version: 0,
        max_version: TRANSACTION_LEVEL,
    }]
}

/// Kafka's name of the feature.
const TRANSACTION_VERSION: &str = "transaction.version";

/// The level at which transactions are served: an epoch for each, and partitions that join when they are written to (KIP-890).
const TRANSACTION_LEVEL: i16 = 2;

/// KIP-511: letters and digits, inside also dots and dashes.
fn is_legal_name(name: &str) -> bool {
    let ends = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = name.as_bytes();
    ends(bytes.first())
        && ends(bytes.last())
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn client_names_follow_kip_511() {
        for name in ["librdkafka", "2.0.2", "a", "a-b.c"] {
            assert!(is_legal_name(name), "{name}");
        }
        for name in ["", "-a", "a.", "a b", "ä"] {
            assert!(!is_legal_name(name), "{name}");
        }
    }
}
