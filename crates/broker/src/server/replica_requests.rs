//! Carries what replicas ask for to the controller: ISR proposals, lost replicas, leaderships given up.
//!
//! Owns no state: no answer goes back (the image shows the outcome, in log order), and a request without an outcome is repeated by the
//! replica. Proposals that wait together travel as one command.

use std::collections::BTreeMap;
use std::sync::Arc;

use controller::Controller;
use controller::metadata::{
    Command, IsrMember, IsrProposal, LiveSet, Outcome, ProposeIsr, ReplicaLost, YieldLeadership,
};
use futures_util::FutureExt as _;
use model::{BrokerEpoch, BrokerId};
use replication::{ReplicaRequest, Replicas};
use tokio_util::sync::CancellationToken;

/// Most requests of one turn.
const MAX_BATCH: usize = 1_000;

/// Carries requests until `stop` is cancelled.
pub(super) async fn run(replicas: Arc<Replicas>, controller: Controller, stop: CancellationToken) {
    let own = controller.broker_id();
    loop {
        let first = tokio::select! {
            request = replicas.next_request() => request,
            () = stop.cancelled() => return,
        };
        let mut turn = vec![first];
        while turn.len() < MAX_BATCH
            && let Some(request) = replicas.next_request().now_or_never()
        {
            turn.push(request);
        }
        for command in commands(own, turn) {
            tokio::select! {
                () = propose(&controller, command) => {}
                () = stop.cancelled() => return,
            }
        }
    }
}

/// Joins requests of one kind and registration into one command each.
fn commands(own: BrokerId, turn: Vec<ReplicaRequest>) -> Vec<Command> {
    let mut isr: BTreeMap<BrokerEpoch, Vec<IsrProposal>> = BTreeMap::new();
    let mut lost: BTreeMap<BrokerEpoch, Vec<_>> = BTreeMap::new();
    let mut yielded: BTreeMap<BrokerEpoch, Vec<_>> = BTreeMap::new();
    for request in turn {
        match request {
            ReplicaRequest::AlterIsr { partition, proposal } => {
                let member = |(broker_id, broker_epoch)| IsrMember { broker_id, broker_epoch };
                isr.entry(proposal.broker_epoch).or_default().push(IsrProposal {
                    partition,
                    leader_epoch: proposal.leader_epoch,
                    partition_epoch: proposal.partition_epoch,
                    isr: proposal.new_isr.into_iter().map(member).collect(),
                });
            }
            ReplicaRequest::ReplicaLost { partition, leader_epoch, broker_epoch, .. } => {
                lost.entry(broker_epoch).or_default().push((partition, leader_epoch));
            }
            ReplicaRequest::GiveWay { partition, leader_epoch, broker_epoch } => {
                yielded.entry(broker_epoch).or_default().push((partition, leader_epoch));
            }
        }
    }
    let lost = lost.into_iter().map(|(broker_epoch, partitions)| {
        let live = LiveSet::default();
        Command::ReplicaLost(ReplicaLost { broker_id: own, broker_epoch, partitions, live })
    });
    let yielded = yielded.into_iter().map(|(broker_epoch, partitions)| {
        let live = LiveSet::default();
        Command::YieldLeadership(YieldLeadership { broker_id: own, broker_epoch, partitions, live })
    });
    let isr = isr.into_iter().map(|(broker_epoch, proposals)| {
        Command::ProposeIsr(ProposeIsr { broker_id: own, broker_epoch, proposals })
    });
    lost.chain(yielded).chain(isr).collect()
}

async fn propose(controller: &Controller, command: Command) {
    match controller.propose(command).await {
        Ok(applied) => {
            if let Outcome::Refused(refusal) = applied.outcome {
                tracing::debug!("the controller refused a replica's request: {refusal}");
            }
        }
        Err(error) => tracing::debug!("a replica's request has no outcome: {error}"),
    }
}
