//! The group machine: the consumer groups of one partition of `__consumer_offsets` as a pure state machine.
//!
//! It owns membership, generations and committed offsets of its groups (Kafka's `GroupMetadataManager` for classic groups and `OffsetMetadataManager`). It has no clock,
//! files, sockets, tasks or randomness. The driver keeps it behind one lock and, under it, does one synchronous pass: [`Shard::step`], then, action by action,
//! [`Shard::poll_action`]: append what is to be written, hand out what is to be answered; then arm one timer from [`Shard::poll_timeout`].
//!
//! State changes at the append, before it is committed; so a reply names the write that it depends on ([`Action::Reply`]) and the driver holds it until that is committed.
//! A shard whose append failed is thrown away and loaded again: the log is the truth. (A batch of a transaction the log may refuse, for it knows the producers; so there the state changes
//! when the driver says that it is appended.)
//!
//! `shard` finds the group of each event and gives it its `turn`; `membership`, `offset_requests` and `administration` answer it; `classic_group` is what a group is,
//! `offsets` what is committed.

mod administration;
mod classic_group;
pub mod ids;
mod membership;
#[cfg(not(feature = "mutations"))]
mod mutation;
#[cfg(feature = "mutations")]
pub mod mutation;
mod offset_requests;
mod offsets;
pub mod record;
mod record_size;
pub mod request;
pub mod response;
mod shard;
pub mod state;
#[cfg(test)]
mod tests;
mod turn;

use std::time::Duration;

use model::{Timestamp, UnixMillis};

pub use self::shard::{RewriteCursor, Shard, ShardCounts};

use self::record::{GroupRecord, TransactionBatch};
use self::request::{Request, RequestId};
use self::response::Response;

/// Settings of the group machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupConfig {
    /// `group.min.session.timeout.ms`.
    pub min_session_timeout: Duration,
    /// `group.max.session.timeout.ms`.
    pub max_session_timeout: Duration,
    /// `group.initial.rebalance.delay.ms`.
    pub initial_rebalance_delay: Duration,
    /// `group.max.size`: the most members of a group.
    pub max_size: usize,
    /// `offset.metadata.max.bytes`.
    pub offset_metadata_max_bytes: usize,
    /// `offsets.retention.minutes`.
    pub offsets_retention: Duration,
    /// `offsets.retention.check.interval.ms`.
    pub offsets_retention_check_interval: Duration,
    /// The most bytes that a group's record may take; an assignment that makes it larger is refused, for no batch would hold it.
    pub max_record_bytes: usize,
}

impl GroupConfig {
    /// The usual [`Self::max_record_bytes`]: Kafka's default `max.message.bytes`, with room for the headers of batch and record.
    pub const MAX_RECORD_BYTES: usize = 1_000_000;
}

/// The time of a step: monotonic for timers, the wall clock's for what is written into records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Monotonic.
    pub monotonic: Timestamp,
    /// Wall clock; it may jump.
    pub wall: UnixMillis,
}

/// What happens to a shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A request came. It is answered exactly once, at once or later.
    Request(RequestId, Request),
    /// The time of [`Shard::poll_timeout`] has come.
    TimeoutReached,
    /// Topics are gone from the metadata: their committed offsets go too, in this step and, if they are many, in the next ones. An offset goes when its topic has that
    /// name, and that id or one that is not known; so what is committed for a successor of the same name stays, whenever this comes.
    TopicsDeleted(Vec<ids::TopicIdentity>),
}

/// Names one append of a shard: ascending from 1, without gaps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct WriteId(pub u64);

/// What the machine wants done, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Append these records, as one batch if they fit one. When that fails the shard is void.
    Append(WriteId, Vec<GroupRecord>),
    /// Append a batch of a transaction, which the log may refuse. Say what came of it with [`Shard::appended`], before anything else happens to the shard; when it failed for
    /// another reason the shard is void.
    AppendOfTransaction(WriteId, TransactionBatch),
    /// Answer a request, once the write that it depends on is committed; `None` when it depends on nothing uncommitted.
    Reply(RequestId, Response, Option<WriteId>),
}
