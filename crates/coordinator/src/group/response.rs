//! What the group machine answers: one form for all versions; handlers make the version's of it.

use bytes::Bytes;
use model::{ErrorCode, LeaderEpoch, Offset};

use super::ids::{GenerationId, GroupId, GroupInstanceId, MemberId, TopicName};
use super::state::GroupState;

/// The answer to a [`Request`](super::request::Request), of the same name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Response {
    /// To JoinGroup.
    Join(JoinAnswer),
    /// To SyncGroup.
    Sync(SyncAnswer),
    /// To Heartbeat.
    Heartbeat(ErrorCode),
    /// To LeaveGroup.
    Leave(LeaveAnswer),
    /// To OffsetCommit: one code for each offset, in the request's order.
    CommitOffsets(Vec<ErrorCode>),
    /// To TxnOffsetCommit: one code for each offset, in the request's order.
    CommitTransactionalOffsets(Vec<ErrorCode>),
    /// To WriteTxnMarkers, one producer.
    CompleteTransaction(ErrorCode),
    /// To OffsetFetch.
    FetchOffsets(FetchOffsetsAnswer),
    /// To OffsetDelete.
    DeleteOffsets(DeleteOffsetsAnswer),
    /// To DescribeGroups; `None` when there is no such group.
    Describe(Option<GroupDescription>),
    /// To ListGroups.
    List(Vec<ListedGroup>),
    /// To DeleteGroups.
    Delete(ErrorCode),
}

/// The answer to JoinGroup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinAnswer {
    /// Error, or none. MEMBER_ID_REQUIRED comes with the id.
    pub error: ErrorCode,
    /// The new generation; `None` (−1 on the wire) with an error.
    pub generation_id: Option<GenerationId>,
    /// Protocol type of the group.
    pub protocol_type: Option<String>,
    /// The strategy that was chosen.
    pub protocol_name: Option<String>,
    /// The leader; empty with an error.
    pub leader: MemberId,
    /// The leader need not compute an assignment (version 9).
    pub skip_assignment: bool,
    /// Id of the member that is answered.
    pub member_id: MemberId,
    /// All members with their metadata of the chosen strategy: for the leader alone.
    pub members: Vec<JoinedMember>,
}

impl JoinAnswer {
    /// Returns an answer that is an error.
    pub(super) fn error(error: ErrorCode, member_id: MemberId) -> Self {
        Self {
            error,
            generation_id: None,
            protocol_type: None,
            protocol_name: None,
            leader: "".into(),
            skip_assignment: false,
            member_id,
            members: Vec::new(),
        }
    }
}

/// A member, as the leader is told of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinedMember {
    /// Its id.
    pub member_id: MemberId,
    /// Its static name.
    pub group_instance_id: Option<GroupInstanceId>,
    /// Its metadata of the chosen strategy; opaque.
    pub metadata: Bytes,
}

/// The answer to SyncGroup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyncAnswer {
    /// Error, or none.
    pub error: ErrorCode,
    /// Protocol type of the group.
    pub protocol_type: Option<String>,
    /// The strategy that was chosen.
    pub protocol_name: Option<String>,
    /// The member's part; opaque, empty with an error.
    pub assignment: Bytes,
}

impl SyncAnswer {
    /// Returns an answer that is an error.
    pub(super) fn error(error: ErrorCode) -> Self {
        Self { error, protocol_type: None, protocol_name: None, assignment: Bytes::new() }
    }
}

/// The answer to LeaveGroup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaveAnswer {
    /// Error of the whole request.
    pub error: ErrorCode,
    /// One code for each who wanted to leave, in the request's order; empty with an error.
    pub members: Vec<ErrorCode>,
}

/// The answer to OffsetFetch of one group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchOffsetsAnswer {
    /// Error of the group.
    pub error: ErrorCode,
    /// The partitions, in the request's order; ascending when all were asked for.
    pub offsets: Vec<FetchedOffset>,
}

/// A partition's committed offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchedOffset {
    /// The topic.
    pub topic: TopicName,
    /// Number of the partition.
    pub partition: i32,
    /// The committed offset; `None` when there is none.
    pub committed: Option<CommittedOffset>,
    /// UNSTABLE_OFFSET_COMMIT, or none.
    pub error: ErrorCode,
}

/// A committed offset, as a client is told of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommittedOffset {
    /// The next offset to read.
    pub offset: Offset,
    /// Epoch of the last record read, if the client told.
    pub leader_epoch: Option<LeaderEpoch>,
    /// The client's own words.
    pub metadata: String,
}

/// The answer to OffsetDelete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeleteOffsetsAnswer {
    /// Error of the whole request.
    pub error: ErrorCode,
    /// One code for each partition, in the request's order; empty with an error.
    pub partitions: Vec<ErrorCode>,
}

/// A group, as tools see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupDescription {
    /// The group.
    pub group_id: GroupId,
    /// What it does.
    pub state: GroupState,
    /// `consumer`, `connect`, ...; empty for a group of offsets alone.
    pub protocol_type: String,
    /// The strategy of a stable group; else empty.
    pub protocol_name: String,
    /// Its members.
    pub members: Vec<MemberDescription>,
}

/// A member, as tools see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberDescription {
    /// Its id.
    pub member_id: MemberId,
    /// Its static name.
    pub group_instance_id: Option<GroupInstanceId>,
    /// The client's id.
    pub client_id: String,
    /// The client's address.
    pub client_host: String,
    /// Its metadata of the chosen strategy; empty unless the group is stable.
    pub metadata: Bytes,
    /// Its part as of the last assignment; during a rebalance that is the one before.
    pub assignment: Bytes,
}

/// A group in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedGroup {
    /// The group.
    pub group_id: GroupId,
    /// `consumer`, `connect`, ...; empty for a group of offsets alone.
    pub protocol_type: String,
    /// What it does.
    pub state: GroupState,
}
