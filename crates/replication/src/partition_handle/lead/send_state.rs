//! What has been sent of one partition over one stream.

use model::{LeaderEpoch, Offset};

use crate::partition::{AnswerBody, Generation};

/// What a stream has sent of one partition, kept by its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(super) struct SendState {
    pub(super) flow: Option<Flow>,
    pub(super) next_offset: Offset,
    /// The leader's log end offset at the last turn.
    pub(super) log_end_offset: Offset,
    /// High watermark and log start offset that were sent last, if any in this flow.
    pub(super) sent: Option<AnswerBody>,
    /// Batches below were sent before in this leader epoch and not taken: their checksums are looked at this time.
    doubted_until: Offset,
}

impl SendState {
    /// Notes that batches up to an offset were sent.
    pub(super) fn advance(&mut self, next_offset: Offset) {
        self.next_offset = next_offset;
    }

    /// Where the next batch begins.
    pub(super) fn next_offset(&self) -> Offset {
        self.next_offset
    }

    /// Begins another flow.
    pub(super) fn restart(&mut self, flow: Flow) {
        let is_repeat = self.flow.is_some_and(|before| before.leader_epoch == flow.leader_epoch)
            && flow.start_offset < self.next_offset;
        let doubted_until = if is_repeat { self.next_offset } else { Offset::ZERO };
        *self = Self {
            flow: Some(flow),
            next_offset: flow.start_offset,
            doubted_until: doubted_until.max(self.doubted_until),
            ..Self::default()
        };
    }

    /// Says whether the next batches are sent as they are read.
    pub(super) fn trust(&self) -> Trust {
        if self.next_offset < self.doubted_until { Trust::Doubted } else { Trust::Trusted }
    }

    /// Says whether there was more than the last turn sent.
    pub(super) fn has_more(&self) -> bool {
        self.next_offset < self.log_end_offset
    }

    /// Says whether a read that began with `earlier` continues what was sent by now.
    pub(super) fn continues(&self, earlier: &Self) -> bool {
        self.flow == earlier.flow && self.next_offset == earlier.next_offset
    }
}

/// Batches that follow a position which passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Flow {
    pub(super) leader_epoch: LeaderEpoch,
    pub(super) generation: Generation,
    pub(super) start_offset: Offset,
}

/// Whether bytes for a follower are sent as they are read: it checks them itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trust {
    Trusted,
    /// The follower has refused them once, so the damage may be on this disk.
    Doubted,
}
