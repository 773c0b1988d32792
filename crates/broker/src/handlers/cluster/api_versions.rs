//! ApiVersions: what this broker speaks.
//!
//! Only features that are served are finalised, and none is yet: the metadata's own level is not Kafka's.

use model::ErrorCode;
use protocol::VersionRange;
use protocol::messages::{ApiVersionsRequest, ApiVersionsResponse};

use crate::context::{Call, Context};

pub(crate) const VERSIONS: VersionRange = VersionRange { min: 0, max: 4 };

pub(crate) async fn handle(
    _context: &Context,
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
    ApiVersionsResponse::of_table()
}

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
