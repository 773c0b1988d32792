//! A group: its state, and the few changes that every subject shares.
//!
//! It owns which states follow which (Kafka's `ClassicGroup`); [`waits`] sees that its timers stand where its state says, [`logged`] knows what is in the log about it, and
//! [`invariants`] checks both after every turn. What a request means is decided outside: by `membership`, `offset_requests` and `administration`.

mod invariants;
mod logged;
mod member;
mod members;
pub(in crate::group) mod protocols;
mod waits;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use model::{ErrorCode, Timestamp, UnixMillis};

use crate::group::ids::{GenerationId, GroupId, GroupInstanceId, MemberId, TopicName};
use crate::group::mutation::{self, Mutation};
use crate::group::offsets::{self, GroupFacts, GroupOffsets, PendingOffsets, Stored};
use crate::group::record::GroupMetadataRecord;
use crate::group::state::GroupState;
use crate::group::turn::{Fate, Turn, TurnEnd};
use crate::group::{Now, WriteId};

pub(in crate::group) use self::member::{Member, Standing};
pub(in crate::group) use self::members::Members;
#[cfg(test)]
pub(in crate::group) use self::waits::MAX_PENDING_COUNT;

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
    /// What open transactions are to commit.
    pub(in crate::group) pending_offsets: PendingOffsets,
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
///
/// ```text
///           the first joins             the wait ends            the leader syncs
///   Empty ──────────────────► Preparing ─────────────► Completing ───────────────► Stable
///     ▲                        │     ▲                     │                          │
///     └────────────────────────┘     └─────────────────────┴──────────────────────────┘
///         the wait ends, and              one joins, changes, leaves, expires or
///         nobody has joined               does not ask for its assignment in time
/// ```
///
/// A load begins at Stable with members, at Empty without.
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
            pending_offsets: PendingOffsets::default(),
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
            && self.pending_offsets.is_empty()
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

    /// Ends the group's turn: notes its last write, on which the turn's replies depend.
    pub(in crate::group) fn end_turn(&mut self, mut turn: Turn<'_>) -> TurnEnd {
        self.last_write = turn.write().or(self.last_write);
        if turn.fate() == Fate::Removed {
            self.disarm_all(&mut turn);
        }
        turn.end(self.last_write)
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

    /// Returns what the group has stored.
    pub(in crate::group) fn stored(&self) -> Stored<'_> {
        Stored { committed: &self.offsets, pending: &self.pending_offsets }
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
