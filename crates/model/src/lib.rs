//! Kafka's nouns: ids, epochs, offsets, error codes, record batches, configuration keys.
//!
//! Owns the words that every other crate speaks. Does no I/O, knows no protocol version; [`clock`] alone reads a clock.

pub mod acks;
pub mod clock;
pub mod config;
pub mod deadlines;
pub mod epoch;
pub mod error_code;
pub mod ids;
pub mod offset;
mod quote;
pub mod record_batch;
pub mod timestamp;
pub mod topic;
mod transaction_version;

pub use acks::Acks;
pub use clock::Clock;
pub use deadlines::Deadlines;
pub use epoch::{BrokerEpoch, LeaderEpoch, PartitionEpoch, ProducerEpoch};
pub use error_code::ErrorCode;
pub use ids::{BrokerId, ClusterId, DirectoryId, IncarnationId, ProducerId, TopicId};
pub use offset::Offset;
pub use timestamp::{Timestamp, UnixMillis};
pub use topic::{TopicIdPartition, TopicPartition};
pub use transaction_version::TransactionVersion;
