//! How many bytes the records of the log take, about: what is live decides when the log is written anew, and bounds decide what is refused.

use super::ids::TransactionalId;
use super::record::TransactionMetadataRecord;

/// Returns about how many bytes an id takes in the log.
pub(super) fn of(transactional_id: &TransactionalId, value: &TransactionMetadataRecord) -> usize {
    let mut topic = None;
    let mut partitions_bytes = 0;
    for partition in &value.partitions {
        if topic != Some(&partition.topic) {
            topic = Some(&partition.topic);
            partitions_bytes += TOPIC_OVERHEAD_BYTES + partition.topic.len();
        }
        partitions_bytes += 4;
    }
    let tagged = |is_there| if is_there { 10 } else { 0 };
    let ids =
        tagged(value.previous_producer_id.is_some()) + tagged(value.next_producer_id.is_some());
    let version = if value.client_version.level() == 0 { 0 } else { 4 };
    RECORD_OVERHEAD_BYTES + transactional_id.as_str().len() + partitions_bytes + ids + version
}

/// What a record takes beside texts, partitions and tagged fields: 10 for lengths, deltas and attributes, 4 for the key, 35 for the value.
const RECORD_OVERHEAD_BYTES: usize = 49;

/// Lengths of a topic's name and of its partitions, and the count of tagged fields.
const TOPIC_OVERHEAD_BYTES: usize = 3;

/// The most bytes of a text that a record can hold: its length is a positive 16-bit number.
pub(super) const MAX_TEXT_BYTES: usize = 32_767;
