//! Kafka's wire protocol: bytes to typed requests and responses for every version, and back.
//!
//! [`api`] holds the one table of what is served, [`messages`] the messages, each declared once, [`codec`] the bounded
//! reader and the writer below them, [`header`] and [`frame`] what stands around a message, [`compat`] the record formats
//! before the batch. Three formats lie inside bytes that the protocol itself does not read: [`group_log`], the records of
//! `__consumer_offsets` and where a group's stand, [`transaction_log`], the same of `__transaction_state`, and
//! [`consumer_protocol`], what consumers say to each other. Nothing
//! here does I/O, keeps state between frames, or knows what a request means. Invariant: bytes of a peer never panic, and
//! never make more memory than a small multiple of the frame that brought them.

#[macro_use]
mod declare;

pub mod api;
pub mod codec;
pub mod compat;
pub mod consumer_protocol;
pub mod frame;
pub mod group_log;
pub mod header;
pub mod messages;
pub mod transaction_log;
mod versioned;

#[cfg(test)]
mod tests;

pub use api::{APIS, Api, ApiKey, ApiMessage, ApiRequest, Request, Response, VersionRange};
pub use codec::{DecodeError, EncodeError, KafkaString};
pub use frame::Frame;
pub use group_log::partition_of_group;
pub use header::{RequestError, RequestHeader};
pub use transaction_log::partition_of_transactional_id;
