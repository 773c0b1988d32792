//! Who may cut a log, and what waits until it is cut.
//!
//! A follower truncates where its log and its leader's part, or starts again at the leader's log start; never for less. On a durable partition never below its own high
//! watermark: that replica gives itself up (rule 3a.10). A log that is found to end below its start begins again there, and corrupt bytes go once the loss was applied
//! (`loss`). While a storage thread cuts, the newest image waits and nothing of the old position counts (invariant 2).

use model::Offset;

use super::Partition;
use super::action::{Action, LossReason};
use super::event::LogState;
use super::metadata::{Durability, PartitionMetadata};
use super::role::Role;

/// Whether the log is being cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum CutState {
    /// It is not.
    None,
    /// A storage thread cuts it; the newest image that came meanwhile waits.
    Cutting(Option<Box<PartitionMetadata>>),
}

/// What an answer of the leader asks the log to do first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    /// Truncate to where the logs part.
    Truncate(Offset),
    /// Begin anew at the leader's log start.
    Restart(Offset),
}

impl Partition {
    pub(super) fn is_cutting(&self) -> bool {
        self.cut != CutState::None
    }

    /// Does what an answer of the leader asks for.
    pub(super) fn cut_log(&mut self, cut: Cut) {
        match cut {
            Cut::Truncate(offset) => self.truncate_to(offset),
            Cut::Restart(offset) => self.restart_at(offset),
        }
    }

    pub(super) fn truncate_to(&mut self, offset: Offset) {
        if offset < self.log.start() {
            self.restart_at(offset);
        } else if self.may_lower_to(offset) {
            let high_watermark = self.log.high_watermark();
            self.begin_cut(Action::Truncate { offset, high_watermark });
        }
    }

    fn restart_at(&mut self, offset: Offset) {
        if self.may_lower_to(offset) {
            self.begin_cut(Action::RestartAt { offset });
        }
    }

    /// Lowers the high watermark ahead of a cut, or gives the replica up when the partition is durable (rule 3a.10).
    fn may_lower_to(&mut self, offset: Offset) -> bool {
        let high_watermark = self.log.high_watermark();
        if offset >= high_watermark {
            return true;
        }
        let durability = self.metadata.as_ref().map(|metadata| metadata.durability);
        if durability == Some(Durability::Durable) {
            let diverges_at = offset;
            self.lose(LossReason::DivergenceBelowHighWatermark { diverges_at, high_watermark });
            return false;
        }
        self.lower_high_watermark(offset);
        true
    }

    pub(super) fn lower_high_watermark(&mut self, offset: Offset) {
        let was = self.log.high_watermark();
        self.log.lower_high_watermark(offset);
        self.witness.note_lowered();
        let high_watermark = self.log.high_watermark();
        if high_watermark != was {
            self.actions.push_back(Action::AdvanceHighWatermark { high_watermark });
        }
    }

    pub(super) fn begin_cut(&mut self, action: Action) {
        self.cut = CutState::Cutting(None);
        self.actions.push_back(action);
    }

    pub(super) fn truncated(&mut self, state: LogState) {
        if !self.is_cutting() || state.truncation_generation <= self.log.generation() {
            return;
        }
        let was = self.log.high_watermark();
        self.log.truncate(state);
        let high_watermark = self.log.high_watermark();
        if high_watermark != was {
            // A restart below the old log start (lossy) lowers it once more, to where the log begins now.
            self.witness.note_lowered();
            self.actions.push_back(Action::AdvanceHighWatermark { high_watermark });
        }
        let waiting = std::mem::replace(&mut self.cut, CutState::None);
        let followed = self.followed();
        if let CutState::Cutting(Some(metadata)) = waiting {
            self.apply_metadata(*metadata);
        }
        let is_same = self.followed() == followed;
        if is_same && let Some((Role::Follower(follower), mut env)) = self.split() {
            follower.open_position(&mut env);
        }
    }
}
