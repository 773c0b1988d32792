//! The machines' records in the formats of Kafka's topics: here the group machine's, of `__consumer_offsets`, in [`transactions`] those of `__transaction_state`, so that Kafka's tools read what we write and we read what Kafka wrote.
//!
//! [`batches`] makes whole record batches, uncompressed; [`decode()`] reads them back. Written are the versions that Kafka 4.3 writes: key 1 and value 4 of an offset (value 1 when
//! it has an expiry time of its own, which then keeps neither leader epoch nor topic id), key 2 and value 3 of a group. All others that Kafka ever wrote are read.
//!
//! What a transaction commits stands in a transactional batch without a sequence, and counts from the producer's commit marker on: [`transaction_batch`] makes both.
//!
//! Never panics on what a log holds, and never guesses: what cannot be read is an error that names its offset. One that [`DecodeError::is_skippable`] is about one record that somebody
//! else must have written; reading goes on behind it.

mod decode;
mod encode;
pub mod transactions;

pub use decode::{DecodeError, Decoder, LogEntry, decode};
pub use encode::{EncodeError, Encoder, LogRecord, batches, encode, transaction_batch};

#[cfg(test)]
mod tests;
