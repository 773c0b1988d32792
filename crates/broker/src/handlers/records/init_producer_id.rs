//! InitProducerId: an id for an idempotent producer. Transactions are not served, and a client that asks for one is told so.

use model::ErrorCode;
use protocol::VersionRange;
use protocol::messages::{InitProducerIdRequest, InitProducerIdResponse};

use crate::context::{Call, Context};

pub(crate) const VERSIONS: VersionRange = VersionRange { min: 0, max: 5 };

pub(crate) async fn handle(
    context: &Context,
    call: &Call,
    request: InitProducerIdRequest,
) -> InitProducerIdResponse {
    let result = match request.transactional_id {
        // The one code that every client takes as final and shows with the name of the API.
        Some(_) => Err(ErrorCode::UnsupportedVersion),
        None => context.producer_ids.next().await,
    };
    match result {
        Ok(id) => InitProducerIdResponse { producer_id: id.0, ..Default::default() },
        Err(error_code) => {
            context.count_error(call.api_key, error_code);
            InitProducerIdResponse { error_code, producer_epoch: -1, ..Default::default() }
        }
    }
}
