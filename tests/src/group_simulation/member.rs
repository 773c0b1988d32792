//! A model of a consumer: joins its group, shares out partitions when it leads, commits what it read, and gives up and comes again as real ones do.
//!
//! Owns what one process knows. It sends at most one request of the protocol and one heartbeat at a time; an answer to an attempt that it gave up on is ignored.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use coordinator::group::ids::{GenerationId, GroupId, GroupInstanceId, MemberId, TopicName};
use coordinator::group::request::{
    CommitOffsets, FetchOffsets, FirstJoin, Heartbeat, JoinGroup, JoinProtocol, LeaveGroup,
    LeavingMember, MemberRef, OffsetToCommit, Request, SkipAssignment, Stability, SyncGroup,
};
use coordinator::group::response::{JoinAnswer, Response};
use model::{BrokerId, ErrorCode, Offset, Timestamp};

use crate::simulator::random::Random;

/// Partitions of the one topic.
pub(super) const PARTITIONS: i32 = 6;

/// How long a client waits for an answer that is not a rebalance's.
const REQUEST_TIMEOUT: Duration = Duration::from_millis(400);

/// The topic that everyone reads.
pub(super) fn topic() -> TopicName {
    TopicName::from("orders")
}

/// How far a member has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// It must join.
    Outside,
    /// It has joined and must sync.
    Joined,
    /// It has its assignment.
    Stable,
    /// It has left, or its process has ended.
    Gone,
}

/// Which of its two conversations an attempt belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lane {
    Protocol,
    Heartbeat,
    /// Of its transaction's coordinator, not its own.
    Marker,
}

/// Names one attempt of a member.
#[derive(Clone, Copy, Debug)]
pub(super) struct AttemptId {
    pub(super) lane: Lane,
    pub(super) number: u64,
}

/// A request that is under way.
#[derive(Clone, Copy, Debug)]
struct Attempt {
    number: u64,
    sent: Timestamp,
    patience: Duration,
}

/// One consumer process.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) name: usize,
    pub(super) group_id: GroupId,
    pub(super) instance: Option<GroupInstanceId>,
    pub(super) member_id: MemberId,
    pub(super) generation: Option<GenerationId>,
    pub(super) phase: Phase,
    pub(super) owned: BTreeSet<i32>,
    /// Everyone's metadata, told to a leader by its last JoinGroup.
    followers: Option<Vec<MemberId>>,
    protocol_name: Option<String>,
    /// Partitions whose committed offset it has asked for in this generation.
    pub(super) is_positioned: bool,
    pub(super) coordinator: Option<BrokerId>,
    protocol_attempt: Option<Attempt>,
    heartbeat_attempt: Option<Attempt>,
    next_attempt: u64,
    next_heartbeat: Timestamp,
    retry_at: Timestamp,
    /// Whether it is to leave at the next opportunity.
    pub(super) wants_to_leave: bool,
    /// Commits that were acknowledged to this process.
    pub(super) acknowledged: u64,
    pub(super) session_timeout: Duration,
    pub(super) rebalance_timeout: Duration,
    first_join: FirstJoin,
    /// Metadata changes now and then, so that a rejoin means a rebalance.
    subscription: u8,
}

impl Member {
    pub(super) fn new(
        name: usize,
        group_id: GroupId,
        instance: Option<GroupInstanceId>,
        random: &mut Random,
    ) -> Self {
        Self {
            name,
            group_id,
            instance,
            member_id: MemberId::from(""),
            generation: None,
            phase: Phase::Outside,
            owned: BTreeSet::new(),
            followers: None,
            protocol_name: None,
            is_positioned: false,
            coordinator: None,
            protocol_attempt: None,
            heartbeat_attempt: None,
            next_attempt: 0,
            next_heartbeat: Timestamp::ZERO,
            retry_at: Timestamp::ZERO,
            wants_to_leave: false,
            acknowledged: 0,
            session_timeout: random.millis(300, 900),
            rebalance_timeout: random.millis(300, 1500),
            first_join: if random.percent(70) {
                FirstJoin::WithMemberId
            } else {
                FirstJoin::Directly
            },
            subscription: 0,
        }
    }

    fn member_ref(&self) -> MemberRef {
        MemberRef {
            group_id: self.group_id.clone(),
            member_id: self.member_id.clone(),
            group_instance_id: self.instance.clone(),
            generation_id: self.generation,
        }
    }

    /// Gives up attempts that took too long. A client that gives up looks for the coordinator anew.
    fn give_up(&mut self, now: Timestamp) {
        let is_late = |attempt: &Option<Attempt>| {
            attempt.is_some_and(|attempt| now.since(attempt.sent) > attempt.patience)
        };
        if is_late(&self.protocol_attempt) {
            self.protocol_attempt = None;
            self.coordinator = None;
        }
        if is_late(&self.heartbeat_attempt) {
            self.heartbeat_attempt = None;
            self.coordinator = None;
        }
    }

    /// Says what to send now, if anything. `commit` is a number that no commit has had.
    pub(super) fn due(
        &mut self,
        now: Timestamp,
        commit: i64,
        random: &mut Random,
    ) -> Option<(AttemptId, Request)> {
        self.give_up(now);
        if self.phase == Phase::Gone || self.coordinator.is_none() || self.retry_at > now {
            return None;
        }
        let may_beat = matches!(self.phase, Phase::Stable | Phase::Joined);
        if may_beat && self.heartbeat_attempt.is_none() && self.next_heartbeat <= now {
            self.next_heartbeat = now + self.session_timeout / 4;
            let request = Request::Heartbeat(Heartbeat { member: self.member_ref() });
            return Some(self.send(Lane::Heartbeat, now, REQUEST_TIMEOUT, request));
        }
        if self.protocol_attempt.is_some() {
            return None;
        }
        let patience = self.rebalance_timeout + REQUEST_TIMEOUT * 2;
        let request = match self.phase {
            Phase::Outside => return Some(self.send_join(now, patience)),
            Phase::Joined => Request::Sync(self.sync()),
            Phase::Stable if self.wants_to_leave => Request::Leave(LeaveGroup {
                group_id: self.group_id.clone(),
                members: vec![LeavingMember {
                    member_id: self.member_id.clone(),
                    group_instance_id: self.instance.clone(),
                }],
            }),
            Phase::Stable if !self.is_positioned && !self.owned.is_empty() => {
                Request::FetchOffsets(FetchOffsets {
                    group_id: self.group_id.clone(),
                    partitions: Some(self.owned.iter().map(|number| (topic(), *number)).collect()),
                    stability: if random.percent(50) { Stability::Stable } else { Stability::Any },
                })
            }
            Phase::Stable => Request::CommitOffsets(self.commit(commit, random)?),
            Phase::Gone => return None,
        };
        let patience = if self.phase == Phase::Joined { patience } else { REQUEST_TIMEOUT };
        Some(self.send(Lane::Protocol, now, patience, request))
    }

    fn send(
        &mut self,
        lane: Lane,
        now: Timestamp,
        patience: Duration,
        request: Request,
    ) -> (AttemptId, Request) {
        self.next_attempt += 1;
        let attempt = Some(Attempt { number: self.next_attempt, sent: now, patience });
        match lane {
            Lane::Protocol => self.protocol_attempt = attempt,
            Lane::Heartbeat => self.heartbeat_attempt = attempt,
            Lane::Marker => {}
        }
        (AttemptId { lane, number: self.next_attempt }, request)
    }

    fn send_join(&mut self, now: Timestamp, patience: Duration) -> (AttemptId, Request) {
        let request = Request::Join(JoinGroup {
            group_id: self.group_id.clone(),
            member_id: self.member_id.clone(),
            drawn_member_id: MemberId::from(""),
            group_instance_id: self.instance.clone(),
            first_join: self.first_join,
            skip_assignment: SkipAssignment::Understood,
            client_id: format!("m{}", self.name),
            client_host: "/127.0.0.1".to_owned(),
            session_timeout: self.session_timeout,
            rebalance_timeout: self.rebalance_timeout,
            protocol_type: "consumer".to_owned(),
            protocols: vec![JoinProtocol {
                name: "range".to_owned(),
                metadata: Bytes::from(vec![self.subscription]),
            }],
        });
        self.send(Lane::Protocol, now, patience, request)
    }

    fn sync(&self) -> SyncGroup {
        let assignments = match &self.followers {
            None => Vec::new(),
            Some(members) => {
                let share = |index: usize| {
                    (0..PARTITIONS)
                        .filter(|number| *number as usize % members.len() == index)
                        .map(|number| u8::try_from(number).expect("few partitions"))
                        .collect::<Vec<u8>>()
                };
                members
                    .iter()
                    .enumerate()
                    .map(|(index, member)| (member.clone(), Bytes::from(share(index))))
                    .collect()
            }
        };
        SyncGroup {
            member: self.member_ref(),
            protocol_type: Some("consumer".to_owned()),
            protocol_name: self.protocol_name.clone(),
            assignments,
        }
    }

    fn commit(&self, value: i64, random: &mut Random) -> Option<CommitOffsets> {
        let owned: Vec<i32> = self.owned.iter().copied().collect();
        if owned.is_empty() || !random.percent(40) {
            return None;
        }
        let count = if random.percent(30) { owned.len() } else { 1 };
        let first = usize::try_from(random.below(owned.len() as u64)).expect("it is an index");
        let chosen = (0..count).map(|step| owned[(first + step) % owned.len()]);
        let offsets = chosen
            .map(|partition| OffsetToCommit {
                topic: topic(),
                topic_id: None,
                partition,
                offset: Offset(value),
                leader_epoch: None,
                metadata: String::new(),
            })
            .collect();
        Some(CommitOffsets { member: self.member_ref(), offsets, retention: None })
    }

    /// Takes an answer in, if it is waited for.
    pub(super) fn answered(
        &mut self,
        now: Timestamp,
        attempt: AttemptId,
        answer: Result<&Response, ErrorCode>,
        random: &mut Random,
    ) {
        let slot = match attempt.lane {
            Lane::Protocol => &mut self.protocol_attempt,
            Lane::Heartbeat => &mut self.heartbeat_attempt,
            Lane::Marker => return,
        };
        if self.phase == Phase::Gone || slot.is_none_or(|known| known.number != attempt.number) {
            return;
        }
        *slot = None;
        match answer {
            Err(error) => self.failed(now, error, random),
            Ok(Response::Join(join)) => self.joined(now, join, random),
            Ok(Response::Sync(sync)) if sync.error == ErrorCode::None => {
                self.phase = Phase::Stable;
                self.owned = sync.assignment.iter().map(|number| i32::from(*number)).collect();
                self.is_positioned = false;
            }
            Ok(Response::Sync(sync)) => self.failed(now, sync.error, random),
            Ok(Response::Heartbeat(ErrorCode::None)) => {}
            Ok(Response::Heartbeat(error)) => self.failed(now, *error, random),
            Ok(Response::Leave(_)) => self.phase = Phase::Gone,
            Ok(Response::CommitOffsets(codes) | Response::CommitTransactionalOffsets(codes)) => {
                match codes.iter().find(|code| code.is_error()) {
                    None => self.acknowledged += 1,
                    Some(error) => self.failed(now, *error, random),
                }
            }
            Ok(Response::FetchOffsets(fetched)) if fetched.error == ErrorCode::None => {
                let is_unstable = fetched.offsets.iter().any(|offset| offset.error.is_error());
                self.is_positioned = !is_unstable;
                if is_unstable {
                    self.retry_at = now + random.millis(5, 60);
                }
            }
            Ok(Response::FetchOffsets(fetched)) => self.failed(now, fetched.error, random),
            Ok(_) => {}
        }
    }

    fn joined(&mut self, now: Timestamp, join: &JoinAnswer, random: &mut Random) {
        if join.error == ErrorCode::MemberIdRequired {
            self.member_id = join.member_id.clone();
            return;
        }
        if join.error.is_error() {
            return self.failed(now, join.error, random);
        }
        self.member_id = join.member_id.clone();
        self.generation = join.generation_id;
        self.protocol_name = join.protocol_name.clone();
        let leads = join.leader == join.member_id && !join.skip_assignment;
        self.followers =
            leads.then(|| join.members.iter().map(|member| member.member_id.clone()).collect());
        self.owned.clear();
        self.phase = Phase::Joined;
    }

    /// What a client does about an error.
    fn failed(&mut self, now: Timestamp, error: ErrorCode, random: &mut Random) {
        self.retry_at = now + random.millis(5, 60);
        match error {
            ErrorCode::UnknownMemberId => {
                self.member_id = MemberId::from("");
                self.rejoin();
            }
            // A commit to a group that is gone is told so from version 9 on.
            ErrorCode::IllegalGeneration
            | ErrorCode::RebalanceInProgress
            | ErrorCode::GroupIdNotFound => self.rejoin(),
            // Another process has its name: it ends.
            ErrorCode::FencedInstanceId => self.phase = Phase::Gone,
            ErrorCode::NotCoordinator | ErrorCode::CoordinatorNotAvailable => {
                self.coordinator = None;
            }
            ErrorCode::CoordinatorLoadInProgress
            | ErrorCode::RequestTimedOut
            // A copy of a commit came when its transaction had ended.
            | ErrorCode::InvalidProducerEpoch => {}
            other => panic!("member {} does not expect {other:?}", self.name),
        }
    }

    fn rejoin(&mut self) {
        self.phase = Phase::Outside;
        self.generation = None;
        self.owned.clear();
        // What it waited for belongs to the past.
        self.protocol_attempt = None;
    }

    /// Changes what it subscribes to, and joins again for it.
    pub(super) fn change_subscription(&mut self) {
        if self.phase == Phase::Stable && self.protocol_attempt.is_none() {
            self.subscription = self.subscription.wrapping_add(1);
            self.rejoin();
        }
    }
}

/// Partitions of an assignment, as this module's leaders write it.
pub(super) fn assigned(assignment: &Bytes) -> BTreeSet<i32> {
    assignment.iter().map(|number| i32::from(*number)).collect()
}

/// Offsets that a request commits.
pub(super) fn committed_by(request: &Request) -> BTreeMap<(GroupId, i32), i64> {
    match request {
        Request::CommitOffsets(commit) => {
            let group = &commit.member.group_id;
            let each = commit.offsets.iter();
            each.map(|one| ((group.clone(), one.partition), one.offset.0)).collect()
        }
        _ => BTreeMap::new(),
    }
}
