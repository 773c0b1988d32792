//! What is asked before anything is written: whether a produce, or batches of a leader, may be appended.
//!
//! Owns the first half of invariant 8; the second, at completion, is the leader's.

use model::{Acks, BrokerId, LeaderEpoch, Offset, Timestamp};

use super::Partition;
use super::event::Generation;
use super::role::Role;

/// Why a produce is refused before anything was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AdmissionError {
    /// The replica does not lead. Kafka: `NOT_LEADER_OR_FOLLOWER`.
    #[error("this replica does not lead the partition")]
    NotLeader,
    /// Fewer than the effective min ISR are unfenced and caught up. Kafka: `NOT_ENOUGH_REPLICAS`.
    #[error("{in_sync} replicas are unfenced and caught up, {required} are required")]
    NotEnoughReplicas {
        /// How many are.
        in_sync: usize,
        /// How many must be.
        required: usize,
    },
}

/// Why batches from a leader are not appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BatchesRefused {
    /// They belong to another leader, epoch or generation, or the replica is truncating: drop them.
    #[error("the batches are of another leader epoch or generation")]
    Stale,
    /// They do not begin at the log end offset: step [`Event::FetchFailed`](super::Event::FetchFailed).
    #[error("the batches do not begin at the log end offset {log_end_offset}")]
    NotContiguous {
        /// Where they should begin.
        log_end_offset: Offset,
    },
}

impl Partition {
    /// Decides whether a produce may be appended; returns the leader epoch for the batches' headers.
    ///
    /// # Errors
    /// [`AdmissionError::NotLeader`] when the replica does not lead; [`AdmissionError::NotEnoughReplicas`] for `acks=all` below the
    /// effective min ISR. Nothing must be written then.
    pub fn admit_produce(&self, now: Timestamp, acks: Acks) -> Result<LeaderEpoch, AdmissionError> {
        let (Role::Leader(leader), Some(metadata)) = (&self.role, &self.metadata) else {
            return Err(AdmissionError::NotLeader);
        };
        if acks == Acks::All {
            let in_sync = leader.in_sync_count(self.now.max(now), &self.options, metadata);
            let required = metadata.effective_min_isr;
            if in_sync < required {
                return Err(AdmissionError::NotEnoughReplicas { in_sync, required });
            }
        }
        Ok(leader.epoch())
    }

    /// Decides whether batches that came from `leader` may be appended: they begin at `base_offset`, in this epoch and generation. The
    /// caller has checked CRCs and that no batch's epoch is above `leader_epoch`.
    ///
    /// # Errors
    /// [`BatchesRefused::Stale`]: drop the message; [`BatchesRefused::NotContiguous`]: step [`Event::FetchFailed`](super::Event::FetchFailed).
    pub fn admit_batches(
        &self,
        leader: BrokerId,
        leader_epoch: LeaderEpoch,
        generation: Generation,
        base_offset: Offset,
    ) -> Result<(), BatchesRefused> {
        match &self.role {
            Role::Follower(follower)
                if follower.leader() == leader
                    && follower.is_current(leader_epoch, generation)
                    && !self.is_cutting() =>
            {
                let log_end_offset = self.log.end();
                if base_offset == log_end_offset {
                    Ok(())
                } else {
                    Err(BatchesRefused::NotContiguous { log_end_offset })
                }
            }
            Role::Follower(_) | Role::Leader(_) | Role::Offline(_) => Err(BatchesRefused::Stale),
        }
    }
}
