//! From the kinds of clients that were asked for to a workload.

use std::time::Duration;

use clap::ValueEnum;

use super::ExperimentError;
use super::chaos::ChaosOptions;
use crate::history::Acks;
use crate::workload::{
    ConsumerMode, ConsumerPlan, Idempotence, Offers, ProducerPlan, Retries, TopicPlan,
    TransactionPlan, WorkloadOptions,
};

/// Where producers write, and transactions read.
const TOPIC: &str = "lab";
/// Where transactions write.
const COPY: &str = "lab-copy";
/// Longest time that a producer waits for an acknowledgement.
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(30);

/// A kind of client in a chaos run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Client {
    /// An idempotent producer, acks=all
    Idempotent,
    /// A producer with acks=all that never sends a record again by itself
    Plain,
    /// A producer with acks=1: what it loses is counted, and allowed
    AcksOne,
    /// A producer with acks=0: what it loses is counted, and allowed
    AcksZero,
    /// A consumer that assigns partitions to itself
    Consumer,
    /// Two members of a classic group
    Group,
    /// Two members of a KIP-848 group
    ConsumerGroup,
    /// Two copiers in transactions, from one topic to another
    Transactional,
}

/// Makes the workload of a chaos run.
///
/// # Errors
/// When the target does not offer what a client needs.
pub(crate) fn plan(
    options: &ChaosOptions,
    offers: &Offers,
) -> Result<WorkloadOptions, ExperimentError> {
    let lacks = |what: &str| {
        Err(ExperimentError::Usage(format!("this target does not offer {what}: leave them out of --clients")))
    };
    let has = |client| options.clients.contains(&client);
    if has(Client::Transactional) && !offers.transactions {
        return lacks("transactions");
    }
    if has(Client::ConsumerGroup) && !offers.consumer_group_protocol {
        return lacks("KIP-848 groups");
    }
    let mut plan = WorkloadOptions { topics: vec![topic(options, TOPIC)], ..WorkloadOptions::default() };
    let sends = |client: &&Client| {
        matches!(client, Client::Idempotent | Client::Plain | Client::AcksOne | Client::AcksZero)
    };
    let producers = options.clients.iter().filter(sends).count().max(1);
    let share = options.records_per_second / f64::from(u32::try_from(producers).unwrap_or(1));
    for client in &options.clients {
        match client {
            Client::Idempotent => plan.producers.push(ProducerPlan {
                idempotence: Idempotence::Idempotent,
                ..producer(options, "idempotent", Acks::All, share)
            }),
            Client::Plain => plan.producers.push(ProducerPlan {
                retries: Retries::Never,
                ..producer(options, "plain", Acks::All, share)
            }),
            Client::AcksOne => plan.producers.push(producer(options, "acks-1", Acks::One, share)),
            Client::AcksZero => plan.producers.push(producer(options, "acks-0", Acks::Zero, share)),
            Client::Consumer => plan.consumers.push(consumer("consumer", ConsumerMode::Assign)),
            Client::Group => plan.consumers.extend(members("member", |group| ConsumerMode::Group { group })),
            Client::ConsumerGroup => plan
                .consumers
                .extend(members("member-848", |group| ConsumerMode::ConsumerGroup { group })),
            Client::Transactional => {
                plan.topics.push(topic(options, COPY));
                plan.transactions.extend((1..=2).map(copier));
            }
        }
    }
    Ok(plan)
}

fn topic(options: &ChaosOptions, name: &str) -> TopicPlan {
    let replication_factor = i32::try_from(options.target.nodes.min(3)).unwrap_or(3);
    TopicPlan {
        name: name.to_owned(),
        partitions: options.partitions,
        replication_factor,
        ..TopicPlan::default()
    }
}

fn producer(options: &ChaosOptions, name: &str, acks: Acks, records_per_second: f64) -> ProducerPlan {
    ProducerPlan {
        name: format!("producer-{name}"),
        topics: vec![TOPIC.to_owned()],
        acks,
        records_per_second,
        record_bytes: options.record_bytes,
        compression: options.compression,
        key_skew: options.key_skew,
        delivery_timeout: DELIVERY_TIMEOUT,
        ..ProducerPlan::default()
    }
}

fn consumer(name: &str, mode: ConsumerMode) -> ConsumerPlan {
    ConsumerPlan {
        name: name.to_owned(),
        topics: vec![TOPIC.to_owned()],
        mode,
        ..ConsumerPlan::default()
    }
}

fn members(name: &str, mode: impl Fn(String) -> ConsumerMode) -> Vec<ConsumerPlan> {
    let group = format!("lab-{name}s");
    (1..=2).map(|number| consumer(&format!("{name}-{number}"), mode(group.clone()))).collect()
}

fn copier(number: u32) -> TransactionPlan {
    TransactionPlan {
        name: format!("copier-{number}"),
        from: TOPIC.to_owned(),
        to: COPY.to_owned(),
        transactional_id: format!("lab-copier-{number}"),
        group: "lab-copiers".to_owned(),
        ..TransactionPlan::default()
    }
}
