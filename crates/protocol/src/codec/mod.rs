//! The bounded codec: `Reader` over a received frame, `Writer` for a frame to send, `Wire` for what can stand in one.
//! The three are this crate's means; others see the strings and the errors.
//!
//! A value has two layouts (KIP-482): the classic one with fixed-size lengths, and the flexible one with compact lengths
//! and a section of tagged fields at the end of each structure. A message has one layout per version, so reader and writer
//! know version and layout and hand them down to every field.

mod error;
mod reader;
mod string;
mod wire;
mod writer;

pub use error::{DecodeError, EncodeError, Problem};
pub(crate) use reader::Reader;
pub use string::{KafkaString, NotUtf8};
pub(crate) use wire::Wire;
pub(crate) use writer::Writer;

#[cfg(test)]
pub(crate) use writer::SPLICE_BYTES;

/// How lengths are written in a version of a message, and whether its structures end in tagged fields (KIP-482).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// Lengths of two or four bytes, no tagged fields.
    Classic,
    /// Lengths plus one as unsigned varints, tagged fields after each structure.
    Flexible,
}

/// The longest string that Kafka's own codec reads or writes, in bytes.
pub(crate) const MAX_STRING_BYTES: usize = 0x7fff;
