//! What compacted topics demand of each record: a key. The one place where a broker looks into a producer's batch, and for these topics alone.

use controller::metadata::Image;
use model::TopicId;
use model::record_batch::{Batches, KeyRule, RecordsError, validate_records, verify_crc};

/// Most bytes that a batch's records may inflate to: what coordinators take when they load.
const LIMIT_BYTES: usize = 64 << 20;

/// Says whether the last record of each key is kept in a topic.
pub(super) fn is_compacted(image: &Image, topic_id: TopicId) -> bool {
    let own = |key| image.topic(topic_id)?.configs.get(key).map(String::as_str);
    let policy = own("cleanup.policy").or_else(|| image.cluster_config("log.cleanup.policy"));
    policy.is_some_and(|policy| policy.contains("compact"))
}

/// Walks over the records of a batch. What is wrong with the batch as a whole is the log's to refuse, with its reason.
///
/// # Errors
/// The first record that is wrong (INVALID_RECORD).
pub(super) fn check_records(bytes: &[u8]) -> Result<(), RecordsError> {
    let mut batches = Batches::whole(bytes);
    let (Some(Ok(batch)), None) = (batches.next(), batches.next()) else { return Ok(()) };
    if verify_crc(bytes).is_err() {
        return Ok(());
    }
    validate_records(batch, KeyRule::Required, LIMIT_BYTES)
}

/// Returns which record it was, where one was.
pub(super) fn index_of(error: &RecordsError) -> Option<i32> {
    match error {
        RecordsError::NoKey { index } => Some(*index),
        _ => None,
    }
}
