//! InitProducerId: an id for an idempotent producer, or the identity of a transactional one, which fences whoever had its name before.

use std::time::Duration;

use coordinator::transaction::ids::ProducerIdAndEpoch;
use coordinator::transaction::request::{InitProducerId, Request, TwoPhaseCommit};
use coordinator::transaction::response::Response;
use model::{ErrorCode, ProducerEpoch};
use protocol::VersionRange;
use protocol::messages::{InitProducerIdRequest, InitProducerIdResponse};

use super::{UNEXPECTED, ask_with_spare, for_old_client, producer};
use crate::context::{Call, Context};

pub(crate) const VERSIONS: VersionRange = VersionRange { min: 0, max: 5 };

/// First version whose clients know PRODUCER_FENCED.
const FENCED_VERSION: i16 = 4;

pub(crate) async fn handle(
    context: &Context,
    call: &Call,
    request: InitProducerIdRequest,
) -> InitProducerIdResponse {
    match init(context, &request).await {
        Ok(ProducerIdAndEpoch { id, epoch }) => InitProducerIdResponse {
            producer_id: id.0,
            producer_epoch: epoch.0,
            ..Default::default()
        },
        Err(code) => {
            let error_code = for_old_client(code, call.version, FENCED_VERSION);
            context.count_error(call.api_key, error_code);
            InitProducerIdResponse { error_code, producer_epoch: -1, ..Default::default() }
        }
    }
}

async fn init(
    context: &Context,
    request: &InitProducerIdRequest,
) -> Result<ProducerIdAndEpoch, ErrorCode> {
    let expected = expected(request.producer_id, request.producer_epoch)?;
    let Some(name) = &request.transactional_id else {
        let id = context.producer_ids.next().await?;
        return Ok(ProducerIdAndEpoch { id, epoch: ProducerEpoch(0) });
    };
    let timeout = u64::try_from(request.transaction_timeout_ms).unwrap_or(0);
    let asked = ask_with_spare(context, name, |spare_producer_id| {
        Request::InitProducerId(InitProducerId {
            transactional_id: name.as_str().into(),
            transaction_timeout: Duration::from_millis(timeout),
            two_phase_commit: TwoPhaseCommit::Disabled,
            expected,
            spare_producer_id,
        })
    });
    match asked.await? {
        Response::InitProducerId(result) => result,
        // One that was drawn was not enough: the producer begins again.
        Response::NeedsProducerId => Err(ErrorCode::ConcurrentTransactions),
        _ => Err(UNEXPECTED),
    }
}

/// Reads what the producer believes to be (KIP-360): both, or nothing.
fn expected(id: i64, epoch: i16) -> Result<Option<ProducerIdAndEpoch>, ErrorCode> {
    match (id, epoch) {
        (-1, -1) => Ok(None),
        (-1, _) | (_, -1) => Err(ErrorCode::InvalidRequest),
        _ => Ok(Some(producer(id, epoch))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_producer_names_its_id_and_its_epoch_or_neither() {
        assert_eq!(expected(-1, -1), Ok(None));
        assert_eq!(expected(5, -1), Err(ErrorCode::InvalidRequest));
        assert_eq!(expected(-1, 0), Err(ErrorCode::InvalidRequest));
        assert_eq!(expected(5, 0), Ok(Some(producer(5, 0))));
    }
}
