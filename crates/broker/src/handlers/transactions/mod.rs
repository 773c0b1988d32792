//! Transactional producers: one file for each API, and the road to a transaction's coordinator.
//!
//! A handler turns the request's version into the coordinator's one form, and the coordinator's answer back; it knows no rule of transactions. TxnOffsetCommit is a group's.

pub(crate) mod add_offsets_to_txn;
pub(crate) mod add_partitions_to_txn;
pub(crate) mod describe_transactions;
pub(crate) mod end_txn;
pub(crate) mod init_producer_id;
pub(crate) mod list_transactions;
pub(crate) mod write_txn_markers;

use coordinator::transaction::ids::ProducerIdAndEpoch;
use coordinator::transaction::request::Request;
use coordinator::transaction::response::Response;
use model::{ErrorCode, ProducerEpoch, ProducerId};

use crate::context::Context;
use crate::error_code::ToErrorCode as _;
use crate::transactions::partition_of;

/// Lets the coordinator of a transactional id answer, if that is this broker.
///
/// # Errors
/// The code of the coordinator's refusal.
async fn ask(
    context: &Context,
    transactional_id: &str,
    request: Request,
) -> Result<Response, ErrorCode> {
    // The image is let go before the wait.
    let partition = partition_of(&context.controller.image(), transactional_id);
    let partition = partition.ok_or(ErrorCode::NotCoordinator)?.partition;
    let answered = context.coordinators.transactions().handle(partition, request).await;
    answered.map_err(|refusal| refusal.error_code())
}

/// The same for a request that may need a new producer id: one is drawn when the coordinator says so, and the request comes again with it.
///
/// # Errors
/// As [`ask`]; a retriable code while no producer id can be had.
async fn ask_with_spare(
    context: &Context,
    transactional_id: &str,
    request: impl Fn(Option<ProducerId>) -> Request,
) -> Result<Response, ErrorCode> {
    match ask(context, transactional_id, request(None)).await? {
        Response::NeedsProducerId => {
            let spare = context.producer_ids.next().await?;
            ask(context, transactional_id, request(Some(spare))).await
        }
        response => Ok(response),
    }
}

/// Reads the producer that a request names. What is out of range is nobody's, and the coordinator says so.
fn producer(id: i64, epoch: i16) -> ProducerIdAndEpoch {
    ProducerIdAndEpoch { id: ProducerId(id), epoch: ProducerEpoch(epoch) }
}

/// Older clients know of a producer that was replaced by another code.
fn for_old_client(code: ErrorCode, version: i16, first_to_know: i16) -> ErrorCode {
    match code {
        ErrorCode::ProducerFenced if version < first_to_know => ErrorCode::InvalidProducerEpoch,
        other => other,
    }
}

/// First version of AddPartitionsToTxn, AddOffsetsToTxn and EndTxn whose clients know PRODUCER_FENCED.
const FENCED_VERSION: i16 = 2;

/// Says that the coordinator gave an answer of another kind, which only a defect can make.
const UNEXPECTED: ErrorCode = ErrorCode::UnknownServerError;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_clients_are_told_of_an_old_epoch_and_new_ones_that_they_are_fenced() {
        let fenced = ErrorCode::ProducerFenced;
        assert_eq!(for_old_client(fenced, 1, FENCED_VERSION), ErrorCode::InvalidProducerEpoch);
        assert_eq!(for_old_client(fenced, 2, FENCED_VERSION), fenced);
        assert_eq!(for_old_client(ErrorCode::None, 0, FENCED_VERSION), ErrorCode::None);
    }
}
