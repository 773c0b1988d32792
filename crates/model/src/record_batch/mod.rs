//! Record batches of format 2: the view of a header, iteration, records, building, compression.
//!
//! The layout is Kafka's (`DefaultRecordBatch`); the same bytes are on the wire, in memory and on disk. Nothing here
//! decides whether a batch may be appended; every length that is read from a batch is bounded before it is used.

mod batches;
mod builder;
pub mod compression;
mod empty;
mod header;
mod marker;
mod recompress;
mod records;
mod varint;

pub use batches::{Batch, Batches};
pub use builder::{BatchBuilder, BatchKind, BatchOptions, BuildError, NewRecord};
pub use compression::Codec;
pub use empty::{emptied_batch, vacant_batch};
pub use header::{
    BatchError, BatchHeader, BatchProducer, HEADER_BYTES, ProducedBatchError, TimestampType,
    set_base_offset, set_leader_epoch, set_log_append_time, set_producer, verify_crc,
};
pub use marker::{EndTransactionMarker, MarkerError, TransactionResult};
pub use recompress::recompress;
pub use records::{
    Header, Headers, KeyRule, Record, RecordIter, Records, RecordsError, validate_records,
};

#[cfg(test)]
mod tests;
