//! A replica that cannot trust its data gives itself up: it goes offline, says so, and cuts nothing before its image shows it out of the ISR (rules 3a.7, 3a.10, 3a.14).

use model::{LeaderEpoch, Offset, Timestamp};

use super::Partition;
use super::action::{Action, LossReason, OfflineReason};
use super::cut::CutState;
use super::metadata::Durability;
use super::mutation::{Mutation, is_active};

/// A replica that gave itself up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Loss {
    reason: LossReason,
    /// The image's leader epoch when it was last declared: `ReplicaLost` is for that epoch and ends it.
    leader_epoch: Option<LeaderEpoch>,
    /// When to declare it again; `None` once the image shows the replica out of the ISR.
    declare_at: Option<Timestamp>,
}

impl Loss {
    /// When to declare it again, if ever.
    pub(super) fn declare_at(&self) -> Option<Timestamp> {
        self.declare_at
    }
}

impl Partition {
    pub(super) fn corruption_found(&mut self, offset: Offset) {
        if self.loss.is_some() || offset >= self.log.end() {
            return;
        }
        if is_active(Mutation::CutBeforeLeavingIsr) && self.followed().is_some() {
            self.lower_high_watermark(offset);
            let high_watermark = self.log.high_watermark();
            self.begin_cut(Action::Truncate { offset, high_watermark });
            return;
        }
        self.lose(LossReason::Corruption { offset });
    }

    /// Gives the replica up: nothing is cut, led or followed before the image shows it out of the ISR.
    pub(super) fn lose(&mut self, reason: LossReason) {
        self.loss = Some(Loss { reason, leader_epoch: None, declare_at: None });
        self.go_offline(OfflineReason::Lost(reason));
        self.declare_loss();
    }

    /// Declares the loss in the image's leader epoch. Before the first image there is none, and nobody counts on the replica yet.
    fn declare_loss(&mut self) {
        let broker_epoch = self.options.broker_epoch;
        let again_at = self.now + self.options.tick();
        if let (Some(loss), Some(metadata)) = (&mut self.loss, &self.metadata) {
            let (reason, leader_epoch) = (loss.reason, metadata.leader_epoch);
            loss.leader_epoch = Some(leader_epoch);
            loss.declare_at = Some(again_at);
            let action = Action::DeclareReplicaLost { reason, leader_epoch, broker_epoch };
            self.actions.push_back(action);
        }
    }

    /// Goes on once the image shows that the declaration was applied: the replica is out of the ISR, and the leader epoch in which it may still have been
    /// counted, by a proposal in flight too, has ended. Corrupt bytes are then cut; a divergence below the high watermark waits for a human.
    pub(super) fn maybe_rebuild(&mut self) {
        let (Some(loss), Some(metadata)) = (&mut self.loss, &self.metadata) else { return };
        let own = self.options.broker_id;
        if Some(metadata.leader_epoch) <= loss.leader_epoch {
            return;
        }
        // On a lossy partition whose ISR was emptied, the last known leader leads again, whatever it lost (rule 3a.9): nobody else would.
        let leads_alone = metadata.durability == Durability::Lossy
            && metadata.leader == Some(own)
            && metadata.isr.len() == 1;
        let is_counted = loss.leader_epoch.is_none() || metadata.isr.contains(&own);
        if is_counted && !leads_alone {
            // An election came first: what was declared is void, and this epoch's leader may count the replica.
            self.declare_loss();
            return;
        }
        loss.declare_at = None;
        let LossReason::Corruption { offset } = loss.reason else { return };
        let follows = metadata.leader.is_some_and(|leader| leader != own);
        if self.is_cutting() || !(follows || leads_alone) {
            return;
        }
        let waiting = Some(Box::new(metadata.clone()));
        self.loss = None;
        let offset = offset.clamp(self.log.start(), self.log.end());
        self.lower_high_watermark(offset);
        let high_watermark = self.log.high_watermark();
        self.begin_cut(Action::Truncate { offset, high_watermark });
        self.cut = CutState::Cutting(waiting);
    }

    /// Repeats the declaration when it is time.
    pub(super) fn maybe_declare_again(&mut self) {
        let declare_at = self.loss.as_ref().and_then(Loss::declare_at);
        if declare_at.is_some_and(|at| at <= self.now) {
            self.declare_loss();
        }
    }
}
