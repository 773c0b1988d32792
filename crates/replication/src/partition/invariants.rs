//! What holds after every step; numbered as in the design, section 3.
//!
//! Checked in every build with debug assertions, so in all tests and in the simulator. A release pays nothing. Two of the nine are no states: 8 is a rule of two
//! moments (`admission`, and the completion in `leader`), which the scripts `acks_all_*` hold; 9 holds because the waiters belong to the leader's state alone.

use model::Offset;

use super::Partition;
use super::cut::CutState;
use super::event::Event;
use super::metadata::Durability;
use super::replica_log::ReplicaLog;
use super::role::Role;

/// What the checks remember of the moment before the step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Witness {
    high_watermark: Offset,
    is_lowered: bool,
    was_cutting: bool,
}

impl Witness {
    pub(super) fn new(log: &ReplicaLog) -> Self {
        Self { high_watermark: log.high_watermark(), is_lowered: false, was_cutting: false }
    }

    /// Notes that the high watermark was lowered where that is allowed: a lossy partition, or a replica that gave itself up.
    pub(super) fn note_lowered(&mut self) {
        self.is_lowered = true;
    }
}

impl Partition {
    /// Remembers what the checks compare with. For an event that must change nothing, returns the whole machine as it was.
    pub(super) fn witness_step(&mut self, event: &Event) -> Option<Box<Self>> {
        self.witness = Witness {
            high_watermark: self.log.high_watermark(),
            is_lowered: false,
            was_cutting: self.cut != CutState::None,
        };
        self.is_outdated(event).then(|| Box::new(self.clone()))
    }

    /// Checks invariants 1 to 7.
    ///
    /// # Panics
    /// When one does not hold: a bug of this module, or a driver or image that breaks the contract of its events.
    pub(super) fn check_invariants(&self, before: Option<&Self>) {
        self.check_offsets();
        self.check_high_watermark();
        self.check_leader();
        if let Some(before) = before {
            assert_eq!(before, self, "6: an event of an older epoch or generation changes nothing");
        }
    }

    fn check_offsets(&self) {
        let (start, end, high_watermark) =
            (self.log.start(), self.log.end(), self.log.high_watermark());
        assert!(self.log.flushed() <= end, "1: flushed {} <= end {end}", self.log.flushed());
        let restarts = self.cut != CutState::None && self.log.ends_below_start();
        assert!(
            restarts || (start <= high_watermark && high_watermark <= end),
            "1: log start {start} <= high watermark {high_watermark} <= log end {end}"
        );
    }

    fn check_high_watermark(&self) {
        let (was, now) = (self.witness.high_watermark, self.log.high_watermark());
        assert!(
            now >= was || self.witness.is_lowered,
            "2: the high watermark fell from {was} to {now}"
        );
        let is_durable =
            self.metadata.as_ref().is_some_and(|image| image.durability == Durability::Durable);
        assert!(
            now >= was || !is_durable || self.cut != CutState::None || self.witness.was_cutting,
            "2: the high watermark of a durable partition fell from {was} to {now}"
        );
        let stays_cutting = self.witness.was_cutting && self.cut != CutState::None;
        assert!(
            now <= was || !stays_cutting,
            "2: the high watermark rose from {was} to {now} between a divergence and the next generation"
        );
    }

    fn check_leader(&self) {
        let (Role::Leader(leader), Some(metadata)) = (&self.role, &self.metadata) else {
            // 9: the waiters belong to the leader's state, so no other role can have one.
            return;
        };
        let own = self.options.broker_id;
        let committed = leader.isr.committed();
        let policy = metadata.flush_policy;
        let high_watermark = self.log.high_watermark();
        assert_eq!(leader.epoch(), metadata.leader_epoch, "6: a leader leads in its image's epoch");
        assert!(committed.contains(&own), "4: the leader is in the ISR");
        assert!(
            committed.iter().all(|member| metadata.replicas.contains_key(member)),
            "4: the ISR lies within the assigned replicas"
        );
        if let Some(proposal) = leader.isr.in_flight() {
            let tag = (proposal.alter_isr.leader_epoch, proposal.alter_isr.partition_epoch);
            let image = (metadata.leader_epoch, metadata.partition_epoch);
            assert_eq!(tag, image, "5: the change in flight is tagged with the present epochs");
        }
        if let Some(lowest) = leader.pending.lowest_all() {
            assert!(lowest > high_watermark, "7: a waiter at {lowest} was left behind");
        }
        if high_watermark <= self.witness.high_watermark {
            return;
        }
        let live = committed.iter().filter(|member| metadata.is_unfenced(**member)).count();
        assert!(live >= metadata.effective_min_isr, "3: the high watermark moved with {live} live");
        assert!(self.log.countable(policy) >= high_watermark, "3: the leader's own offset counts");
        for member in leader.isr.maximal().filter(|member| *member != own) {
            let reported = leader.followers.get(&member).and_then(|known| known.reported);
            let countable = reported.map(|reported| reported.countable(policy));
            assert!(
                countable >= Some(high_watermark),
                "3: member {member} has {countable:?}, the high watermark is {high_watermark}"
            );
        }
    }

    /// Says whether invariant 6 demands that the event change nothing. Written apart from the handlers, on purpose.
    fn is_outdated(&self, event: &Event) -> bool {
        let image = self.metadata.as_ref();
        match event {
            Event::MetadataChanged(metadata) => image.is_some_and(|known| {
                metadata.leader_epoch < known.leader_epoch
                    || metadata.partition_epoch < known.partition_epoch
            }),
            Event::FollowerFetched { follower, fetch } => {
                let known = image.and_then(|image| image.replica(*follower)?.broker_epoch);
                let newest = match &self.role {
                    Role::Leader(leader) => leader.followers.get(follower),
                    Role::Follower(_) | Role::Offline(_) => None,
                };
                let of_old_epoch =
                    image.is_some_and(|image| fetch.leader_epoch < image.leader_epoch);
                let of_old_generation = newest.is_some_and(|known| {
                    known.broker_epoch == Some(fetch.broker_epoch)
                        && image.is_some_and(|image| fetch.leader_epoch == image.leader_epoch)
                        && known.generation > Some(fetch.generation)
                });
                let of_old_broker = image
                    .is_some_and(|image| fetch.leader_epoch <= image.leader_epoch)
                    && known.is_some_and(|known| fetch.broker_epoch < known);
                of_old_epoch || of_old_broker || of_old_generation
            }
            Event::LeaderAnswered { answer, .. } => {
                self.is_older_answer(answer.leader_epoch, answer.generation)
            }
            Event::FetchFailed { leader_epoch, generation } => {
                self.is_older_answer(*leader_epoch, *generation)
            }
            Event::Flushed { truncation_generation, .. } => {
                *truncation_generation < self.log.generation()
            }
            Event::Appended(appended) => appended.truncation_generation < self.log.generation(),
            Event::Truncated(state) => state.truncation_generation <= self.log.generation(),
            Event::Produced(_)
            | Event::LogStartMoved { .. }
            | Event::StreamOpened { .. }
            | Event::AppendFailed
            | Event::CorruptionFound { .. }
            | Event::TimeoutReached => false,
        }
    }

    fn is_older_answer(
        &self,
        leader_epoch: model::LeaderEpoch,
        generation: super::Generation,
    ) -> bool {
        match &self.role {
            Role::Follower(follower) => {
                leader_epoch < follower.leader_epoch() || generation < self.generation
            }
            Role::Leader(_) | Role::Offline(_) => true,
        }
    }
}
