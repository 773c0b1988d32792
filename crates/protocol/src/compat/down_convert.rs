//! Record batches become message sets for Fetch 0 to 3.

use model::record_batch::compression::{Codec, compress};
use model::record_batch::{Batch, Batches, Record, Records, TimestampType};
use model::{Offset, UnixMillis};

use super::lz4_format_0::compress_lz4;
use super::message::Message;
use super::{ConversionError, MessageFormat};

/// What a conversion goes by.
#[derive(Clone, Copy, Debug)]
pub struct DownConversion {
    /// The format that the client reads.
    pub format: MessageFormat,
    /// The fetch offset. Uncompressed records before it are left out; those in a compressed batch come along, as in Kafka.
    pub from: Offset,
    /// No further batch is converted once the message set has this many bytes.
    pub max_bytes: usize,
    /// Most bytes that one batch may inflate to, in its own form and in the older one.
    pub limit_bytes: usize,
}

/// Converts whole batches into a message set. Control batches and headers are left out; the codec is kept, one wrapper per compressed batch;
/// a partial batch at the end is ignored. The checksum of the batches is not checked.
///
/// # Errors
/// [`ConversionError::UnsupportedCodec`] when the first batch that has records is compressed with zstd (a later one ends the set instead, so that the
/// client gets what lies before it); [`ConversionError::Batch`] and [`ConversionError::Records`] for damage; [`ConversionError::TooLarge`] and
/// [`ConversionError::Compression`] for a batch beyond the limit.
pub fn down_convert(
    batches: &[u8],
    conversion: &DownConversion,
) -> Result<Vec<u8>, ConversionError> {
    let mut set = Vec::new();
    for batch in Batches::with_partial_tail(batches) {
        let batch = batch?;
        if batch.header.is_control() {
            continue;
        }
        if set.len() >= conversion.max_bytes && !set.is_empty() {
            break;
        }
        if batch.header.codec() == Codec::Zstd {
            if set.is_empty() {
                return Err(ConversionError::UnsupportedCodec { codec: Codec::Zstd.name() });
            }
            break;
        }
        convert_batch(batch, conversion, &mut set)?;
    }
    Ok(set)
}

fn convert_batch(
    batch: Batch<'_>,
    conversion: &DownConversion,
    set: &mut Vec<u8>,
) -> Result<(), ConversionError> {
    let codec = batch.header.codec();
    let records = Records::of(batch, conversion.limit_bytes)?;
    let mut limit_bytes = conversion.limit_bytes;
    if codec == Codec::None {
        limit_bytes = limit_bytes.saturating_add(set.len());
        for record in records.iter() {
            let record = record?;
            if record.offset >= conversion.from {
                message_of(&record, record.offset.0, &batch, conversion)
                    .append_to(set, limit_bytes)?;
            }
        }
        return Ok(());
    }
    let mut inner = Vec::new();
    let mut first = None;
    let mut last = Offset::ZERO;
    let mut max_timestamp = UnixMillis(-1);
    for record in records.iter() {
        let record = record?;
        last = record.offset;
        let first = *first.get_or_insert(record.offset);
        max_timestamp = max_timestamp.max(record.timestamp);
        let inner_offset = match conversion.format {
            MessageFormat::V0 => record.offset.0,
            MessageFormat::V1 => record.offset - first,
        };
        message_of(&record, inner_offset, &batch, conversion).append_to(&mut inner, limit_bytes)?;
    }
    if first.is_none() {
        return Ok(());
    }
    let value = match (conversion.format, codec) {
        (MessageFormat::V0, Codec::Lz4) => compress_lz4(&inner)?,
        _ => compress(codec, None, &inner)?,
    };
    let wrapper = Message {
        offset: last.0,
        format: conversion.format,
        codec,
        timestamp_type: batch.header.timestamp_type(),
        timestamp: max_timestamp,
        key: None,
        value: Some(&value),
    };
    let limit_bytes = set.len() + wrapper.size_bytes();
    wrapper.append_to(set, limit_bytes)
}

fn message_of<'a>(
    record: &Record<'a>,
    offset: i64,
    batch: &Batch<'_>,
    conversion: &DownConversion,
) -> Message<'a> {
    let timestamp_type: TimestampType = batch.header.timestamp_type();
    Message {
        offset,
        format: conversion.format,
        codec: Codec::None,
        timestamp_type,
        timestamp: record.timestamp,
        key: record.key,
        value: record.value,
    }
}
