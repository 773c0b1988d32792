//! Reading of message sets: messages one behind the other, some of them wrappers.
//!
//! A compressed message is a *wrapper*: its value is a message set, its offset the last one's, its timestamp the greatest.

use model::record_batch::TimestampType;
use model::record_batch::compression::{Codec, decompress};

use super::lz4_format_0::decompress_lz4;
use super::message::Message;
use super::{ConversionError, MessageFormat};

/// Iterator over the messages of a set, without a look into wrappers. A message that is cut off at the end is left out, as in Kafka; every other
/// fault is an error and ends the iteration.
#[derive(Clone, Debug)]
pub(super) struct MessageSet<'a> {
    bytes: &'a [u8],
    /// Where the next message begins, or the one that is cut off or wrong.
    position: usize,
}

impl<'a> MessageSet<'a> {
    /// Iterates over a message set.
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, position: 0 }
    }

    /// Makes an error about the message that could not be read.
    pub(super) fn invalid(&self, what: &'static str) -> ConversionError {
        ConversionError::Message { position: self.position, what }
    }
}

impl<'a> Iterator for MessageSet<'a> {
    /// An error says what is wrong with the message at the set's position.
    type Item = Result<Message<'a>, &'static str>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut rest = self.bytes.get(self.position..)?;
        let message = Message::read(&mut rest);
        if matches!(message, Some(Ok(_))) {
            self.position = self.bytes.len() - rest.len();
        } else {
            self.bytes = &[];
        }
        message
    }
}

/// Visits every message of a set that holds a record, in order, those inside wrappers included: they come with their absolute offset, and with the wrapper's
/// timestamp where that is the log's. `limit_bytes` bounds what all wrappers of the set inflate to.
///
/// # Errors
/// [`ConversionError`] of the reading, or what `visit` returns.
pub(super) fn visit_messages(
    bytes: &[u8],
    limit_bytes: usize,
    mut visit: impl FnMut(Message<'_>) -> Result<(), ConversionError>,
) -> Result<(), ConversionError> {
    let mut left_bytes = limit_bytes;
    let mut set = MessageSet::new(bytes);
    let mut position = 0;
    while let Some(message) = set.next() {
        let message = message.map_err(|what| set.invalid(what))?;
        if message.codec == Codec::None {
            visit(message)?;
        } else {
            let inside = |what| ConversionError::Message { position, what };
            left_bytes -= visit_wrapped(&message, left_bytes, &inside, &mut visit)?;
        }
        position = set.position;
    }
    Ok(())
}

/// Visits the records inside a wrapper and returns the bytes that it inflated to. What is wrong inside is told with the wrapper's place.
fn visit_wrapped(
    wrapper: &Message<'_>,
    limit_bytes: usize,
    invalid: &impl Fn(&'static str) -> ConversionError,
    visit: &mut impl FnMut(Message<'_>) -> Result<(), ConversionError>,
) -> Result<usize, ConversionError> {
    let value = wrapper.value.ok_or_else(|| invalid("a compressed message has no value"))?;
    let inflated = match (wrapper.format, wrapper.codec) {
        (MessageFormat::V0, Codec::Lz4) => decompress_lz4(value, limit_bytes)?.into(),
        (_, codec) => decompress(codec, value, limit_bytes)?,
    };
    let last_inner_offset = last_inner_offset(&inflated, wrapper, invalid)?;
    for inner in MessageSet::new(&inflated) {
        let inner = inner.map_err(invalid)?;
        let offset = match wrapper.format {
            MessageFormat::V0 => inner.offset,
            // The last inner message has the wrapper's offset, the others lie before it at their relative distance.
            MessageFormat::V1 => {
                wrapper.offset.wrapping_sub(last_inner_offset).wrapping_add(inner.offset)
            }
        };
        let timestamp = match wrapper.timestamp_type {
            TimestampType::LogAppendTime => wrapper.timestamp,
            TimestampType::CreateTime => inner.timestamp,
        };
        visit(Message { offset, timestamp_type: wrapper.timestamp_type, timestamp, ..inner })?;
    }
    Ok(inflated.len())
}

/// Checks what a wrapper may hold (uncompressed messages of its own format, all there, at least one) and returns the last one's offset field.
fn last_inner_offset(
    inflated: &[u8],
    wrapper: &Message<'_>,
    invalid: &impl Fn(&'static str) -> ConversionError,
) -> Result<i64, ConversionError> {
    let mut last = None;
    let mut set = MessageSet::new(inflated);
    for inner in &mut set {
        let inner = inner.map_err(invalid)?;
        if inner.codec != Codec::None {
            return Err(invalid("a compressed message lies inside a compressed message"));
        }
        if inner.format != wrapper.format {
            return Err(invalid("a message inside a compressed message has another format"));
        }
        last = Some(inner.offset);
    }
    if set.position != inflated.len() {
        return Err(invalid("the messages inside a compressed message are cut off"));
    }
    last.ok_or_else(|| invalid("a compressed message is empty"))
}
