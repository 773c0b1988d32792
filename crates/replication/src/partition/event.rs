//! Everything that can happen to a partition.
//!
//! Owns the inlet's types. Events carry offsets, epochs and sizes, never record bytes. `Appended`, `Flushed`, `Truncated` and
//! `LogStartMoved` are facts of the log: they count in every role. All others are checked against epochs and generations, and an
//! older one changes nothing (invariant 6).

use model::{Acks, BrokerEpoch, BrokerId, LeaderEpoch, Offset, Timestamp};

use super::metadata::PartitionMetadata;

/// Something that happened; see [`Partition::step`](super::Partition::step).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The broker's own image shows this state of the partition. Delivered in log order, by the image applier alone.
    MetadataChanged(PartitionMetadata),
    /// The log grew: as leader after [`Partition::admit_produce`](super::Partition::admit_produce) and an append, as follower after
    /// [`Partition::admit_batches`](super::Partition::admit_batches) and an append. Stepped under the same lock as the append.
    Appended(Appended),
    /// A produce (or a duplicate of one, with its original offset) waits. Stepped after its `Appended`, under the same lock.
    /// A waiter that arrives where the replica does not lead in `leader_epoch` is failed at once.
    Produced(ProduceWaiter),
    /// A flush completed: everything below `offset` is durable in the log's generation `truncation_generation`.
    /// One from before the last truncation is dropped.
    Flushed {
        /// Exclusive end of what is durable.
        offset: Offset,
        /// Generation of the log in which the flush began.
        truncation_generation: TruncationGeneration,
    },
    /// The log finished what [`Action::Truncate`](super::Action::Truncate) or [`Action::RestartAt`](super::Action::RestartAt)
    /// asked for, durably. Its generation is greater than the last.
    Truncated(LogState),
    /// Retention, DeleteRecords or [`Action::AdvanceLogStart`](super::Action::AdvanceLogStart) moved the log's start. It never passes the high watermark.
    LogStartMoved {
        /// The first offset kept.
        log_start_offset: Offset,
    },
    /// A follower's message came: position, acknowledgement and keep-alive are one message.
    FollowerFetched {
        /// The sender, as the stream's opening message named it.
        follower: BrokerId,
        /// What it says.
        fetch: FollowerFetch,
    },
    /// A message of the leader came. With batches: the driver appends first (`admit_batches`, append, `Appended`), then steps this.
    LeaderAnswered {
        /// The sender, as the stream's opening message named it.
        leader: BrokerId,
        /// What it says.
        answer: LeaderAnswer,
    },
    /// A replication stream to this broker was opened. A follower of that broker opens a new position on it.
    StreamOpened {
        /// The broker at the other end.
        leader: BrokerId,
    },
    /// A batch of the leader could not be appended (gap, bad CRC, an epoch above the stream's): the position is opened anew, after a pause.
    FetchFailed {
        /// Leader epoch of the message that failed.
        leader_epoch: LeaderEpoch,
        /// Generation of the message that failed.
        generation: Generation,
    },
    /// The leader's append failed for lack of space (the client got `KAFKA_STORAGE_ERROR`): rule 3a.15.
    AppendFailed,
    /// A read or check found corrupt bytes below the flushed offset (rule 3a.14). `offset` is the start of the first bad batch.
    CorruptionFound {
        /// Everything from here on cannot be trusted.
        offset: Offset,
    },
    /// The time that [`Partition::poll_timeout`](super::Partition::poll_timeout) named has come. Early or late calls are harmless.
    TimeoutReached,
}

/// The log grew by batches of one leader epoch. Batches of several epochs are reported by several events, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// The next offset to be written, after the append.
    pub log_end_offset: Offset,
    /// Leader epoch in the batches' headers.
    pub leader_epoch: LeaderEpoch,
    /// Generation of the log at the append; an older one is a driver's mistake and dropped.
    pub truncation_generation: TruncationGeneration,
}

/// A waiter for a produced batch. The three acks differ here alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProduceWaiter {
    /// The driver's name for it, unique for the life of the machine.
    pub id: WaiterId,
    /// What it waits for.
    pub acks: Acks,
    /// Exclusive end of the batch (last offset + 1); of the *original* batch for a duplicate.
    pub end_offset: Offset,
    /// Leader epoch under which it was admitted.
    pub leader_epoch: LeaderEpoch,
    /// When it fails with `REQUEST_TIMED_OUT`.
    pub deadline: Timestamp,
}

/// Names a waiter towards the driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WaiterId(pub u64);

/// Generation of a follower's position on a replication stream: grows by one with every position a machine opens.
///
/// The driver seeds it ([`Options::first_generation`](super::Options::first_generation)) above every generation that an earlier machine of the same broker epoch used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Generation(pub u64);

/// Generation of a log: grows with every truncation, so that a flush that began before one is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct TruncationGeneration(pub u64);

/// The log's offsets at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogState {
    /// The first offset kept.
    pub log_start_offset: Offset,
    /// The next offset to be written.
    pub log_end_offset: Offset,
    /// Exclusive end of what is durable. At most the log end offset.
    pub flushed_offset: Offset,
    /// Generation of the log.
    pub truncation_generation: TruncationGeneration,
}

/// Kafka's follower fetch: the follower's position, its acknowledgement and its keep-alive are this one message.
///
/// A greater generation than the leader knows is a position, and gets an answer; the same generation again is an acknowledgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FollowerFetch {
    /// Epoch of the follower's registration.
    pub broker_epoch: BrokerEpoch,
    /// The leader epoch in the follower's image.
    pub leader_epoch: LeaderEpoch,
    /// The follower's position that this belongs to.
    pub generation: Generation,
    /// The follower's log end offset: what it wants next, and what it has.
    pub fetch_offset: Offset,
    /// Newest epoch entry of the follower's log; `None` for a log that never had one.
    pub last_fetched_epoch: Option<LeaderEpoch>,
    /// The follower's flushed offset.
    pub flushed_offset: Offset,
    /// The follower's log start offset.
    pub log_start_offset: Offset,
}

/// What a leader tells a follower, batches apart (those are the driver's).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaderAnswer {
    /// The leader's epoch.
    pub leader_epoch: LeaderEpoch,
    /// The follower's position that this answers.
    pub generation: Generation,
    /// What it says.
    pub body: AnswerBody,
}

/// The three things a leader can say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerBody {
    /// The position holds; batches, if any, travel in the same message. The leader's offsets are of now.
    Progress {
        /// The leader's high watermark.
        high_watermark: Offset,
        /// The leader's log start offset.
        log_start_offset: Offset,
    },
    /// The follower's log and the leader's part before the fetch offset (KIP-595). Nothing was counted.
    Diverging {
        /// Greatest epoch of the leader's log that is at most the one asked; the one asked when the leader's log begins later.
        epoch: LeaderEpoch,
        /// Exclusive end of that epoch in the leader's log.
        end_offset: Offset,
        /// Echo of the position's fetch offset.
        fetch_offset: Offset,
        /// Echo of the position's last fetched epoch.
        last_fetched_epoch: Option<LeaderEpoch>,
    },
    /// The fetch offset lies below the leader's log start, or the leader's log has nothing of an epoch as old: the follower starts again there.
    OutOfRange {
        /// The leader's log start offset.
        log_start_offset: Offset,
        /// Echo of the position's fetch offset.
        fetch_offset: Offset,
    },
}
