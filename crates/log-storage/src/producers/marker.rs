//! Reading the marker out of a control batch.
//!
//! Owns the bound: a marker is a few bytes, so a control batch that inflates to more is none.

use model::record_batch::{
    Batch, BatchHeader, EndTransactionMarker, MarkerError, Records, RecordsError,
};

/// Why a control batch holds no marker of a transaction.
#[derive(Debug, thiserror::Error)]
pub enum InvalidMarker {
    /// Its records cannot be read.
    #[error("its records cannot be read")]
    Records(#[from] RecordsError),
    /// Its first record is malformed.
    #[error("its record is no marker")]
    Record(#[from] MarkerError),
    /// It has no record, is far larger than a marker, or its record is of another kind.
    #[error("it holds something else than a marker")]
    Other,
}

/// Says whether a batch may hold a marker. One that compaction emptied does not: its transaction is gone.
pub(crate) fn may_hold_marker(header: &BatchHeader) -> bool {
    header.is_control()
        && header.producer.is_some()
        && header.record_count > 0
        && header.size_bytes <= MAX_CONTROL_BYTES
}

/// Reads the marker of a control batch.
pub(crate) fn read_marker(batch: Batch<'_>) -> Result<EndTransactionMarker, InvalidMarker> {
    if !may_hold_marker(&batch.header) {
        return Err(InvalidMarker::Other);
    }
    let records = Records::of(batch, MAX_CONTROL_BYTES)?;
    let record = records.iter().next().ok_or(InvalidMarker::Other)??;
    EndTransactionMarker::read(record.key, record.value)?.ok_or(InvalidMarker::Other)
}

/// Reads the marker of a batch that is in the log: one that cannot be read there ended no transaction when it came, and ends none now.
pub(crate) fn marker_in_log(batch: Batch<'_>) -> Option<EndTransactionMarker> {
    if !may_hold_marker(&batch.header) {
        return None;
    }
    let read = read_marker(batch).inspect_err(|error| {
        let offset = batch.header.base_offset;
        tracing::warn!(%offset, %error, "a control batch holds no marker that can be read");
    });
    read.ok()
}

/// Far more than a marker has.
const MAX_CONTROL_BYTES: usize = 64 * 1024;
