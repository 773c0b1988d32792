//! What a workload consists of.

use std::time::Duration;

use clap::ValueEnum;

use super::WorkloadError;
use crate::history::Acks;

/// A workload, whole.
#[derive(Clone, Debug, Default)]
pub(crate) struct WorkloadOptions {
    /// Addresses, separated by commas.
    pub(crate) bootstrap: String,
    /// Topics that the clients name.
    pub(crate) topics: Vec<TopicPlan>,
    pub(crate) producers: Vec<ProducerPlan>,
    pub(crate) consumers: Vec<ConsumerPlan>,
    pub(crate) transactions: Vec<TransactionPlan>,
    /// Draws partitions, record contents and which transactions abort.
    pub(crate) seed: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TopicPlan {
    pub(crate) name: String,
    pub(crate) partitions: i32,
    pub(crate) replication_factor: i32,
    /// Replicas of each partition, the preferred leader first; empty lets the cluster choose.
    pub(crate) assignment: Vec<Vec<i32>>,
    pub(crate) configs: Vec<(String, String)>,
}

/// Whether librdkafka sends a record again by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Retries {
    /// One attempt; librdkafka makes another all the same when the broker answers that it is not the leader.
    Never,
    /// Again until the delivery timeout.
    UntilTimeout,
    /// Again, and the cluster recognises repetitions: an idempotent producer; needs acks=all.
    Idempotent,
}

/// How record batches are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Compression {
    None,
    Gzip,
    Snappy,
    Lz4,
    Zstd,
}

impl Compression {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }
}

/// A producer with a rate.
#[derive(Clone, Debug)]
pub(crate) struct ProducerPlan {
    pub(crate) name: String,
    /// At least one; all their partitions get records.
    pub(crate) topics: Vec<String>,
    pub(crate) acks: Acks,
    pub(crate) retries: Retries,
    pub(crate) max_in_flight: u32,
    /// Of this producer, all partitions together; above 0.
    pub(crate) records_per_second: f64,
    /// Of each value, at least [`super::record::MIN_BYTES`].
    pub(crate) record_bytes: usize,
    pub(crate) compression: Compression,
    /// How unevenly partitions are chosen: the exponent of a Zipf distribution, 0 for none.
    pub(crate) key_skew: f64,
    pub(crate) linger: Duration,
    /// `delivery.timeout.ms`: no send stays open for longer.
    pub(crate) delivery_timeout: Duration,
}

impl ProducerPlan {
    /// 500 records of 100 bytes a second with acks=all, repeated until the timeout.
    pub(crate) fn new(name: &str, topic: &str) -> Self {
        Self {
            name: name.to_owned(),
            topics: vec![topic.to_owned()],
            acks: Acks::All,
            retries: Retries::UntilTimeout,
            max_in_flight: 5,
            records_per_second: 500.0,
            record_bytes: 100,
            compression: Compression::None,
            key_skew: 0.0,
            linger: Duration::from_millis(2),
            delivery_timeout: Duration::from_secs(30),
        }
    }
}

/// How a consumer gets its partitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ConsumerMode {
    /// All partitions of the topic, from the first record on.
    Assign,
    /// A member of a classic group.
    Group { group: String },
    /// A member of a KIP-848 group.
    ConsumerGroup { group: String },
}

impl ConsumerMode {
    /// The group that it makes a consumer a member of.
    pub(crate) fn group(&self) -> Option<&str> {
        match self {
            Self::Assign => None,
            Self::Group { group } | Self::ConsumerGroup { group } => Some(group),
        }
    }
}

/// `isolation.level`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Isolation {
    ReadUncommitted,
    ReadCommitted,
}

#[derive(Clone, Debug)]
pub(crate) struct ConsumerPlan {
    pub(crate) name: String,
    pub(crate) topic: String,
    pub(crate) mode: ConsumerMode,
    pub(crate) isolation: Isolation,
    /// Of a group's member: how often it commits.
    pub(crate) commit_interval: Duration,
}

/// A client that polls one topic, sends to another and commits both in transactions.
#[derive(Clone, Debug)]
pub(crate) struct TransactionPlan {
    pub(crate) name: String,
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) transactional_id: String,
    pub(crate) group: String,
    /// Share of the transactions that are to abort, 0 to 1.
    pub(crate) abort_share: f64,
    /// Records polled in one transaction, at most.
    pub(crate) records: usize,
    pub(crate) record_bytes: usize,
    pub(crate) delivery_timeout: Duration,
}

impl WorkloadOptions {
    /// Every topic that a client names is there.
    pub(super) fn check(&self) -> Result<(), WorkloadError> {
        let known = |client: &str, topic: &str| {
            if self.topics.iter().any(|plan| plan.name == topic && plan.partitions > 0) {
                return Ok(());
            }
            Err(WorkloadError::UnknownTopic { client: client.to_owned(), topic: topic.to_owned() })
        };
        for plan in &self.producers {
            plan.topics.iter().try_for_each(|topic| known(&plan.name, topic))?;
        }
        for plan in &self.consumers {
            known(&plan.name, &plan.topic)?;
        }
        for plan in &self.transactions {
            known(&plan.name, &plan.from)?;
            known(&plan.name, &plan.to)?;
        }
        Ok(())
    }
}
