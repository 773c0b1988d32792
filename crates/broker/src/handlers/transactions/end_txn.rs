//! EndTxn: commits or aborts a producer's transaction. It is answered when the decision is on the disks of the coordinator's replicas; the markers follow.

use coordinator::transaction::ids::{ProducerIdAndEpoch, TransactionVersion};
use coordinator::transaction::request::{EndTransaction, Request};
use coordinator::transaction::response::Response;
use coordinator::transaction::state::TransactionResult;
use model::ErrorCode;
use protocol::VersionRange;
use protocol::messages::{EndTxnRequest, EndTxnResponse};

use super::{FENCED_VERSION, UNEXPECTED, ask_with_spare, for_old_client, producer};
use crate::context::{Call, Context};

pub(crate) const VERSIONS: VersionRange = VersionRange { min: 0, max: 5 };

pub(crate) async fn handle(
    context: &Context,
    call: &Call,
    request: EndTxnRequest,
) -> EndTxnResponse {
    match end(context, call, &request).await {
        Ok(ProducerIdAndEpoch { id, epoch }) => EndTxnResponse {
            producer_id: id.0,
            producer_epoch: epoch.0,
            ..EndTxnResponse::default()
        },
        Err(code) => {
            let error_code = for_old_client(code, call.version, FENCED_VERSION);
            context.count_error(call.api_key, error_code);
            EndTxnResponse { error_code, ..EndTxnResponse::default() }
        }
    }
}

async fn end(
    context: &Context,
    call: &Call,
    request: &EndTxnRequest,
) -> Result<ProducerIdAndEpoch, ErrorCode> {
    let name = &request.transactional_id;
    let result =
        if request.committed { TransactionResult::Commit } else { TransactionResult::Abort };
    let asked = ask_with_spare(context, name, |spare_producer_id| {
        Request::End(EndTransaction {
            transactional_id: name.as_str().into(),
            producer: producer(request.producer_id, request.producer_epoch),
            result,
            client_version: TransactionVersion::of_end_txn(call.version),
            spare_producer_id,
        })
    });
    match asked.await? {
        Response::End(result) => result,
        // The client tries again, and finds what became of it.
        Response::NeedsProducerId => Err(ErrorCode::ConcurrentTransactions),
        _ => Err(UNEXPECTED),
    }
}
