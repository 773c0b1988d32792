//! What a consumer returns: whole batches as they came, and the records in them.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use model::record_batch::{Batches, RecordIter, Records, TimestampType, verify_crc};
use model::{Offset, TopicPartition, UnixMillis};

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
    /// Reads the records into `records`: checks checksums, inflates each batch to at most `max_decompressed_bytes`, leaves out control records and those before
    /// the offset that was asked for.
    ///
    /// # Errors
    /// [`Error::Records`].
    pub fn decode_into(
        &self,
        max_decompressed_bytes: usize,
        records: &mut Vec<ConsumedRecord>,
    ) -> Result<(), Error> {
        for batch in Batches::whole(&self.bytes) {
            let damaged = |offset: Offset, problem: String| Error::Records {
                subject: format!("{} at offset {offset}", self.partition),
                problem,
            };
            let batch = batch.map_err(|problem| damaged(self.from, problem.to_string()))?;
            let header = batch.header;
            let damaged = |problem: String| damaged(header.base_offset, problem);
            verify_crc(batch.bytes).map_err(|problem| damaged(problem.to_string()))?;
            if header.is_control() {
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

fn with_source(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}
