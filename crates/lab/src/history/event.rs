//! The events of a history.
//!
//! An operation is an `invoke` and, with the same `op`, at most one completion: `ok` (it happened), `fail` (it did not happen and never will)
//! or `info` (unknown: it may have happened, or may still happen). An operation without a completion counts as `info`. Marks (`Start`,
//! `Rebalance`, `Fault`, ...) are single `ok` events.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Pairs an invocation with its completion; unique in a history.
pub(crate) type OperationId = u64;

/// A topic and a partition number, written `topic/7`. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Partition {
    pub(crate) topic: Arc<str>,
    pub(crate) number: i32,
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.topic, self.number)
    }
}

impl FromStr for Partition {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.rsplit_once('/').and_then(|(topic, number)| {
            Some(Self { topic: Arc::from(topic), number: number.parse().ok()? })
        });
        parts.ok_or_else(|| format!("{text:?} is no partition; write TOPIC/NUMBER"))
    }
}

impl Serialize for Partition {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Partition {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Whether an event begins an operation, or how it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    /// The operation begins.
    Invoke,
    /// It happened.
    Ok,
    /// It did not happen and never will.
    Fail,
    /// It may have happened, or may still happen.
    Info,
}

/// One line of a history.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Event {
    /// Nanoseconds since the run began, by a monotonic clock; events stand in the order of this field, give or take the threads of the lab.
    pub(crate) time: u64,
    /// Pairs invocation and completion.
    pub(crate) op: OperationId,
    /// Who did it: one client, such as `producer-3`. A client that crashed or was closed goes on under another name.
    pub(crate) process: Arc<str>,
    #[serde(rename = "type")]
    pub(crate) kind: Kind,
    #[serde(flatten)]
    pub(crate) action: Action,
    /// Why it failed or is unknown: librdkafka's name of the error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
}

/// What an acknowledgement promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Acks {
    /// Nothing: an `ok` means that the record left the client.
    #[serde(rename = "0")]
    Zero,
    /// The leader has it.
    #[serde(rename = "1")]
    One,
    /// All in-sync replicas have it: such a record must never be lost.
    #[serde(rename = "all")]
    All,
}

/// What a process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Role {
    /// Sends.
    Producer,
    /// Polls partitions that it assigned to itself.
    Consumer,
    /// Polls as a member of a classic group.
    GroupMember,
    /// Polls as a member of a KIP-848 group.
    ConsumerGroupMember,
    /// Polls and sends in transactions.
    Transactional,
    /// Reads everything once, after all faults have ended.
    FinalReader,
}

/// How a process was configured, as far as the checker must know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Settings {
    pub(crate) role: Role,
    /// Of a process that sends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) acks: Option<Acks>,
    /// An idempotent producer: no duplicates, no reordering.
    #[serde(default)]
    pub(crate) idempotent: bool,
    /// The client may send a record again by itself (`retries` above 0): without idempotence duplicates and reordering are then due.
    #[serde(default)]
    pub(crate) retries: bool,
    /// Requests in flight; above 1, with retries and without idempotence, reordering is due.
    #[serde(default)]
    pub(crate) max_in_flight: u32,
    /// Of a process that polls: sees only what was committed.
    #[serde(default)]
    pub(crate) read_committed: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) group: Option<String>,
}

/// Records of one partition that a poll returned, in order: (offset, value).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Read {
    pub(crate) partition: Partition,
    pub(crate) records: Vec<(i64, u64)>,
}

/// How a transaction was to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum TransactionEnd {
    Commit,
    Abort,
}

/// What was done. Values number the records of a partition: 0, 1, 2, ... in the order of their invocations, so each is unique in its partition.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "f", rename_all = "kebab-case")]
pub(crate) enum Action {
    /// Mark: a process begins. The first event of each process.
    Start { settings: Settings },
    /// Mark: a process ended and will not go on.
    Stop,
    /// A record is sent.
    Send {
        partition: Partition,
        value: u64,
        /// Of an invocation: when it should have been sent, by the rate that was asked for; latencies count from here.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        intended: Option<u64>,
        /// Of an `ok`: where the broker said it is; none with acks=0.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        offset: Option<i64>,
        /// The transaction that it belongs to.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        transaction: Option<OperationId>,
    },
    /// Records are polled. Only a completion with `ok` has reads; polls that returned nothing are not recorded.
    Poll {
        reads: Vec<Read>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        transaction: Option<OperationId>,
    },
    /// Mark: a consumer will next poll these offsets: an assignment of its own, a seek.
    Assign { positions: Vec<(Partition, i64)> },
    /// Mark: a group gave a member partitions, each with the offset that it will poll first (the committed one, or where it was reset to).
    Rebalance { assigned: Vec<(Partition, i64)>, revoked: Vec<Partition> },
    /// A group member commits the offsets that it wants to go on from.
    Commit { group: String, offsets: Vec<(Partition, i64)> },
    /// A group member asks what its group has committed; -1 is nothing, and whatever an invocation asks for. A completion names the same
    /// partitions in the same order.
    Committed { group: String, offsets: Vec<(Partition, i64)> },
    /// A transaction. `ok`: it was committed, or aborted as was wanted; `fail`: certainly not committed; `info`: unknown. Offsets are those
    /// sent with it for `group`.
    Transaction {
        end: TransactionEnd,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        offsets: Vec<(Partition, i64)>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        group: Option<String>,
    },
    /// The log start offset and the high watermark (the last stable offset for read_committed) of a partition, as ListOffsets answers.
    Watermarks { partition: Partition, low: i64, high: i64 },
    /// Mark of a final reader: it has read all of a partition from `from` up to `to`, the high watermark after all faults had ended and all
    /// sends had completed. Its polls stand before.
    ReadThrough { partition: Partition, from: i64, to: i64 },
    /// Mark: after the final read somebody waited until a group had committed the end of a partition, or long enough. What the final read
    /// found should have been polled by a member by now.
    GroupEnd { group: String, partition: Partition },
    /// Mark: the log of one replica, read from its disk once the cluster had been in sync and was stopped: its offsets `[from, to)`, and a
    /// digest of the batches that all replicas of the partition should have.
    Replica { partition: Partition, node: u32, from: i64, to: i64, digest: String },
    /// Mark: whether every partition under test has a leader and its full ISR, as the cluster told somebody who asked all the time. Written
    /// when the answer changes.
    InSync { full: bool },
    /// A fault. `invoke` when it begins, `ok` when it was healed or is over; `process` is `nemesis`.
    Fault { name: String, detail: String, nodes: Vec<u32> },
}
