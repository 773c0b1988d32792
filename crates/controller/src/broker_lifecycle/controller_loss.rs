//! What a broker does when its session with the active controller breaks: it finds out whether the controller is gone, and a voter then sees to
//! an election.
//!
//! A plain TCP connect to the control port decides: refused says that no process is there. A voter with that proof asks openraft for an
//! election again and again until a candidacy has begun; openraft ignores it while the dead leader's lease runs and a pre-vote asks the others
//! first, so that false evidence does no harm. A candidacy is left alone: another request would replace it at a higher term, so that votes
//! which take long to save would never elect anybody. One that fails is followed by openraft's own, after its election timeout.

use std::time::Duration;

use model::BrokerId;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::peers::address_book::AddressBook;
use crate::peers::connect::{ConnectError, dial};
use crate::raft::{RaftNode, RaftStatus, StatusWatch};

/// Between the attempts of all voters together; each has its own turn.
const ELECTION_TURN: Duration = Duration::from_millis(20);
/// Between two looks at a controller that cannot be reached and does not refuse.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// After this the evidence counts as old, and the port is looked at again.
const EVIDENCE_AGE: Duration = Duration::from_secs(1);

/// What is needed to judge a controller that may be gone.
pub(super) struct ControllerLoss<'a> {
    pub(super) own: BrokerId,
    pub(super) raft: &'a RaftNode,
    pub(super) addresses: &'a AddressBook,
    pub(super) cancel: &'a CancellationToken,
}

impl ControllerLoss<'_> {
    /// Finds out what became of the active controller whose session broke. Returns when its term is over, or when it can be talked to again.
    pub(super) async fn judge(&self, watch: &mut StatusWatch, lost: &RaftStatus) {
        let Some((_, broker_id)) = lost.leader else { return };
        let Some(address) = self.addresses.address_of(broker_id) else {
            sleep(LOOK_AGAIN).await;
            return;
        };
        let is_over = |status: &RaftStatus| status.term != lost.term;
        let looked = tokio::select! {
            () = self.cancel.cancelled() => return,
            looked = dial(&address) => looked,
        };
        match looked {
            Err(ConnectError::Refused) => {
                let evidence_until = Instant::now() + EVIDENCE_AGE;
                let (turn, turns) = self.election_turn(broker_id);
                let mut pause = ELECTION_TURN * turn;
                while Instant::now() < evidence_until {
                    if self.wait(watch, pause, &is_over).await {
                        return;
                    }
                    if turns > 0 {
                        tokio::select! {
                            () = self.cancel.cancelled() => return,
                            () = self.raft.succeed(lost.term) => {}
                        }
                    }
                    pause = ELECTION_TURN * turns.max(1);
                }
            }
            // A process is there: it may answer, or its kernel has not closed the port yet.
            Ok(_) => {
                self.wait(watch, ELECTION_TURN, &is_over).await;
            }
            Err(ConnectError::Unreachable(_)) => {
                self.wait(watch, LOOK_AGAIN, &is_over).await;
            }
        }
    }

    /// Waits for a pause, or shorter when the condition holds. Says whether it does, or this node stops.
    async fn wait(
        &self,
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
            () = self.cancel.cancelled() => true,
            done = timeout(pause, changed) => done.is_ok(),
        }
    }

    /// This node's place among the voters that are left, in the order of their broker ids, and their number. None for a node that does not vote.
    fn election_turn(&self, lost: BrokerId) -> (u32, u32) {
        let voters = self.raft.members().voters_by_broker();
        let mut left = voters.keys().filter(|broker_id| **broker_id != lost);
        let count = u32::try_from(left.clone().count()).unwrap_or(u32::MAX);
        match left.position(|broker_id| *broker_id == self.own) {
            Some(place) => (u32::try_from(place).unwrap_or(0), count),
            None => (0, 0),
        }
    }
}
