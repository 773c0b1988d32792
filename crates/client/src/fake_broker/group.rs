//! The group half of the broker in memory: one group with at most one member, Kafka's checks of ids and generations, and refusals and assignments by script.

use std::collections::{BTreeMap, VecDeque};

use model::{ErrorCode, TopicPartition};
use protocol::messages::delete_groups::DeletableGroupResult;
use protocol::messages::describe_groups::{DescribedGroup, DescribedGroupMember};
use protocol::messages::find_coordinator::Coordinator;
use protocol::messages::join_group::JoinGroupResponseMember;
use protocol::messages::list_groups::ListedGroup;
use protocol::messages::offset_commit::{OffsetCommitResponsePartition, OffsetCommitResponseTopic};
use protocol::messages::offset_fetch::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartitions, OffsetFetchResponseTopics,
};
use protocol::messages::*;
use protocol::{ApiKey, Request, Response};

use super::log::{TOPIC, at};
use crate::groups::consumer_protocol;

/// The group that exists.
pub(crate) const GROUP: &str = "g";

/// The group's state, and what its coordinator does next; tests look into it and change it.
#[derive(Debug, Default)]
pub(crate) struct FakeGroup {
    pub(crate) generation: i32,
    pub(crate) member: Option<String>,
    pub(crate) committed: BTreeMap<i32, i64>,
    /// Its type, where it is listed.
    pub(crate) group_type: &'static str,
    /// What the next requests of an API are refused with.
    pub(crate) refusals: BTreeMap<ApiKey, VecDeque<ErrorCode>>,
    /// Partitions that the next generations give the member; when there are none, the member leads and gets what it says.
    pub(crate) given: VecDeque<Vec<i32>>,
    /// What the member said that it owns, at each join.
    pub(crate) owned: Vec<Vec<TopicPartition>>,
    /// How often each API was asked.
    pub(crate) asked: BTreeMap<ApiKey, usize>,
    member_count: usize,
    metadata: bytes::Bytes,
    assignment: bytes::Bytes,
}

impl FakeGroup {
    /// Refuses the next request of an API.
    pub(crate) fn refuse(&mut self, api: ApiKey, codes: &[ErrorCode]) {
        self.refusals.entry(api).or_default().extend(codes);
    }

    /// Answers a request about groups; `None` for any other.
    pub(crate) fn respond(&mut self, request: &Request, port: u16) -> Option<Response> {
        let api = request.api_key();
        *self.asked.entry(api).or_default() += 1;
        let refusal = self.refusals.get_mut(&api).and_then(VecDeque::pop_front);
        let refusal = refusal.unwrap_or(ErrorCode::None);
        Some(match request {
            Request::FindCoordinator(request) => {
                let coordinator = |key: &protocol::KafkaString| Coordinator {
                    key: key.clone(),
                    node_id: 1,
                    host: "127.0.0.1".into(),
                    port: i32::from(port),
                    error_code: refusal,
                    ..Coordinator::default()
                };
                let coordinators = request.coordinator_keys.iter().map(coordinator).collect();
                FindCoordinatorResponse { coordinators, ..Default::default() }.into()
            }
            Request::JoinGroup(request) => self.join(request, refusal).into(),
            Request::SyncGroup(request) => self.sync(request, refusal).into(),
            Request::Heartbeat(request) => {
                let error_code = self.check(&request.member_id, request.generation_id, refusal);
                HeartbeatResponse { error_code, ..Default::default() }.into()
            }
            Request::LeaveGroup(_) => {
                self.member = None;
                LeaveGroupResponse { error_code: refusal, ..Default::default() }.into()
            }
            Request::OffsetCommit(request) => self.commit(request, refusal).into(),
            Request::OffsetFetch(request) => self.fetch(request, refusal).into(),
            Request::ListGroups(_) => {
                let group = ListedGroup { group_id: GROUP.into(), ..Default::default() };
                let (state, group_type) = (self.state().into(), self.group_type.into());
                let groups = vec![ListedGroup { group_state: state, group_type, ..group }];
                ListGroupsResponse { error_code: refusal, groups, ..Default::default() }.into()
            }
            Request::DescribeGroups(request) => self.describe(request, refusal).into(),
            Request::DeleteGroups(request) => {
                let result = |group: &protocol::KafkaString| DeletableGroupResult {
                    group_id: group.clone(),
                    error_code: refusal,
                };
                let results = request.groups_names.iter().map(result).collect();
                DeleteGroupsResponse { results, ..Default::default() }.into()
            }
            _ => return None,
        })
    }

    fn state(&self) -> &'static str {
        if self.member.is_some() { "Stable" } else { "Empty" }
    }

    fn check(&self, member: &str, generation: i32, refusal: ErrorCode) -> ErrorCode {
        match refusal {
            ErrorCode::None if self.member.as_deref() != Some(member) => ErrorCode::UnknownMemberId,
            ErrorCode::None if self.generation != generation => ErrorCode::IllegalGeneration,
            other => other,
        }
    }

    fn join(&mut self, request: &JoinGroupRequest, refusal: ErrorCode) -> JoinGroupResponse {
        let refused = |error_code, member_id: &str| JoinGroupResponse {
            error_code,
            member_id: member_id.into(),
            ..Default::default()
        };
        if refusal.is_error() {
            return refused(refusal, &request.member_id);
        }
        if request.member_id.is_empty() {
            self.member_count += 1;
            self.member = Some(format!("m{}", self.member_count));
            return refused(ErrorCode::MemberIdRequired, self.member.as_deref().unwrap());
        }
        if self.member.as_deref() != Some(&request.member_id) {
            return refused(ErrorCode::UnknownMemberId, &request.member_id);
        }
        self.generation += 1;
        let protocol = &request.protocols[0];
        self.metadata = protocol.metadata.clone();
        let subscription = consumer_protocol::read_subscription(&self.metadata).unwrap();
        self.owned.push(subscription.owned);
        let member = JoinGroupResponseMember {
            member_id: request.member_id.clone(),
            metadata: self.metadata.clone(),
            ..Default::default()
        };
        let is_leader = self.given.is_empty();
        JoinGroupResponse {
            generation_id: self.generation,
            protocol_name: Some(protocol.name.clone()),
            leader: if is_leader { request.member_id.clone() } else { "another".into() },
            member_id: request.member_id.clone(),
            members: if is_leader { vec![member] } else { Vec::new() },
            ..Default::default()
        }
    }

    fn sync(&mut self, request: &SyncGroupRequest, refusal: ErrorCode) -> SyncGroupResponse {
        let error_code = self.check(&request.member_id, request.generation_id, refusal);
        if error_code.is_error() {
            return SyncGroupResponse { error_code, ..Default::default() };
        }
        self.assignment = match self.given.pop_front() {
            Some(partitions) => {
                let partitions: Vec<_> = partitions.into_iter().map(at).collect();
                consumer_protocol::write_assignment(&partitions).unwrap()
            }
            None => request.assignments[0].assignment.clone(),
        };
        SyncGroupResponse { assignment: self.assignment.clone(), ..Default::default() }
    }

    fn commit(
        &mut self,
        request: &OffsetCommitRequest,
        refusal: ErrorCode,
    ) -> OffsetCommitResponse {
        let generation = request.generation_id_or_member_epoch;
        let error_code = if generation < 0 && self.member.is_none() {
            refusal
        } else {
            self.check(&request.member_id, generation, refusal)
        };
        let topics = request.topics.iter().map(|topic| {
            let partitions = topic.partitions.iter().map(|partition| {
                if !error_code.is_error() {
                    self.committed.insert(partition.partition_index, partition.committed_offset);
                }
                let partition_index = partition.partition_index;
                OffsetCommitResponsePartition { partition_index, error_code }
            });
            let partitions = partitions.collect();
            OffsetCommitResponseTopic { name: topic.name.clone(), partitions, ..Default::default() }
        });
        OffsetCommitResponse { topics: topics.collect(), ..Default::default() }
    }

    fn fetch(&self, request: &OffsetFetchRequest, error_code: ErrorCode) -> OffsetFetchResponse {
        let asked = &request.groups[0];
        let partitions = match &asked.topics {
            Some(topics) => topics[0].partition_indexes.clone(),
            None => self.committed.keys().copied().collect(),
        };
        let partitions = partitions.into_iter().map(|partition_index| {
            let committed_offset = self.committed.get(&partition_index).copied().unwrap_or(-1);
            OffsetFetchResponsePartitions {
                partition_index,
                committed_offset,
                ..Default::default()
            }
        });
        let topics = vec![OffsetFetchResponseTopics {
            name: TOPIC.into(),
            partitions: partitions.collect(),
            ..Default::default()
        }];
        let group_id = asked.group_id.clone();
        let groups = vec![OffsetFetchResponseGroup { group_id, topics, error_code }];
        OffsetFetchResponse { groups, ..Default::default() }
    }

    fn describe(
        &self,
        request: &DescribeGroupsRequest,
        refusal: ErrorCode,
    ) -> DescribeGroupsResponse {
        let member = |member: &String| DescribedGroupMember {
            member_id: member.into(),
            client_id: "c".into(),
            client_host: "/127.0.0.1".into(),
            member_metadata: self.metadata.clone(),
            member_assignment: self.assignment.clone(),
            ..Default::default()
        };
        let group = |group_id: &protocol::KafkaString| {
            let is_known = *group_id == *GROUP;
            let unknown = if is_known { refusal } else { ErrorCode::GroupIdNotFound };
            DescribedGroup {
                error_code: unknown,
                group_id: group_id.clone(),
                group_state: self.state().into(),
                protocol_type: "consumer".into(),
                members: self.member.iter().map(member).collect(),
                ..Default::default()
            }
        };
        DescribeGroupsResponse {
            groups: request.groups.iter().map(group).collect(),
            ..Default::default()
        }
    }
}
