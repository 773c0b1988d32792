//! What a broken connection proves, and what a voter does when the active controller is gone.
//!
//! A broken connection is a suspicion. A plain TCP connect to the control port decides: refused says that no process is there. A voter with
//! that proof asks openraft for an election again and again until another node leads; openraft ignores it while the dead leader's lease
//! runs and a pre-vote asks the others first, so that false evidence does no harm.

use std::sync::Arc;
use std::time::Duration;

use model::BrokerId;
use tokio::time::{Instant, sleep, timeout};

use crate::active::liveness::{Event, ProbeResult};
use crate::peers::connect::{ConnectError, dial};
use crate::plane::Plane;
use crate::raft::{RaftStatus, StatusWatch};

/// Between the attempts of all voters together; each has its own turn.
const ELECTION_TURN: Duration = Duration::from_millis(20);
/// Between two looks at a controller that cannot be reached and does not refuse.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// After this the evidence counts as old, and the port is looked at again.
const EVIDENCE_AGE: Duration = Duration::from_secs(1);

/// Looks at a broker's control port, for the active controller.
pub(crate) async fn probe(plane: Arc<Plane>, broker_id: BrokerId) {
    let asked_at = plane.now();
    let result = match plane.shared.addresses.address_of(broker_id) {
        Some(address) => match dial(&address).await {
            Err(ConnectError::Refused) => ProbeResult::Refused,
            Ok(_) | Err(ConnectError::Unreachable(_)) => ProbeResult::Inconclusive,
        },
        None => ProbeResult::Inconclusive,
    };
    plane.leadership.step(plane.now(), Event::Probed { broker_id, asked_at, result });
}

/// Finds out what became of the active controller whose session broke. Returns when another leads, or when it can be talked to again.
pub(crate) async fn controller_lost(
    plane: &Arc<Plane>,
    watch: &mut StatusWatch,
    lost: &RaftStatus,
) {
    let Some((_, broker_id)) = lost.leader else { return };
    let Some(address) = plane.shared.addresses.address_of(broker_id) else {
        sleep(LOOK_AGAIN).await;
        return;
    };
    let is_replaced = |status: &RaftStatus| status.leader.is_some() && status != lost;
    let looked = tokio::select! {
        () = plane.cancel.cancelled() => return,
        looked = dial(&address) => looked,
    };
    match looked {
        Err(ConnectError::Refused) => {
            let evidence_until = Instant::now() + EVIDENCE_AGE;
            let (turn, turns) = election_turn(plane, broker_id);
            let mut pause = ELECTION_TURN * turn;
            while Instant::now() < evidence_until {
                if wait(plane, watch, pause, &is_replaced).await {
                    return;
                }
                if turns > 0 {
                    plane.raft.elect().await;
                }
                pause = ELECTION_TURN * turns.max(1);
            }
        }
        // A process is there: it may answer, or its kernel has not closed the port yet.
        Ok(_) => {
            wait(plane, watch, ELECTION_TURN, &is_replaced).await;
        }
        Err(ConnectError::Unreachable(_)) => {
            wait(plane, watch, LOOK_AGAIN, &is_replaced).await;
        }
    }
}

/// Waits for a pause, or shorter when the condition holds. Says whether it does, or this node stops.
async fn wait(
    plane: &Arc<Plane>,
    watch: &mut StatusWatch,
    pause: Duration,
    condition: &impl Fn(&RaftStatus) -> bool,
) -> bool {
    let changed = async {
        loop {
            if condition(&watch.status()) || !watch.changed().await {
                return;
            }
        }
    };
    tokio::select! {
        () = plane.cancel.cancelled() => true,
        done = timeout(pause, changed) => done.is_ok(),
    }
}

/// This node's place among the voters that are left, in the order of their broker ids, and their number. None for a node that does not vote.
fn election_turn(plane: &Plane, lost: BrokerId) -> (u32, u32) {
    let voters = plane.raft.members().voters_by_broker();
    let mut left = voters.keys().filter(|broker_id| **broker_id != lost);
    let count = u32::try_from(left.clone().count()).unwrap_or(u32::MAX);
    match left.position(|broker_id| *broker_id == plane.broker_id()) {
        Some(place) => (u32::try_from(place).unwrap_or(0), count),
        None => (0, 0),
    }
}
