//! What is looked at once all faults are over, all is written and all was read: whether each group got everything, and whether the replicas
//! are the same on their disks.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::ExperimentError;
use crate::history::{Action, Partition, Recorder};
use crate::nemesis::{Fault, NemesisReport};
use crate::target::{NodeId, Target};
use crate::workload::{TopicPlan, WorkloadError, WorkloadOptions, await_group};

/// How long a group may take to come to the end.
const GROUP_PATIENCE: Duration = Duration::from_secs(60);

/// A group, and the topic that it reads.
pub(super) type Delivery = (String, TopicPlan);

/// The groups of a plan that must get everything, each with its topic. Those of transactions are judged by their transactions.
pub(super) fn deliveries(plan: &WorkloadOptions) -> Vec<Delivery> {
    let mut deliveries: Vec<Delivery> = Vec::new();
    for consumer in &plan.consumers {
        let Some(group) = consumer.mode.group() else { continue };
        let topic = plan.topics.iter().find(|topic| topic.name == consumer.topic);
        if let Some(topic) = topic.filter(|_| deliveries.iter().all(|(known, _)| known != group)) {
            deliveries.push((group.to_owned(), topic.clone()));
        }
    }
    deliveries
}

/// Waits for groups while their members still run.
///
/// # Errors
/// When the cluster does not tell what is committed.
pub(super) fn await_groups(
    bootstrap: &str,
    deliveries: &[Delivery],
    recorder: &Recorder,
) -> Result<(), WorkloadError> {
    deliveries.iter().try_for_each(|(group, topic)| {
        await_group(bootstrap, group, topic, recorder, GROUP_PATIENCE)
    })
}

/// Writes down what the disks of a cluster that was stopped have of these topics. A disk with flipped bits is left out: nobody can tell
/// whether they were found.
///
/// # Errors
/// When the disks cannot be read.
pub(super) fn record_replicas(
    target: &dyn Target,
    topics: &[TopicPlan],
    nemesis: &NemesisReport,
    recorder: &Recorder,
) -> Result<(), ExperimentError> {
    let flips = nemesis.faults.iter().filter(|injected| injected.fault == Fault::BitFlip);
    let left_out: BTreeSet<NodeId> = flips.flat_map(|injected| injected.nodes.clone()).collect();
    let process = Arc::from("disks");
    for topic in topics {
        for replica in target.replicas(&topic.name, &left_out)? {
            let partition =
                Partition { topic: Arc::from(topic.name.as_str()), number: replica.partition };
            let (node, from, to) = (replica.node, replica.from, replica.to);
            let action = Action::Replica { partition, node, from, to, digest: replica.digest };
            recorder.mark(&process, action);
        }
    }
    Ok(())
}
