//! Everything a partition can ask for.
//!
//! Owns the outlet's types. Actions are drained in order after every step, under the same lock; none waits for another's result except
//! where its comment says which event answers it.

use model::{BrokerEpoch, BrokerId, ErrorCode, LeaderEpoch, Offset, PartitionEpoch};

use super::event::{FollowerFetch, LeaderAnswer, WaiterId};

/// A wish; see [`Partition::poll_action`](super::Partition::poll_action).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// The replica leads from now on. The driver writes the epoch entry (`Log::assign_epoch`) before it serves anything; the
    /// machine's own copy already has it. Appends carry this epoch.
    BecomeLeader {
        /// The new epoch.
        leader_epoch: LeaderEpoch,
        /// The log end offset at the election: start of the epoch entry.
        epoch_start_offset: Offset,
    },
    /// The replica follows. The driver makes sure that a stream to the leader exists; a position follows as [`Action::Fetch`].
    BecomeFollower {
        /// Whom.
        leader: BrokerId,
        /// In which epoch.
        leader_epoch: LeaderEpoch,
    },
    /// The replica neither leads nor follows: refuse produce and fetch (`NOT_LEADER_OR_FOLLOWER`), leave the log alone.
    BecomeOffline {
        /// Why.
        reason: OfflineReason,
    },
    /// A waiter is done; each exactly once.
    CompleteProduce {
        /// Which.
        id: WaiterId,
        /// `Err` has the code for the client.
        result: Result<(), ErrorCode>,
    },
    /// The high watermark moved (up; down only by truncation of a lossy partition): wake consumers, and as leader tell the followers in the same
    /// wake-up.
    AdvanceHighWatermark {
        /// The new value.
        high_watermark: Offset,
    },
    /// Carry this ISR proposal to the controller. Repeated unchanged until the image shows its outcome; the answer itself is not
    /// an event (rule 3a.5).
    AlterIsr(AlterIsr),
    /// Ask the controller for an election among the other live ISR members (rule 3a.15). No answer is awaited.
    RequestElection {
        /// The epoch that is to end.
        leader_epoch: LeaderEpoch,
        /// The sender's registration.
        broker_epoch: BrokerEpoch,
    },
    /// Sync a lost mark beside the partition, then propose `ReplicaLost` for this replica and repeat it until the image shows the replica out of
    /// the ISR (rules 3a.7, 3a.10, 3a.14). Log an ERROR: a human must know.
    DeclareReplicaLost {
        /// Why.
        reason: LossReason,
        /// The epoch in which it is declared and which it ends, so that a late copy is void once the replica has fetched anew.
        leader_epoch: LeaderEpoch,
        /// The sender's registration.
        broker_epoch: BrokerEpoch,
    },
    /// Send this to the leader if a stream to it is open, else drop it (a position follows on `StreamOpened`). It replaces whatever of this partition is still unsent.
    Fetch {
        /// To whom.
        leader: BrokerId,
        /// What.
        fetch: FollowerFetch,
    },
    /// Answer a follower. For `Progress` batches follow from `fetch_offset` on, in this generation; for the others the generation gets no batches.
    AnswerFetch {
        /// To whom.
        follower: BrokerId,
        /// Registration of the follower that asked.
        follower_broker_epoch: BrokerEpoch,
        /// Where the stream of batches begins.
        fetch_offset: Offset,
        /// What.
        answer: LeaderAnswer,
    },
    /// Truncate the log, durably, on a storage thread; answered by [`Event::Truncated`](super::Event::Truncated). Persist `high_watermark` first.
    /// Batches are refused until then.
    Truncate {
        /// The new log end offset; entries of the epoch cache that start here or later go, too, even when no byte does.
        offset: Offset,
        /// The machine's high watermark after it.
        high_watermark: Offset,
    },
    /// Drop the whole log and begin at this offset, on a storage thread; answered by [`Event::Truncated`](super::Event::Truncated).
    RestartAt {
        /// The leader's log start offset: new start and end.
        offset: Offset,
    },
    /// Advance the log's start as the leader did; answered by [`Event::LogStartMoved`](super::Event::LogStartMoved).
    AdvanceLogStart {
        /// At most the own high watermark.
        offset: Offset,
    },
}

/// A proposal to change the ISR: a compare-and-set (Kafka's AlterPartition, KIP-497, KIP-903).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlterIsr {
    /// The proposer, who leads.
    pub leader: BrokerId,
    /// The proposer's registration.
    pub broker_epoch: BrokerEpoch,
    /// The proposer's leader epoch.
    pub leader_epoch: LeaderEpoch,
    /// The partition epoch that the proposal is for, and that it consumes, applied or refused.
    pub partition_epoch: PartitionEpoch,
    /// The whole new ISR, ascending, each member with the registration under which it is known.
    pub new_isr: Vec<(BrokerId, BrokerEpoch)>,
}

/// Why a replica neither leads nor follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OfflineReason {
    /// No image has applied this broker's present registration yet (rule 3a.6), or a later one superseded it.
    NotRegistered,
    /// The image does not assign the partition to this broker.
    NotAssigned,
    /// The image shows no leader.
    NoLeader,
    /// The replica lost or cannot trust its data and waits to be out of the ISR, or for a human.
    Lost(LossReason),
}

/// Why a replica gives itself up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LossReason {
    /// Following the leader would cut below the own high watermark of a durable partition (rule 3a.10). It stays stopped.
    DivergenceBelowHighWatermark {
        /// Where the logs part.
        diverges_at: Offset,
        /// The own high watermark.
        high_watermark: Offset,
    },
    /// Bytes below the flushed offset are corrupt (rule 3a.14). It is cut and fetched again once the replica is out of the ISR.
    Corruption {
        /// Start of the first bad batch.
        offset: Offset,
    },
}
