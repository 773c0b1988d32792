//! A batch with some of its records left out.
//!
//! Owns that all else stays: base offset and last offset, leader epoch, producer fields, kind, codec, and the time of every record.

use model::UnixMillis;
use model::record_batch::{
    Batch, BatchBuilder, BatchHeader, BatchKind, BatchOptions, BuildError, Header, NewRecord,
    Records, RecordsError,
};

/// Why a batch could not be written anew.
#[derive(Debug, thiserror::Error)]
pub(super) enum FilterError {
    #[error("records cannot be read")]
    Records(#[from] RecordsError),
    #[error("a batch cannot be built")]
    Build(#[from] BuildError),
}

/// Writes the batch with the records that are marked. A delete horizon is set when one is given, and stays when there is one.
pub(super) fn rewrite(
    batch: Batch<'_>,
    kept: &[bool],
    horizon: Option<UnixMillis>,
    limit_bytes: usize,
) -> Result<Vec<u8>, FilterError> {
    let header = &batch.header;
    let options = BatchOptions {
        base_offset: header.base_offset,
        leader_epoch: header.leader_epoch,
        codec: header.codec(),
        level: None,
        timestamp_type: header.timestamp_type(),
        producer: header.producer,
        kind: kind_of(header),
    };
    let mut builder = match header.delete_horizon().or(horizon) {
        Some(horizon) => BatchBuilder::with_delete_horizon(options, horizon),
        None => BatchBuilder::new(options),
    };
    let records = Records::of(batch, limit_bytes)?;
    let mut headers: Vec<Header<'_>> = Vec::new();
    for (record, stays) in records.iter().zip(kept) {
        let record = record?;
        if *stays {
            headers.clear();
            headers.extend(record.headers);
            let (key, value) = (record.key, record.value);
            let new = NewRecord { timestamp: record.timestamp, key, value, headers: &headers };
            builder.append_at(record.offset, &new)?;
        }
    }
    builder.end_at(header.last_offset())?;
    Ok(builder.build()?)
}

fn kind_of(header: &BatchHeader) -> BatchKind {
    match (header.is_transactional(), header.is_control()) {
        (false, false) => BatchKind::Plain,
        (true, false) => BatchKind::Transactional,
        (true, true) => BatchKind::TransactionMarker,
        (false, true) => BatchKind::Control,
    }
}
