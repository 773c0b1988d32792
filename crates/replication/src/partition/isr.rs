//! The in-sync set with at most one change in flight.
//!
//! Owns invariant 5 and the maximal ISR, which bounds the high watermark (invariant 3): committed members plus proposed ones; a pending shrink
//! still counts the old. A proposal ends only when the image shows a partition epoch above the one it consumes.

use std::collections::BTreeSet;

use model::{BrokerId, PartitionEpoch, Timestamp};

use super::action::AlterIsr;

/// ISR of a partition as its leader sees it.
///
/// ```text
///               propose_join                 image: partition epoch moved
///  Committed ────────────────► Expanding ───────────────────────────────► Committed
///      │                                                                      ▲
///      └──────────────────────► Shrinking ────────────────────────────────────┘
///               propose_leave                (applied or refused, it is consumed)
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Isr {
    /// Nothing in flight.
    Committed {
        /// Members in the image.
        committed: BTreeSet<BrokerId>,
    },
    /// Members are proposed to join.
    Expanding {
        /// Members in the image.
        committed: BTreeSet<BrokerId>,
        /// Those that may be members already.
        joining: BTreeSet<BrokerId>,
        /// What was proposed.
        proposal: Proposal,
    },
    /// Members are proposed to leave.
    Shrinking {
        /// Members in the image.
        committed: BTreeSet<BrokerId>,
        /// What was proposed.
        proposal: Proposal,
    },
}

/// A proposal whose outcome is not yet known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Proposal {
    /// Sent and sent again, unchanged.
    pub(super) alter_isr: AlterIsr,
    /// When it was last sent.
    pub(super) sent_at: Timestamp,
}

impl Isr {
    /// Starts with what the image shows.
    pub(super) fn new(committed: BTreeSet<BrokerId>) -> Self {
        Self::Committed { committed }
    }

    /// Returns the members in the image.
    pub(super) fn committed(&self) -> &BTreeSet<BrokerId> {
        match self {
            Self::Committed { committed }
            | Self::Expanding { committed, .. }
            | Self::Shrinking { committed, .. } => committed,
        }
    }

    /// Iterates over everyone who is or may be a member: whoever of them leads next must have all that is committed.
    pub(super) fn maximal(&self) -> impl Iterator<Item = BrokerId> + '_ {
        let joining = match self {
            Self::Expanding { joining, .. } => Some(joining),
            Self::Committed { .. } | Self::Shrinking { .. } => None,
        };
        self.committed().iter().chain(joining.into_iter().flatten()).copied()
    }

    /// Says whether the broker is or may be a member.
    pub(super) fn maximal_contains(&self, broker: BrokerId) -> bool {
        self.maximal().any(|member| member == broker)
    }

    /// Returns the proposal in flight.
    pub(super) fn in_flight(&self) -> Option<&Proposal> {
        match self {
            Self::Committed { .. } => None,
            Self::Expanding { proposal, .. } | Self::Shrinking { proposal, .. } => Some(proposal),
        }
    }

    /// Puts a proposal to add members in flight.
    ///
    /// # Panics
    /// When one is in flight already.
    pub(super) fn propose_join(&mut self, joining: BTreeSet<BrokerId>, proposal: Proposal) {
        assert!(self.in_flight().is_none(), "one ISR change in flight at most");
        let committed = self.committed().clone();
        *self = Self::Expanding { committed, joining, proposal };
    }

    /// Puts a proposal to remove members in flight.
    ///
    /// # Panics
    /// When one is in flight already.
    pub(super) fn propose_leave(&mut self, proposal: Proposal) {
        assert!(self.in_flight().is_none(), "one ISR change in flight at most");
        let committed = self.committed().clone();
        *self = Self::Shrinking { committed, proposal };
    }

    /// Returns the proposal to send again when it has waited since `before` or longer, and notes that it was.
    pub(super) fn resend(&mut self, now: Timestamp, before: Timestamp) -> Option<AlterIsr> {
        let proposal = match self {
            Self::Committed { .. } => return None,
            Self::Expanding { proposal, .. } | Self::Shrinking { proposal, .. } => proposal,
        };
        if proposal.sent_at > before {
            return None;
        }
        proposal.sent_at = now;
        Some(proposal.alter_isr.clone())
    }

    /// Takes in the image's ISR. Returns what became of the proposal in flight.
    pub(super) fn image_shows(
        &mut self,
        isr: &BTreeSet<BrokerId>,
        partition_epoch: PartitionEpoch,
    ) -> ProposalOutcome {
        let outcome = match self.in_flight() {
            None => ProposalOutcome::NoneInFlight,
            Some(proposal) if partition_epoch <= proposal.alter_isr.partition_epoch => {
                return ProposalOutcome::Pending;
            }
            Some(proposal) => {
                let proposed = proposal.alter_isr.new_isr.iter().map(|(broker, _)| *broker);
                if proposed.eq(isr.iter().copied()) {
                    ProposalOutcome::Applied
                } else {
                    ProposalOutcome::Refused
                }
            }
        };
        *self = Self::new(isr.clone());
        outcome
    }
}

/// What an image says about the proposal in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ProposalOutcome {
    /// There was none.
    NoneInFlight,
    /// Its partition epoch is not yet consumed.
    Pending,
    /// The ISR is as proposed.
    Applied,
    /// The partition epoch was consumed otherwise: refused, or another change came first.
    Refused,
}
