//! Message sets of Produce 0 to 2 become one record batch each.

use model::record_batch::compression::Codec;
use model::record_batch::{BatchBuilder, BatchOptions, NewRecord, TimestampType};

use super::ConversionError;
use super::message_set::{MessageSet, visit_messages};

/// Converts the message set of one partition into one record batch with base offset 0 and the codec of the set's last compressed message.
///
/// `None` when the set holds no whole message; Kafka then appends nothing and answers with success. Offsets that the producer wrote are ignored: some old
/// clients number them wrongly, and Kafka rewrites rather than refuses them. Format 0 has no timestamps: its records get −1.
///
/// # Errors
/// [`ConversionError::Message`] for damage, a magic other than 0 and 1 and broken rules of a format; [`ConversionError::LogAppendTime`];
/// [`ConversionError::Compression`] when wrappers inflate to more than `limit_bytes` together; [`ConversionError::Build`].
pub fn up_convert(
    message_set: &[u8],
    limit_bytes: usize,
) -> Result<Option<Vec<u8>>, ConversionError> {
    let mut codec = Codec::None;
    let mut set = MessageSet::new(message_set);
    while let Some(message) = set.next() {
        let message = message.map_err(|what| set.invalid(what))?;
        if message.timestamp_type == TimestampType::LogAppendTime {
            return Err(ConversionError::LogAppendTime);
        }
        if message.codec != Codec::None {
            codec = message.codec;
        }
    }
    let mut builder = BatchBuilder::new(BatchOptions { codec, ..BatchOptions::default() });
    visit_messages(message_set, limit_bytes, |message| {
        let record = NewRecord {
            timestamp: message.timestamp,
            key: message.key,
            value: message.value,
            headers: &[],
        };
        builder.append(&record)?;
        Ok(())
    })?;
    if builder.is_empty() {
        return Ok(None);
    }
    Ok(Some(builder.build()?))
}
