//! The transaction machine's records in the format of Kafka's `__transaction_state`, so that Kafka's tools read what we write and we read what Kafka wrote.
//!
//! [`batches`] makes whole record batches, uncompressed; [`decode()`] reads them back. Written is what Kafka 4.3 writes with `transaction.version` 1 and above: key 0 and value 1, whose
//! tagged fields hold the producer ids before and after this one and the client's version. Value 0 is read too.
//!
//! Never panics on what a log holds, and never guesses: what cannot be read is an error that names its offset. One that [`DecodeError::is_skippable`] is about one record that somebody
//! else must have written; reading goes on behind it.

mod decode;
mod encode;

use super::encode as batching;
use crate::transaction::record::TransactionRecord;

pub use super::encode::EncodeError;
pub use decode::{DecodeError, Decoder, decode};
pub use encode::batches;

/// Iterator over the batches of records; see [`batches`].
pub type Encoder<'a> = batching::Encoder<'a, TransactionRecord>;

#[cfg(test)]
mod tests;
