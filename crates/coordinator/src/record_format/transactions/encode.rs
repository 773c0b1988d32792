//! From the transaction machine's records to record batches.

use std::collections::BTreeSet;

use bytes::Bytes;
use model::{TopicPartition, UnixMillis};
use protocol::transaction_log::{PartitionsSchema, TransactionLogKey, TransactionLogValue};

use super::Encoder;
use crate::record_format::encode::{EncodeError, LogRecord};
use crate::transaction::record::{TransactionMetadataRecord, TransactionRecord};
use crate::transaction::state::TransactionState;

/// Makes batches of the records, in their order, as [`record_format::batches`](crate::record_format::batches) does.
#[must_use]
pub fn batches(
    records: &[TransactionRecord],
    timestamp: UnixMillis,
    limit_bytes: usize,
) -> Encoder<'_> {
    Encoder::new(records, timestamp, limit_bytes)
}

impl LogRecord for TransactionRecord {
    fn key_and_value(&self) -> Result<(Bytes, Option<Bytes>), EncodeError> {
        let key = TransactionLogKey { transactional_id: self.transactional_id.as_str().into() };
        let value = self.value.as_ref().map(|value| value_of(value).encode()).transpose()?;
        Ok((key.encode()?, value))
    }
}

fn value_of(record: &TransactionMetadataRecord) -> TransactionLogValue {
    let partitions =
        (record.state != TransactionState::Empty).then(|| by_topic(&record.partitions));
    TransactionLogValue {
        producer_id: record.producer_id.0,
        producer_epoch: record.producer_epoch.0,
        transaction_timeout_ms: i32::try_from(record.transaction_timeout.as_millis())
            .unwrap_or(i32::MAX),
        transaction_status: record.state.number(),
        transaction_partitions: partitions,
        transaction_last_update_timestamp_ms: record.updated_at.0,
        transaction_start_timestamp_ms: record.started_at.map_or(-1, |at| at.0),
        previous_producer_id: record.previous_producer_id.map_or(-1, |id| id.0),
        next_producer_id: record.next_producer_id.map_or(-1, |id| id.0),
        client_transaction_version: record.client_version.level(),
        // Kafka 4.3 declares it and never sets it.
        next_producer_epoch: -1,
    }
}

fn by_topic(partitions: &BTreeSet<TopicPartition>) -> Vec<PartitionsSchema> {
    let mut topics: Vec<PartitionsSchema> = Vec::new();
    for TopicPartition { topic, partition } in partitions {
        match topics.last_mut() {
            Some(last) if last.topic.as_str() == topic => last.partition_ids.push(*partition),
            Some(_) | None => topics.push(PartitionsSchema {
                topic: topic.as_str().into(),
                partition_ids: vec![*partition],
            }),
        }
    }
    topics
}
