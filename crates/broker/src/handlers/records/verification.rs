//! What a Produce with a transactional id must satisfy before anything of it is appended, and what a client is told when a coordinator said no (KIP-890).

use model::ErrorCode;
use model::record_batch::{BatchHeader, BatchProducer};
use protocol::messages::ProduceRequest;

use super::refused::Refused;
use crate::transactions::SupportedOperation;

/// First version whose client knows TRANSACTION_ABORTABLE.
const ABORTABLE_VERSION: i16 = 11;

/// First version whose client leaves it to the broker to add partitions to its transaction.
const ADD_PARTITION_VERSION: i16 = 12;

/// Says what a client of a version of Produce can do with a transaction.
pub(super) fn operation(version: i16) -> SupportedOperation {
    match version {
        ADD_PARTITION_VERSION.. => SupportedOperation::AddPartition,
        ABORTABLE_VERSION.. => SupportedOperation::GenericError,
        _ => SupportedOperation::DefaultError,
    }
}

/// Returns the producer of a transactional batch; `None` for any other, and for one that cannot be read, which is the log's to refuse.
pub(super) fn transactional(records: &[u8]) -> Option<BatchProducer> {
    let header = BatchHeader::parse(records).ok()?;
    if header.is_transactional() { header.producer } else { None }
}

/// Says what is wrong with all of a request that brings transactional batches.
pub(super) fn refused(request: &ProduceRequest) -> Option<(ErrorCode, &'static str)> {
    let partitions = request.topic_data.iter().flat_map(|topic| &topic.partition_data);
    let producers = partitions.filter_map(|data| transactional(data.records.as_deref()?));
    let mut first = None;
    for BatchProducer { id, epoch, .. } in producers {
        if request.transactional_id.as_deref().is_none_or(str::is_empty) {
            let text = "transactional batches without a transactional id";
            return Some((ErrorCode::TransactionalIdAuthorizationFailed, text));
        }
        if *first.get_or_insert((id, epoch)) != (id, epoch) {
            let text = "the batches of one transaction are of two producers";
            return Some((ErrorCode::InvalidProducerIdMapping, text));
        }
    }
    None
}

/// Tells a client that its batch was not appended because its transaction's coordinator does not know the partition, or could not be asked.
pub(super) fn not_verified(code: ErrorCode) -> Refused {
    match code {
        ErrorCode::InvalidTxnState => {
            Refused::new(code, "the partition was not added to the transaction")
        }
        ErrorCode::NotEnoughReplicas => {
            let text =
                "the transaction's coordinator could not say whether the partition is part of it";
            Refused::new(code, text)
        }
        other => other.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_add_partitions_themselves_below_version_12() {
        assert_eq!(operation(10), SupportedOperation::DefaultError);
        assert_eq!(operation(11), SupportedOperation::GenericError);
        assert_eq!(operation(12), SupportedOperation::AddPartition);
        assert_eq!(operation(13), SupportedOperation::AddPartition);
    }
}
