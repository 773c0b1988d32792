//! A group: its state, and the few changes that every subject shares.
//!
//! It owns which states follow which (Kafka's `ClassicGroup`), what is in the log about it, and that its timers stand where its state says.

mod invariants;
mod member;
mod members;
pub(in crate::group) mod protocols;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use model::{ErrorCode, Timestamp, UnixMillis};

use crate::group::ids::{GenerationId, GroupId, GroupInstanceId, MemberId, TopicName};
use crate::group::mutation::{self, Mutation};
use crate::group::offsets::{self, GroupFacts, GroupOffsets};
use crate::group::record::{GroupMetadataRecord, GroupRecord, MemberRecord};
use crate::group::response::{JoinAnswer, Response, SyncAnswer};
use crate::group::state::GroupState;
use crate::group::turn::{Fate, LiveTotals, Timer, Turn, TurnEnd};
use crate::group::{Now, WriteId, record_size};

pub(in crate::group) use self::member::{Member, Standing};
pub(in crate::group) use self::members::Members;

/// A group of a shard.
#[derive(Clone, Debug)]
pub(in crate::group) struct Group {
    pub(in crate::group) id: GroupId,
    pub(in crate::group) phase: Phase,
    /// Wall-clock time of the last change of state; what empties and expires counts from it. `None` when a record of an old Kafka did not say.
    pub(in crate::group) state_since: Option<UnixMillis>,
    /// Set by the first member; `None` for a group of offsets alone.
    pub(in crate::group) protocol_type: Option<String>,
    /// The strategy of the present generation; `None` without members.
    pub(in crate::group) protocol_name: Option<String>,
    pub(in crate::group) generation: GenerationId,
    /// A member, when there is one.
    pub(in crate::group) leader: Option<MemberId>,
    pub(in crate::group) members: Members,
    /// Ids that were given out (MEMBER_ID_REQUIRED) and have not joined yet, with the time at which each is forgotten.
    pub(in crate::group) pending: BTreeMap<MemberId, Timestamp>,
    /// Members of the present generation that have not asked for their assignment, while they are waited for.
    pub(in crate::group) missing_sync: Option<MissingSync>,
    /// The group's record in the log, as the last write or the replay left it.
    pub(in crate::group) logged: Option<Box<GroupMetadataRecord>>,
    /// The last append that told of this group: what is said of the group depends on it.
    pub(in crate::group) last_write: Option<WriteId>,
    pub(in crate::group) existence: Existence,
    /// What the members of the last generation subscribe to, if that is known: it decides which offsets are in use.
    pub(in crate::group) subscribed_topics: Option<BTreeSet<TopicName>>,
    pub(in crate::group) offsets: GroupOffsets,
}

/// Whether a group was there before the present step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::group) enum Existence {
    /// It was.
    Known,
    /// It was not: a blank one for the handlers' sake, which stays only if something came into it.
    Blank,
}

/// What a group does, with what belongs to that alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::group) enum Phase {
    Empty,
    Preparing(JoinWait),
    Completing,
    Stable,
}

/// How long a group waits for its members to join.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::group) struct JoinWait {
    /// When the wait ends.
    pub(in crate::group) until: Timestamp,
    pub(in crate::group) kind: JoinWaitKind,
}

/// What a group waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::group) enum JoinWaitKind {
    /// For the members of the last generation; it ends as soon as all have joined.
    Rebalance,
    /// For whoever comes to an empty group (KIP-134). It ends with time alone, and each newcomer prolongs it.
    Initial {
        /// The length of the wait that runs.
        delay: Duration,
        /// How much longer it may get.
        remaining: Duration,
        /// Whether somebody came since it began.
        newcomers: Newcomers,
    },
}

/// Whether somebody came while a group waited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::group) enum Newcomers {
    None,
    Some,
}

/// Members that have not asked for their assignment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::group) struct MissingSync {
    pub(in crate::group) members: BTreeSet<MemberId>,
    /// When they are removed.
    pub(in crate::group) until: Timestamp,
}

impl Group {
    /// Makes an empty group that is not known yet.
    pub(in crate::group) fn blank(
        id: GroupId,
        now: Option<UnixMillis>,
        last_write: Option<WriteId>,
    ) -> Self {
        Self {
            id,
            phase: Phase::Empty,
            state_since: now,
            protocol_type: None,
            protocol_name: None,
            generation: GenerationId::default(),
            leader: None,
            members: Members::default(),
            pending: BTreeMap::new(),
            missing_sync: None,
            logged: None,
            last_write,
            existence: Existence::Blank,
            subscribed_topics: None,
            offsets: GroupOffsets::default(),
        }
    }

    /// Says whether the group was there before the present step.
    pub(in crate::group) fn is_known(&self) -> bool {
        self.existence == Existence::Known
    }

    /// Says whether nothing would be lost if the group were not there.
    pub(in crate::group) fn is_void(&self) -> bool {
        self.phase == Phase::Empty
            && self.pending.is_empty()
            && self.logged.is_none()
            && self.offsets.is_empty()
    }

    pub(in crate::group) fn state(&self) -> GroupState {
        match self.phase {
            Phase::Empty => GroupState::Empty,
            Phase::Preparing(_) => GroupState::PreparingRebalance,
            Phase::Completing => GroupState::CompletingRebalance,
            Phase::Stable => GroupState::Stable,
        }
    }

    /// Enters a phase and notes since when.
    pub(in crate::group) fn enter(&mut self, phase: Phase, now: Now) {
        self.phase = phase;
        self.state_since = Some(now.wall);
    }

    pub(in crate::group) fn is_leader(&self, member_id: &MemberId) -> bool {
        self.leader.as_ref() == Some(member_id)
    }

    /// Checks that one is a member and, under a static name, the present bearer of it.
    ///
    /// # Errors
    /// `FENCED_INSTANCE_ID` when another bears the name, `UNKNOWN_MEMBER_ID` when nobody does or the id is no member's.
    pub(in crate::group) fn check_member(
        &self,
        member_id: &MemberId,
        instance: Option<&GroupInstanceId>,
    ) -> Result<(), ErrorCode> {
        if let Some(instance) = instance {
            let bearer = self.members.id_of(instance).ok_or(ErrorCode::UnknownMemberId)?;
            if bearer != member_id && !self.is_unfenced_by_mistake(member_id) {
                return Err(ErrorCode::FencedInstanceId);
            }
        }
        if self.members.contains(member_id) { Ok(()) } else { Err(ErrorCode::UnknownMemberId) }
    }

    fn is_unfenced_by_mistake(&self, member_id: &MemberId) -> bool {
        mutation::is_active(Mutation::NoFencing) && self.members.contains(member_id)
    }

    /// Checks the generation that a member believes in.
    ///
    /// # Errors
    /// `ILLEGAL_GENERATION` when it is another one.
    pub(in crate::group) fn check_generation(
        &self,
        generation: Option<GenerationId>,
    ) -> Result<(), ErrorCode> {
        if generation == Some(self.generation) { Ok(()) } else { Err(ErrorCode::IllegalGeneration) }
    }

    /// Notes a member's sign of life.
    pub(in crate::group) fn touch(&mut self, member_id: &MemberId, now: Now) {
        if let Some(member) = self.members.get_mut(member_id) {
            member.touch(now.monotonic);
        }
    }

    /// Starts a member's session anew, now that nothing of it is parked: it has its whole session timeout from here.
    pub(in crate::group) fn restart_session(&mut self, member_id: &MemberId, turn: &mut Turn<'_>) {
        if let Some(member) = self.members.get(member_id) {
            let deadline = turn.now.monotonic + member.session_timeout;
            self.set_deadline(member_id, deadline, turn);
        }
    }

    /// Moves a member's deadline, back perhaps, and sees that its timer stands at or before it.
    pub(in crate::group) fn set_deadline(
        &mut self,
        member_id: &MemberId,
        deadline: Timestamp,
        turn: &mut Turn<'_>,
    ) {
        let Some(member) = self.members.get_mut(member_id) else { return };
        member.deadline = deadline;
        if member.armed_at.is_none_or(|at| at > deadline) {
            let before = member.armed_at.replace(deadline);
            if let Some(before) = before {
                turn.disarm(&self.id, Timer::Session(member_id.clone()), before);
            }
            turn.arm(&self.id, Timer::Session(member_id.clone()), deadline);
        }
    }

    /// Removes a member. What it had parked is answered with `error`: UNKNOWN_MEMBER_ID has the client join anew if it is still there.
    pub(in crate::group) fn remove_member(
        &mut self,
        member_id: &MemberId,
        error: ErrorCode,
        turn: &mut Turn<'_>,
    ) -> Option<Member> {
        if mutation::is_active(Mutation::LeaverStays) {
            return None;
        }
        let member = self.members.remove(member_id)?;
        self.dismiss(member_id, &member, error, turn);
        if self.is_leader(member_id) {
            self.leader = self.members.first().cloned();
        }
        self.forget_missing_sync(member_id, turn);
        Some(member)
    }

    /// Answers what a member that is none any more had parked, and takes its timer away.
    pub(in crate::group) fn dismiss(
        &self,
        member_id: &MemberId,
        member: &Member,
        error: ErrorCode,
        turn: &mut Turn<'_>,
    ) {
        if let Some(id) = member.parked_join {
            let told =
                if error == ErrorCode::UnknownMemberId { "".into() } else { member_id.clone() };
            turn.reply(id, Response::Join(JoinAnswer::error(error, told)));
        }
        if let Some(id) = member.parked_sync {
            turn.reply(id, Response::Sync(SyncAnswer::error(error)));
        }
        if let Some(at) = member.armed_at {
            turn.disarm(&self.id, Timer::Session(member_id.clone()), at);
        }
    }

    /// Gives an id out. When too many are out already, the one that would be forgotten first is forgotten now: its client, if it still comes, is given another.
    pub(in crate::group) fn add_pending(
        &mut self,
        member_id: MemberId,
        until: Timestamp,
        turn: &mut Turn<'_>,
    ) {
        if self.pending.len() >= MAX_PENDING_COUNT {
            let first = self.pending.iter().min_by_key(|(_, until)| **until);
            if let Some(first) = first.map(|(member_id, _)| member_id.clone()) {
                self.remove_pending(&first, turn);
            }
        }
        turn.arm(&self.id, Timer::Session(member_id.clone()), until);
        turn.pending().insert(until, &self.id, &member_id);
        self.pending.insert(member_id, until);
    }

    /// Forgets an id that was given out; says whether it was.
    pub(in crate::group) fn remove_pending(
        &mut self,
        member_id: &MemberId,
        turn: &mut Turn<'_>,
    ) -> bool {
        let until = self.pending.remove(member_id);
        if let Some(at) = until {
            turn.pending().remove(at, &self.id, member_id);
            turn.disarm(&self.id, Timer::Session(member_id.clone()), at);
        }
        until.is_some()
    }

    /// Notes that a member's SyncGroup need not be waited for.
    pub(in crate::group) fn forget_missing_sync(
        &mut self,
        member_id: &MemberId,
        turn: &mut Turn<'_>,
    ) {
        let Some(missing) = &mut self.missing_sync else { return };
        missing.members.remove(member_id);
        if missing.members.is_empty() {
            turn.disarm(&self.id, Timer::Sync, missing.until);
            self.missing_sync = None;
        }
    }

    /// Stops waiting for members to sync.
    pub(in crate::group) fn clear_missing_sync(&mut self, turn: &mut Turn<'_>) {
        if let Some(missing) = self.missing_sync.take() {
            turn.disarm(&self.id, Timer::Sync, missing.until);
        }
    }

    /// Ends the group's turn: notes its last write, on which the turn's replies depend.
    pub(in crate::group) fn end_turn(&mut self, mut turn: Turn<'_>) -> TurnEnd {
        self.last_write = turn.write().or(self.last_write);
        if turn.fate() == Fate::Removed {
            self.disarm_all(&mut turn);
        }
        turn.end(self.last_write)
    }

    /// Takes all timers of the group away: it is removed.
    fn disarm_all(&mut self, turn: &mut Turn<'_>) {
        self.clear_missing_sync(turn);
        if let Phase::Preparing(wait) = self.phase {
            turn.disarm(&self.id, Timer::Join, wait.until);
        }
        for (member_id, at) in std::mem::take(&mut self.pending) {
            turn.pending().remove(at, &self.id, &member_id);
            turn.disarm(&self.id, Timer::Session(member_id), at);
        }
        for (member_id, member) in self.members.iter_mut() {
            if let Some(at) = member.armed_at.take() {
                turn.disarm(&self.id, Timer::Session(member_id.clone()), at);
            }
        }
    }

    /// Returns the group's record as it is now.
    pub(in crate::group) fn to_record(&self) -> GroupMetadataRecord {
        let protocol_name = self.protocol_name.as_deref().unwrap_or_default();
        let members = self.members.iter().map(|(id, member)| MemberRecord {
            member_id: id.clone(),
            group_instance_id: member.group_instance_id.clone(),
            client_id: member.client_id.clone(),
            client_host: member.client_host.clone(),
            rebalance_timeout: member.rebalance_timeout,
            session_timeout: member.session_timeout,
            subscription: member.metadata(protocol_name),
            assignment: member.assignment.clone(),
        });
        GroupMetadataRecord {
            protocol_type: self.protocol_type.clone().unwrap_or_default(),
            generation_id: self.generation,
            protocol_name: self.protocol_name.clone(),
            leader: self.leader.clone(),
            state_since: self.state_since,
            members: members.collect(),
        }
    }

    /// Says whether a batch would hold the group's record.
    pub(in crate::group) fn fits_a_record(&self, turn: &Turn<'_>) -> bool {
        record_size::of_group(&self.id, &self.to_record()) <= turn.config.max_record_bytes
    }

    /// Writes the group as it is to the log. It has no members, or it [fits](Self::fits_a_record).
    pub(in crate::group) fn write_metadata(&mut self, turn: &mut Turn<'_>) {
        let value = self.to_record();
        self.set_logged(Some(value.clone()), turn.totals);
        turn.append(GroupRecord::Group { group_id: self.id.clone(), value: Some(value) });
    }

    /// Notes what the log says of the group.
    pub(in crate::group) fn set_logged(
        &mut self,
        value: Option<GroupMetadataRecord>,
        totals: &mut LiveTotals,
    ) {
        let bytes_of = |value: &GroupMetadataRecord| record_size::of_group(&self.id, value);
        let was_bytes = self.logged.as_deref().map_or(0, bytes_of);
        totals.replaced(was_bytes, value.as_ref().map_or(0, bytes_of));
        self.logged = value.map(Box::new);
    }

    /// Writes records about the group's offsets to the log and takes them in.
    pub(in crate::group) fn write_offsets(
        &mut self,
        records: Vec<GroupRecord>,
        turn: &mut Turn<'_>,
    ) {
        self.take_in_offsets(&records, turn);
        for record in records {
            turn.append(record);
        }
    }

    /// Takes in records about the group's offsets.
    pub(in crate::group) fn take_in_offsets(
        &mut self,
        records: &[GroupRecord],
        turn: &mut Turn<'_>,
    ) {
        for record in records {
            if let GroupRecord::Offset { topic, partition, value, .. } = record {
                let key = (topic.clone(), *partition);
                self.offsets.replay(turn.totals, &self.id, key, value.clone());
            }
        }
    }

    /// Returns what the rules about offsets must know of the group.
    pub(in crate::group) fn facts(&self) -> GroupFacts<'_> {
        GroupFacts {
            state: self.state(),
            generation_id: self.generation,
            protocol_type: self.protocol_type.as_deref(),
            state_since: self.state_since,
            subscribed_topics: self.subscribed_topics.as_ref(),
        }
    }

    /// Notes what the members of a generation that has just begun, or was loaded, subscribe to.
    pub(in crate::group) fn note_subscriptions(&mut self) {
        let name = self.protocol_name.as_deref();
        let metadata: Vec<_> = self
            .members
            .iter()
            .map(|(_, member)| member.metadata(name.unwrap_or_default()))
            .collect();
        let protocol_type = self.protocol_type.as_deref();
        self.subscribed_topics = offsets::subscribed_topics(protocol_type, name, metadata.iter());
    }

    /// Says whether all who are known have joined, and nobody who was given an id is still to come.
    pub(in crate::group) fn have_all_joined(&self) -> bool {
        self.members.parked_join_count() == self.members.len() && self.pending.is_empty()
    }

    /// Begins the next generation: its number and its strategy.
    pub(in crate::group) fn advance_generation(&mut self) {
        if !mutation::is_active(Mutation::GenerationStays) {
            // A log could hold the last number there is; the first one again is as good as any then.
            self.generation = GenerationId(self.generation.0.checked_add(1).unwrap_or(0).max(0));
        }
        self.protocol_name = self.members.elect_protocol();
        self.note_subscriptions();
    }

    /// Makes one who was never told so a member from now on.
    pub(in crate::group) fn establish(&mut self, member_id: &MemberId) {
        if let Some(member) = self.members.get_mut(member_id) {
            member.standing = Standing::Established;
        }
    }
}

/// The most ids of one group that are given out and have not joined. A client comes back with its id at once, so a group with more of them is flooded.
pub(in crate::group) const MAX_PENDING_COUNT: usize = 1_000;
