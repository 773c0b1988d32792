//! What is asked of the group machine: the requests of Kafka's protocol without their versions.
//!
//! Handlers resolve what depends on a version (defaults of old ones, names for topic ids) before; the machine sees one form of each.

use std::time::Duration;

use bytes::Bytes;
use model::record_batch::EndTransactionMarker;
use model::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, TopicId};

use super::ids::{GenerationId, GroupId, GroupInstanceId, MemberId, TopicName};
use super::state::GroupState;

/// Names one request within a shard; the driver never uses one twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RequestId(pub u64);

/// A request to the coordinator of one group, or (List) of one shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// JoinGroup.
    Join(JoinGroup),
    /// SyncGroup.
    Sync(SyncGroup),
    /// Heartbeat.
    Heartbeat(Heartbeat),
    /// LeaveGroup.
    Leave(LeaveGroup),
    /// OffsetCommit.
    CommitOffsets(CommitOffsets),
    /// TxnOffsetCommit.
    CommitTransactionalOffsets(CommitTransactionalOffsets),
    /// WriteTxnMarkers, one producer, for the whole shard.
    CompleteTransaction(CompleteTransaction),
    /// OffsetFetch, one group.
    FetchOffsets(FetchOffsets),
    /// OffsetDelete.
    DeleteOffsets(DeleteOffsets),
    /// DescribeGroups, one group.
    Describe(GroupId),
    /// ListGroups, the groups of this shard.
    List(ListGroups),
    /// DeleteGroups, one group.
    Delete(GroupId),
}

/// Who asks, within a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberRef {
    /// The group.
    pub group_id: GroupId,
    /// The member's id; the empty text is no member.
    pub member_id: MemberId,
    /// Its static name, if it has one.
    pub group_instance_id: Option<GroupInstanceId>,
    /// The generation that it believes in; `None` (−1 on the wire) when it claims none.
    pub generation_id: Option<GenerationId>,
}

impl MemberRef {
    /// Says whether whoever asks says of itself that it is a member.
    pub(super) fn claims_membership(&self) -> bool {
        self.generation_id.is_some()
            || !self.member_id.as_str().is_empty()
            || self.group_instance_id.is_some()
    }
}

/// Whether a dynamic member's first JoinGroup makes it a member, or is answered with MEMBER_ID_REQUIRED and its id (version 4, KIP-394).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FirstJoin {
    /// It joins at once.
    Directly,
    /// It is told its id and must come again with it.
    WithMemberId,
}

/// Whether the client understands that a static leader need not compute an assignment (version 9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SkipAssignment {
    /// It does.
    Understood,
    /// It does not: such a leader is told that it is a follower.
    Unknown,
}

/// A member's wish to join or rejoin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinGroup {
    /// The group.
    pub group_id: GroupId,
    /// The id that the client was given earlier; empty at the first join.
    pub member_id: MemberId,
    /// The id for a member that has none yet, drawn by the driver: there is no randomness in the machine.
    pub drawn_member_id: MemberId,
    /// Static name.
    pub group_instance_id: Option<GroupInstanceId>,
    /// What a first join without an id leads to.
    pub first_join: FirstJoin,
    /// Whether a static leader may be told to skip the assignment.
    pub skip_assignment: SkipAssignment,
    /// The client's id, for tools.
    pub client_id: String,
    /// The client's address as Kafka shows it (`/127.0.0.1`), for tools.
    pub client_host: String,
    /// How long the member may be silent. Bounds are checked by the machine.
    pub session_timeout: Duration,
    /// How long a rebalance waits for it (version 0: the session timeout).
    pub rebalance_timeout: Duration,
    /// `consumer`, `connect`, ...
    pub protocol_type: String,
    /// The assignment strategies it knows, the preferred one first, with its opaque metadata for each.
    pub protocols: Vec<JoinProtocol>,
}

/// An assignment strategy that a member knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinProtocol {
    /// Name of the strategy.
    pub name: String,
    /// What the member tells the leader; opaque. It may be a slice of the request: the machine copies what it keeps.
    pub metadata: Bytes,
}

/// A member's wish for its assignment; the leader's brings everyone's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyncGroup {
    /// Who asks.
    pub member: MemberRef,
    /// Protocol type that it believes in, from version 5.
    pub protocol_type: Option<String>,
    /// Strategy that it believes in, from version 5.
    pub protocol_name: Option<String>,
    /// The leader's assignments; opaque. They may be slices of the request: the machine copies what it keeps.
    pub assignments: Vec<(MemberId, Bytes)>,
}

/// A member's sign of life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heartbeat {
    /// Who is alive.
    pub member: MemberRef,
}

/// Members leave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaveGroup {
    /// The group.
    pub group_id: GroupId,
    /// Who leaves: by id, or static members by name alone (with an empty id).
    pub members: Vec<LeavingMember>,
}

/// One who leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeavingMember {
    /// Its id; empty when it is named by its static name alone.
    pub member_id: MemberId,
    /// Static name.
    pub group_instance_id: Option<GroupInstanceId>,
}

/// Commits offsets of one group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitOffsets {
    /// Who commits; without generation and member it is a simple consumer or an operator.
    pub member: MemberRef,
    /// The offsets, as the client ordered them. Their topics exist: the handler asked the metadata.
    pub offsets: Vec<OffsetToCommit>,
    /// How long they are kept, from versions 2 to 4; `None` for `offsets.retention.minutes`.
    pub retention: Option<Duration>,
}

/// One offset to commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OffsetToCommit {
    /// The topic.
    pub topic: TopicName,
    /// Its id in the metadata that the handler asked; `None` when it is not known, and then the deletion of any topic of that name takes the offset along.
    pub topic_id: Option<TopicId>,
    /// Number of the partition.
    pub partition: i32,
    /// The next offset to read.
    pub offset: Offset,
    /// Epoch of the last record read, if the client tells.
    pub leader_epoch: Option<LeaderEpoch>,
    /// The client's own words; the machine checks their length.
    pub metadata: String,
}

/// Commits offsets of one group as part of a transaction: they count once its marker is in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitTransactionalOffsets {
    /// Who commits (KIP-447); without generation and member it is a producer that a consumer did not tell of itself.
    pub member: MemberRef,
    /// The transaction's producer.
    pub producer_id: ProducerId,
    /// Which of its incarnations.
    pub producer_epoch: ProducerEpoch,
    /// The proof that the transaction was verified, for the log; the machine hands it on.
    pub guard: Option<VerificationGuard>,
    /// The offsets, as the client ordered them. Their topics exist: the handler asked the metadata.
    pub offsets: Vec<OffsetToCommit>,
}

/// What the log gave to whoever began to verify a transaction with its coordinator (KIP-890). It is the log's to judge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VerificationGuard(pub u64);

/// Ends a transaction in this shard's partition: appends its marker, with which the offsets that it committed appear or vanish.
///
/// It may come more than once, and for a producer that has committed nothing here: each time the marker is appended, if the log takes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompleteTransaction {
    /// The transaction's producer.
    pub producer_id: ProducerId,
    /// The marker's epoch.
    pub producer_epoch: ProducerEpoch,
    /// How the transaction ends, and who says so.
    pub marker: EndTransactionMarker,
    /// Kafka's `transaction.version` of the transaction: with 2 the log holds the marker's epoch to be above the transaction's.
    pub transaction_version: i16,
}

/// Asks for committed offsets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchOffsets {
    /// The group.
    pub group_id: GroupId,
    /// The partitions, in the order of the answer; `None` for all that have a committed offset.
    pub partitions: Option<Vec<(TopicName, i32)>>,
    /// Whether offsets of an open transaction must be waited for (KIP-447).
    pub stability: Stability,
}

/// Whether offsets of an open transaction hide the committed ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stability {
    /// They do not.
    Any,
    /// They do (`require_stable`).
    Stable,
}

/// Deletes committed offsets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeleteOffsets {
    /// The group.
    pub group_id: GroupId,
    /// The partitions, in the order of the answer.
    pub partitions: Vec<(TopicName, i32)>,
}

/// Asks for the groups of a shard.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListGroups {
    /// Only groups in one of these states; empty for all.
    pub states: Vec<GroupState>,
}
