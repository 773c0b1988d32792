//! Between openraft's types and their protobuf form, which is what travels and what lies on disk.
//!
//! Everything that comes from outside is checked here: a field that is missing is an error, never a default.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use openraft::EntryPayload;
use openraft::raft::{
    AppendEntriesRequest, StreamAppendError, TransferLeaderError, TransferLeaderRequest,
    VoteRequest, VoteResponse,
};
use prost::Message;

use super::types::{EncodedCommand, Entry, LogId, Membership, Node, SnapshotMeta, Types, Vote};
use crate::proto::raft as proto;

/// A message that cannot be understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DecodeError {
    /// A field that the protocol demands is absent.
    #[error("the field {0} is missing")]
    Missing(&'static str),
    /// The bytes are no message of the expected kind.
    #[error("not a protobuf message of the expected kind")]
    Malformed,
    /// A membership names a voter that it does not list.
    #[error("the membership is inconsistent")]
    BadMembership,
}

/// Makes a log id.
pub(crate) fn log_id(term: u64, index: u64) -> LogId {
    LogId::new(term.into(), index)
}

/// Returns the term of a log id.
pub(crate) fn term_of(id: &LogId) -> u64 {
    id.committed_leader_id().term
}

pub(crate) fn encode_log_id(id: &LogId) -> proto::LogId {
    proto::LogId { term: term_of(id), index: id.index() }
}

pub(crate) fn decode_log_id(id: proto::LogId) -> LogId {
    log_id(id.term, id.index)
}

pub(crate) fn encode_vote(vote: &Vote) -> proto::Vote {
    let leader = vote.leader_id();
    proto::Vote { term: leader.term, voted_for: leader.voted_for, committed: vote.committed }
}

pub(crate) fn decode_vote(vote: Option<proto::Vote>) -> Result<Vote, DecodeError> {
    let vote = vote.ok_or(DecodeError::Missing("vote"))?;
    Ok(if vote.committed {
        Vote::new_committed(vote.term, vote.voted_for)
    } else {
        Vote::new(vote.term, vote.voted_for)
    })
}

pub(crate) fn encode_membership(membership: &Membership) -> proto::Membership {
    proto::Membership {
        configs: membership
            .get_joint_config()
            .iter()
            .map(|voters| proto::VoterSet { raft_ids: voters.iter().copied().collect() })
            .collect(),
        members: membership
            .nodes()
            .map(|(raft_id, node)| proto::Member { raft_id: *raft_id, broker_id: node.broker_id })
            .collect(),
    }
}

pub(crate) fn decode_membership(membership: proto::Membership) -> Result<Membership, DecodeError> {
    let configs: Vec<BTreeSet<u64>> =
        membership.configs.into_iter().map(|set| set.raft_ids.into_iter().collect()).collect();
    let nodes: BTreeMap<u64, Node> = membership
        .members
        .into_iter()
        .map(|member| (member.raft_id, Node { broker_id: member.broker_id }))
        .collect();
    if configs.is_empty() && nodes.is_empty() {
        return Ok(Membership::default());
    }
    Membership::new(configs, nodes).map_err(|_| DecodeError::BadMembership)
}

/// Encodes what an entry carries, which is the value of its record on disk.
pub(crate) fn encode_payload(entry: &Entry) -> proto::Payload {
    let kind = match &entry.payload {
        EntryPayload::Blank => proto::payload::Kind::Blank(proto::Blank {}),
        EntryPayload::Normal(command) => proto::payload::Kind::Command(command.0.clone()),
        EntryPayload::Membership(membership) => {
            proto::payload::Kind::Membership(encode_membership(membership))
        }
    };
    proto::Payload { kind: Some(kind) }
}

fn decode_payload_message(
    payload: proto::Payload,
) -> Result<EntryPayload<EncodedCommand, u64, Node>, DecodeError> {
    Ok(match payload.kind.ok_or(DecodeError::Missing("payload"))? {
        proto::payload::Kind::Blank(_) => EntryPayload::Blank,
        proto::payload::Kind::Command(command) => EntryPayload::Normal(EncodedCommand(command)),
        proto::payload::Kind::Membership(membership) => {
            EntryPayload::Membership(decode_membership(membership)?)
        }
    })
}

/// Reads an entry back from the value of its record.
pub(crate) fn decode_entry(id: LogId, value: Bytes) -> Result<Entry, DecodeError> {
    let payload = proto::Payload::decode(value).map_err(|_| DecodeError::Malformed)?;
    Ok(Entry { log_id: id, payload: decode_payload_message(payload)? })
}

pub(crate) fn encode_append(
    request: &AppendEntriesRequest<Types>,
    session: u64,
    envelope: Option<proto::Envelope>,
) -> proto::AppendRequest {
    proto::AppendRequest {
        envelope,
        session,
        vote: Some(encode_vote(&request.vote)),
        previous: request.prev_log_id.as_ref().map(encode_log_id),
        leader_commit: request.leader_commit.as_ref().map(encode_log_id),
        entries: request
            .entries
            .iter()
            .map(|entry| proto::Entry {
                log_id: Some(encode_log_id(&entry.log_id)),
                payload: Some(encode_payload(entry)),
            })
            .collect(),
    }
}

pub(crate) fn decode_append(
    request: proto::AppendRequest,
) -> Result<AppendEntriesRequest<Types>, DecodeError> {
    let entries = request
        .entries
        .into_iter()
        .map(|entry| {
            let id = entry.log_id.ok_or(DecodeError::Missing("log_id"))?;
            let payload = entry.payload.ok_or(DecodeError::Missing("payload"))?;
            Ok(Entry { log_id: decode_log_id(id), payload: decode_payload_message(payload)? })
        })
        .collect::<Result<Vec<_>, DecodeError>>()?;
    Ok(AppendEntriesRequest {
        vote: decode_vote(request.vote)?,
        prev_log_id: request.previous.map(decode_log_id),
        entries,
        leader_commit: request.leader_commit.map(decode_log_id),
    })
}

/// What a follower answers to one append.
pub(crate) type AppendResult = Result<Option<LogId>, StreamAppendError<Types>>;

pub(crate) fn encode_append_result(session: u64, result: &AppendResult) -> proto::AppendResponse {
    let result = match result {
        Ok(last) => proto::append_response::Result::Appended(proto::Appended {
            last: last.as_ref().map(encode_log_id),
        }),
        Err(StreamAppendError::Conflict(id)) => {
            proto::append_response::Result::Conflict(encode_log_id(id))
        }
        Err(StreamAppendError::HigherVote(vote)) => {
            proto::append_response::Result::HigherVote(encode_vote(vote))
        }
    };
    proto::AppendResponse { session, result: Some(result) }
}

pub(crate) fn decode_append_result(
    response: proto::AppendResponse,
) -> Result<AppendResult, DecodeError> {
    Ok(match response.result.ok_or(DecodeError::Missing("result"))? {
        proto::append_response::Result::Appended(appended) => Ok(appended.last.map(decode_log_id)),
        proto::append_response::Result::Conflict(id) => {
            Err(StreamAppendError::Conflict(decode_log_id(id)))
        }
        proto::append_response::Result::HigherVote(vote) => {
            Err(StreamAppendError::HigherVote(decode_vote(Some(vote))?))
        }
    })
}

pub(crate) fn encode_vote_request(
    request: &VoteRequest<Types>,
    envelope: proto::Envelope,
) -> proto::VoteRequest {
    proto::VoteRequest {
        envelope: Some(envelope),
        vote: Some(encode_vote(&request.vote)),
        last_log_id: request.last_log_id.as_ref().map(encode_log_id),
        leadership_transfer: request.leadership_transfer,
    }
}

pub(crate) fn decode_vote_request(
    request: proto::VoteRequest,
) -> Result<VoteRequest<Types>, DecodeError> {
    let mut decoded =
        VoteRequest::new(decode_vote(request.vote)?, request.last_log_id.map(decode_log_id));
    decoded.leadership_transfer = request.leadership_transfer;
    Ok(decoded)
}

pub(crate) fn encode_vote_response(response: &VoteResponse<Types>) -> proto::VoteResponse {
    proto::VoteResponse {
        vote: Some(encode_vote(&response.vote)),
        granted: response.vote_granted,
        last_log_id: response.last_log_id.as_ref().map(encode_log_id),
    }
}

pub(crate) fn decode_vote_response(
    response: proto::VoteResponse,
) -> Result<VoteResponse<Types>, DecodeError> {
    Ok(VoteResponse::new(
        decode_vote(response.vote)?,
        response.last_log_id.map(decode_log_id),
        response.granted,
    ))
}

pub(crate) fn encode_transfer(
    request: &TransferLeaderRequest<Types>,
    envelope: proto::Envelope,
) -> proto::TransferLeaderRequest {
    proto::TransferLeaderRequest {
        envelope: Some(envelope),
        from_leader: Some(encode_vote(request.from_leader())),
        to_raft_id: *request.to_node_id(),
        last_log_id: request.last_log_id().map(encode_log_id),
    }
}

pub(crate) fn decode_transfer(
    request: proto::TransferLeaderRequest,
) -> Result<TransferLeaderRequest<Types>, DecodeError> {
    Ok(TransferLeaderRequest::new(
        decode_vote(request.from_leader)?,
        request.to_raft_id,
        request.last_log_id.map(decode_log_id),
    ))
}

pub(crate) fn encode_transfer_result(
    result: &Result<(), TransferLeaderError<Types>>,
) -> proto::TransferLeaderResponse {
    let refusal = match result {
        Ok(()) => None,
        Err(TransferLeaderError::VoteChanged { expected, actual }) => {
            Some(proto::transfer_leader_response::Refusal::VoteChanged(proto::VoteChanged {
                expected: Some(encode_vote(expected)),
                actual: Some(encode_vote(actual)),
            }))
        }
        Err(TransferLeaderError::LogNotFlushed { expected, actual }) => {
            Some(proto::transfer_leader_response::Refusal::LogNotFlushed(proto::LogNotFlushed {
                expected: expected.as_ref().map(encode_log_id),
                actual: actual.as_ref().map(encode_log_id),
            }))
        }
    };
    proto::TransferLeaderResponse { refusal }
}

pub(crate) fn decode_transfer_result(
    response: proto::TransferLeaderResponse,
) -> Result<Result<(), TransferLeaderError<Types>>, DecodeError> {
    Ok(match response.refusal {
        None => Ok(()),
        Some(proto::transfer_leader_response::Refusal::VoteChanged(changed)) => {
            Err(TransferLeaderError::VoteChanged {
                expected: decode_vote(changed.expected)?,
                actual: decode_vote(changed.actual)?,
            })
        }
        Some(proto::transfer_leader_response::Refusal::LogNotFlushed(behind)) => {
            Err(TransferLeaderError::LogNotFlushed {
                expected: behind.expected.map(decode_log_id),
                actual: behind.actual.map(decode_log_id),
            })
        }
    })
}

pub(crate) fn encode_snapshot_meta(meta: &SnapshotMeta) -> proto::SnapshotMeta {
    proto::SnapshotMeta {
        last_log_id: meta.last_log_id.as_ref().map(encode_log_id),
        membership_log_id: meta.last_membership.log_id().as_ref().map(encode_log_id),
        membership: Some(encode_membership(meta.last_membership.membership())),
    }
}

pub(crate) fn decode_snapshot_meta(meta: proto::SnapshotMeta) -> Result<SnapshotMeta, DecodeError> {
    let membership = meta.membership.ok_or(DecodeError::Missing("membership"))?;
    Ok(SnapshotMeta {
        last_log_id: meta.last_log_id.map(decode_log_id),
        last_membership: openraft::StoredMembership::new(
            meta.membership_log_id.map(decode_log_id),
            decode_membership(membership)?,
        ),
    })
}
