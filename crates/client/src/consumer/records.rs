//! What a consumer returns: whole batches as they came, and the records in them.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use model::record_batch::{
    Batch, Batches, EndTransactionMarker, RecordIter, Records, TimestampType, TransactionResult,
    verify_crc,
};
use model::{Offset, ProducerId, TopicPartition, UnixMillis};
use protocol::messages::fetch::PartitionData;

use super::IsolationLevel;
use crate::error::Error;

/// Whole batches of one partition, not looked into yet.
#[derive(Clone, Debug)]
pub struct FetchedBatches {
    /// The partition.
    pub partition: Arc<TopicPartition>,
    /// The offset that was asked for; the first batch may begin before it.
    pub from: Offset,
    /// The offset that follows the batches.
    pub next: Offset,
    /// The partition's high watermark.
    pub high_watermark: Offset,
    /// The batches.
    pub bytes: Bytes,
    /// With `read_committed`, the aborted transactions among them, in the order of their first offsets.
    pub(super) aborted: Vec<AbortedTransaction>,
}

/// A transaction whose records are to be left out, up to its marker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct AbortedTransaction {
    first_offset: Offset,
    producer: ProducerId,
}

/// Takes the aborted transactions out of an answer.
pub(super) fn aborted(
    isolation_level: IsolationLevel,
    data: &PartitionData,
) -> Vec<AbortedTransaction> {
    if isolation_level == IsolationLevel::ReadUncommitted {
        return Vec::new();
    }
    let listed = data.aborted_transactions.iter().flatten();
    let mut aborted: Vec<_> = listed
        .map(|it| AbortedTransaction {
            first_offset: Offset(it.first_offset),
            producer: ProducerId(it.producer_id),
        })
        .collect();
    // Brokers list them by their last offsets.
    aborted.sort_unstable_by_key(|it| it.first_offset);
    aborted
}

/// Tells, batch by batch, what belongs to an aborted transaction.
struct AbortFilter<'a> {
    /// Those that begin behind the batches so far.
    coming: std::slice::Iter<'a, AbortedTransaction>,
    /// Producers whose aborted transaction has begun and not ended.
    producers: BTreeSet<ProducerId>,
}

impl AbortFilter<'_> {
    /// Says whether the batch belongs to an aborted transaction; `is_abort` whether it is a marker that aborts one.
    fn takes(&mut self, batch: &Batch<'_>, is_abort: bool) -> bool {
        while let Some(next) = self.coming.as_slice().first()
            && next.first_offset < batch.header.next_offset()
        {
            self.producers.insert(next.producer);
            self.coming.next();
        }
        let Some(producer) = batch.header.producer else { return false };
        if is_abort {
            self.producers.remove(&producer.id);
        }
        batch.header.is_transactional() && self.producers.contains(&producer.id)
    }
}

/// One record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumedRecord {
    /// The partition.
    pub partition: Arc<TopicPartition>,
    /// Its offset.
    pub offset: Offset,
    /// Its timestamp.
    pub timestamp: UnixMillis,
    /// What the timestamp means.
    pub timestamp_type: TimestampType,
    /// Its key; `None` for null.
    pub key: Option<Bytes>,
    /// Its value; `None` for null.
    pub value: Option<Bytes>,
    /// Its headers: key and value, in their order.
    pub headers: Vec<(Bytes, Option<Bytes>)>,
}

impl FetchedBatches {
    /// Reads the records into `records`: checks checksums, inflates each batch to at most `max_decompressed_bytes`, leaves out control records, those of aborted
    /// transactions with `read_committed`, and those before the offset that was asked for.
    ///
    /// # Errors
    /// [`Error::Records`].
    pub fn decode_into(
        &self,
        max_decompressed_bytes: usize,
        records: &mut Vec<ConsumedRecord>,
    ) -> Result<(), Error> {
        let mut filter = AbortFilter { coming: self.aborted.iter(), producers: BTreeSet::new() };
        for batch in Batches::whole(&self.bytes) {
            let damaged = |offset: Offset, problem: String| Error::Records {
                subject: format!("{} at offset {offset}", self.partition),
                problem,
            };
            let batch = batch.map_err(|problem| damaged(self.from, problem.to_string()))?;
            let header = batch.header;
            let damaged = |problem: String| damaged(header.base_offset, problem);
            verify_crc(batch.bytes).map_err(|problem| damaged(problem.to_string()))?;
            let is_abort = header.is_control() && is_abort_marker(batch, max_decompressed_bytes);
            if filter.takes(&batch, is_abort) || header.is_control() {
                continue;
            }
            let data = Records::of(batch, max_decompressed_bytes)
                .map_err(|problem| damaged(with_source(&problem)))?
                .into_data();
            let data = match data {
                Cow::Borrowed(section) => self.bytes.slice_ref(section),
                Cow::Owned(section) => Bytes::from(section),
            };
            for record in RecordIter::new(header, &data) {
                let record = record.map_err(|problem| damaged(problem.to_string()))?;
                if record.offset < self.from {
                    continue;
                }
                let slice = |part: &[u8]| data.slice_ref(part);
                records.push(ConsumedRecord {
                    partition: self.partition.clone(),
                    offset: record.offset,
                    timestamp: record.timestamp,
                    timestamp_type: header.timestamp_type(),
                    key: record.key.map(slice),
                    value: record.value.map(slice),
                    headers: record
                        .headers
                        .map(|header| (slice(header.key), header.value.map(slice)))
                        .collect(),
                });
            }
        }
        Ok(())
    }
}

/// Says whether a control batch is the marker that aborts a transaction. What cannot be read is none.
fn is_abort_marker(batch: Batch<'_>, max_decompressed_bytes: usize) -> bool {
    let Ok(records) = Records::of(batch, max_decompressed_bytes) else { return false };
    let Some(Ok(record)) = records.iter().next() else { return false };
    let marker = EndTransactionMarker::read(record.key, record.value);
    marker.is_ok_and(|marker| marker.is_some_and(|it| it.result == TransactionResult::Abort))
}

fn with_source(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}
