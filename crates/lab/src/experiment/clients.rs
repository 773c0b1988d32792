//! From the kinds of clients that were asked for to a workload.

use std::collections::BTreeSet;
use std::time::Duration;

use clap::ValueEnum;

use super::ExperimentError;
use super::chaos::ChaosOptions;
use crate::history::Acks;
use crate::workload::{
    ConsumerMode, ConsumerPlan, Isolation, Offer, ProducerPlan, Retries, TopicPlan,
    TransactionPlan, WorkloadOptions, offers,
};

/// Where producers write, and transactions read.
const TOPIC: &str = "lab";
/// Where transactions write.
const COPY: &str = "lab-copy";
/// Longest time that a producer waits for an acknowledgement.
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a cluster may take to show what it offers.
const OFFER_PATIENCE: Duration = Duration::from_secs(10);
/// Between two commits of a group's member.
const COMMIT_INTERVAL: Duration = Duration::from_millis(500);
/// Of the transactions, those that are aborted on purpose.
const ABORT_SHARE: f64 = 0.1;
/// Records polled in a transaction, at most.
const RECORDS_OF_TRANSACTION: usize = 500;

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

/// Asks a cluster whether it offers what the clients need.
///
/// # Errors
/// When it does not.
pub(crate) fn check_offers(options: &ChaosOptions, bootstrap: &str) -> Result<(), ExperimentError> {
    let needs =
        [(Client::Transactional, "transactions"), (Client::ConsumerGroup, "groups of KIP-848")];
    if !needs.iter().any(|(client, _)| options.clients.contains(client)) {
        return Ok(());
    }
    let offers = offers(bootstrap, TOPIC, OFFER_PATIENCE);
    for (client, what) in needs {
        let offer = match client {
            Client::Transactional => &offers.transactions,
            _ => &offers.consumer_group_protocol,
        };
        if let Offer::No(reason) = offer
            && options.clients.contains(&client)
        {
            return Err(ExperimentError::Usage(format!(
                "this target does not offer {what} ({reason}): leave them out of --clients"
            )));
        }
    }
    Ok(())
}

/// Makes the workload of a chaos run; where the cluster is, is left to the caller.
pub(crate) fn plan(options: &ChaosOptions) -> WorkloadOptions {
    let mut plan =
        WorkloadOptions { topics: vec![topic(options, TOPIC)], ..WorkloadOptions::default() };
    let sends = |client: &&Client| {
        matches!(client, Client::Idempotent | Client::Plain | Client::AcksOne | Client::AcksZero)
    };
    let producers = options.clients.iter().filter(sends).count().max(1);
    let share = options.records_per_second / f64::from(u32::try_from(producers).unwrap_or(1));
    for client in &options.clients {
        match client {
            Client::Idempotent => plan.producers.push(ProducerPlan {
                retries: Retries::Idempotent,
                ..producer(options, "idempotent", Acks::All, share)
            }),
            Client::Plain => plan.producers.push(ProducerPlan {
                retries: Retries::Never,
                ..producer(options, "plain", Acks::All, share)
            }),
            Client::AcksOne => plan.producers.push(producer(options, "acks-1", Acks::One, share)),
            Client::AcksZero => plan.producers.push(producer(options, "acks-0", Acks::Zero, share)),
            Client::Consumer => plan.consumers.push(consumer("consumer", ConsumerMode::Assign)),
            Client::Group => {
                plan.consumers.extend(members("member", |group| ConsumerMode::Group { group }))
            }
            Client::ConsumerGroup => plan
                .consumers
                .extend(members("member-848", |group| ConsumerMode::ConsumerGroup { group })),
            Client::Transactional => {
                plan.topics.push(topic(options, COPY));
                plan.transactions.extend((1..=2).map(|number| copier(options, number)));
            }
        }
    }
    plan
}

/// The groups that the clients of a chaos run form.
pub(crate) fn groups(options: &ChaosOptions) -> Vec<String> {
    let plan = plan(options);
    let consumers = plan.consumers.iter().filter_map(|consumer| consumer.mode.group());
    let copiers = plan.transactions.iter().map(|copier| copier.group.as_str());
    let groups: BTreeSet<&str> = consumers.chain(copiers).collect();
    groups.into_iter().map(str::to_owned).collect()
}

fn topic(options: &ChaosOptions, name: &str) -> TopicPlan {
    let replication_factor = i32::try_from(options.target.nodes.min(3)).unwrap_or(3);
    TopicPlan {
        name: name.to_owned(),
        partitions: options.partitions,
        replication_factor,
        assignment: Vec::new(),
        configs: Vec::new(),
    }
}

fn producer(
    options: &ChaosOptions,
    name: &str,
    acks: Acks,
    records_per_second: f64,
) -> ProducerPlan {
    ProducerPlan {
        acks,
        records_per_second,
        record_bytes: options.record_bytes,
        compression: options.compression,
        key_skew: options.key_skew,
        delivery_timeout: DELIVERY_TIMEOUT,
        ..ProducerPlan::new(&format!("producer-{name}"), TOPIC)
    }
}

fn consumer(name: &str, mode: ConsumerMode) -> ConsumerPlan {
    ConsumerPlan {
        name: name.to_owned(),
        topic: TOPIC.to_owned(),
        mode,
        isolation: Isolation::ReadUncommitted,
        commit_interval: COMMIT_INTERVAL,
    }
}

fn members(name: &str, mode: impl Fn(String) -> ConsumerMode) -> Vec<ConsumerPlan> {
    let group = format!("lab-{name}s");
    (1..=2).map(|number| consumer(&format!("{name}-{number}"), mode(group.clone()))).collect()
}

fn copier(options: &ChaosOptions, number: u32) -> TransactionPlan {
    TransactionPlan {
        name: format!("copier-{number}"),
        from: TOPIC.to_owned(),
        to: COPY.to_owned(),
        transactional_id: format!("lab-copier-{number}"),
        group: "lab-copiers".to_owned(),
        abort_share: ABORT_SHARE,
        records: RECORDS_OF_TRANSACTION,
        record_bytes: options.record_bytes,
        delivery_timeout: DELIVERY_TIMEOUT,
    }
}
