//! Clients of the cluster under test: producers, consumers, groups and transactions over librdkafka, each writing down what it does.
//!
//! A client records an invocation before it calls librdkafka and the completion when librdkafka tells; it never judges. What is not certain
//! is `info`: a wrong `fail` would accuse a cluster of what it did not do. A client that crashed goes on under another name, with another
//! librdkafka instance.

mod admin;
mod client;
mod consumer;
mod coordinator;
mod delivery;
mod final_read;
mod member;
mod native;
mod numbers;
mod outcome;
mod plan;
mod producer;
mod record;
mod transactions;
mod watermarks;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

pub(crate) use admin::{ClusterView, Offer, create_topics, delete_topics, offers};
pub(crate) use coordinator::coordinator_of;
pub(crate) use delivery::await_group;
pub(crate) use final_read::final_read;
pub(crate) use plan::{
    Compression, ConsumerMode, ConsumerPlan, Isolation, ProducerPlan, Retries, TopicPlan,
    TransactionPlan, WorkloadOptions,
};

use crate::history::Recorder;
use numbers::Numbers;

/// Why a workload did not begin, or a final read did not end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WorkloadError {
    #[error("librdkafka refused the {client}; check its options")]
    Client { client: String, source: rdkafka::error::KafkaError },
    #[error(
        "{client} names topic {topic:?}, which the workload does not have; add it to the topics"
    )]
    UnknownTopic { client: String, topic: String },
    #[error("cannot start a thread for {client}")]
    Thread { client: String, source: std::io::Error },
    #[error("cannot create topic {topic:?}: {reason}")]
    CreateTopic { topic: String, reason: String },
    #[error("{what} was not done within {seconds} s: {reason}")]
    Impatient { what: String, seconds: u64, reason: String },
}

/// What has happened so far, for a live view. Each send ends as acknowledged, failed or unknown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) sent: u64,
    pub(crate) acknowledged: u64,
    pub(crate) failed: u64,
    pub(crate) unknown: u64,
    pub(crate) polled: u64,
}

#[derive(Debug, Default)]
struct Counters {
    sent: AtomicU64,
    acknowledged: AtomicU64,
    failed: AtomicU64,
    unknown: AtomicU64,
    polled: AtomicU64,
}

/// What all clients of a workload share.
#[derive(Debug)]
struct Shared {
    bootstrap: String,
    recorder: Recorder,
    counters: Counters,
    numbers: Numbers,
    topics: Vec<TopicPlan>,
    /// Begin no further send.
    stop_sends: AtomicBool,
    stop: AtomicBool,
}

impl Shared {
    fn sending(&self) -> bool {
        !self.stop_sends.load(Ordering::Relaxed)
    }

    fn running(&self) -> bool {
        !self.stop.load(Ordering::Relaxed)
    }

    /// How many partitions a topic has; 0 for one that the workload does not have.
    fn partitions(&self, topic: &str) -> i32 {
        self.topics.iter().find(|plan| plan.name == topic).map_or(0, |plan| plan.partitions)
    }
}

/// Clients at work, each in a thread of its own. Dropping it stops them.
#[derive(Debug)]
pub(crate) struct Workload {
    shared: Arc<Shared>,
    /// Producers and transactional clients: they end by themselves once sends are stopped.
    senders: Vec<JoinHandle<()>>,
    readers: Vec<JoinHandle<()>>,
}

impl Workload {
    /// Starts all clients; the topics exist already ([`create_topics`]).
    ///
    /// # Errors
    /// [`WorkloadError::UnknownTopic`], [`WorkloadError::Client`] for options that librdkafka refuses, [`WorkloadError::Thread`].
    pub(crate) fn start(
        options: WorkloadOptions,
        recorder: Recorder,
    ) -> Result<Self, WorkloadError> {
        options.check()?;
        let partitions: BTreeMap<_, _> =
            options.topics.iter().map(|topic| (topic.name.as_str(), topic.partitions)).collect();
        let shared = Arc::new(Shared {
            numbers: Numbers::new(&partitions),
            bootstrap: options.bootstrap,
            recorder,
            counters: Counters::default(),
            topics: options.topics,
            stop_sends: AtomicBool::new(false),
            stop: AtomicBool::new(false),
        });
        let mut workload =
            Self { shared: Arc::clone(&shared), senders: Vec::new(), readers: Vec::new() };
        for plan in options.consumers {
            let reader = consumer::start(plan, Arc::clone(&shared))?;
            workload.readers.push(reader);
        }
        workload.readers.push(watermarks::start(Arc::clone(&shared))?);
        for (number, plan) in (0_u64..).zip(options.transactions) {
            let seed = options.seed.wrapping_add(number).rotate_left(32);
            workload.senders.push(transactions::start(plan, Arc::clone(&shared), seed)?);
        }
        for (number, plan) in (0_u64..).zip(options.producers) {
            let seed = options.seed.wrapping_add(number);
            workload.senders.push(producer::start(plan, Arc::clone(&shared), seed)?);
        }
        Ok(workload)
    }

    /// What has happened so far.
    pub(crate) fn counts(&self) -> Counts {
        let counters = &self.shared.counters;
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            sent: read(&counters.sent),
            acknowledged: read(&counters.acknowledged),
            failed: read(&counters.failed),
            unknown: read(&counters.unknown),
            polled: read(&counters.polled),
        }
    }

    /// Begins no further send, and waits until each has completed: for at most the delivery timeout, after which those that are left
    /// complete as unknown.
    pub(crate) fn stop_producing(&mut self) {
        self.shared.stop_sends.store(true, Ordering::Relaxed);
        join(&mut self.senders);
    }

    /// Ends all clients; each commits and leaves its group where the cluster lets it.
    pub(crate) fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        self.stop_producing();
        self.shared.stop.store(true, Ordering::Relaxed);
        join(&mut self.readers);
    }
}

impl Drop for Workload {
    fn drop(&mut self) {
        self.end();
    }
}

fn join(threads: &mut Vec<JoinHandle<()>>) {
    for thread in threads.drain(..) {
        // A client that panicked has ended too; its open operations stay unknown.
        let _ = thread.join();
    }
}

fn spawn(
    client: &str,
    run: impl FnOnce() + Send + 'static,
) -> Result<JoinHandle<()>, WorkloadError> {
    std::thread::Builder::new()
        .name(client.to_owned())
        .spawn(run)
        .map_err(|source| WorkloadError::Thread { client: client.to_owned(), source })
}
